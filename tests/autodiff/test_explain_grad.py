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
