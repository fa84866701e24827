"""Looks at values: printed or held to a condition, in loops too, in the order they were written."""

from __future__ import annotations

import pickle
import re

import numpy as np
import pytest

import symgraph as sg

BACKENDS = ["native", "numpy"]


def run(inputs: list, outputs, *arrays, backend: str, **options):
    return sg.compile(inputs, outputs, backend=backend, **options)(*arrays)


def cell(x: sg.Variable, h: sg.Variable) -> sg.Variable:
    return sg.tanh(x + h)


@pytest.mark.parametrize("backend", BACKENDS)
def test_what_is_printed_is_given_back(backend: str, capsys) -> None:
    x = sg.vector("x")
    y = sg.debug_print(x * 2, "doubled")
    result = run([x], y, [1.0, 2.5], backend=backend)
    np.testing.assert_array_equal(result, [2.0, 5.0])
    assert capsys.readouterr().out == "doubled: [2. 5.]\n"


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("n", [0, 1, 3])
def test_each_step_prints(backend: str, n: int, capsys) -> None:
    x = sg.vector("x", "float64")
    h = sg.scan(lambda x, h: sg.debug_print(cell(x, h), "h"), [x], [np.float64(0)])
    values = run([x], h, np.arange(n) / 4, backend=backend)
    lines = capsys.readouterr().out.splitlines()
    assert [float(line.removeprefix("h: ")) for line in lines] == list(values)


@pytest.mark.parametrize("backend", BACKENDS)
def test_prints_follow_each_other_as_written(backend: str, capsys) -> None:
    x = sg.vector("x")

    def step(x, h):
        # Written in another order than the one in which they need each other least.
        late = sg.debug_print(sg.exp(sg.sin(sg.exp(x))), "1")
        early = sg.debug_print(x, "2")
        return late + sg.debug_print(early + h, "3")

    first = sg.debug_print(sg.exp(x).sum() * 0.0, "0")
    h = sg.scan(step, [x], [first])
    other = sg.debug_print(sg.constant(1.0), "4")
    last = sg.debug_print(h.sum() * 0.0, "5")
    final = sg.debug_print(x[0], "6")
    run([x], [final, last, other], [1.0, 2.0], backend=backend)
    labels = [line.split(":")[0] for line in capsys.readouterr().out.splitlines()]
    assert labels == ["0", "1", "2", "3", "1", "2", "3", "4", "5", "6"]


@pytest.mark.parametrize("backend", BACKENDS)
def test_nested_loops_print_in_order(backend: str, capsys) -> None:
    x = sg.matrix("x")

    def outer(row, total):
        inner = sg.scan(lambda x, s: sg.debug_print(s + x, "inner"), [row], [total])
        return sg.debug_print(inner[-1], "outer")

    run([x], sg.scan(outer, [x], [sg.constant(0.0)]), np.ones((2, 2)), backend=backend)
    lines = capsys.readouterr().out.splitlines()
    turns = [["inner: 1.0", "inner: 2.0", "outer: 2.0"], ["inner: 3.0", "inner: 4.0", "outer: 4.0"]]
    assert lines == [line for turn in turns for line in turn]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("options", [{"checkpoint_every": 2}, {"checkpoint_every": "auto"}])
def test_loops_with_checkpoints_print_in_their_turn(backend: str, options: dict, capsys) -> None:
    x, w = sg.vector("x", "float64"), sg.shared(np.float64(0.5), "w")
    state = sg.debug_print(x[0], "start")
    for label in "ab":

        def step(x, h, label=label):
            return sg.debug_print(cell(x, w * h), label)

        state = sg.scan(step, [x], [state], **options)[-1]
    array = np.linspace(-1, 1, 3)
    gradient = run([x], sg.grad(state, w), array, backend=backend)
    labels = [line.split(":")[0] for line in capsys.readouterr().out.splitlines()]
    assert labels == ["start", *"aaabbb"]
    silent = sg.compile([x], sg.grad(state, w), backend=backend, debug=False)
    np.testing.assert_allclose(gradient, silent(array))


@pytest.mark.parametrize("backend", BACKENDS)
def test_every_so_often_and_when(backend: str, capsys) -> None:
    x = sg.vector("x")

    def step(x):
        x = sg.debug_print(x, "third", every=3)
        return sg.debug_print(x, "large", when=x > 4)

    f = sg.compile([x], sg.map(step, [x]), backend=backend)
    for _ in range(2):  # each call begins anew
        f(np.arange(7))
        lines = capsys.readouterr().out.splitlines()
        assert lines == ["third: 0.0", "third: 3.0", "large: 5.0", "third: 6.0", "large: 6.0"]


@pytest.mark.parametrize("backend", BACKENDS)
def test_calls_are_counted_outside_of_loops(backend: str, capsys) -> None:
    x = sg.scalar("x")
    f = sg.compile([x], sg.debug_print(x, "x", every=2), backend=backend)
    for value in range(4):
        f(value)
    assert capsys.readouterr().out == "x: 0.0\nx: 2.0\n"


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_value_from_outside_is_printed_in_each_step(backend: str, capsys) -> None:
    x, w = sg.vector("x"), sg.scalar("w")
    run([x, w], sg.map(lambda x: x * sg.debug_print(w, "w"), [x]), [1, 2], 3, backend=backend)
    assert capsys.readouterr().out == "w: 3.0\nw: 3.0\n"


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("options", [{}, {"checkpoint_every": 2}, {"truncate_gradient": 2}])
def test_gradients_pass_through_and_print_nothing(backend: str, options: dict, capsys) -> None:
    x = sg.vector("x", "float64")

    def looking(x, h):
        h = sg.debug_print(cell(sg.debug_print(x, "x"), h), "h")
        return sg.debug_assert(h, h < 2, "too large")

    array = np.linspace(-1, 1, 5)
    gradients = []
    for step in (looking, cell):
        h = sg.scan(step, [x], [np.float64(0)], **options)
        gradient = sg.grad((h**2).sum(), x)
        second = sg.grad((gradient**2).sum(), x)
        gradients.append(run([x], [gradient, second], array, backend=backend))
    np.testing.assert_allclose(*gradients, rtol=1e-12)
    n_printed = len(capsys.readouterr().out.splitlines())
    assert n_printed == 10 or ("checkpoint_every" in options and n_printed >= 10)


@pytest.mark.parametrize("backend", BACKENDS)
def test_looks_cost_nothing_where_they_are_left_out(backend: str, capsys) -> None:
    x, w = sg.vector("x"), sg.shared(0.5, "w")

    def looking(x, h):
        x = sg.debug_print(x, "x", every=2)
        h = sg.debug_print(cell(x * sg.debug_print(w, "w"), h), "h", when=h > 0)
        return sg.debug_assert(h, h < 0, "never {w}", w=w)

    counts, values = [], []
    for step in (looking, lambda x, h: cell(x * w, h)):
        loss = (sg.scan(step, [x], [sg.constant(0.0)]) ** 2).sum()
        if step is looking:
            loss = sg.debug_print(loss, "loss", every=2)
        f = sg.compile(
            [x], [loss, sg.grad(loss, w)], updates={w: w + 1}, backend=backend, debug=False
        )
        values.append(f([1.0, 2.0, 3.0]))
        w.set_value(0.5)
        report = f.report
        counts.append((report.nodes, report.loops, report.kernels, len(f.updates)))
    assert counts[0] == counts[1]
    np.testing.assert_array_equal(*values)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("backend", BACKENDS)
def test_what_nobody_needs_is_not_printed(backend: str, capsys) -> None:
    x = sg.vector("x")
    sg.debug_print(x, "unused")
    a, b = sg.scan(lambda x: (sg.debug_print(x, "a"), sg.debug_print(x + 1, "b")), [x])
    run([x], a, [1.0], backend=backend)
    assert capsys.readouterr().out == "a: 1.0\n"
    run([x], b, [1.0], backend=backend)
    assert capsys.readouterr().out == "b: 2.0\n"


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_condition_that_does_not_hold(backend: str) -> None:
    x, calls = sg.vector("x"), sg.shared(0, "calls")

    def step(x, h):
        h = cell(x, h)
        return sg.debug_assert(h, h > 0, "{h:.2f} came of {x}", h=h, x=x)

    h = sg.scan(step, [x], [sg.constant(0.0)])
    f = sg.compile([x], h, updates={calls: calls + 1}, backend=backend)
    f([1.0, 2.0])
    with pytest.raises(sg.DebugAssertError) as caught:
        f([1.0, 2.0, -3.0, -4.0])
    message = str(caught.value)
    assert message.startswith("-0.96 came of -3.0")
    assert re.search(r"test_looks\.py:\d+\n  in step 2 of the loop at .*test_looks\.py", message)
    assert isinstance(caught.value, AssertionError)
    assert isinstance(caught.value, sg.CallError)
    assert calls.get_value() == 1


@pytest.mark.parametrize("backend", BACKENDS)
def test_messages_with_arrays(backend: str) -> None:
    x = sg.vector("x")
    y = sg.debug_assert(x, x > 0, "{{x}} is {x}, not {low:.1f}", x=x, low=sg.constant(0.0))
    with pytest.raises(AssertionError, match=re.escape("{x} is [ 1. -1.], not 0.0")):
        run([x], y, [1.0, -1.0], backend=backend)
    assert run([x], y, [], backend=backend).shape == (0,)
    precise = sg.debug_assert(x, x > 0, "{x:.3f}", x=x)
    with pytest.raises(AssertionError, match=re.escape("{x:.3f} (x = [-1.])")):
        run([x], precise, [-1.0], backend=backend)


def test_what_makes_no_sense_is_said() -> None:
    x = sg.vector("x")
    for wrong in (0, -1, 1.5, True, "2"):
        with pytest.raises(sg.SymgraphValueError, match="every is a number"):
            sg.debug_print(x, "x", every=wrong)  # type: ignore[arg-type]
    with pytest.raises(sg.SymgraphTypeError, match="the label is a string"):
        sg.debug_print(x, x)  # type: ignore[arg-type]
    with pytest.raises(sg.ShapeError, match=r"when is a scalar[\s\S]*any"):
        sg.debug_print(x, "x", when=x > 0)
    with pytest.raises(sg.SymgraphTypeError, match="plain bool"):
        sg.debug_assert(x, True, "never")
    with pytest.raises(sg.SymgraphValueError, match=r"has a \{y\}, but no such value"):
        sg.debug_assert(x, x > 0, "{y}", x=x)
    with pytest.raises(sg.SymgraphValueError, match="cannot be filled in"):
        sg.debug_assert(x, x > 0, "{x", x=x)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_verified_function_prints_once(backend: str, capsys) -> None:
    x = sg.vector("x")
    h = sg.scan(lambda x, h: sg.debug_print(cell(x, h), "h"), [x], [sg.constant(0.0)])
    run([x], h.sum(), [1.0, 2.0], backend=backend, verify=True)
    assert len(capsys.readouterr().out.splitlines()) == 2


def test_looks_are_copied_and_shown(capsys) -> None:
    x = sg.vector("x")
    y = sg.debug_print(x, "x") + 1
    f = pickle.loads(pickle.dumps(sg.compile([x], y)))
    f([1.0])
    assert capsys.readouterr().out == "x: [1.]\n"
    assert "debug_print" in sg.listing(y)
    assert "debug_print" in sg.to_dot(y).source
    z = sg.scalar("z", "float64")
    np.testing.assert_allclose(
        sg.jvp(sg.debug_print(z**2, "z"), z, np.float64(1)).eval({z: 3.0}), 6.0
    )


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_error_in_a_step_names_the_loop(backend: str) -> None:
    x = sg.tensor("x", ("T",))
    checked = sg.scan(lambda row: sg.debug_assert(row, row < 2, "too large"), x, name="watched")
    f = sg.compile([x], checked, backend=backend)
    with pytest.raises(sg.DebugAssertError, match=rf"in step 2 of loop 'watched' at {__file__}"):
        f([0.0, 1.0, 3.0])


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("options", [{}, {"checkpoint_every": 2}], ids=str)
def test_looks_leave_loops_their_names(backend: str, options: dict) -> None:
    """Each look but the first needs the one before it, and so is made again with all it is of."""
    x = sg.tensor("x", ("T", 3))

    def loops(look) -> list:
        def step(x, h):
            return sg.tanh(look(look(x, "1") * h, "2"))

        first = sg.scan(step, x, sg.ones(3), name="first", **options)
        second = sg.scan(step, first, sg.ones(3), name="second", **options)
        f = sg.compile([x], [second, sg.grad(second.sum(), x)], backend=backend)
        return sorted((row.name or "", row.depth) for row in f.report.loop_table)

    found = loops(sg.debug_print)
    assert found == loops(lambda x, label: x)
    assert ("", 0) not in found
