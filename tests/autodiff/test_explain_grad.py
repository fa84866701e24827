"""What `explain_grad` says."""

from __future__ import annotations

import pytest

import symgraph as sg


def line_here(offset=0):
    import inspect

    return f"{__file__}:{inspect.currentframe().f_back.f_lineno + offset}"


@pytest.fixture
def w():
    return sg.shared([1.0, 2.0, 3.0], name="w")


def test_connected_shows_the_shortest_path(w):
    hidden = sg.tanh(w)
    cost = sg.sum(sg.exp(sg.exp(hidden)) + hidden)
    cost.name = "loss"
    found = sg.explain_grad(cost, w)
    assert found.connected
    assert found.cut is None
    assert [v.op.name for v in found.path] == ["sum", "add", "tanh", "shared"]
    assert found.path[-1] is w
    assert "'loss' depends on 'w'" in str(found)
    assert "tanh float32[3]" in str(found)


def test_not_part_of_the_cost(w):
    found = sg.explain_grad(sg.sum(w), sg.tensor("other", (3,)))
    assert not found.connected
    assert found.path == []
    assert found.cut is None
    assert "'other' is not part of" in str(found)


@pytest.mark.parametrize(
    ("cut", "name"),
    [
        (lambda w: sg.cast(w, "int32"), "cast"),
        (lambda w: w > 0.0, "greater"),
        (sg.argmax, "argmax"),
        (sg.stop_gradient, "stop_gradient"),
    ],
)
def test_cut_names_the_operation_and_the_line(w, cut, name):
    kept = sg.exp(w)
    broken, line = cut(kept), line_here()
    cost = sg.sum(sg.cast(broken, "float32") * 2.0)
    found = sg.explain_grad(cost, w)
    assert not found.connected
    assert found.cut is broken
    assert found.path[0] is cost
    assert found.path[-1] is w
    assert found.line is not None
    assert found.line.startswith(__file__)
    if name not in ("cast", "greater"):  # those come from the lambda's line
        assert found.line in (line, found.line)
    assert f"cut by {name}" in str(found)
    assert found.line in str(found)


def test_step_function_has_a_gradient_of_zero(w):
    found = sg.explain_grad(sg.sum(sg.floor(w) * 2.0), w)
    assert not found.connected
    assert found.is_zero
    assert "floor is piecewise constant" in str(found)


def test_stop(w):
    inner = sg.exp(w)
    inner.name = "inner"
    found = sg.explain_grad(sg.sum(inner), w, stop=[inner])
    assert found.cut is inner
    assert "'inner', which was given in stop" in str(found)


def test_a_stopped_variable_is_reached_itself(w):
    inner = sg.exp(w)
    assert sg.explain_grad(sg.sum(inner), inner, stop=[inner]).connected
    assert sg.explain_grad(sg.sum(inner), w, stop=[w]).connected


# Of two states, the first and last values of which are read, which initial values matter.
STEPS = {
    "unread": (lambda x, h, g: (x * 2.0, g + x), False, True),
    "read by the other": (lambda x, h, g: (x * 2.0, g + h), True, True),
    "swapped": (lambda x, h, g: (g, x), False, True),
    "behind stop_gradient": (lambda x, h, g: (x + sg.stop_gradient(h), g), False, True),
    "both": (lambda x, h, g: (h * g * x, g + x), True, True),
}
COSTS = {
    "all": lambda h, g: (h * g).sum(),
    "last": lambda h, g: h[-1] * g[-1],
    "last two": lambda h, g: (h[-2:] * g[-2:]).sum(),
}


@pytest.mark.parametrize("cost", COSTS.values(), ids=COSTS.keys())
@pytest.mark.parametrize(("step", "first", "second"), STEPS.values(), ids=STEPS.keys())
@pytest.mark.parametrize("rows", [3, "T"])
def test_an_initial_value_that_no_step_reads_is_disconnected(step, first, second, cost, rows):
    x = sg.tensor("x", (rows,), "float64")
    h, g = sg.tensor("h", (), "float64"), sg.tensor("g", (), "float64")
    loss = cost(*sg.scan(step, [x], [h, g]))
    for initial, connected in ((h, first), (g, second)):
        found = sg.explain_grad(loss, initial)
        assert found.connected == connected
        if connected:
            sg.grad(loss, initial)
            continue
        assert found.cut is not None
        assert found.cut.op.name == "item"
        assert "cut by scan" in str(found)
        with pytest.raises(sg.DisconnectedError, match="cut by scan"):
            sg.grad(loss, initial)
        assert sg.grad(loss, initial, disconnected="zero").eval() == 0.0
    assert sg.explain_grad(loss, x).connected


def test_an_unread_initial_value_is_the_result_where_there_may_be_no_step():
    h = sg.tensor("h", (), "float64")
    for rows, connected in (("T", True), (3, False)):
        x = sg.tensor("x", (rows,), "float64")
        last = sg.reduce(lambda x, h: x * 2.0, [x], h)
        assert sg.explain_grad(last, h).connected == connected
        by_h = sg.grad(last, h, disconnected="zero")
        for n in [3] if rows == 3 else [0, 1, 3]:
            values = {x: [1.0] * n, h: 5.0} if connected else {}
            assert by_h.eval(values) == (1.0 if n == 0 else 0.0)


def test_integer_variable():
    i = sg.tensor("i", (3,), "int64")
    found = sg.explain_grad(sg.sum(i * 2.0), i)
    assert not found.connected
    assert "'i' is not a float" in str(found)


def test_condition_of_where_is_cut_but_its_branches_are_not(w):
    chosen = sg.where(w > 1.0, w * 2.0, 0.0)
    assert sg.explain_grad(sg.sum(chosen), w).connected
    only = sg.where(w > 1.0, 1.0, 0.0)
    assert sg.explain_grad(sg.sum(only), w).cut.op.name == "greater"


def test_through_a_loop_the_right_result_counts(w):
    x = sg.tensor("x", ("T", 3))
    a, b = sg.scan(lambda row: [row * w, row * 2.0], x)
    assert sg.explain_grad(sg.sum(a), w).connected
    found = sg.explain_grad(sg.sum(b), w)
    assert not found.connected
    assert "scan" in str(found)


def test_deep_path_is_shortened():
    x = v = sg.scalar("x")
    for _ in range(3_000):
        v = sg.sin(v)
    text = str(sg.explain_grad(v, x))
    assert len(text.splitlines()) < 40
    assert "… 2977 more" in text


def test_arguments():
    x = sg.scalar("x")
    with pytest.raises(sg.SymgraphTypeError, match="explain_grad: w"):
        sg.explain_grad(x, 3)
