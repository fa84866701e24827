"""The fuzzer itself: what it draws, what it notices, and how short its reports are."""

from __future__ import annotations

import sys
import types
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import symgraph as sg
from symgraph.backends.base import BACKENDS, load_backend
from symgraph.core.graph import Graph
from symgraph.testing import Program, check_backends, numbers, random_programs
from symgraph.testing.compare import difference
from symgraph.testing.fuzz import main
from symgraph.testing.outcome import outcome_of
from symgraph.testing.program import Input
from symgraph.testing.shrink import shrink
from symgraph_nn.testing import random_nets


class Planted:
    """The reference with a fault: where a graph has this op, its first float result is off."""

    def __init__(self, op: str, *, fault: str = "off") -> None:
        self._inner, self._op, self._fault = load_backend("numpy"), op, fault

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def prepare(self, graph: Graph, **options: Any) -> Any:
        executable = self._inner.prepare(graph, **options)
        if not any(v.op.name == self._op for v in graph.nodes if v.op is not None):
            return executable
        if self._fault == "raises":
            raise KeyError(self._op)
        return _Spoilt(executable)


class _Spoilt:
    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def __call__(self, *arrays: np.ndarray) -> list[np.ndarray]:
        results = [np.array(r) for r in self._inner(*arrays)]
        for r in results:
            if r.dtype.kind == "f" and r.size:
                r[...] += 1e-3
                break
        return results


@pytest.fixture
def plant(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Makes "planted" the name of a backend with a fault."""

    def make(op: str, **options: Any) -> None:
        module: Any = types.ModuleType("planted_backend")
        module.BACKEND = Planted(op, **options)
        monkeypatch.setitem(sys.modules, "planted_backend", module)
        monkeypatch.setitem(BACKENDS, "planted", "planted_backend")

    return make


@pytest.mark.parametrize("op", ["concatenate", "exp"])
def test_a_planted_fault_is_found_and_shrunk(plant: Any, op: str) -> None:
    plant(op)
    found = [p for p in random_programs(3, 60) if outcome_of(p, backend="planted").failure]
    assert found
    kind = "wrong: backend and reference differ"

    def fails_alike(p: Program) -> bool:
        failure = outcome_of(p, backend="planted").failure
        return failure is not None and failure.kind == kind and "sg.grad" not in p.source()

    short = shrink(next(p for p in found if fails_alike(p)), fails_alike)
    assert short.lines <= 3
    assert len(short.inputs) <= 2
    assert fails_alike(short)
    # What is printed runs, and fails as it stands there.
    with pytest.raises(AssertionError, match="by the reference"):
        exec(_on(short), {})


def _on(program: Program) -> str:
    """The script of a program, run on the planted backend."""
    head, _, last = program.source().rstrip().rpartition("\n")
    return f"{head}\n{last[:-1]}, backend='planted')\n"


def test_an_exception_from_inside_is_a_failure(plant: Any) -> None:
    plant("tanh", fault="raises")
    program = Program((Input("x", ("n",)),), ("y = sg.tanh(x)",), ("y",), calls=({"n": 3},))
    failure = outcome_of(program, backend="planted").failure
    assert failure is not None
    assert failure.kind.startswith("planted: raw error in compiling: KeyError")


def test_what_both_refuse_is_a_refusal() -> None:
    x, y = Input("x", ("?n",)), Input("y", ("?m",))
    program = Program((x, y), ("z = x + y",), ("z",), calls=({"n": 3, "m": 2},))
    outcome = outcome_of(program)
    assert outcome.failure is None
    assert outcome.refusal is not None
    assert "CallError" in outcome.refusal


def test_what_numpy_stretches_and_no_result_needs_is_no_failure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nobody refuses the shape of what ``where`` does not choose; one that is wrong is noticed."""
    x, y = Input("x", ("?n",)), Input("y", ("?m",))
    text = ("z = sg.where(sg.zeros_like(x) < 1.0, x, y)",)
    program = Program((x, y), text, ("z",), calls=({"n": 1, "m": 2},))
    assert outcome_of(program).failure is None
    monkeypatch.setattr(sg, "where", lambda c, x, y: x)
    failure = outcome_of(program).failure
    assert failure is not None
    assert failure.kind == "wrong: reference and NumPy differ in shape"


def test_a_gradient_of_another_shape_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    text = ("c = sg.sum(x * x)", "g, = sg.grad(c, [x])")
    program = Program((Input("x", (4,)),), text, ("g",))
    right = sg.grad
    monkeypatch.setattr(sg, "grad", lambda c, wrt: [g[:2] for g in right(c, wrt)])
    failure = outcome_of(program).failure
    assert failure is not None
    assert "shape (2,) for x of shape (4,)" in failure.text


def test_a_refusal_that_hangs_on_rounding_is_no_failure() -> None:
    """A sum that is zero but for rounding decides how many rows there are."""
    text = (
        "rows = x[sg.flatnonzero(sg.sum(x, axis=1) > 0.0)]",
        "y = sg.scan(lambda a, b: b * 2.0, [], [{'initial': rows, 'taps': [-2, -1]}], n_steps=2)",
    )
    x = Input("x", ("?n", 8), "float64", 45)
    program = Program((x,), text, ("y",), calls=({"n": 5},))
    assert abs(x.array({"n": 5})[4].sum()) < 1e-14
    assert outcome_of(program).failure is None


def test_the_twin_widens_new_values_to_their_state() -> None:
    text = "y = sg.scan(lambda row, past: past[None, 0] + row, [x], [x])"
    program = Program((Input("x", (3,)),), (text,), ("y",))
    assert outcome_of(program).failure is None


def test_a_wrong_reference_is_noticed_by_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both backends agree; NumPy has the last word."""
    program = Program((Input("x", (4,)),), ("y = sg.cumsum(x)",), ("y",))
    assert outcome_of(program).failure is None
    monkeypatch.setattr(sg, "cumsum", lambda x: sg.cumsum_of(x), raising=False)
    monkeypatch.setattr(sg, "cumsum_of", lambda x: x * 2.0, raising=False)
    failure = outcome_of(program).failure
    assert failure is not None
    assert failure.kind == "wrong: reference and NumPy differ"


def test_a_wrong_gradient_is_noticed_by_differences(monkeypatch: pytest.MonkeyPatch) -> None:
    text = ("c = sg.sum(sg.sin(x) * x)", "g, = sg.grad(c, [x])")
    program = Program((Input("x", (4,)),), text, ("g",))
    assert outcome_of(program).failure is None
    right = sg.grad
    monkeypatch.setattr(sg, "grad", lambda c, wrt: [g * 1.001 for g in right(c, wrt)])
    failure = outcome_of(program).failure
    assert failure is not None
    assert failure.kind == "wrong: gradient"


def test_the_same_seed_draws_the_same_programs() -> None:
    first, second = (list(random_programs(11, 20)) for _ in "12")
    assert [p.source() for p in first] == [p.source() for p in second]
    assert [p.source() for p in first] != [p.source() for p in random_programs(12, 20)]
    assert [p.source() for p in first[5:]] == [p.source() for p in random_programs(11, 15, first=5)]


WORDS = ("concatenate", "stack", ".T", "::-1", "sg.until", "truncate_gradient", "taps")
WORDS += ("checkpoint_every", "go_backwards", "n_steps", "updates=", "threads=2", "more=")
WORDS += ("sg.shared", "None", "'n'", "[:, ", ".shape[0]", "sg.jvp", "hessian_vector", "@")
WORDS += ("sg.cast", "uint8", "float32", "flatnonzero", "ifelse", ".set(", "add_at")


def test_programs_have_what_users_programs_have() -> None:
    programs = [*random_programs(1, 200), *random_programs(1, 200, loops=True)]
    text = "\n".join(p.source() for p in programs)
    for word in WORDS:
        assert word in text, word
    sizes = {n for p in programs for x in p.inputs for n in x.shape(p.calls[0])}
    assert sizes >= {0, 1, 2, 3, 5, 8, 16, 17, 33}
    assert sum("sg.grad" in p.source() for p in programs) > 90
    nested = [i for p in programs for i in p.instructions if i.count("sg.scan") > 1]
    assert len(nested) > 5


@pytest.mark.parametrize(
    ("found", "expected", "options", "wrong"),
    [
        (1.0 + 1e-12, 1.0, {}, None),
        (1.0 + 1e-6, 1.0, {}, "1 of 1"),
        (np.float32(1.00001), np.float32(1.0), {}, None),
        (1e-9, 0.0, {}, "1 of 1"),
        (1e-9, 0.0, {"magnitude": 1e3}, None),
        ([np.nan, np.inf], [np.nan, np.inf], {}, None),
        ([np.nan, 1.0], [1.0, 1.0], {}, "1 of 2, at (0,)"),
        ([np.inf], [-np.inf], {}, "1 of 1"),
        ([2.0, 1.0], [np.nan, 1.0], {"only_finite": True}, None),
        ([1, 2], [1, 3], {}, "1 of 2, at (1,)"),
        ([1], [1.0], {}, "dtype"),
        ([1.0], [[1.0]], {}, "shape"),
    ],
)
def test_differences(found: Any, expected: Any, options: dict, wrong: str | None) -> None:
    text = difference(np.asarray(found), np.asarray(expected), **options)
    assert (text is None) if wrong is None else (text is not None and wrong in text)


def test_check_backends_compares_calls_and_updates(plant: Any) -> None:
    x, unread = sg.tensor("x", ("n",), "float64"), sg.tensor("unread", (2,))
    w = sg.shared(np.array(1.0), "w")
    arrays = [numbers((3,)), np.zeros(2, "float32")]
    more = [[numbers((5,)), np.zeros(2, "float32")]]
    first, second = check_backends(
        [x * w], [x, unread], arrays, updates={w: w + sg.sum(x)}, more=more
    )
    np.testing.assert_allclose(first[0], arrays[0])
    np.testing.assert_allclose(second[0], more[0][0] * (1 + arrays[0].sum()))
    assert w.get_value() == 1.0
    plant("exp")
    with pytest.raises(AssertionError, match=r"call 0, output 1 of 'planted'"):
        check_backends([x > 0, sg.exp(x)], [x], [numbers((3,))], backend="planted")


@pytest.mark.parametrize(("drawer", "code"), [("draw_crash", 1), ("draw_right", 0)])
def test_the_command(
    drawer: str, code: int, capfd: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    monkeypatch.setenv("PYTHONPATH", ":".join(p for p in sys.path if p))
    draw = f"drawn_by_hand:{drawer}"
    options = ["--seed", "4", "--count", "6", "--draw", draw, "--jobs", "1", "--seconds", "30"]
    assert main(options) == code
    printed = capfd.readouterr().out
    assert "seed 4" in printed
    assert "6 programs" in printed
    if code:
        assert "=== crash: SIGABRT\n=== seed 4, number 2\n" in printed
        report = printed.split("numbers\n\n")[1].split("\n\n")[0]
        assert "os.abort()" in report
        assert "sg.exp" not in report  # what is not needed for the crash is gone


NET_WORDS = ("LSTMCell", "GRUCell", "RNNCell", "Bidirectional", "reverse=True", "Embedding")
NET_WORDS += ("Dense", "Dropout", "LayerNorm", "BatchNorm", "Conv1D", "Conv2D", "MaxPool")
NET_WORDS += ("class Cell", "mask=", "state=", "cross_entropy", "binary_cross_entropy", "more=")
NET_WORDS += ("squared_error", "adam(", "nesterov(", "rmsprop(", "adadelta(", "apply_momentum(")


def test_nets_have_what_users_nets_have() -> None:
    text = "\n".join(p.source() for p in random_nets(1, 200))
    for word in NET_WORDS:
        assert word in text, word


def test_a_net_is_trained_by_its_script() -> None:
    net = next(p for p in random_nets(1, 20) if p.rules and len(p.calls) > 1)
    assert outcome_of(net).failure is None
    exec(net.source(), {})


def test_new_values_of_shared_variables_are_held_against_numpy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    w = Input("w", (3,), is_shared=True)
    program = Program((w,), ("v = sg.sqrt(w * w)",), ("v",), updates=(("w", "v"),), calls=({}, {}))
    assert outcome_of(program).failure is None
    right = sg.compile

    def wrong(*arguments: Any, updates: Any, **options: Any) -> Any:
        return right(*arguments, updates={k: v * 1.01 for k, v in updates.items()}, **options)

    monkeypatch.setattr(sg, "compile", wrong)
    failure = outcome_of(program).failure
    assert failure is not None
    assert failure.kind == "wrong: reference and NumPy differ"


@pytest.mark.parametrize(
    ("cost", "low"),
    [
        ("sg.sum(sg.clip(x, -1.0, 1.0))", -2),
        ("sg.sum(x / (1.0 + sg.abs(x)))", -2),
        ("sg.sum(sg.sin(1.0 / (x * x)))", 0.01),
        ("sg.sum(sg.sign(x))", -2),
        ("sg.sum(sg.max(x, axis=0)) * 1000.0", -2),
    ],
)
def test_kinks_jumps_and_fast_functions_are_no_alarm(cost: str, low: float) -> None:
    x = Input("x", (17, 17), low=low, high=2)
    program = Program((x,), (f"c = {cost}", "g, = sg.grad(c, [x])"), ("g",))
    for seed in range(10):
        seeded = replace(program, inputs=(replace(x, seed=seed),))
        assert outcome_of(seeded).failure is None
