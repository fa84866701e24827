"""``sg.ancestors``: the walk over what variables are made of."""

from __future__ import annotations

import pytest

import symgraph as sg


def test_all_that_a_variable_is_made_of_inputs_first():
    x, w = sg.vector("x"), sg.shared(2.0, "w")
    scaled = x * w
    y = sg.exp(scaled) + scaled
    order = sg.ancestors(y)
    assert len(order) == len(set(order))
    assert {x, w, scaled, y} <= set(order)
    assert order[-1] is y
    position = {v: i for i, v in enumerate(order)}
    assert all(position[source] < position[v] for v in order for source in v.inputs)
    assert sg.ancestors(x) == [x]


def test_a_list_a_tuple_and_a_graph():
    x, y = sg.scalar("x"), sg.scalar("y")
    a, b = sg.exp(x), x * y
    assert sg.ancestors([a, b]) == sg.ancestors((b, a, b)) == [x, y, a, b]
    assert sg.ancestors([]) == []
    # Down to the graph's inputs, which may be computed themselves.
    assert sg.ancestors(sg.Graph([a], [a + 1])) == [v for v in sg.ancestors(a + 1) if v is not x]


def test_a_loop_is_one_of_them_and_its_body_is_another_graph():
    x, w = sg.vector("x"), sg.scalar("w")
    y = sg.scan(lambda row, h: sg.tanh(row + h * w), x, sg.constant(0.0), name="loop")
    order = sg.ancestors(y)
    (loop,) = [v for v in order if v.name == "loop"]
    assert {x, w} <= set(order)
    assert not any(v.op.name == "tanh" for v in order)
    (body,) = [part for part in loop.params if isinstance(part, sg.Graph)]
    assert sum(v.op.name == "tanh" for v in sg.ancestors(body)) == 1


def test_a_deep_chain_is_walked():
    y = x = sg.scalar("x")
    for _ in range(50_000):
        y = -y + 1
    assert x in sg.ancestors(y)


@pytest.mark.parametrize("outputs", [3, "x", None, [1.0], [[sg.scalar()]], {sg.scalar(): 1}])
def test_anything_else_is_refused(outputs):
    with pytest.raises(sg.SymgraphTypeError, match="ancestors takes a variable, a list") as caught:
        sg.ancestors(outputs)
    assert __file__ in str(caught.value)
