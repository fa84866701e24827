"""Programs that differ by sizes and constants share their kernels, and compute what they say."""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any
from unittest import mock

import numpy as np
import pytest

import symgraph as sg
from symgraph.backends.base import load_backend
from symgraph.backends.llvm.analysis.analyses import Analysis
from symgraph.backends.llvm.code.engine import engine
from symgraph.backends.llvm.lowering.program import ProgramBuilder
from symgraph.core.graph import Graph

Build = Callable[..., tuple[list[sg.Variable], Any]]


def kernels_of(f: sg.Function) -> set[str]:
    """The names of all kernels that the function runs, which stand for their texts."""
    executable: Any = f._executable
    return set(executable.image.needed)


def leaky(
    n_units: int = 112, batch: int = 16, steps: int | str = "T", decay: float = 0.9,
    slope: float = 0.1, lowest: float = -2.5, epsilon: float = 1e-5,
) -> tuple[list[sg.Variable], Any]:  # fmt: skip
    """A recurrent net of this house's making, with its gradients."""
    x = sg.tensor("x", (steps, batch, 5))
    w, u = sg.shared(_numbers(5, n_units), "w"), sg.shared(_numbers(n_units, n_units), "u")

    def step(x_t: sg.Variable, h: sg.Variable, w: sg.Variable, u: sg.Variable) -> sg.Variable:
        a = x_t @ w + h @ u
        a = a / sg.sqrt(sg.square(a).mean(axis=-1, keepdims=True) + epsilon)
        a = sg.clip(sg.where(a > 0, a, a * slope), lowest, 1.5)
        return h * decay + a * (1 - decay)

    h = sg.scan(step, x, sg.zeros((batch, n_units)), [w, u])
    loss = sg.square(h[-1]).mean()
    return [x], [loss, *sg.grad(loss, [w, u])]


def spikes(decay: float = 0.9, threshold: float = 1.0) -> tuple[list[sg.Variable], Any]:
    """A loop that is one kernel."""
    x = sg.tensor("x", ("T", 8))

    def step(x_t: sg.Variable, v: sg.Variable) -> list[sg.Variable]:
        v = v * decay + x_t
        spike = sg.cast(v > threshold, "float32")
        return [v * (1 - spike), spike]

    return [x], sg.scan(step, x, [sg.zeros(8), None])[1].sum(axis=0)


def plain(factor: float = 0.3, shift: int = 3) -> tuple[list[sg.Variable], Any]:
    """No loop."""
    x, i = sg.tensor("x", ("N",)), sg.tensor("i", ("N",), "int64")
    return [x, i], [sg.tanh(x * factor) - factor / 7, (i + shift) * (shift + 4)]


def _numbers(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).normal(size=shape).astype("float32") * 0.3


def _arrays(inputs: Sequence[sg.Variable]) -> list[np.ndarray]:
    random = np.random.default_rng(0)
    shapes = [tuple(n if isinstance(n, int) else 6 for n in v.type.shape) for v in inputs]
    return [
        random.normal(size=shape).astype(v.dtype)
        if v.dtype.kind == "f"
        else random.integers(-9, 9, shape)
        for v, shape in zip(inputs, shapes, strict=True)
    ]


@pytest.mark.parametrize(
    ("build", "options"),
    [
        (leaky, {"n_units": 96}),
        (leaky, {"n_units": 80, "batch": 48}),
        (leaky, {"steps": 6}),
        (leaky, {"decay": 0.99}),
        (leaky, {"slope": 0.01, "lowest": -1.0}),
        (spikes, {"decay": 0.5, "threshold": 2.0}),
        (spikes, {"decay": 1.5, "threshold": 0.0}),
        (plain, {"factor": 0.5, "shift": 5}),
    ],
)
def test_sizes_and_constants_need_no_kernels_of_their_own(
    build: Build, options: dict[str, Any]
) -> None:
    first, other = sg.compile(*build()), sg.compile(*build(**options))
    assert kernels_of(other) <= kernels_of(first)
    for f, made in ((first, build()), (other, build(**options))):
        arrays = _arrays(made[0])
        wanted = sg.compile(*made, backend="numpy")(*arrays)
        for a, b in zip(_list(f(*arrays)), _list(wanted), strict=True):
            np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("build", [leaky, spikes])
@pytest.mark.parametrize(
    "options",
    [{}, {"n_units": 96}, {"batch": 48}, {"decay": 0.99}, {"slope": 0.01}],
)
def test_two_loops_of_one_program_share_their_kernels(
    build: Build, options: dict[str, Any]
) -> None:
    if not set(options) <= set(inspect.signature(build).parameters):
        pytest.skip("it has no such option")
    (inputs, outputs), (others, more) = build(), build(**options)
    both = [*_list(outputs), *_list(more)]
    f = sg.compile([*inputs, *others], both)
    one = sg.compile(inputs, outputs)
    assert f.report.loops == f.report.bodies == 2 * one.report.loops
    assert f.report.distinct_kernels == one.report.distinct_kernels
    arrays = _arrays([*inputs, *others])
    wanted = sg.compile([*inputs, *others], both, backend="numpy")(*arrays)
    for a, b in zip(f(*arrays), wanted, strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-6)


def test_loops_that_have_one_body_are_analysed_once() -> None:
    found = Counter[str]()

    def analyse(self: ProgramBuilder, analysis: Analysis, *given: Any) -> Any:
        found[analysis.name] += 1
        return analysis.find(*given)

    pairs = [leaky() for _ in range(3)]
    inputs = [x for xs, _ in pairs for x in xs]
    outputs = [y for _, ys in pairs for y in ys]
    with (
        mock.patch.object(engine(), "cache", None),
        mock.patch.object(ProgramBuilder, "analyse", analyse),
    ):
        f = sg.compile(inputs, outputs)
    assert f.report.loops == 6
    # The function, the body of the loops, and that of their gradients.
    assert (found["sink"], found["layout"], found["cluster"]) == (3, 3, 3)


def test_one_body_on_arrays_that_lie_otherwise() -> None:
    x, y = sg.tensor("x", ("T", 4, 6)), sg.tensor("y", (4, "T", 12))
    w = sg.shared(_numbers(6, 6), "w")

    def total(rows: sg.Variable, start: Any) -> sg.Variable:
        step = lambda r, h, w: sg.tanh(r + h @ w) * r[:, ::-1]  # noqa: E731
        return sg.scan(step, rows, sg.zeros((4, 6)) + start, [w]).sum(axis=0)

    views = [x, x[::-1], x[:, ::-1], y[:, :, ::2].transpose(1, 0, 2), y[:, ::-1, 6:].swapaxes(0, 1)]
    results = [total(view, 0.1 * k) for k, view in enumerate(views)]
    loss = sum(sg.square(result).sum() for result in results)
    outputs = [*results, *sg.grad(loss, [x, y, w])]
    f = sg.compile([x, y], outputs)
    for n in (0, 1, 5):
        arrays = _numbers(n, 4, 6), _numbers(4, n, 12)
        wanted = sg.compile([x, y], outputs, backend="numpy")(*arrays)
        for a, b in zip(f(*arrays), wanted, strict=True):
            np.testing.assert_allclose(a, b, rtol=2e-5, atol=1e-6)


def _list(results: Any) -> Sequence[Any]:
    return results if isinstance(results, list) else [results]


def test_kernels_do_not_depend_on_what_was_built_before() -> None:
    x, y = sg.tensor("x", ("N",)), sg.tensor("y", ("N",))

    def outputs(shift: float) -> list[sg.Variable]:
        return [sg.exp(x - shift) * y, sg.tanh(y) + x * shift, sg.sqrt(sg.exp(x - shift))]

    first = sg.compile([x, y], outputs(0.25))
    old = sg.tanh(y), x * 0.75  # these nodes are the oldest of the second function
    second = sg.compile([x, y], outputs(0.75))
    third = sg.compile([x, y], outputs(0.75)[::-1])
    assert len(old) == 2
    assert kernels_of(first) == kernels_of(second) == kernels_of(third)
    a, b = np.array([[0.1, 2, 3], [1, -2, 0.5]], "float32")
    wanted = [np.exp(a - 0.75) * b, np.tanh(b) + a * 0.75, np.sqrt(np.exp(a - 0.75))]
    for results in (second(a, b), third(a, b)[::-1]):
        for found, value in zip(results, wanted, strict=True):
            np.testing.assert_allclose(found, value, rtol=1e-6)


# --- numbers that a wrong key would confuse -----------------------------------------------------

NANS: Any = list(np.array([0x7FC00001, 0xFFC01234], "uint32").view("float32"))
CONSTANTS: dict[str, Any] = {
    "float32": [0.1, -0.1, 0.0, -0.0, 1.0, -1.0, 2.0, 1e-45, -1e-45, 3e38, np.inf, -np.inf, *NANS],
    "float64": [0.1, float(np.float32(0.1)), 0.0, -0.0, 5e-324, -5e-324, 1e308, -np.inf, np.nan],
    "int8": [0, 1, -1, 127, -128, 64, 3],
    "uint8": [0, 1, 255, 128, 3],
    "int32": [0, 1, -1, 2**31 - 1, -(2**31), 7],
    "uint32": [0, 2**32 - 1, 2**31, 7],
    "int64": [0, 1, -1, 2**63 - 1, -(2**63), 2**32, 7, 6],
    "uint64": [0, 2**64 - 1, 2**63, 7],
    "bool": [False, True],
}
OPERATIONS: dict[str, Callable[[Any, Any], Any]] = {
    "add": lambda x, c: x + c,
    "from": lambda x, c: c - x,
    "times": lambda x, c: x * c,
    "divided": lambda x, c: x / c,
    "over": lambda x, c: c / x,
    "maximum": np.maximum,
    "minimum": np.minimum,
    "greater": lambda x, c: x > c,
    "equal": lambda x, c: x == c if isinstance(x, np.ndarray) else sg.eq(x, c),
    "select": lambda x, c: np.where(x > x.dtype.type(1), x, c),
    "whole": lambda x, c: x // c,
    "rest": lambda x, c: x % c,
    "power": lambda x, c: x**c,
    "shift": lambda x, c: x << c,
    "bits": lambda x, c: x ^ c,
}
FLOATS_ONLY, INTEGERS_ONLY = {"divided", "over"}, {"shift", "bits", "whole", "rest"}


def run(inputs: list[sg.Variable], output: sg.Variable, values: np.ndarray) -> np.ndarray:
    """What the backend makes of the graph as it was built: rules know nothing of zeros' signs."""
    return load_backend("native").prepare(Graph(inputs, [output]))(values)[0]


def _cases(dtype: str) -> list[tuple[str, np.ndarray]]:
    kind = np.dtype(dtype).kind
    names = [
        name
        for name in OPERATIONS
        if (name not in FLOATS_ONLY or kind == "f") and (name not in INTEGERS_ONLY or kind in "iu")
    ]
    if kind == "b":
        names = ["equal", "select", "bits"]
    return [
        (name, np.array(c, dtype))
        for name in names
        for c in CONSTANTS[dtype]
        if not (name == "power" and kind in "iu" and (kind == "i" and c < 0))
    ]


@pytest.mark.parametrize("in_loop", [False, True], ids=["outside", "in a loop"])
@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize("dtype", CONSTANTS)
def test_bodies_that_differ_by_one_constant(dtype: str, order: int, in_loop: bool) -> None:
    values = np.array(CONSTANTS[dtype] * 2 + CONSTANTS[dtype][:3], dtype)
    x = sg.tensor("x", ("N",), dtype)
    rows = sg.tensor("x", ("T", len(values)), dtype)
    for name, c in _cases(dtype)[::order]:
        operation = OPERATIONS[name]
        constant = sg.constant(c)
        with np.errstate(all="ignore"):
            if in_loop:
                y = sg.scan(lambda r, f=operation, c=constant: _apply(f, r, c), rows)
                found = run([rows], y, np.stack([values, values]))[1]
            else:
                found = run([x], _apply(operation, x, constant), values)
            wanted = _wanted(name, values, c)
        if wanted.dtype.kind == "f" and name != "power":
            same = found.view(f"u{found.itemsize}") == wanted.view(f"u{wanted.itemsize}")
            assert (same | (np.isnan(found) & np.isnan(wanted))).all(), (name, c, found, wanted)
        elif name == "power":
            np.testing.assert_allclose(found, wanted, rtol=1e-5)
        else:
            np.testing.assert_array_equal(found, wanted, err_msg=f"{name} {c!r}")


def _apply(operation: Callable[[Any, Any], Any], x: sg.Variable, c: sg.Variable) -> sg.Variable:
    if operation is OPERATIONS["select"]:
        return sg.where(sg.ne(x, c), x, c)
    if operation is np.maximum or operation is np.minimum:
        return sg.maximum(x, c) if operation is np.maximum else sg.minimum(x, c)
    return operation(x, c)


def _wanted(name: str, x: np.ndarray, c: np.ndarray) -> np.ndarray:
    if name == "select":
        return np.where(x != c, x, c)
    return np.asarray(OPERATIONS[name](x, c))
