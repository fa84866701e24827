"""NumPy's functions on variables against NumPy itself: ``np.f(x)``, and ``sg.f(x)`` where it is."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import symgraph as sg
from symgraph.core.types import DTYPES
from symgraph.ops.numpy_dispatch import NUMPY_FUNCTIONS

BACKENDS = ("native", "numpy")
SHAPES = [(3, 4), (1, 1), (1, 3), (4, 1)]
# Functions of the module (NumPy's or ours) and a matrix.
TABLE: dict[str, Callable[[Any, Any], Any]] = {
    "around": lambda m, x: m.around(x, 1),
    "around places": lambda m, x: m.around(x * 1, -1),
    "round": lambda m, x: m.round(x, decimals=1),
    "degrees": lambda m, x: m.degrees(x * 1.0),
    "radians": lambda m, x: m.radians(x * 1.0),
    "deg2rad": lambda m, x: m.deg2rad(x * 1.0),
    "diff": lambda m, x: m.diff(x),
    "diff rows": lambda m, x: m.diff(x, axis=0),
    "diff twice": lambda m, x: m.diff(x, 2),
    "diff none": lambda m, x: m.diff(x, 0),
    "diff ends": lambda m, x: m.diff(x, prepend=x[0, 0], append=x[:, :1]),
    "average": lambda m, x: m.average(x),
    "average rows": lambda m, x: m.average(x, axis=0, keepdims=True),
    "average by a vector": lambda m, x: m.average(x, 1, weights=np.arange(1.0, x.shape[1] + 1)),
    "average by all": lambda m, x: m.average(x, weights=np.full(x.shape, 2)),
    "average, weights": lambda m, x: m.average(x, 1, np.ones(x.shape[1]), returned=True)[1],
    "isclose": lambda m, x: m.isclose(x, x * (1.0 + 1e-6)),
    "isclose not": lambda m, x: m.isclose(x, x + 0.25, atol=0.1),
    "allclose": lambda m, x: m.allclose(x, x),
    "array_equal": lambda m, x: m.array_equal(x, x * 1),
    "array_equal a vector": lambda m, x: m.array_equal(x * 0, x[0] * 0),
    "clip": lambda m, x: m.clip(x, x[0], x[-1]),
    "clip below": lambda m, x: m.clip(x, x[0], None),
    "clip above": lambda m, x: m.clip(x, None, x[-1]),
    "take wrap": lambda m, x: m.take(x, np.array([1, 9], "uint64"), axis=1, mode="wrap"),
    "take clip": lambda m, x: m.take(x, np.array([1, 9], "uint64"), mode="clip"),
    "column_stack": lambda m, x: m.column_stack([x, x[:, 0], x]),
    "vstack": lambda m, x: m.vstack([x, x[0]]),
    "hstack": lambda m, x: m.hstack([x, x]),
    "dstack": lambda m, x: m.dstack([x, x]),
    "dstack vectors": lambda m, x: m.dstack([x[0], x[0]]),
    "atleast_3d": lambda m, x: m.atleast_3d(x[0]),
    "cumulative_sum": lambda m, x: m.cumulative_sum(x, axis=1),
    "cumulative_sum from 0": lambda m, x: m.cumulative_sum(x, axis=0, include_initial=True),
    "cumulative_prod": lambda m, x: m.cumulative_prod(x[0], include_initial=True),
    "ptp": lambda m, x: m.ptp(x + x, axis=1),
    "trace": lambda m, x: m.trace(x),
    **{
        f"pad {mode} {widths}": lambda m, x, mode=mode, widths=widths: m.pad(x, widths, mode=mode)
        for mode in ("edge", "reflect", "symmetric", "wrap", "constant")
        for widths in (2, ((7, 1), (0, 9)), ((0, 0), (3, 0)))
    },
    "pad values": lambda m, x: m.pad(x, 1, constant_values=((1, 0), (0, 1))),
    "add.reduce": lambda m, x: np.add.reduce(x),
    "add.reduce all": lambda m, x: np.add.reduce(x, axis=None),
    "multiply.reduce": lambda m, x: np.multiply.reduce(x, axis=1, keepdims=True),
    "maximum.reduce": lambda m, x: np.maximum.reduce(x, axis=(0, 1)),
    "minimum.reduce": lambda m, x: np.minimum.reduce(x),
    "logical_or.reduce": lambda m, x: np.logical_or.reduce(x),
    "add.accumulate": lambda m, x: np.add.accumulate(x),
    "multiply.accumulate": lambda m, x: np.multiply.accumulate(x, axis=1),
    "divmod": lambda m, x: m.divmod(x + x, x + x + (x == x if m is np else sg.equal(x, x)))[1],
    **{
        f"norm {options}": lambda m, x, options=options: np.linalg.norm(x, **options)
        for options in (
            *({}, {"axis": 0}, {"axis": 1, "keepdims": True}, {"keepdims": True}),
            *({"ord": p, "axis": 1} for p in (0, 1, 2, 3, 0.5, np.inf, -np.inf)),
            *({"ord": p} for p in ("fro", 1, -1, np.inf, -np.inf)),
            {"ord": "fro", "axis": (1, 0), "keepdims": True},
            {"ord": 1, "axis": (1, 0)},
        )
    },
}
ADDED_LATER = {"cumulative_sum", "cumulative_prod"}  # in NumPy 2.1


def known_to_numpy(name: str) -> bool:
    return name.split()[0] not in ADDED_LATER or hasattr(np, name.split()[0])


def data(dtype: np.dtype, shape: tuple[int, ...]) -> np.ndarray:
    values = np.random.default_rng(len(shape)).integers(0, 7, shape)
    return (values * 1.3 + 0.1 if dtype.kind == "f" else values).astype(dtype)


def numpys(name: str, array: np.ndarray) -> tuple[np.ndarray | None, Any]:
    """What NumPy gives; None where it refuses."""
    try:
        with np.errstate(all="ignore"):
            return np.asarray(TABLE[name](np, array)), None
    except (TypeError, ValueError) as error:
        return None, error


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_values(shape: tuple[int, ...], dtype: np.dtype, backend: str) -> None:
    array = data(dtype, shape)
    x = sg.tensor("x", shape, dtype)
    expected = {name: numpys(name, array)[0] for name in TABLE if known_to_numpy(name)}
    # NumPy refuses or has float16 for some dtypes.
    expected = {k: v for k, v in expected.items() if v is not None and v.dtype != np.float16}
    assert len(expected) > 40
    outputs = {name: TABLE[name](sg, x) for name in expected}
    found = sg.compile([x], outputs, backend=backend)(array)
    for name, value in found.items():
        assert value.dtype == expected[name].dtype, name
        assert np.shape(value) == expected[name].shape, name
        np.testing.assert_allclose(value, expected[name], rtol=2e-5, atol=1e-6, err_msg=name)


@pytest.mark.parametrize("backend", BACKENDS)
def test_of_numpy_itself_and_sizes_unknown(backend: str) -> None:
    array = data(np.dtype("float64"), (3, 4))
    x = sg.tensor("x", (None, None), "float64")
    names = [name for name in TABLE if known_to_numpy(name) and "by " not in name]
    names.remove("average, weights")  # whose weights have a known number
    outputs = {name: TABLE[name](np if "divmod" not in name else sg, x) for name in names}
    found = sg.compile([x], outputs, backend=backend)(array)
    for name, value in found.items():
        np.testing.assert_allclose(value, numpys(name, array)[0], rtol=1e-9, err_msg=name)


@pytest.mark.parametrize("backend", BACKENDS)
def test_of_nothing(backend: str) -> None:
    x = sg.tensor("x", (0, 3))
    array = np.zeros((0, 3), "float32")
    names = [
        "diff",
        "column_stack",
        "vstack",
        "dstack",
        "add.reduce",
        "norm {'axis': 0}",
        "degrees",
    ]
    names += ["isclose", "allclose", "pad constant 2", "pad reflect ((0, 0), (3, 0))", "around"]
    found = sg.compile([x], [TABLE[n](sg, x) for n in names if n != "vstack"], backend=backend)(
        array
    )
    for name, value in zip([n for n in names if n != "vstack"], found, strict=True):
        np.testing.assert_array_equal(value, TABLE[name](np, array), name)
    for mode in ("edge", "reflect", "symmetric", "wrap"):
        with pytest.raises(sg.ShapeError, match="no element to repeat"):
            sg.pad(x, 1, mode)


SMOOTH = [
    *("diff", "diff ends", "average", "average by a vector", "column_stack", "dstack"),
    *("pad reflect 2", "pad symmetric 2", "pad wrap ((7, 1), (0, 9))", "pad edge 2"),
    *("cumulative_sum from 0", "norm {}", "norm {'ord': 3, 'axis': 1}", "norm {'ord': inf}"),
    *("degrees", "multiply.reduce", "ptp"),
]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", SMOOTH)
def test_gradients(name: str, backend: str) -> None:
    array = np.random.default_rng(3).normal(size=(3, 4)) + 3.0
    x = sg.tensor("x", (3, 4), "float64")
    result = TABLE[name](sg, x)
    weights = np.random.default_rng(4).normal(size=result.type.shape)
    gradient = sg.grad(sg.sum(result * weights), x)
    slope, _ = sg.compile([x], [gradient, x], backend=backend)(array)
    total = sg.compile([x], sg.sum(result * weights), backend="numpy")
    numeric, step = np.empty_like(array), 1e-6
    for i in np.ndindex(array.shape):
        moved = [array.copy(), array.copy()]
        moved[0][i] += step
        moved[1][i] -= step
        numeric[i] = (total(moved[0]) - total(moved[1])) / (2 * step)
    np.testing.assert_allclose(slope, numeric, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(
    "call",
    [
        lambda x: np.add.at(x, 0, 1),
        lambda x: np.add.reduceat(x, [0, 1]),
        lambda x: np.subtract.reduce(x),
        lambda x: np.add.outer(x, x),
        lambda x: np.maximum.accumulate(x),
        lambda x: np.add.reduce(x, where=[True]),
        lambda x: np.linalg.svd(x),
        lambda x: np.linalg.norm(x, 2),
        lambda x: np.linalg.norm(x, "nuc"),
        lambda x: np.linalg.norm(x[0], "fro"),
        lambda x: np.linalg.norm(x[None], 1),
        lambda x: np.fft.fft(x),
        lambda x: np.median(x),
        lambda x: np.pad(x, 1, mode="mean"),
        lambda x: np.pad(x, ((1, 2, 3),)),
        lambda x: np.diff(x, -1),
        lambda x: np.average(x, weights=[1.0, 2.0]),
        lambda x: sg.cumulative_sum(x),
    ],
)
def test_what_does_not_work_says_so(call: Callable[[sg.Variable], Any]) -> None:
    with pytest.raises(sg.SymgraphError) as caught:
        call(sg.matrix("x"))
    assert "test_numpy_table.py" in str(caught.value)


def test_every_function_of_numpy_works_or_is_refused() -> None:
    """No public function of NumPy's that asks its argument first fails in another way."""
    x = sg.tensor("x", (2, 2), "float64")
    for name in sorted(set(dir(np)) - set(NUMPY_FUNCTIONS)):
        function = getattr(np, name)
        if isinstance(function, np.ufunc) or hasattr(function, "_implementation"):
            arguments = [x] * getattr(function, "nin", 1)
            # Otherwise the arguments are too few or too many for NumPy's own signature.
            with contextlib.suppress(sg.SymgraphError, TypeError):
                function(*arguments)


@pytest.mark.parametrize("backend", BACKENDS)
def test_arrays_of_other_shapes_are_not_equal(backend: str) -> None:
    shapes = [(), (1,), (3,), (0,), (1, 1), (1, 3), (3, 1), (3, 3)]
    for ours, theirs in itertools.product(shapes, shapes):
        a, b = np.zeros(ours), np.zeros(theirs)
        x, y = sg.tensor("x", ours, "float64"), sg.tensor("y", theirs, "float64")
        for left, right in ((x, y), (x, b), (a, y), (a.tolist(), y)):
            f = sg.compile([x, y], sg.array_equal(left, right), backend=backend, unused="ignore")
            assert f(a, b) == np.array_equal(a, b), (ours, theirs)
    x = sg.vector("x")
    for ones in (sg.ones(1), [1.0]):
        f = sg.compile([x], sg.array_equal(x, ones), backend=backend)
        assert f([1])
        assert not f([2])
        for others in ([], [1, 1]):
            with pytest.raises(sg.CallError, match="array_equal"):
                f(others)
