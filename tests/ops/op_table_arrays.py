"""Rows of the op table: shapes, indices, products, sorting."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from op_row import Row
from op_table_conv import ROWS as CONV_AND_RANDOM

import symgraph as sg

__all__ = ["ROWS"]

_generator = np.random.default_rng(7)
CUBE = _generator.normal(size=(3, 2, 4))
MATRIX = _generator.normal(size=(3, 4))
OTHER = _generator.normal(size=(4, 5))
SQUARE = _generator.normal(size=(3, 3))
VECTOR = np.array([0.5, -1.5, 2.0, 0.25])
EMPTY = np.zeros((0, 3))
COUNTS = np.arange(12).reshape(3, 4)
MASK = np.array([[True, False, True, True], [False, False, True, False], [True] * 4])
PLACES = np.array([2, 0, -1, 0])
COLUMNS = np.array([1, -4, 3, 3])
NAN_AND_TIES = np.array([[2.0, np.nan, 2.0, -np.inf], [0.0, -0.0, 1.0, 0.0]])


def floats(samples: Sequence[tuple]) -> list[tuple]:
    """The samples that have a gradient."""
    return [sample for sample in samples if np.asarray(sample[0]).dtype.kind == "f"]


def alike(
    op: str, call: Callable[..., Any], samples: Sequence[tuple], label: str, **options: Any
) -> Row:
    """A row for what is written alike for variables and for arrays."""
    return Row(op, call, call, samples, label=label, smooth=floats(samples), **options)


def by_name(op: str, name: str, *arguments: Any, **options: Any) -> Row:
    """A row for a function of one array that NumPy knows by the same name."""
    samples = [(x,) for x in options.pop("samples", [CUBE, COUNTS.reshape(2, 3, 2)])]
    keywords = options.pop("keywords", {})
    options.setdefault("smooth", floats(samples))
    return Row(
        op,
        lambda x: getattr(sg, name)(x, *arguments, **keywords),
        lambda x: getattr(np, name)(x, *arguments, **keywords),
        samples,
        label=" ".join(map(str, (name, *arguments, *keywords.values()))),
        **options,
    )


SHAPES = [
    by_name(
        "reshape",
        "reshape",
        (4, 6),
        samples=[CUBE, np.arange(24)],
        errors=[((MATRIX,), sg.ShapeError)],
    ),
    by_name("reshape", "reshape", (-1, 2), errors=[((np.ones(3),), sg.ShapeError)]),
    by_name("reshape", "reshape", -1, samples=[CUBE, np.zeros((2, 0))]),
    by_name("reshape", "ravel"),
    alike("reshape", lambda x: x.reshape(x.shape[0], -1), [(CUBE,)], "reshape, sizes of x"),
    alike("rearrange", lambda x: x.T, [(CUBE,), (MATRIX,)], "T"),
    by_name("rearrange", "transpose", (1, 2, 0), errors=[((MATRIX,), sg.ShapeError)]),
    by_name("rearrange", "swapaxes", 0, -1),
    by_name("rearrange", "moveaxis", (0, 1), (-1, 0)),
    by_name("rearrange", "expand_dims", 1, errors=[((np.ones(()),), sg.ShapeError)]),
    by_name("rearrange", "expand_dims", (0, -1)),
    by_name("rearrange", "squeeze", samples=[np.ones((1, 3, 1))]),
    by_name(
        "rearrange",
        "squeeze",
        -1,
        samples=[np.ones((1, 3, 1))],
        errors=[((MATRIX,), sg.ShapeError), ((np.ones(()),), sg.ShapeError)],
    ),
    by_name(
        "broadcast_to",
        "broadcast_to",
        (2, 3, 4),
        samples=[np.ones((3, 1)), VECTOR, np.float64(2)],
        errors=[((np.ones(3),), sg.ShapeError), ((np.ones((1, 2, 3, 4)),), sg.ShapeError)],
    ),
    by_name("slice", "flip"),
    by_name("slice", "flip", (0, -1)),
    *(
        by_name("concatenate", "roll", shift, axis)
        for shift, axis in ((1, 0), (-5, 2), (2, None), ((1, -1), (0, 2)))
    ),
    by_name("reshape", "repeat", 3, samples=[VECTOR]),
    by_name("reshape", "repeat", 2, 1),
    by_name("reshape", "tile", (2, 1, 3)),
    by_name("reshape", "tile", 2, samples=[MATRIX]),
    by_name("concatenate", "pad", 1),
    by_name("concatenate", "pad", (2, 0), keywords={"mode": "edge"}),
    by_name("concatenate", "pad", ((1, 0), (0, 0), (2, 1)), keywords={"constant_values": 7}),
    by_name("slice", "split", 2, keywords={"axis": 2}, samples=[CUBE]),
    by_name("slice", "split", [1, 3], keywords={"axis": -1}, samples=[CUBE]),
    *(
        Row(
            "concatenate",
            lambda *parts, name=name, axis=axis: getattr(sg, name)(parts, axis),
            lambda *parts, name=name, axis=axis: getattr(np, name)(parts, axis),
            [(MATRIX, MATRIX + 1), (MATRIX, COUNTS), (COUNTS, MASK)],
            label=f"{name} {axis}",
            smooth=[(MATRIX, MATRIX + 1)],
            errors=[((MATRIX, CUBE), sg.ShapeError), ((MATRIX, SQUARE[:2]), sg.ShapeError)],
        )
        for name in ("concatenate", "stack")
        for axis in (0, -1)
    ),
]

CREATED = [
    Row(
        "iota", lambda x: x + sg.arange(4), lambda x: x + np.arange(4), [(VECTOR,)], label="arange"
    ),
    Row(
        "iota",
        lambda n: sg.arange(n),
        lambda n: np.arange(n),
        [(np.int64(5),), (np.int64(-2),)],
        label="arange, symbolic",
        differentiable=False,
    ),
    *(
        Row(
            "iota",
            lambda a, b, step=step: sg.arange(a, b, step),
            lambda a, b, step=step: np.arange(a, b, step),
            [(np.int64(3), np.int64(12)), (np.int64(12), np.int64(3)), (np.int64(2), np.int64(2))],
            label=f"arange by {step}",
            differentiable=False,
        )
        for step in (1, 3, -2)
    ),
    by_name("where", "tril", samples=[MATRIX, CUBE], errors=[((VECTOR,), sg.ShapeError)]),
    by_name("where", "triu", -1, samples=[MATRIX, CUBE]),
    Row(
        "iota",
        lambda n: sg.eye(n, 4, 1, "int32"),
        lambda n: np.eye(n, 4, 1, "int32"),
        [(np.int64(3),)],
        label="eye",
        differentiable=False,
    ),
    Row(
        "iota",
        lambda x: sg.one_hot(x, 4),
        lambda x: np.eye(5, dtype=np.float32)[x][..., :4],
        [(np.array([[3, 0, 4]]),)],
        label="one_hot",
        differentiable=False,
        errors=[((VECTOR,), sg.DtypeError)],
    ),
    Row(
        "iota",
        lambda a, b: sg.linspace(a, b, 5),
        lambda a, b: np.linspace(a, b, 5, dtype=a.dtype),
        [(np.float64(-1), np.float64(3))],
        label="linspace",
    ),
]

INDICES: list[tuple[str, Callable[[Any], Any], list[tuple]]] = [
    ("slice", lambda x: x[1:], [(CUBE,), (COUNTS,), (EMPTY,)]),
    ("slice", lambda x: x[..., -3:-1], [(CUBE,), (COUNTS,)]),
    ("slice", lambda x: x[::-2, 0], [(CUBE,), (COUNTS,)]),
    ("slice", lambda x: x[1, :, None, 2:0:-1], [(CUBE,)]),
    ("slice", lambda x: x[-1, -1], [(CUBE,), (MATRIX,)]),
    ("gather", lambda x: x[PLACES], [(CUBE,), (COUNTS,)]),
    ("gather", lambda x: x[:, [[1, 0], [0, 1]]], [(CUBE,), (COUNTS,)]),
    ("gather", lambda x: x[PLACES, COLUMNS], [(MATRIX,), (COUNTS,)]),
    ("gather", lambda x: x[PLACES, :, COLUMNS], [(CUBE,)]),
    ("gather", lambda x: x[0, :, COLUMNS], [(CUBE,)]),
    ("gather", lambda x: x[None, PLACES, None, 1:], [(CUBE,)]),
    ("gather", lambda x: x[MASK], [(MATRIX,)]),
    ("gather", lambda x: x[np.array([True, False, True])], [(CUBE,), (COUNTS,)]),
    ("flat_nonzero", lambda x: x[x > 0], [(CUBE,)]),
]
INDEXING = [
    *(alike(op, call, samples, f"index {i}") for i, (op, call, samples) in enumerate(INDICES)),
    Row(
        "slice",
        lambda x, i: x[i],
        lambda x, i: x[i],
        [(CUBE, np.int64(-2)), (CUBE, np.uint8(1))],
        label="element, symbolic",
    ),
    *(
        alike("slice", call, [(VECTOR, np.int64(i)) for i in (0, 2, 4, 7, -1, -3, -9)], label)
        for label, call in {
            "from, symbolic": lambda x, i: x[i:],
            "to, symbolic": lambda x, i: x[:i],
            "backwards from, symbolic": lambda x, i: x[i::-1],
            "backwards to, symbolic": lambda x, i: x[:i:-2],
        }.items()
    ),
    alike("gather", lambda x, i: x[:, i], [(MATRIX, COLUMNS)], "array, symbolic"),
    Row(
        "gather",
        lambda x, i: sg.take(x, i, axis=1),
        lambda x, i: np.take(x, i, axis=1),
        [(MATRIX, COLUMNS), (MATRIX, np.zeros((0, 2), int))],
        errors=[((MATRIX, np.array([4])), sg.IndexRangeError), ((MATRIX, VECTOR), sg.DtypeError)],
        label="take",
    ),
    *(
        Row(
            "gather",
            lambda x, i, mode=mode: sg.take(x, i, mode=mode),
            lambda x, i, mode=mode: np.take(x, i, mode=mode),
            [(MATRIX, np.array([5, -20, 17]))],
            label=f"take {mode}",
        )
        for mode in ("clip", "wrap")
    ),
    Row(
        "gather",
        lambda x, i: sg.take_along_axis(x, i, 1),
        lambda x, i: np.take_along_axis(x, i, 1),
        [(MATRIX, np.array([[1, 1], [0, -1], [3, 2]]))],
        errors=[((MATRIX, COLUMNS), sg.ShapeError)],
        label="take_along_axis",
    ),
    *(
        Row(
            "in_range",
            lambda i, n, dtype=dtype: sg.in_range(i.astype(dtype), n, "place"),
            lambda i, n, dtype=dtype: i.astype(dtype),
            [(np.array([[0, 2], [1, 2]]), np.int64(3)), (np.zeros((0, 2), int), np.int64(0))],
            differentiable=False,
            label=dtype,
        )
        for dtype in ("int8", "uint64", "uint16")
    ),
    Row(
        "in_range",
        sg.in_range,
        lambda i, n: i,
        [(np.array([4, 0]), np.int64(5))],
        differentiable=False,
        errors=[
            ((np.array([0, 5, -1]), np.int64(5)), sg.IndexRangeError),
            ((np.array([4, -1]), np.int64(5)), sg.IndexRangeError),
            ((np.array(0), np.int64(0)), sg.IndexRangeError),
            ((np.array([0]), np.array([3])), sg.ShapeError),
            ((VECTOR, np.int64(5)), sg.DtypeError),
        ],
    ),
    Row(
        "flat_nonzero",
        sg.nonzero,
        np.nonzero,
        [(MASK,), (COUNTS,), (VECTOR,), (EMPTY,)],
        label="nonzero",
        differentiable=False,
    ),
    by_name("gather", "diagonal", samples=[MATRIX, CUBE, COUNTS]),
    by_name("gather", "diagonal", -1, 2, 0, samples=[CUBE]),
    by_name("gather", "trace", 1, samples=[MATRIX, CUBE]),
    by_name("scatter_set", "diag", -2, samples=[VECTOR]),
    by_name("gather", "diag", 1, samples=[MATRIX], errors=[((CUBE,), sg.ShapeError)]),
]


def changed(index: Any, adding: bool) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """The reference for ``set`` and ``add_at``."""

    def reference(x: np.ndarray, value: np.ndarray) -> np.ndarray:
        result = x.copy()
        if adding:
            np.add.at(result, index, np.broadcast_to(value, x[index].shape).copy())
        else:
            result[index] = value
        return result

    return reference


def changes(index: Any, parts: list[Any], op: str) -> list[Row]:
    """Rows for the value(s) stored in, and added to, a part of a matrix."""
    samples = [(MATRIX, part) for part in parts] + [(COUNTS, np.asarray(parts[0]).astype(int))]
    misfits = [((MATRIX, np.ones((7, 7))), sg.ShapeError), ((COUNTS, VECTOR[:1]), sg.DtypeError)]
    return [
        Row(
            "set_slice" if op == "slice" else "scatter_set",
            lambda x, v: x.set(index, v),
            changed(index, False),
            samples,
            smooth=floats(samples),
            label=f"set {index}",
            errors=misfits,
        ),
        Row(
            "add_slice" if op == "slice" else "scatter_add",
            lambda x, v: x.add_at(index, v),
            changed(index, True),
            samples,
            smooth=floats(samples),
            label=f"add_at {index}",
            errors=misfits,
        ),
    ]


CHANGED = [
    *changes(slice(1, None), [MATRIX[1:] * 2, VECTOR, np.float64(3)], "slice"),
    *changes((slice(None), 2), [np.array([1.0, 2.0, 3.0]), np.float64(4)], "slice"),
    *changes((..., slice(None, None, -2)), [np.array([[7.0, 8.0]])], "slice"),
    *changes(PLACES, [_generator.normal(size=(4, 4)), VECTOR, np.float64(3)], "gather"),
    *changes((slice(None), COLUMNS), [_generator.normal(size=(3, 4)), VECTOR], "gather"),
    *changes((PLACES, COLUMNS), [VECTOR, np.float64(2)], "gather"),
    *changes((slice(1, None), None, COLUMNS), [_generator.normal(size=(2, 1, 4))], "gather"),
    *changes(MASK, [np.arange(8.0), np.float64(-1)], "gather"),
]

PRODUCTS = [
    *(
        Row(
            "matmul",
            getattr(sg, name),
            getattr(np, name),
            samples,
            tolerance=50,
            absolute=20,
            label=name,
            errors=[((MATRIX, MATRIX), sg.ShapeError)],
            smooth=floats(samples),
        )
        for name, samples in {
            "matmul": [
                (MATRIX, OTHER),
                (COUNTS, COUNTS.T),
                (VECTOR, OTHER),
                (MATRIX, VECTOR),
                (VECTOR, VECTOR),
                (CUBE, OTHER),
                (MATRIX, np.ones((2, 4, 2))),
                (np.ones((2, 1, 3, 2)), np.ones((4, 2, 1))),
                (EMPTY, SQUARE),
                (EMPTY.T, EMPTY),
                (MASK, MASK.T),
                (COUNTS, OTHER),
            ],
            "dot": [(MATRIX, OTHER), (CUBE, OTHER), (OTHER.T, np.ones((2, 4, 3)))],
        }.items()
    ),
    Row("multiply", sg.dot, np.dot, [(np.float64(2), MATRIX)], label="dot, scalar"),
    Row(
        "matmul",
        sg.inner,
        np.inner,
        [(MATRIX, SQUARE.repeat(2, 1)[:, :4]), (VECTOR, VECTOR)],
        tolerance=50,
        absolute=20,
        label="inner",
    ),
    Row("matmul", sg.vdot, np.vdot, [(MATRIX, MATRIX)], tolerance=50, label="vdot"),
    Row(
        "multiply",
        sg.outer,
        np.outer,
        [(VECTOR, SQUARE), (COUNTS, COUNTS)],
        label="outer",
        smooth=[(VECTOR, SQUARE)],
    ),
    *(
        Row(
            "matmul" if axes else "multiply",
            lambda x, y, axes=axes: sg.tensordot(x, y, axes),
            lambda x, y, axes=axes: np.tensordot(x, y, axes),
            [(x, y)],
            tolerance=50,
            absolute=20,
            label=f"tensordot {axes}",
        )
        for axes, x, y in (
            (1, CUBE, OTHER),
            (2, CUBE, CUBE.transpose(1, 2, 0)),
            (0, VECTOR, SQUARE),
            (([0, 2], [1, 0]), CUBE, np.ones((4, 3, 2))),
            ((-1, 0), MATRIX, OTHER),
        )
    ),
    *(
        Row(
            op,
            lambda *x, text=text: sg.einsum(text, *x),
            lambda *x, text=text: np.einsum(text, *x),
            [arrays],
            tolerance=50,
            absolute=20,
            label=text,
            smooth=floats([arrays]),
        )
        for op, text, arrays in (
            ("matmul", "ij,jk->ik", (MATRIX, OTHER)),
            ("matmul", "ij,jk", (MATRIX, OTHER)),
            ("matmul", "...i,ij->...j", (CUBE, OTHER)),
            ("multiply", "i,j->ji", (VECTOR, VECTOR)),
            ("gather", "ii->i", (SQUARE,)),
            ("gather", "ii", (SQUARE,)),
            ("sum", "ijk->k", (CUBE,)),
            ("rearrange", "kij->jik", (CUBE,)),
            ("matmul", "bij,bjk->bik", (CUBE, CUBE.mT)),
            ("matmul", "abc,abd->cd", (CUBE, CUBE)),
            ("matmul", "ij,jk,kl->il", (MATRIX, OTHER, OTHER.T)),
            ("matmul", "i,ij,j->", (np.ones(3), MATRIX, VECTOR)),
            ("multiply", "ij,ij->ij", (MATRIX, MATRIX)),
            ("matmul", "ij,ij->i", (MATRIX, MATRIX)),
            ("sum", "ij,k->k", (MATRIX, VECTOR)),
            ("matmul", "iij,jk->ik", (np.ones((3, 3, 4)), OTHER)),
            ("matmul", "ij,jk->k", (COUNTS, COUNTS.T)),
        )
    ),
]

SORTED = [
    *(
        by_name("sort", "sort", axis, samples=[NAN_AND_TIES, COUNTS[::-1], CUBE], smooth=[(CUBE,)])
        for axis in (-1, 0, None)
    ),
    *(
        Row(
            "argsort",
            lambda x, axis=axis: sg.argsort(x, axis),
            lambda x, axis=axis: np.argsort(x, axis, kind="stable"),
            [(NAN_AND_TIES,), (COUNTS[::-1],), (MASK,)],
            label=f"argsort {axis}",
            differentiable=False,
            errors=[] if axis is None else [((np.float64(1),), sg.ShapeError)],
        )
        for axis in (-1, 0, None)
    ),
    *(
        Row(
            "searchsorted",
            lambda x, v, side=side: sg.searchsorted(x, v, side),
            lambda x, v, side=side: np.searchsorted(x, v, side),
            [
                (np.arange(5.0), MATRIX * 3),
                (np.array([1, 1, 2]), np.array([0, 1, 2, 3])),
                (np.arange(3.0), np.float64(1)),
            ],
            label=f"searchsorted {side}",
            differentiable=False,
            errors=[((MATRIX, VECTOR), sg.ShapeError)],
        )
        for side in ("left", "right")
    ),
]

ROWS = [*SHAPES, *CREATED, *INDEXING, *CHANGED, *PRODUCTS, *SORTED, *CONV_AND_RANDOM]
