"""Loops of equal steps in one program: each names the lines and values of its own step.

Equal bodies are one graph. What a message says of the other loop's lines or names is wrong.
"""

from __future__ import annotations

import pytest
from faulty_backends import Faulty, plant

import symgraph as sg

both = pytest.mark.parametrize("backend", ["native", "numpy"])
first_last = pytest.mark.parametrize("which", ["first", "last"])


def lines_with(text: str) -> set[str]:
    """The lines of this file that end in the comment."""
    with open(__file__, encoding="utf-8") as file:
        return {f"{__file__}:{i}" for i, line in enumerate(file, 1) if line.endswith(f"# {text}\n")}


def first_step(row, h):
    gate_first = 0.5 * row  # first
    gate_first.name = "gate_first"
    return sg.sqrt(gate_first) + h * 0.5  # first


def last_step(row, h):
    gate_last = 0.5 * row  # last
    gate_last.name = "gate_last"
    return sg.sqrt(gate_last) + h * 0.5  # last


def two_loops(x, y):
    first = sg.scan(first_step, [x], [sg.zeros(())], name="loop_first")  # first
    last = sg.scan(last_step, [y], [sg.zeros(())], name="loop_last")  # last
    return first, last


def other(which: str) -> str:
    return "first" if which == "last" else "last"


def arguments(which: str, value: float) -> list[list[float]]:
    """Rows that are in order, but for one of this loop."""
    wrong, right = [1.0, value, 1.0], [1.0, 1.0, 1.0]
    return [wrong, right] if which == "first" else [right, wrong]


@both
@first_last
def test_an_index_out_of_range(backend: str, which: str) -> None:
    table, i, j = sg.vector("table"), sg.vector("i", dtype="int64"), sg.vector("j", dtype="int64")

    def step_first(k, h):
        return table[k] + h  # first

    def step_last(k, h):
        return table[k] + h  # last

    first = sg.scan(step_first, [i], [sg.zeros(())], name="loop_first")
    last = sg.scan(step_last, [j], [sg.zeros(())], name="loop_last")
    f = sg.compile([table, i, j], [first, last], backend=backend)
    with pytest.raises(sg.IndexRangeError) as caught:
        f([1.0, 2.0], *([int(k) for k in rows] for rows in arguments(which, 7)))
    assert any(f"\n  at {line}\n" in str(caught.value) for line in lines_with(which))
    assert f"in step 1 of loop 'loop_{which}'" in str(caught.value)


@both
@first_last
def test_an_index_out_of_range_in_loops_in_loops(backend: str, which: str) -> None:
    """The inner loops are one node."""
    table, i, j = sg.vector("table"), sg.matrix("i", dtype="int64"), sg.matrix("j", dtype="int64")

    def inner_first(k, h):
        return table[k] + h  # first

    def inner_last(k, h):
        return table[k] + h  # last

    def step_first(row, h):
        return sg.scan(inner_first, [row], [h])[-1]  # first

    def step_last(row, h):
        return sg.scan(inner_last, [row], [h])[-1]  # last

    first = sg.scan(step_first, [i], [sg.zeros(())])  # first
    last = sg.scan(step_last, [j], [sg.zeros(())])  # last
    f = sg.compile([table, i, j], [first, last], backend=backend)
    rows = [[[int(k) for k in row]] for row in arguments(which, 7)]
    with pytest.raises(sg.IndexRangeError) as caught:
        f([1.0, 2.0], *rows)
    where = str(caught.value).split("\n  at ", 1)[1]
    assert {line for line in lines_with(which) | lines_with(other(which)) if line in where} == {
        line for line in lines_with(which) if line in where
    }
    assert where.count(__file__) == 3
    lines = [row.line for row in f.report.loop_table if row.depth]
    assert {str(line) for line in lines} < lines_with("first") | lines_with("last")
    assert len(set(lines)) == 2


@both
@first_last
def test_a_value_that_is_not_finite(backend: str, which: str) -> None:
    x, y = sg.vector("x"), sg.vector("y")
    f = sg.compile([x, y], [*two_loops(x, y)], backend=backend, check_finite=True)
    values = arguments(which, -1)
    with pytest.raises(sg.FiniteError) as caught:
        f(*values)
    error = caught.value
    assert error.line in lines_with(which)
    assert (error.loop, error.step) == (f"loop_{which}", 1)
    assert [each.label for each in error.operands] == [f"'gate_{which}'"]
    assert f"_{other(which)}" not in str(error)
    for loop in (f"loop_{which}", ["first", "last"].index(which)):
        replayed = sg.replay(f, values, loop=loop, step=1)
        assert f"_{other(which)}" not in str(replayed)
        assert replayed.values[f"gate_{which}"] == -0.5
        assert set(filter(None, replayed.lines.values())) <= lines_with(which)
        assert len(set(replayed.lines.values()) - {None}) == 2


@both
@first_last
def test_a_value_that_is_not_finite_in_a_gradient(backend: str, which: str) -> None:
    x, y = sg.vector("x"), sg.vector("y")
    first, last = two_loops(x, y)
    cost = first.sum() + last.sum()
    f = sg.compile([x, y], sg.grad(cost, [x, y]), backend=backend, check_finite=True)
    with pytest.raises(sg.FiniteError) as caught:
        f(*arguments(which, 0))
    assert f"_{other(which)}" not in str(caught.value)
    assert caught.value.line in lines_with(which)


@first_last
def test_a_value_that_is_wrong(which: str, monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = sg.vector("x"), sg.vector("y")
    faulty = Faulty(
        "numpy",
        lambda v, _: v.op.name == "sqrt",
        lambda v: sg.where(v > 1, v * 1.5, v),
        where="loops",
    )
    f = sg.compile([x, y], [*two_loops(x, y)], backend=plant(monkeypatch, faulty), verify=True)
    with pytest.raises(sg.VerifyError) as caught:
        f(*arguments(which, 8.0))
    assert caught.value.line in lines_with(which)
    assert caught.value.loop == f"loop_{which}"


@both
def test_what_is_stored(backend: str) -> None:
    x, y = sg.vector("x"), sg.vector("y")
    first, last = two_loops(x, y)
    cost = first.sum() + last.sum()
    f = sg.compile([x, y], [first, last, *sg.grad(cost, [x, y])], backend=backend)
    loops = {each.loop: each for each in f.report.stored}
    for which in ("first", "last"):
        for loop in (f"loop_{which}", f"gradient of loop_{which}"):
            values = loops[loop].values
            assert not [each.label for each in values if f"_{other(which)}" in each.label]
            assert {str(each.lines[0]) for each in values} <= lines_with(which)
