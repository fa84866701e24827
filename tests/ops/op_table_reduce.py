"""Rows of the op table: reductions, running sums and products, softmax."""

from __future__ import annotations

from typing import Any

import numpy as np
from op_row import Row
from scipy import special

import symgraph as sg
from symgraph.core.op import OPS
from symgraph.core.variable import node

__all__ = ["ROWS"]

_generator = np.random.default_rng(1)
CUBE = _generator.normal(size=(3, 2, 4))
MATRIX = np.array([[0.5, -1.5, 2.0], [0.25, 3.0, -0.75]])
AWKWARD = np.array(
    [[0.0, -0.0, 1.0], [np.inf, 2.0, 1.0], [np.nan, 5.0, -1.0], [-np.inf, 0.0, 1e-40]]
)
INTEGERS = [np.array([[100, 100, 3], [-7, 0, 100]], dtype) for dtype in ("int8", "int32", "int64")]
INTEGERS += [np.array([[200, 100, 3], [7, 0, 255]], dtype) for dtype in ("uint8", "uint64")]
BOOLS = np.array([[True, False, True], [True, True, True], [False, False, False]])
EMPTY = np.zeros((0, 3))
EMPTY_ROWS = np.zeros((3, 0))
ZEROS = np.array([[0.0, 2.0, 3.0], [0.0, 0.0, 4.0], [1.5, -2.0, 0.5]])

AXES: tuple[Any, ...] = (None, 0, -1, (0, 1))


def errors(axis: Any, nothing: bool) -> list[tuple]:
    """Axes that are not there; and, where a reduction over nothing is an error, nothing."""
    found: list[tuple] = [] if axis != 0 else [((np.float64(1.0),), sg.ShapeError)]
    if nothing:
        found.append(((EMPTY_ROWS if axis == -1 else EMPTY,), sg.ShapeError))
    return found


def reduction(name: str, samples: list[np.ndarray], **options: Any) -> list[Row]:
    """Rows for every kind of axis, for a function that NumPy knows by the same name."""
    op = options.pop("op", name)
    ours, theirs = getattr(sg, name), options.pop("reference", getattr(np, name, None))
    smooth, nothing = options.pop("smooth", [CUBE]), options.pop("nothing", False)
    return [
        Row(
            op,
            lambda x, axis=axis, keep=keep: ours(x, axis=axis, keepdims=keep),
            lambda x, axis=axis, keep=keep: theirs(x, axis=axis, keepdims=keep),
            samples=[(sample,) for sample in samples],
            smooth=[(sample,) for sample in smooth],
            label=f"{name} {axis}{' keepdims' if keep else ''}",
            errors=errors(axis, nothing),
            **options,
        )
        for axis in AXES
        for keep in (False, True)
    ]


def single(
    name: str, samples: list[np.ndarray], axes: tuple[Any, ...], **options: Any
) -> list[Row]:
    """Rows for functions that take one axis and have no ``keepdims``."""
    ours, theirs = getattr(sg, name), options.pop("reference", getattr(np, name, None))
    smooth = options.pop("smooth", [CUBE])
    return [
        Row(
            name,
            lambda x, axis=axis: ours(x, axis=axis),
            lambda x, axis=axis: theirs(x, axis=axis),
            samples=[(sample,) for sample in samples],
            smooth=[(sample,) for sample in smooth],
            label=f"{name} {axis}",
            **options,
        )
        for axis in axes
    ]


def logsumexp(x: np.ndarray, axis: Any, keepdims: bool) -> np.ndarray:
    dtype = np.result_type(x.dtype, np.float32 if x.dtype == np.float32 else np.float64)
    return np.asarray(special.logsumexp(x, axis=axis, keepdims=keepdims), dtype)


NUMBERS = [CUBE, MATRIX, AWKWARD, np.ones((1, 1)), *INTEGERS]
LARGE = np.array([[1000.0, 1001.0, -1000.0], [-1000.0, -1001.0, -999.0]])
INFINITE = np.array([[-np.inf, 0.0, 1.0], [-np.inf, -np.inf, -np.inf], [1.0, np.nan, 0.0]])

SUMS = [
    *reduction("sum", [*NUMBERS, BOOLS, EMPTY, EMPTY_ROWS], tolerance=32),
    *reduction("mean", [*NUMBERS, BOOLS, EMPTY, EMPTY_ROWS], op="sum", tolerance=32),
    *reduction("var", [CUBE, MATRIX, AWKWARD, *INTEGERS, BOOLS], op="sum", tolerance=32),
    *reduction("std", [CUBE, MATRIX, AWKWARD, *INTEGERS, BOOLS], op="sum", tolerance=32),
    *reduction("count_nonzero", [*NUMBERS, BOOLS, EMPTY], op="sum", differentiable=False),
    *(
        Row(
            "sum",
            lambda x, f=f, ddof=ddof: getattr(sg, f)(x, axis=1, ddof=ddof),
            lambda x, f=f, ddof=ddof: getattr(np, f)(x, axis=1, ddof=ddof),
            [(MATRIX,), (CUBE,), (np.ones((3, 1)),)],
            smooth=[(MATRIX,)],
            tolerance=32,
            label=f"{f} ddof {ddof}",
        )
        for f in ("var", "std")
        for ddof in (1, 2)
    ),
    Row(
        "sum",
        lambda x: sg.sum(x, dtype="int8"),
        lambda x: np.sum(x, dtype="int8"),
        [(x,) for x in INTEGERS],
        differentiable=False,
        label="sum as int8",
    ),
]

EXTREMES = [
    *reduction("max", [*NUMBERS, BOOLS], nothing=True),
    *reduction("min", [*NUMBERS, BOOLS], nothing=True),
    *single(
        "argmax",
        [*NUMBERS, BOOLS],
        (None, 0, -1),
        differentiable=False,
        errors=[((np.zeros((0, 0)),), sg.ShapeError)],
    ),
    *single(
        "argmin",
        [*NUMBERS, BOOLS],
        (None, 0, -1),
        differentiable=False,
        errors=[((np.zeros((0, 0)),), sg.ShapeError)],
    ),
    *reduction("any", [*NUMBERS, BOOLS, EMPTY], differentiable=False),
    *reduction("all", [*NUMBERS, BOOLS, EMPTY], differentiable=False),
]

PRODUCTS = [
    *reduction("prod", [*NUMBERS, BOOLS, EMPTY, ZEROS], smooth=[MATRIX, ZEROS], tolerance=32),
    *single("cumsum", [*NUMBERS, BOOLS, EMPTY], (None, 0, -1), tolerance=32, absolute=8),
    *single(
        "cumprod", [*NUMBERS, BOOLS, EMPTY], (None, 0, -1), smooth=[MATRIX, ZEROS], tolerance=32
    ),
]

SOFTMAX = [
    *reduction(
        "logsumexp",
        [CUBE, LARGE, INFINITE, np.array([[1, 2], [3, 4]])],
        nothing=True,
        reference=logsumexp,
        smooth=[CUBE, LARGE],
        tolerance=16,
    ),
    *single(
        "softmax",
        [CUBE, LARGE, INFINITE],
        (None, 0, -1, (0, 1)),
        reference=special.softmax,
        smooth=[CUBE, LARGE],
        tolerance=16,
    ),
    *single(
        "log_softmax",
        [CUBE, LARGE, INFINITE],
        (None, 0, -1, (0, 1)),
        reference=special.log_softmax,
        smooth=[CUBE, LARGE],
        tolerance=16,
        absolute=8,
    ),
]


def recurrence(b: np.ndarray, a: np.ndarray) -> np.ndarray:
    """The recurrence as a loop over the second axis."""
    states = [b[:, 0]]
    for i in range(1, b.shape[1]):
        states.append(b[:, i] + a[:, i] * states[-1])
    return np.stack(states, axis=1)


RECURRENCE = Row(
    "linear_recurrence",
    lambda b, a: node(OPS["linear_recurrence"], (b, a), (1,)),
    recurrence,
    [(MATRIX, ZEROS[:2]), (np.ones((2, 1)), np.ones((2, 1)))],
    smooth=[(MATRIX, ZEROS[:2]), (CUBE[:, 0], CUBE[:, 1])],
)

ROWS: list[Row] = [*SUMS, *EXTREMES, *PRODUCTS, *SOFTMAX, RECURRENCE]
