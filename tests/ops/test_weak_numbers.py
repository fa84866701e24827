"""Python numbers have no dtype until they meet their partner: nothing rounds them before."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import symgraph as sg

BACKENDS = ("native", "numpy")
X = np.array([0.25, 1.5, 2.75])
# Beside a float64 a Python number or list (w) is what NumPy makes of it, exactly: float32 has none
# of these numbers. Each entry is a function of the module, the operand and the number.
NUMBER = 0.1
MEETINGS: dict[str, Callable[[Any, Any, Any], Any]] = {
    **{
        name: lambda m, x, w, name=name: getattr(m, name)(x, w)
        for name in (
            *("add", "subtract", "multiply", "divide", "true_divide", "floor_divide"),
            *("remainder", "mod", "power", "maximum", "minimum", "hypot", "arctan2", "logaddexp"),
            *("equal", "not_equal", "less", "less_equal", "greater", "greater_equal"),
            *("dot", "outer", "searchsorted", "logical_and", "logical_or"),
            "logical_xor",
        )
    },
    "swapped": lambda m, x, w: m.subtract(w, x),
    "where": lambda m, x, w: m.where(x > 1, x, w),
    "where swapped": lambda m, x, w: m.where(x > 1, w, x),
    "clip": lambda m, x, w: m.clip(x, w * 10, w * 20),
    "nan_to_num": lambda m, x, w: m.nan_to_num(x / 0.0, posinf=w),
    "concatenate": lambda m, x, w: m.concatenate([x, [w, w]]),
    "concatenate first": lambda m, x, w: m.concatenate([[w], x, [1]]),
    "stack": lambda m, x, w: m.stack([x, [w, 2, w]]),
    "hstack": lambda m, x, w: m.hstack([x, w]),
    "vstack": lambda m, x, w: m.vstack([[w] * 3, x]),
    "matmul": lambda m, x, w: m.matmul([[w, w, w]], x),
    "inner": lambda m, x, w: m.inner(x, [w, 2, w]),
    "vdot": lambda m, x, w: m.vdot([w, 2, w], x),
    "tensordot": lambda m, x, w: m.tensordot(x, [w, 2, w], 1),
    "einsum": lambda m, x, w: m.einsum("i,i->i", x, [w, 2, w]),
    "column_stack": lambda m, x, w: m.column_stack([x, [w, 1, w]]),
    "dstack": lambda m, x, w: m.dstack([[w, 1, w], x]),
    "diff": lambda m, x, w: m.diff(x, prepend=w, append=[w, 1]),
    "average": lambda m, x, w: m.average(x, weights=[w, 1, w]),
    "isclose": lambda m, x, w: m.isclose(x * 0 + np.float64(w), w, rtol=0, atol=0),
    "allclose": lambda m, x, w: m.allclose([w, w, w], x * 0 + np.float64(w), 0, 0),
    "array_equal": lambda m, x, w: m.array_equal(x * 0 + np.float64(w), [w, w, w]),
    "divmod": lambda m, x, w: m.divmod(x, w)[1],
    "pad": lambda m, x, w: m.pad(x, 1, constant_values=w),
    "full_like": lambda m, x, w: x + m.full_like(x, w),
    "full": lambda m, x, w: x + m.full((3,), w, dtype="float64"),
    "linspace": lambda m, x, w: x + m.linspace(w, 1, 3, dtype="float64"),
    "arange": lambda m, x, w: x + m.arange(w, 3 + w, 1, dtype="float64"),
    "+": lambda m, x, w: x + w,
    "list * x": lambda m, x, w: [w, w, w] * x,
    "list ** x": lambda m, x, w: [w, w, w] ** x,
    "x - nested": lambda m, x, w: x - [[w, 1, 2], [True, w, w]],
}


def of_symbols(build: Callable[..., Any], dtype: str, *arrays: Any, backend: str) -> Any:
    inputs = [sg.tensor(f"x{i}", np.shape(a), dtype) for i, a in enumerate(arrays)]
    return sg.compile(inputs, build(*inputs), backend=backend)(*arrays)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", MEETINGS)
def test_a_number_meets_float64(name: str, backend: str) -> None:
    build = MEETINGS[name]
    with np.errstate(all="ignore"):
        expected = np.asarray(build(np, X, NUMBER))
    found = of_symbols(lambda x: build(sg, x, NUMBER), "float64", X, backend=backend)
    assert found.dtype == expected.dtype
    # The same to the last bit as the number that is a float64 already; NumPy's own libraries
    # round functions and totals another way.
    strong = of_symbols(lambda x: build(sg, x, np.float64(NUMBER)), "float64", X, backend=backend)
    np.testing.assert_array_equal(found, strong)
    np.testing.assert_allclose(found, expected, rtol=1e-15)


def test_every_public_function_of_several_operands_is_tried() -> None:
    tried = {name.split()[0] for name in MEETINGS} | {name.split()[0] for name in ELSEWHERE}
    several = {
        name
        for name in sg.__all__
        if callable(getattr(sg, name)) and getattr(np, name, None) is not None
    }
    assert several - tried - ALONE == set()


# Those tested below, and in the tests of what they belong to.
ELSEWHERE = {"astype", "take", "split", "eye", "tri", "tril", "triu", "repeat", "tile", "roll"}
ELSEWHERE |= {"bitwise_and", "bitwise_or", "bitwise_xor", "left_shift", "right_shift", "round"}
ELSEWHERE |= {"take_along_axis", "diag", "diagonal", "trace", "reshape", "broadcast_to"}
# Those with one operand, whose other arguments are axes, sizes and the like.
ALONE = {
    *("abs", "absolute", "all", "amax", "amin", "any", "arccos", "arccosh", "arcsin", "arcsinh"),
    *("arctan", "arctanh", "argmax", "argmin", "argsort", "atleast_1d", "atleast_2d", "ceil"),
    *("bitwise_not", "cos", "cosh", "count_nonzero", "cumprod", "cumsum", "deg2rad", "exp", "exp2"),
    *("expand_dims", "expm1", "flatnonzero", "flip", "floor", "invert", "isfinite", "isinf"),
    *("isnan", "log", "log10", "log1p", "log2", "logical_not", "matrix", "max", "mean", "min"),
    *("moveaxis", "negative", "nonzero", "ones", "ones_like", "positive", "prod", "rad2deg"),
    *("ravel", "reciprocal", "rint", "shape", "sign", "sin", "sinh", "size", "sort", "sqrt"),
    *("square", "squeeze", "std", "sum", "swapaxes", "tan", "tanh", "transpose", "trunc", "var"),
    *("around", "atleast_3d", "cumulative_prod", "cumulative_sum", "degrees", "ptp", "radians"),
    *("zeros", "zeros_like", "random", "scalar"),
}


@pytest.mark.parametrize("backend", BACKENDS)
def test_what_takes_the_dtype_of_what_holds_it(backend: str) -> None:
    x = sg.tensor("x", (3,), "float64")
    y, z = x * 1.0, sg.shared(np.zeros(3))
    cases = {
        "set": (x.set(0, 0.1), [0.1, 1.5, 2.75]),
        "set list": (x.set(slice(0, 2), [0.1, 1]), [0.1, 1.0, 2.75]),
        "add_at": (x.add_at([0, 1], 0.1), [0.25 + 0.1, 1.5 + 0.1, 2.75]),
        "full": (sg.full((1,), -1e300, dtype="float64"), [-1e300]),
        "cast": (sg.cast([0.1], "float64"), [0.1]),
        "constant": (sg.constant([0.1, 1], "float64"), [0.1, 1.0]),
        "ifelse": (sg.ifelse(x[0] > 0, x[0], 0.1), 0.25),
        "grad": (sg.grad(sg.clip_gradient(x, -0.1, 0.1).sum(), x), [0.1] * 3),
        "vjp": (sg.vjp(x * 1.0, x, [[0.1, 0.2, 0.3]]), [0.1, 0.2, 0.3]),
        "jvp": (sg.jvp(x * 1.0, x, [[0.1, 0.2, 0.3]]), [0.1, 0.2, 0.3]),
        "known": (sg.grad(None, x, known_grads={y: [0.1] * 3}), [0.1] * 3),
        "hvp": (sg.hessian_vector_product((x * x).sum(), x, [[0.1] * 3]), [0.2] * 3),
        "substitute": (sg.substitute(x + 0.0, {x: [0.1, 0.2, 0.3]}), [0.1, 0.2, 0.3]),
    }
    found = sg.compile(
        [x], {k: v for k, (v, _) in cases.items()}, backend=backend, updates={z: [0.1, 0.2, 1]}
    )(X)
    for name, (_, expected) in cases.items():
        assert found[name].dtype == np.float64, name
        np.testing.assert_array_equal(found[name], expected, name)
    np.testing.assert_array_equal(z.get_value(), [0.1, 0.2, 1.0])
    z.set_value([0.1, 0.1, 0.1])
    np.testing.assert_array_equal(z.get_value(), [0.1] * 3)
    s = sg.shared(np.float64(0))
    sg.compile([], updates={s: 0.1}, backend=backend)()
    assert s.get_value() == 0.1
    f = sg.compile([sg.In(x, value=[0.1, 0.2, 0.3])], x * 1.0, backend=backend)
    np.testing.assert_array_equal(f(), [0.1, 0.2, 0.3])
    g = sg.compile([], x * 1.0, givens={x: [0.1, 0.2, 0.3]}, backend=backend)
    np.testing.assert_array_equal(g(), [0.1, 0.2, 0.3])


@pytest.mark.parametrize("backend", BACKENDS)
def test_loops(backend: str) -> None:
    x = sg.tensor("x", (3,), "float64")
    rows = {"initial": [0.1, 0.2], "taps": [-2, -1]}
    cases = {
        "initial": (sg.scan(lambda a, h: h + 0 * a, x, 0.1), [0.1] * 3),
        "initial list": (sg.scan(lambda a, h: h + 0 * a, x, [[0.1, 0.2]])[0], [0.1, 0.2]),
        "rows": (sg.scan(lambda a, h, g: h + 0 * a, x, rows), [0.1, 0.2, 0.1]),
        "output": (sg.scan(lambda a, h: 0.1, x, np.float64(0.0)), [0.1] * 3),
        "other": (sg.scan(lambda a, w: a * 0 + w, x, None, 0.1), [0.1] * 3),
        "reduce": (sg.reduce(lambda a, h: h + 0 * a, x, 0.1), 0.1),
        "reduce nothing": (sg.reduce(lambda a, h: h + 0 * a, x[:0], 0.1), 0.1),
        "foldr": (sg.foldr(lambda a, h: h + 0 * a, x, [[0.1]]), [0.1]),
    }
    found = sg.compile([x], {k: v for k, (v, _) in cases.items()}, backend=backend)(X)
    for name, (_, expected) in cases.items():
        assert found[name].dtype == np.float64, name
        np.testing.assert_array_equal(found[name], expected, name)


@pytest.mark.parametrize("backend", BACKENDS)
def test_bounds_of_random_numbers(backend: str) -> None:
    key = sg.random.key(0)
    draws = [
        sg.random.uniform(key, (), 0.1, 0.1, "float64"),
        sg.random.uniform(key, (), [0.1, 0.2], [0.1, 0.2], "float64"),
        sg.random.normal(key, (), [0.1], 0, "float64"),
    ]
    found = sg.compile([], draws, backend=backend)()
    for value, expected in zip(found, (0.1, [0.1, 0.2], [0.1]), strict=True):
        np.testing.assert_array_equal(value, expected)


LARGE: dict[str, Callable[[Any, Any, Any], Any]] = {
    "add": lambda m, x, n: m.add(x, n),
    "maximum": lambda m, x, n: m.maximum(x, n),
    "where": lambda m, x, n: m.where(x > 1, x, n),
    "concatenate": lambda m, x, n: m.concatenate([x, np.array([n], x.dtype) if m is np else [n]]),
    "stack": lambda m, x, n: m.stack([x, np.array([n, n], x.dtype) if m is np else [n, n]]),
    "pad": lambda m, x, n: m.pad(x, 1, constant_values=n),
    "full_like": lambda m, x, n: m.full_like(x, n),
    "equal": lambda m, x, n: m.equal(x, n),
    "clip": lambda m, x, n: m.clip(x, n - 1, n + 1),
    "floor_divide": lambda m, x, n: m.floor_divide(n, x),
}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("dtype", "number"), [("int64", 2**62 + 1), ("uint64", 2**63 + 1)])
def test_large_integers_are_exact(dtype: str, number: int, backend: str) -> None:
    array = np.array([1, number - 3], dtype)
    x = sg.tensor("x", (2,), dtype)
    outputs = {name: build(sg, x, number) for name, build in LARGE.items()}
    outputs["set"] = x.set(0, number)
    outputs["arange"] = sg.arange(number, number + 2, 1, dtype)
    found = sg.compile([x], outputs, backend=backend)(array)
    with np.errstate(all="ignore"):
        for name, build in LARGE.items():
            expected = build(np, array, number)
            assert found[name].dtype == expected.dtype, name
            np.testing.assert_array_equal(found[name], expected, name)
    assert found["set"].tolist() == [number, number - 3]
    assert found["arange"].tolist() == [number, number + 1]


@pytest.mark.parametrize(
    ("dtype", "number"), [("int8", 300), ("uint8", -1), ("uint64", -1), ("int64", 2**63)]
)
def test_an_integer_that_does_not_fit_is_an_error(dtype: str, number: int) -> None:
    x = sg.tensor("x", (2,), dtype)
    shared = sg.shared(np.zeros(2, dtype))
    builds: list[Callable[[], Any]] = [
        lambda: x + number,
        lambda: sg.maximum(number, x),
        lambda: sg.where(x > 0, x, number),
        lambda: sg.concatenate([x, [number]]),
        lambda: sg.stack([x, [1, number]]),
        lambda: x.set(0, number),
        lambda: x.add_at(0, [number]),
        lambda: sg.full((2,), number, dtype),
        lambda: sg.full_like(x, number),
        lambda: sg.pad(x, 1, constant_values=number),
        lambda: sg.constant([number], dtype),
        lambda: sg.compile([], updates={shared: [number, 1]}),
        lambda: sg.substitute(x + 1, {x: [number, 1]}),
        lambda: sg.compile([sg.In(x, value=[number, 1])], x),
        lambda: sg.compile([x], x)([number, 1]),
    ]
    for build in builds:
        with pytest.raises(
            sg.NumberRangeError, match=rf"{number}[\s\S]* fit into {dtype}"
        ) as caught:
            build()
        assert isinstance(caught.value, OverflowError)
        assert isinstance(caught.value, sg.DtypeError)
    with pytest.raises(sg.UpdateError, match="does not fit"):
        shared.set_value([number, 1])


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("dtype", "number"), [("int8", 300), ("int8", -300), ("uint8", -1), ("uint64", 2**64)]
)
def test_what_numpy_compares_and_clips_beyond_the_range(
    dtype: str, number: int, backend: str
) -> None:
    array = np.array([0, 100], dtype)
    x = sg.tensor("x", (2,), dtype)
    names = ("equal", "not_equal", "less", "less_equal", "greater", "greater_equal")
    builds = [lambda m, v, name=name: getattr(m, name)(v, number) for name in names]
    builds += [lambda m, v, name=name: getattr(m, name)(number, v) for name in names]
    least, most = min(number, 0), max(number, 50)
    outputs = [*(build(sg, x) for build in builds), sg.clip(x, least, most)]
    *found, clipped = sg.compile([x], outputs, backend=backend)(array)
    for value, build in zip(found, builds, strict=True):
        np.testing.assert_array_equal(value, build(np, array))
    # As newer NumPys do; the oldest one refuses the number.
    np.testing.assert_array_equal(clipped, [min(max(int(v), least), most) for v in array])
    assert clipped.dtype == dtype
