"""Backends given as objects: what has to be there, what need not be, and errors that say so."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

import symgraph as sg
from symgraph.backends.base import BACKENDS, Backend, Executable, Target, load_backend
from symgraph.compile.pipeline import rewrite
from symgraph.core.graph import Graph
from symgraph.core.op import Op


class Counted(Executable):
    """No more than the protocol asks for."""

    def __init__(self, run: Executable) -> None:
        self._run = run
        self.calls = 0

    def __call__(self, *arrays: np.ndarray) -> Sequence[np.ndarray]:
        self.calls += 1
        return self._run(*arrays)


class Smallest(Backend):
    """No more than the protocol asks for, by way of the reference, and what was prepared."""

    name = "smallest"

    def __init__(self) -> None:
        self.prepared: list[Counted] = []

    def has_lowering(self, op: Op) -> bool:
        return op.name != "softmax" and load_backend("numpy").has_lowering(op)

    def prepare(self, graph: Graph, *, threads: int = 1, profile: bool = False) -> Executable:
        self.prepared.append(Counted(load_backend("numpy").prepare(graph)))
        return self.prepared[-1]


def _loop_and_gradient() -> tuple[sg.Variable, list[sg.Variable]]:
    x = sg.tensor("x", ("T", 2))
    states = sg.scan(lambda row, h: sg.tanh(row + h), x, sg.zeros(2))
    return x, [sg.softmax(states), sg.grad(states.sum(), x)]


@pytest.mark.parametrize("rows", [0, 1, 3])
@pytest.mark.parametrize("verify", [False, True])
def test_a_backend_with_all_the_defaults_compiles(rows, verify):
    x, outputs = _loop_and_gradient()
    backend, value = Smallest(), np.linspace(-1, 1, 2 * rows, dtype="float32").reshape(rows, 2)
    f = sg.compile([x], outputs, backend=backend, verify=verify)
    expected = sg.compile([x], outputs, backend="numpy")(value)
    for result, right in zip(f(value), expected, strict=True):
        np.testing.assert_allclose(result, right, rtol=1e-6)
    assert backend.prepared[0].calls == 1
    report = f.report
    assert (report.backend, report.kernels, report.threads, report.cache) == (
        "smallest",
        1,
        1,
        "off",
    )
    assert f.profile is None
    assert "smallest" in str(report)


def test_a_function_of_an_object_copies_and_pickles():
    x = sg.vector("x")
    f = sg.compile([x], sg.exp(x), backend=load_backend("numpy"))
    for again in (f.copy(), copy.deepcopy(f), pickle.loads(pickle.dumps(f))):
        assert again.backend == "numpy"
        np.testing.assert_allclose(again([0.0]), [1.0])


class Doubling(Executable):
    """One with a short way in for a pair of floats, which tells when it is taken."""

    def __init__(self) -> None:
        self.forms: list[str] = []
        self.short = 0

    def __call__(self, *arrays: np.ndarray) -> Sequence[np.ndarray]:
        return [2 * np.asarray(array) for array in arrays]

    def entry(self, slow: Callable[..., Any], form: str) -> tuple[Callable[..., Any], Any]:
        self.forms.append(form)

        def call(*arguments: Any) -> Any:
            if any(type(x) is not float for x in arguments):
                return slow(*arguments)
            self.short += 1
            results = [np.float32(2 * x) for x in arguments]
            return results[0] if form == "one" else results

        return call, None


class Short(Smallest):
    """A backend whose executables double their arguments, whatever the graph says."""

    def prepare(self, graph: Graph, *, threads: int = 1, profile: bool = False) -> Doubling:
        self.executable = Doubling()
        return self.executable


def test_the_short_way_into_a_program_is_taken_where_there_is_one():
    x, w, backend = sg.scalar("x"), sg.shared(1.0), Short()
    for outputs, form, expected in ((x + x, "one", 6.0), ([x + x], "list", [6.0])):
        f = sg.compile([x], outputs, backend=backend)
        # Other arguments than it takes, and those by name, go the long way.
        assert f(3.0) == f(np.float32(3)) == f(x=3.0) == expected
        assert (backend.executable.forms, backend.executable.short) == ([form], 1)
    # Programs of shared variables, or with results in another form, have none.
    for outputs in ({"y": x + x}, (x + x,), x + w):
        sg.compile([x], outputs, backend=backend)
        assert backend.executable.forms == []


def test_rewriting_needs_a_target_alone():
    class Tablet(Target):
        name = "tablet"

        def has_lowering(self, op: Op) -> bool:
            return op.name != "softmax"

    x = sg.matrix("x")
    graph, passes = rewrite(Graph([x], [sg.softmax(x)]), Tablet())
    assert "softmax" not in {v.op.name for v in graph.nodes}
    assert passes[-1].rules == {"expand softmax": 1}


@pytest.mark.parametrize("name", BACKENDS)
def test_the_own_backends_have_the_protocol(name):
    backend = load_backend(name)
    assert load_backend(backend) is backend
    x = sg.scalar("x")
    assert sg.compile([x], x + 1, backend=backend)(2) == 3


# --- eval -----------------------------------------------------------------------------------------


def test_eval_takes_a_name_or_an_object_and_keeps_an_evaluation_of_each():
    x, outputs = _loop_and_gradient()
    y, value = outputs[1], np.ones((3, 2), "float32")
    first, second = Smallest(), Smallest()
    results = [
        y.eval({x: value}, backend=backend)
        for backend in ("numpy", "native", first, second, first, load_backend("numpy"))
    ]
    for result in results[1:]:
        np.testing.assert_allclose(result, results[0], rtol=1e-6)
    assert [each.calls for each in first.prepared] == [2]
    assert [each.calls for each in second.prepared] == [1]


def test_eval_on_an_object_advances_what_advances():
    counter = sg.shared(np.int64(0), "counter")
    counter.default_update = counter + 1
    doubled, backend = counter * 2, Smallest()
    assert [doubled.eval(backend=backend), doubled.eval(backend="numpy"), doubled.eval()] == [
        0,
        2,
        4,
    ]


def test_an_evaluation_that_fails_fails_on_the_same_backend():
    x = sg.vector("x")
    backend = Smallest()
    with pytest.raises(sg.CallError, match=r"'x' float32\[0\]"):
        x.max().eval({x: []}, backend=backend)
    assert len(backend.prepared) == 2


# --- what is missing ------------------------------------------------------------------------------


class Half:
    """A backend that derives from nothing, and lacks a part."""

    name = "half"
    steps_are_cheap = False

    def has_lowering(self, op: Op) -> bool:
        return True


class Bare(Half):
    """One whose executable is a function and no more."""

    programs = None

    def prepare(self, graph, **options):
        return lambda *arrays: list(arrays)


@pytest.mark.parametrize(
    "use",
    [
        lambda x, backend: sg.compile([x], x * 2, backend=backend),
        lambda x, backend: (x * 2).eval({x: [1.0]}, backend=backend),
    ],
)
@pytest.mark.parametrize(
    ("backend", "message"),
    [
        (Half(), r"Half object .*is no backend: it lacks programs, prepare"),
        (Bare(), r"'half' prepares no executable: it lacks kernels, .*entry"),
        (Bare, "there is no backend <class"),
        (object(), "there is no backend <object"),
        ("nump", "there is no backend 'nump'"),
    ],
)
def test_what_a_backend_lacks_is_named(use, backend, message):
    x = sg.vector("x")
    with pytest.raises(sg.BackendError, match=message) as caught:
        use(x, backend)
    assert __file__ in str(caught.value)


def test_what_a_target_can_neither_run_nor_expand_is_named():
    class Simple(Smallest):
        def has_lowering(self, op: Op) -> bool:
            return op.name not in {"cumsum", "sort"} and super().has_lowering(op)

    x = sg.matrix("x")
    sg.compile([x], sg.exp(x), backend=Simple())
    for y in (sg.cumsum(sg.sort(x)), sg.map(lambda row: sg.cumsum(sg.sort(row)), x)):
        with pytest.raises(sg.BackendError, match="'smallest' cannot run cumsum, sort") as caught:
            sg.compile([x], y, backend=Simple())
        assert __file__ in str(caught.value)


def test_what_has_no_default_has_to_be_written():
    class Nothing(Backend):
        name = "nothing"

    with pytest.raises(TypeError, match="has_lowering"):
        Nothing()
