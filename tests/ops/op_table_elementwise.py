"""Rows of the op table: element by element."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np
from op_row import Row
from op_samples import AWKWARD, INTEGERS, PAIRS, POSITIVE, UNIT, integer_pairs, integers
from scipy import special

import symgraph as sg
from symgraph.core.op import OPS
from symgraph.ops.transcendental import log1mexp

__all__ = ["ROWS"]

BOOLS = np.array([True, False])
BOOL_PAIR = (np.array([True, True, False, False]), np.array([True, False, True, False]))
SMOOTH = np.array([0.3, -0.7, 1.2, -2.1, 0.05])
SMOOTH_2 = np.array([1.3, 0.6, -1.1, 2.4, -0.35])
ABOVE_0 = np.array([0.3, 0.7, 1.2, 2.1, 5.0])
BELOW_1 = np.array([0.3, -0.7, 0.05, 0.9, -0.2])
ROW_AND_COLUMN = (np.array([[0.5, -1.5, 2.0]]), np.array([[0.25], [3.0]]))


def by_mpmath(function: Callable[..., Any]) -> Callable[..., np.ndarray]:
    """A reference of 40 digits, rounded to float64; infinities and NaN are NumPy's to give."""

    def reference(x: np.ndarray) -> np.ndarray:
        with mpmath.workdps(40):
            values = [float(function(mpmath.mpf(float(v)))) for v in x.ravel()]
        return np.array(values).reshape(x.shape).astype(x.dtype)

    return reference


def unary(name: str, samples: list[Any], smooth: np.ndarray | None, **options: Any) -> Row:
    """A row for a function of one argument that NumPy knows by the same name."""
    options.setdefault("reference", getattr(np, name, None))
    return Row(
        name,
        getattr(sg, name),
        samples=[(sample,) for sample in samples],
        differentiable=smooth is not None,
        smooth=[] if smooth is None else [(smooth,), (np.float64(smooth[0]),)],
        **options,
    )


def binary(name: str, samples: list[tuple], smooth: list[tuple] | None, **options: Any) -> Row:
    """A row for a function of two arguments that NumPy knows by the same name."""
    options.setdefault("reference", getattr(np, name, None))
    return Row(
        name,
        getattr(sg, name),
        samples=samples,
        differentiable=smooth is not None,
        smooth=smooth or [],
        **options,
    )


ALL_INTEGERS = [integers(dtype) for dtype in INTEGERS]
ALL_INTEGER_PAIRS = [integer_pairs(dtype) for dtype in INTEGERS]
MIXED_PAIRS = [
    (np.array([1, 2, -3], "int8"), np.array([4.5, 5.0, 6.0], "float32")),
    (np.array([1, 2, -3], "int32"), np.array([4.5, 5.0, 6.0], "float32")),
    (np.array([1, 2, 3], "uint8"), np.array([-4, 5, 6], "int8")),
    (np.array([1, 2, 3], "uint64"), np.array([-4, 5, 6], "int64")),
    (np.array([True, False, True]), np.array([4, 5, 6], "int16")),
]
NUMBER_PAIRS = [PAIRS, ROW_AND_COLUMN, (np.float64(2.5), SMOOTH), *ALL_INTEGER_PAIRS, *MIXED_PAIRS]
SMOOTH_PAIRS = [(SMOOTH, SMOOTH_2), ROW_AND_COLUMN, (np.float64(0.7), SMOOTH_2)]
SCALARS = [(np.float64(1.5),), (np.zeros((2, 0, 3)),)]

ARITHMETIC = [
    binary("add", [*NUMBER_PAIRS, BOOL_PAIR], SMOOTH_PAIRS),
    binary("subtract", NUMBER_PAIRS, SMOOTH_PAIRS, errors=[(BOOL_PAIR, sg.DtypeError)]),
    binary("multiply", [*NUMBER_PAIRS, BOOL_PAIR], SMOOTH_PAIRS),
    binary("divide", NUMBER_PAIRS, SMOOTH_PAIRS),
    Row(
        "scale",
        OPS["scale"],
        lambda x, y: np.where((x == 0) | (y == 0), x.dtype.type(0), x * y),
        [PAIRS, ROW_AND_COLUMN],
        smooth=SMOOTH_PAIRS,
    ),
    Row(
        "unscale",
        OPS["unscale"],
        lambda x, y: np.where(x == 0, x.dtype.type(0), x / y),
        [PAIRS, ROW_AND_COLUMN],
        smooth=SMOOTH_PAIRS,
    ),
    binary("floor_divide", [*NUMBER_PAIRS, BOOL_PAIR], None),
    binary("remainder", [*NUMBER_PAIRS, BOOL_PAIR], [(SMOOTH, SMOOTH_2)], tolerance=16),
    unary("negative", [AWKWARD, *ALL_INTEGERS], SMOOTH, errors=[((BOOLS,), sg.DtypeError)]),
    unary("absolute", [AWKWARD, *ALL_INTEGERS, BOOLS], SMOOTH),
    unary("square", [AWKWARD, *ALL_INTEGERS, BOOLS], SMOOTH),
    unary("sign", [AWKWARD, *ALL_INTEGERS], None, errors=[((BOOLS,), sg.DtypeError)]),
    unary("floor", [AWKWARD], None),
    unary("ceil", [AWKWARD], None),
    unary("trunc", [AWKWARD], None),
    unary("rint", [AWKWARD, integers("int64"), integers("int16")], None),
    binary("maximum", [*NUMBER_PAIRS, BOOL_PAIR], SMOOTH_PAIRS),
    binary("minimum", [*NUMBER_PAIRS, BOOL_PAIR], SMOOTH_PAIRS),
    Row(
        "clip",
        sg.clip,
        np.clip,
        [
            (AWKWARD, np.float64(-1.0), np.float64(2.0)),
            (AWKWARD, np.float64(2.0), np.float64(-1.0)),
            (AWKWARD, np.float64(np.nan), np.float64(2.0)),
            (np.array([-5, 0, 9], "int8"), np.array(-1, "int8"), np.array(3, "int8")),
        ],
        smooth=[
            (SMOOTH, np.float64(-0.4), np.float64(1.1)),
            (SMOOTH, SMOOTH_2 - 2.0, SMOOTH_2 + 0.1),
            (SMOOTH, np.float64(0.9), np.float64(-0.4)),
        ],
    ),
    Row(
        "clip",
        lambda x: sg.clip(x, None, 2),
        lambda x: np.clip(x, None, 2),
        [(AWKWARD,)] + [(x,) for x in ALL_INTEGERS],
        smooth=[(SMOOTH,)],
        label="clip above",
    ),
    Row(
        "clip",
        lambda x: sg.clip(x, 1, None),
        lambda x: np.clip(x, 1, None),
        [(AWKWARD,)] + [(x,) for x in ALL_INTEGERS],
        smooth=[(SMOOTH,)],
        label="clip below",
    ),
    Row(
        "where",
        sg.where,
        np.where,
        [
            (AWKWARD > 0, AWKWARD, -AWKWARD),
            (np.array(True), np.float64(1.0), AWKWARD),
            (np.array([0, 2, 5]), np.array([1, 2, 3], "int8"), np.array([4, 5, 6], "int16")),
            (np.array([0.0, np.nan, -0.0]), np.array([1.0, 2.0, 3.0]), np.array([[4.0], [5.0]])),
            (BOOLS, np.array([1, 2], "int32"), np.array([0.5, 0.25], "float32")),
        ],
        smooth=[(SMOOTH > 0, SMOOTH, SMOOTH_2), (BOOLS, np.float64(1.5), np.array([[2.0, 3.0]]))],
    ),
    Row(
        "cast",
        lambda x: [sg.cast(x, dtype) for dtype in ("bool", "int64", "float32", "float64")],
        lambda x: [x.astype(dtype) for dtype in ("bool", "int64", "float32", "float64")],
        [(np.array([0.0, -0.0, 1.9, -1.9, 1e9, 1e-30]),), *[(x,) for x in ALL_INTEGERS], (BOOLS,)],
        differentiable=False,
    ),
    Row(
        "cast",
        lambda x: [sg.cast(x, dtype) for dtype in ("int8", "int16", "int32", "uint8", "uint64")],
        lambda x: [x.astype(dtype) for dtype in ("int8", "int16", "int32", "uint8", "uint64")],
        [(x,) for x in ALL_INTEGERS],
        differentiable=False,
        label="cast wraps",
    ),
]

NUMBER_BASES = np.array([0.0, -0.0, 0.5, 2.0, -2.0, 1e30, 1e-30, np.inf, -np.inf, np.nan])
EXPONENTS = np.array([[0.0], [1.0], [2.0], [3.0], [0.5], [-1.0], [-0.5], [np.inf], [np.nan]])

TRANSCENDENTAL = [
    unary("sqrt", [AWKWARD, POSITIVE, integers("int16"), integers("int64")], ABOVE_0),
    Row("reciprocal", sg.reciprocal, lambda x: 1.0 / x, [(AWKWARD,)], smooth=[(SMOOTH,)]),
    binary(
        "power",
        [
            (NUMBER_BASES, EXPONENTS),
            (np.arange(5, dtype="int8"), np.arange(5, dtype="int8")[:, None]),
            (np.array([2, 3, -7], "int64"), np.array([[0], [30], [63]], "int64")),
            BOOL_PAIR,
        ],
        [(ABOVE_0, SMOOTH), (ABOVE_0, np.float64(3.0))],
        tolerance=64,
        errors=[((np.array([2, 3]), -1), sg.SymgraphValueError)],
    ),
    *(
        Row(
            "power",
            lambda x, n=n: sg.power(x, n),
            lambda x, n=n: np.power(x, n),
            [(AWKWARD,), (POSITIVE,)],
            smooth=[(SMOOTH,), (np.array([0.0, -0.0, 1.0]),)],
            tolerance=16,
            label=f"power {n}",
        )
        for n in (0, 1, 2, 3, 4.0)
    ),
    binary("hypot", [PAIRS, (SMOOTH, SMOOTH_2), (POSITIVE, POSITIVE[::-1])], SMOOTH_PAIRS),
    unary("exp", [AWKWARD, integers("int8")], SMOOTH),
    unary("exp2", [AWKWARD], SMOOTH),
    unary("expm1", [AWKWARD], SMOOTH),
    unary("log", [AWKWARD, POSITIVE, integers("uint8"), integers("int32")], ABOVE_0),
    unary("log2", [AWKWARD, POSITIVE], ABOVE_0),
    unary("log10", [AWKWARD, POSITIVE], ABOVE_0),
    unary("log1p", [AWKWARD, POSITIVE, UNIT], ABOVE_0 - 0.9),
    Row(
        "log1mexp",
        log1mexp,
        by_mpmath(
            lambda x: mpmath.log1p(-mpmath.exp(x)) if x < -1 else mpmath.log(-mpmath.expm1(x))
        ),
        [(np.array([0.0, -1e-40, -1e-8, -0.3, -0.69, -0.7, -1.0, -20.0, -80.0, -800.0]),)],
        smooth=[(-ABOVE_0,)],
    ),
    unary("sin", [AWKWARD], SMOOTH),
    unary("cos", [AWKWARD], SMOOTH),
    unary("tan", [AWKWARD], SMOOTH),
    Row(
        "one_minus_square",
        OPS["one_minus_square"],
        lambda x: (1 - x) * (1 + x),
        [(UNIT,), (AWKWARD,)],
        smooth=[(SMOOTH,)],
    ),
    unary("arcsin", [UNIT, AWKWARD], BELOW_1),
    unary("arccos", [UNIT, AWKWARD], BELOW_1),
    unary("arctan", [AWKWARD], SMOOTH),
    binary("arctan2", [PAIRS, ROW_AND_COLUMN], SMOOTH_PAIRS),
    unary("sinh", [AWKWARD], SMOOTH),
    unary("cosh", [AWKWARD], SMOOTH),
    unary("tanh", [AWKWARD, integers("int8")], SMOOTH),
    unary("arcsinh", [AWKWARD], SMOOTH),
    unary("arccosh", [AWKWARD, POSITIVE], ABOVE_0 + 1.0),
    unary("arctanh", [UNIT, AWKWARD], BELOW_1),
    unary("erf", [AWKWARD], SMOOTH, reference=by_mpmath(mpmath.erf)),
    unary("erfc", [AWKWARD], SMOOTH, reference=special.erfc),
    unary("erfinv", [UNIT], BELOW_1, reference=special.erfinv, tolerance=16),
    unary("gammaln", [AWKWARD, POSITIVE], ABOVE_0, reference=special.gammaln, tolerance=64),
    unary(
        "digamma",
        [np.array([0.3, 1.0, 2.5, 7.0, 30.0, 1e5, -0.5, -3.7])],
        ABOVE_0,
        reference=by_mpmath(mpmath.digamma),
        tolerance=32,
    ),
    *(
        Row(
            "polygamma",
            lambda x, n=n: sg.polygamma(n, x),
            by_mpmath(lambda x, n=n: mpmath.polygamma(n, x)),
            [(np.array([0.3, 1.0, 2.5, 7.0, 30.0]),)],
            smooth=[(ABOVE_0,)],
            tolerance=32,
            label=f"polygamma {n}",
        )
        for n in (1, 2)
    ),
]


def stable_sigmoid(x: Any) -> Any:
    """By mpmath's definition, at 40 digits."""
    return 1 / (1 + mpmath.exp(-x))


# sigmoid(-90) is a subnormal float32, which is given as 0.
NOT_90 = AWKWARD[np.abs(AWKWARD) != 90.0]
FINITE = AWKWARD[np.isfinite(AWKWARD)]
LARGE = np.array([1000.0, -1000.0, 89.0, -89.0, 745.0, -745.0, 0.0])

ACTIVATIONS = [
    Row(
        "sigmoid",
        sg.sigmoid,
        special.expit,
        [(NOT_90,), (np.array([1000.0, -1000.0, 80.0, -80.0]),)],
        smooth=[(SMOOTH,), (LARGE,)],
    ),
    Row(
        "sigmoid",
        sg.sigmoid,
        by_mpmath(stable_sigmoid),
        [(np.array([-80.0, -10.0, -1e-3, 0.0, 1e-3, 10.0, 80.0]),)],
        label="sigmoid by mpmath",
    ),
    Row(
        "softplus",
        sg.softplus,
        lambda x: np.logaddexp(x, x.dtype.type(0)),
        [(AWKWARD,)],
        smooth=[(SMOOTH,), (LARGE,)],
    ),
    Row(
        "softplus",
        sg.log_sigmoid,
        by_mpmath(lambda x: -mpmath.log1p(mpmath.exp(-x))),
        [(FINITE,)],
        smooth=[(SMOOTH,), (LARGE,)],
        label="log_sigmoid",
    ),
    Row(
        "relu",
        sg.relu,
        lambda x: np.maximum(x, 0),
        [(AWKWARD,), *[(x,) for x in ALL_INTEGERS]],
        smooth=[(SMOOTH,)],
    ),
    binary("logaddexp", [PAIRS, ROW_AND_COLUMN], SMOOTH_PAIRS),
]

COMPARISONS = [
    *(
        binary(name, [*NUMBER_PAIRS, BOOL_PAIR], None, errors=[(("a", 1.0), sg.SymgraphTypeError)])
        for name in ("equal", "not_equal", "less", "less_equal", "greater", "greater_equal")
    ),
    *(
        unary(name, [AWKWARD, np.array([1, 2]), BOOLS], None)
        for name in ("isnan", "isinf", "isfinite")
    ),
    *(
        binary(
            name,
            [*ALL_INTEGER_PAIRS, BOOL_PAIR, (np.array([1, 2], "int8"), np.array([7, 8], "int64"))],
            None,
            errors=[((SMOOTH, SMOOTH_2), sg.DtypeError)],
        )
        for name in ("bitwise_and", "bitwise_or", "bitwise_xor")
    ),
    unary("invert", [*ALL_INTEGERS, BOOLS], None, errors=[((SMOOTH,), sg.DtypeError)]),
    *(
        binary(
            name,
            [
                (integers(dtype)[:, None], np.array([[0, 1, 3, 7, 8, 31, 63]], dtype))
                for dtype in INTEGERS
            ],
            None,
            errors=[((BOOLS, BOOLS), sg.DtypeError), ((SMOOTH, SMOOTH_2), sg.DtypeError)],
        )
        for name in ("left_shift", "right_shift")
    ),
    *(
        Row(
            op,
            getattr(sg, name),
            getattr(np, name),
            [(PAIRS[0], PAIRS[1]), BOOL_PAIR, (np.array([0, 3]), np.array([0.0, 0.5]))],
            differentiable=False,
            label=name,
        )
        for op, name in (
            ("bitwise_and", "logical_and"),
            ("bitwise_or", "logical_or"),
            ("bitwise_xor", "logical_xor"),
        )
    ),
    Row(
        "invert",
        sg.logical_not,
        np.logical_not,
        [(AWKWARD,), (BOOLS,), (np.array([0, 3]),)],
        differentiable=False,
        label="logical_not",
    ),
]

# Functions that are made of other ops, held against references all the same.
COMPOSED = [
    Row(
        "where",
        sg.leaky_relu,
        lambda x: np.where(x > 0, x, x * x.dtype.type(0.01)),
        [(AWKWARD,)],
        smooth=[(SMOOTH,)],
        label="leaky_relu",
    ),
    Row(
        "where",
        sg.elu,
        lambda x: np.where(x > 0, x, np.expm1(x)),
        [(AWKWARD,)],
        smooth=[(SMOOTH,), (np.array([800.0, -800.0, 0.4]),)],
        label="elu",
    ),
    Row(
        "multiply",
        sg.silu,
        lambda x: x * special.expit(x),
        [(NOT_90[np.isfinite(NOT_90)],)],
        smooth=[(SMOOTH,)],
        label="silu",
    ),
    Row(
        "multiply",
        sg.gelu,
        lambda x: 0.5 * x * special.erfc(x * -math.sqrt(0.5)),
        [(np.clip(FINITE, -5, 100),)],
        smooth=[(SMOOTH,)],
        tolerance=64,
        label="gelu",
    ),
    Row(
        "multiply",
        lambda x: sg.gelu(x, approximate="tanh"),
        lambda x: 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
        [(SMOOTH,)],
        smooth=[(SMOOTH,)],
        tolerance=64,
        label="gelu by tanh",
    ),
    Row(
        "where",
        sg.nan_to_num,
        np.nan_to_num,
        [(AWKWARD,)],
        ("float64",),
        differentiable=False,
        label="nan_to_num",
    ),
    Row(
        "rint",
        lambda x: sg.round(x, 1),
        lambda x: np.round(x, 1),
        [(SMOOTH * 10,)],
        differentiable=False,
        label="round",
    ),
    Row(
        "rint",
        lambda x: sg.round(x, -1),
        lambda x: np.round(x, -1),
        [(SMOOTH * 100,)],
        differentiable=False,
        label="round tens",
    ),
    Row("multiply", sg.deg2rad, np.deg2rad, [(AWKWARD,)], smooth=[(SMOOTH,)], label="deg2rad"),
    Row("multiply", sg.rad2deg, np.rad2deg, [(AWKWARD,)], smooth=[(SMOOTH,)], label="rad2deg"),
]

# The identity; what they do to gradients is tested in ``test_gradient_ops.py``.
IDENTITIES = [
    Row("stop_gradient", sg.stop_gradient, np.copy, [(AWKWARD,), (BOOLS,)], differentiable=False),
    Row(
        "clip_gradient",
        lambda x: sg.clip_gradient(x, -1.0, 1.0),
        np.copy,
        [(AWKWARD,)],
        differentiable=False,
    ),
]

ROWS: list[Row] = [*ARITHMETIC, *TRANSCENDENTAL, *ACTIVATIONS, *COMPARISONS, *COMPOSED, *IDENTITIES]
