"""`replay`: what a loop computed in one of its steps."""

from __future__ import annotations

import contextlib
import importlib
import re
import sys

import numpy as np
import pytest

import symgraph as sg

BACKENDS = ["native", "numpy"]


def rnn(backend: str, **options):
    """A function of a loop over `x` with a state `h`, and its gradient."""
    x, w = sg.vector("x", "float64"), sg.shared(0.7, "w")

    def step(x, h):
        z = x + w * h
        z.name = "z"
        new = sg.tanh(z)
        new.name = "h"
        return new

    h = sg.scan(step, [x], [np.float64(0.1)], name="cell", **options)
    return sg.compile([x], [h, sg.grad((h**2).sum(), w)], backend=backend)


X = np.linspace(-1, 1, 6)


def states() -> list[float]:
    h = [0.1]
    for x in X:
        h.append(np.tanh(x + np.float32(0.7) * h[-1]))
    return h


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("options", [{}, {"checkpoint_every": 2}, {"truncate_gradient": 3}])
def test_the_values_of_a_step(backend: str, options: dict) -> None:
    f = rnn(backend, **options)
    h = states()
    for step in (0, 3, 5):
        values = sg.replay(f, [X], loop="cell", step=step).values
        assert list(values)[:2] == ["z", "h"]  # the user's names first
        np.testing.assert_allclose(values["h"], h[step + 1])
        np.testing.assert_allclose(values["z"], X[step] + np.float32(0.7) * h[step])
        np.testing.assert_allclose(values["x[t]"], X[step])
        np.testing.assert_allclose(values["h[t-1]"], h[step])


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_loop_by_line_and_by_row(backend: str) -> None:
    f = rnn(backend)
    line = str(f.report.loop_table[0].line)
    short = line.rsplit("/", 1)[-1]
    for loop in (line, short, "cell", 0):
        replayed = sg.replay(f, {"x": X}, loop=loop, step=2)
        assert any(np.allclose(v, states()[3]) for v in replayed.values.values())
    gradient = [row.name for row in f.report.loop_table].index("gradient of cell")
    replayed = sg.replay(f, [X], loop=gradient, step=0)
    assert replayed.loop.startswith("loop 'gradient of cell'")
    assert any(np.allclose(v, 2 * states()[-1]) for v in replayed.values.values())


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_loop_in_a_loop(backend: str) -> None:
    x = sg.matrix("x", "float64")

    def outer(row, total):
        return sg.scan(lambda x, s: s + x, [row], [total], name="inner")[-1]

    f = sg.compile([x], sg.scan(outer, [x], [np.float64(0)], name="outer"), backend=backend)
    array = np.arange(6.0).reshape(2, 3)
    for loop in ("inner", ("outer", "inner"), (0, 1), 1):
        values = sg.replay(f, [array], loop=loop, step=(1, 2)).values
        assert float(values["add"]) == array.sum()
    values = sg.replay(f, [array], loop="outer", step=1).values
    np.testing.assert_array_equal(values["inner"], [3.0, 6.0, 10.0, 15.0])


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_loop_that_ends_early(backend: str) -> None:
    def double(x):
        return 2 * x, sg.until(x > 10)

    n = sg.scalar("n", "int64")
    f = sg.compile(
        [n], sg.scan(double, outputs_info=[1], n_steps=n, name="double"), backend=backend
    )
    assert int(sg.replay(f, [100], loop="double", step=4).values["multiply"]) == 32
    with pytest.raises(sg.SymgraphValueError, match="takes 5 steps in this call; there is no step"):
        sg.replay(f, [100], loop="double", step=5)


def test_nothing_is_stored_or_printed(capsys) -> None:
    x, total = sg.vector("x"), sg.shared(0.0, "total")
    y = sg.scan(lambda x, s: sg.debug_print(s + x, "s"), [x], [total], name="sum")
    f = sg.compile([x], y, updates={total: y[-1]})
    f([1.0, 2.0])
    capsys.readouterr()
    assert float(sg.replay(f, [[1.0, 2.0]], loop="sum", step=1).values["add"]) == 6.0
    assert total.get_value() == 3.0
    assert capsys.readouterr().out == ""


def test_it_is_printed_as_a_table() -> None:
    text = str(sg.replay(rnn("numpy"), [X], loop="cell", step=1))
    assert text.startswith("step 1 of loop 'cell' at ")
    assert "float64[]" in text
    assert "test_replay.py:" in text
    assert text == repr(sg.replay(rnn("numpy"), [X], loop="cell", step=1))


def test_what_makes_no_sense_is_said() -> None:
    f = rnn("numpy")
    with pytest.raises(sg.SymgraphValueError, match=r"no loop 'other'; it has\n    0: loop 'cell'"):
        sg.replay(f, [X], loop="other", step=0)
    with pytest.raises(sg.SymgraphValueError, match="no loop 7"):
        sg.replay(f, [X], loop=7, step=0)
    with pytest.raises(sg.SymgraphValueError, match="a step is a number from 0 on, not -1"):
        sg.replay(f, [X], loop="cell", step=-1)
    with pytest.raises(sg.SymgraphValueError, match="2 steps are given for 1 loops"):
        sg.replay(f, [X], loop="cell", step=(0, 1))
    with pytest.raises(sg.SymgraphTypeError, match="a loop is a name"):
        sg.replay(f, [X], loop=1.5, step=0)  # type: ignore[arg-type]
    with pytest.raises(sg.SymgraphTypeError, match="replay takes a compiled function"):
        sg.replay(X, [X], loop=0, step=0)  # type: ignore[arg-type]
    with pytest.raises(sg.InputError):
        sg.replay(f, [], loop="cell", step=0)
    with pytest.raises(sg.SymgraphValueError, match="takes 0 steps"):
        sg.replay(f, [[]], loop="cell", step=0)


def test_arguments_of_several_shapes() -> None:
    x, y = sg.matrix("x"), sg.vector("y")
    f = sg.compile([x, y], sg.scan(lambda x, y: x.sum() + y, [x], [y.sum()], name="sums"))
    for args in ([[[1, 2]], [3]], (np.ones((2, 3)), np.ones(4)), {"x": [[1]], "y": [2]}):
        assert sg.replay(f, args, loop="sums", step=0).values["add"] > 2


@pytest.mark.parametrize("args", [None, 3.0, "x", {1.0}])
def test_arguments_that_are_no_list(args) -> None:
    with pytest.raises(sg.SymgraphTypeError, match=r"args are the arguments[\s\S]*sg\.replay\(f"):
        sg.replay(rnn("numpy"), args, loop="cell", step=0)


def test_no_row_of_loops_is_offered_where_there_is_none() -> None:
    x = sg.vector("x")
    with pytest.raises(sg.SymgraphValueError, match="it has none") as error:
        sg.replay(sg.compile([x], x + 1), [X], loop=0, step=0)
    assert "of these" not in str(error.value)


@pytest.mark.parametrize("backend", BACKENDS)
def test_what_a_gradient_reads_is_named(backend: str) -> None:
    x = sg.vector("x", "float64")

    def step(x, h):
        new = sg.sqrt(h) * x
        new.name = "h"
        return new

    h = sg.scan(step, [x], [np.float64(1)], name="roots")
    f = sg.compile([x], sg.grad(h[-1], x), backend=backend)
    replayed = sg.replay(f, [np.arange(1.0, 5.0)], loop="gradient of roots", step=0)
    again = sg.replay(f, [np.arange(1.0, 5.0)], loop="roots", step=2)
    np.testing.assert_allclose(replayed.values["h[t-1]"], again.values["h"])
    assert replayed.values["x[t]"] == 4.0
    turned = sg.scan(step, [x], [np.float64(1)], name="turned", go_backwards=True)
    f = sg.compile([x], turned[-1], backend=backend)
    replayed = sg.replay(f, [np.arange(1.0, 5.0)], loop="turned", step=1)
    assert replayed.values["sequence 0 (x)[t]"] == 3.0


def test_loops_in_loops_have_a_line_each() -> None:
    x = sg.matrix("x")
    inner = lambda row, h: sg.scan(lambda x, s: s + x, [row], [h], name="inner")[-1]  # noqa: E731
    f = sg.compile([x], sg.scan(inner, [x], [sg.constant(0.0)], name="outer"))
    lines = str(sg.replay(f, [np.zeros((2, 9))], loop="inner", step=(1, 2))).splitlines()
    assert lines[0].startswith("step 2 of loop 'inner' at ")
    assert lines[1].startswith("  in step 1 of loop 'outer' at ")
    flat = str(sg.replay(f, [np.zeros((2, 9))], loop="outer", step=1))
    assert " 0 to 0" not in flat  # nine equal values


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_loop_into_which_givens_are_put_stays_where_it_was_written(backend: str) -> None:
    x, h, twice = (sg.vector(name, "float64") for name in ("x", "h", "twice"))
    states = sg.scan(lambda row, h: sg.tanh(row + h), [x], [h[0]])
    line = sg.compile([x, h], states, backend=backend).report.loop_table[0].line
    f = sg.compile([x, twice], states, givens={h: twice / 2}, backend=backend)
    assert f.report.loop_table[0].line == line
    replayed = sg.replay(f, [X, [0.4]], loop=str(line), step=0)
    assert any(np.allclose(v, np.tanh(X[0] + 0.2)) for v in replayed.values.values())


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_loops_that_there_are_are_told_as_the_report_tells_them(backend: str) -> None:
    f = rnn(backend, checkpoint_every=4)
    with pytest.raises(sg.SymgraphValueError) as error:
        sg.replay(f, [X], loop="cell from a checkpoint", step=5)
    table = f.report.loop_table
    assert "cell from a checkpoint" in {row.name for row in table}
    for i, row in enumerate(table):
        assert f"\n    {i}: loop {row.name!r} at {row.line}\n" in str(error.value)
    assert str(error.value).endswith(
        "Give a row of these; by name and line it is the loop as it was built."
    )
    taken = set()
    for i, row in enumerate(table):
        if row.name == "cell from a checkpoint":
            with contextlib.suppress(sg.SymgraphValueError):  # of a part without that step
                values = sg.replay(f, [X], loop=i, step=5).values
                assert any(np.allclose(v, states()[6]) for v in values.values())
                taken.add(i)
    assert taken


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_loop_that_is_a_constant_after_rewriting_can_be_asked_for(backend: str) -> None:
    x = sg.vector("x")
    total = sg.scan(lambda x, s: s + x, [sg.constant([1.0, 2.0])], [sg.constant(0.0)])[-1]
    f = sg.compile([x], x * total, backend=backend)
    assert not f.report.loop_table
    with pytest.raises(sg.SymgraphValueError) as error:
        sg.replay(f, [X], loop=0, step=0)
    told = re.search(r"it has\n    a loop without a name at (\S+), as it was", str(error.value))
    assert told is not None
    assert float(sg.replay(f, [X], loop=told[1], step=1).values["add"]) == 3.0


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    "look",
    [sg.debug_print, lambda new, label: sg.debug_assert(new, new < 0, label)],
    ids=["print", "assert"],
)
def test_rows_of_loops_with_looks(look, backend: str, capsys) -> None:
    """Looks keep loops apart that are alike, and in their order; replayed, they do nothing."""
    x = sg.tensor("x", ("T", 3))
    loops = [
        sg.scan(lambda x, h, label=label: look(sg.tanh(x + h), label), x, sg.zeros(3), name=label)
        for label in "ab"
    ]
    loops.append(sg.scan(lambda x, h: sg.sin(x * h), x, sg.ones(3), name="c"))
    f = sg.compile([x], [*loops, sg.grad(loops[1].sum(), x)], backend=backend)
    rows = [row.name for row in f.report.loop_table]
    assert sorted(rows) == ["a", "b", "c", "gradient of b"]
    for row, name in enumerate(rows):
        by_row, by_name = (sg.replay(f, [np.ones((2, 3))], loop=key, step=1) for key in (row, name))
        assert by_row.loop.startswith(f"loop {name!r}")
        assert by_name.loop == by_row.loop
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("arguments", ["h_3, h_1", "h3, h1", "older, last"])
def test_a_state_of_several_taps_has_the_name_that_its_arguments_share(
    backend: str, arguments: str, tmp_path, monkeypatch
) -> None:
    """And so has one beside it; where they share none, states are counted."""
    older, last = arguments.split(", ")
    source = f"def step(x, {arguments}, c):\n    return x + {older} - 2 * {last}, c * 0.5\n"
    (tmp_path / "stepped.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "stepped", raising=False)
    step = importlib.import_module("stepped").step
    x = sg.vector("x", "float64")
    initials = [{"initial": np.array([1.0, 2.0, 3.0]), "taps": [-3, -1]}, np.float64(8)]
    outputs = sg.scan(step, [x], initials, name="cell")
    f = sg.compile([x], outputs, backend=backend)
    values = sg.replay(f, [[10.0, 20.0]], loop="cell", step=1).values
    name = "h" if older.startswith("h") else "state 0"
    read = {f"{name}[t-3]": 2.0, f"{name}[t-1]": 10.0 + 1 - 6, "c[t-1]": 4.0, "x[t]": 20.0}
    assert {label: float(values[label]) for label in read} == read


def test_a_value_that_there_is_not_is_said_with_those_that_there_are() -> None:
    values = sg.replay(rnn("numpy"), [X], loop="cell", step=1).values
    with pytest.raises(KeyError, match=r"nothing is called 'nope'; there are .*'x\[t\]'"):
        values["nope"]
    assert "nope" not in values
    assert values.get("nope") is None
