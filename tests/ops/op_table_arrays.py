"""Rows of the op table: shapes, indices, products, sorting, convolutions, random numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from op_row import Row

import symgraph as sg

from symgraph.core.op import OPS
from symgraph.core.variable import node

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
    by_name("reshape", "reshape", (4, 6), samples=[CUBE, np.arange(24)],
            errors=[((MATRIX,), sg.ShapeError)]),
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
    by_name("rearrange", "squeeze", -1, samples=[np.ones((1, 3, 1))],
            errors=[((MATRIX,), sg.ShapeError), ((np.ones(()),), sg.ShapeError)]),
    by_name("broadcast_to", "broadcast_to", (2, 3, 4),
            samples=[np.ones((3, 1)), VECTOR, np.float64(2)],
            errors=[((np.ones(3),), sg.ShapeError), ((np.ones((1, 2, 3, 4)),), sg.ShapeError)]),
    by_name("slice", "flip"),
    by_name("slice", "flip", (0, -1)),
    *(by_name("concatenate", "roll", shift, axis)
      for shift, axis in ((1, 0), (-5, 2), (2, None), ((1, -1), (0, 2)))),
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
]  # fmt: skip

CREATED = [
    Row("iota", lambda x: x + sg.arange(4), lambda x: x + np.arange(4),
        [(VECTOR,)], label="arange"),
    Row("iota", lambda n: sg.arange(n), lambda n: np.arange(n), [(np.int64(5),), (np.int64(-2),)],
        label="arange, symbolic", differentiable=False),
    *(
        Row("iota", lambda a, b, step=step: sg.arange(a, b, step),
            lambda a, b, step=step: np.arange(a, b, step),
            [(np.int64(3), np.int64(12)), (np.int64(12), np.int64(3)), (np.int64(2), np.int64(2))],
            label=f"arange by {step}", differentiable=False)
        for step in (1, 3, -2)
    ),
    by_name("where", "tril", samples=[MATRIX, CUBE], errors=[((VECTOR,), sg.ShapeError)]),
    by_name("where", "triu", -1, samples=[MATRIX, CUBE]),
    Row("iota", lambda n: sg.eye(n, 4, 1, "int32"), lambda n: np.eye(n, 4, 1, "int32"),
        [(np.int64(3),)], label="eye", differentiable=False),
    Row("iota", lambda x: sg.one_hot(x, 4), lambda x: np.eye(5, dtype=np.float32)[x][..., :4],
        [(np.array([[3, 0, 4]]),)], label="one_hot", differentiable=False, errors=[((VECTOR,), sg.DtypeError)]),
    Row("iota", lambda a, b: sg.linspace(a, b, 5), lambda a, b: np.linspace(a, b, 5, dtype=a.dtype),
        [(np.float64(-1), np.float64(3))], label="linspace"),
]  # fmt: skip

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
    Row("slice", lambda x, i: x[i], lambda x, i: x[i], [(CUBE, np.int64(-2)), (CUBE, np.uint8(1))],
        label="element, symbolic"),
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
    Row("gather", lambda x, i: sg.take(x, i, axis=1), lambda x, i: np.take(x, i, axis=1),
        [(MATRIX, COLUMNS), (MATRIX, np.zeros((0, 2), int))],
        errors=[((MATRIX, np.array([4])), sg.IndexRangeError), ((MATRIX, VECTOR), sg.DtypeError)],
        label="take"),
    *(
        Row("gather", lambda x, i, mode=mode: sg.take(x, i, mode=mode),
            lambda x, i, mode=mode: np.take(x, i, mode=mode), [(MATRIX, np.array([5, -20, 17]))],
            label=f"take {mode}")
        for mode in ("clip", "wrap")
    ),
    Row("gather", lambda x, i: sg.take_along_axis(x, i, 1),
        lambda x, i: np.take_along_axis(x, i, 1), [(MATRIX, np.array([[1, 1], [0, -1], [3, 2]]))],
        errors=[((MATRIX, COLUMNS), sg.ShapeError)], label="take_along_axis"),
    Row("flat_nonzero", sg.nonzero, np.nonzero, [(MASK,), (COUNTS,), (VECTOR,), (EMPTY,)],
        label="nonzero", differentiable=False),
    by_name("gather", "diagonal", samples=[MATRIX, CUBE, COUNTS]),
    by_name("gather", "diagonal", -1, 2, 0, samples=[CUBE]),
    by_name("gather", "trace", 1, samples=[MATRIX, CUBE]),
    by_name("scatter_set", "diag", -2, samples=[VECTOR]),
    by_name("gather", "diag", 1, samples=[MATRIX], errors=[((CUBE,), sg.ShapeError)]),
]  # fmt: skip


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
        Row("set_slice" if op == "slice" else "scatter_set", lambda x, v: x.set(index, v),
            changed(index, False), samples, smooth=floats(samples), label=f"set {index}", errors=misfits),
        Row("add_slice" if op == "slice" else "scatter_add", lambda x, v: x.add_at(index, v),
            changed(index, True), samples, smooth=floats(samples), label=f"add_at {index}", errors=misfits),
    ]  # fmt: skip


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
        Row("matmul", getattr(sg, name), getattr(np, name), samples, tolerance=50, absolute=20,
            label=name, errors=[((MATRIX, MATRIX), sg.ShapeError)], smooth=floats(samples))
        for name, samples in {
            "matmul": [(MATRIX, OTHER), (COUNTS, COUNTS.T), (VECTOR, OTHER), (MATRIX, VECTOR),
                       (VECTOR, VECTOR), (CUBE, OTHER), (MATRIX, np.ones((2, 4, 2))),
                       (np.ones((2, 1, 3, 2)), np.ones((4, 2, 1))), (EMPTY, SQUARE),
                       (EMPTY.T, EMPTY), (MASK, MASK.T), (COUNTS, OTHER)],
            "dot": [(MATRIX, OTHER), (CUBE, OTHER), (OTHER.T, np.ones((2, 4, 3)))],
        }.items()
    ),
    Row("multiply", sg.dot, np.dot, [(np.float64(2), MATRIX)], label="dot, scalar"),
    Row("matmul", sg.inner, np.inner, [(MATRIX, SQUARE.repeat(2, 1)[:, :4]), (VECTOR, VECTOR)],
        tolerance=50, absolute=20, label="inner"),
    Row("matmul", sg.vdot, np.vdot, [(MATRIX, MATRIX)], tolerance=50, label="vdot"),
    Row("multiply", sg.outer, np.outer, [(VECTOR, SQUARE), (COUNTS, COUNTS)], label="outer",
        smooth=[(VECTOR, SQUARE)]),
    *(
        Row("matmul" if axes else "multiply", lambda x, y, axes=axes: sg.tensordot(x, y, axes),
            lambda x, y, axes=axes: np.tensordot(x, y, axes), [(x, y)], tolerance=50, absolute=20,
            label=f"tensordot {axes}")
        for axes, x, y in (
            (1, CUBE, OTHER), (2, CUBE, CUBE.transpose(1, 2, 0)), (0, VECTOR, SQUARE),
            (([0, 2], [1, 0]), CUBE, np.ones((4, 3, 2))), ((-1, 0), MATRIX, OTHER),
        )
    ),
    *(
        Row(op, lambda *x, text=text: sg.einsum(text, *x),
            lambda *x, text=text: np.einsum(text, *x), [arrays], tolerance=50, absolute=20,
            label=text, smooth=floats([arrays]))
        for op, text, arrays in (
            ("matmul", "ij,jk->ik", (MATRIX, OTHER)), ("matmul", "ij,jk", (MATRIX, OTHER)),
            ("matmul", "...i,ij->...j", (CUBE, OTHER)), ("multiply", "i,j->ji", (VECTOR, VECTOR)),
            ("gather", "ii->i", (SQUARE,)), ("gather", "ii", (SQUARE,)), ("sum", "ijk->k", (CUBE,)),
            ("rearrange", "kij->jik", (CUBE,)), ("matmul", "bij,bjk->bik", (CUBE, CUBE.mT)),
            ("matmul", "abc,abd->cd", (CUBE, CUBE)), ("matmul", "ij,jk,kl->il", (MATRIX, OTHER, OTHER.T)),
            ("matmul", "i,ij,j->", (np.ones(3), MATRIX, VECTOR)), ("multiply", "ij,ij->ij", (MATRIX, MATRIX)),
            ("matmul", "ij,ij->i", (MATRIX, MATRIX)), ("sum", "ij,k->k", (MATRIX, VECTOR)),
            ("matmul", "iij,jk->ik", (np.ones((3, 3, 4)), OTHER)), ("matmul", "ij,jk->k", (COUNTS, COUNTS.T)),
        )
    ),
]  # fmt: skip

SORTED = [
    *(
        by_name("sort", "sort", axis, samples=[NAN_AND_TIES, COUNTS[::-1], CUBE], smooth=[(CUBE,)])
        for axis in (-1, 0, None)
    ),
    *(
        Row("argsort", lambda x, axis=axis: sg.argsort(x, axis),
            lambda x, axis=axis: np.argsort(x, axis, kind="stable"),
            [(NAN_AND_TIES,), (COUNTS[::-1],), (MASK,)], label=f"argsort {axis}",
            differentiable=False, errors=[((np.float64(1),), sg.ShapeError)])
        for axis in (-1, 0, None)
    ),
    *(
        Row("searchsorted", lambda x, v, side=side: sg.searchsorted(x, v, side),
            lambda x, v, side=side: np.searchsorted(x, v, side), [(np.arange(5.0), MATRIX * 3),
            (np.array([1, 1, 2]), np.array([0, 1, 2, 3])), (np.arange(3.0), np.float64(1))],
            label=f"searchsorted {side}", differentiable=False,
            errors=[((MATRIX, VECTOR), sg.ShapeError)])
        for side in ("left", "right")
    ),
]  # fmt: skip


# --- convolutions, straight from their definition -----------------------------------------------


def convolved(
    x: np.ndarray, filters: np.ndarray, stride: int, margins: list, dilation: int, groups: int
) -> np.ndarray:
    """Every output as a sum over positions and channels."""
    n = x.ndim - 2
    x = np.pad(x, [(0, 0), *margins, (0, 0)])
    sizes, (channels, outputs) = filters.shape[:n], filters.shape[n:]
    counts = [
        (length - (size - 1) * dilation - 1) // stride + 1
        for length, size in zip(x.shape[1:-1], sizes, strict=True)
    ]
    result = np.zeros((len(x), *counts, outputs), np.result_type(x, filters))
    for place in np.ndindex(*counts):
        for offset in np.ndindex(*sizes):
            at = tuple(p * stride + o * dilation for p, o in zip(place, offset, strict=True))
            for j in range(outputs):
                first = j // (outputs // groups) * channels
                seen = x[(slice(None), *at, slice(first, first + channels))]
                result[(slice(None), *place, j)] += seen @ filters[(*offset, slice(None), j)]
    return result


def pooled(x: np.ndarray, size: int, stride: int, margin: int, mean: bool) -> np.ndarray:
    """The largest element, or the mean, under each window over two axes."""
    margins = [(0, 0), (margin, margin), (margin, margin), (0, 0)]
    wide = np.pad(x, margins, constant_values=np.nan)
    counts = [(length - size) // stride + 1 for length in wide.shape[1:3]]
    result = np.zeros((len(x), *counts, x.shape[-1]), x.dtype)
    for i, j in np.ndindex(*counts):
        part = wide[:, i * stride : i * stride + size, j * stride : j * stride + size]
        result[:, i, j] = (np.nanmean if mean else np.nanmax)(part, axis=(1, 2))
    return result


SIGNALS = _generator.normal(size=(2, 7, 4))
IMAGES = _generator.normal(size=(2, 5, 4, 2))


def windows_of(name: str, *inputs: Any, params: tuple) -> Any:
    return node(OPS[name], inputs, params)


CONVOLUTIONS = [
    *(
        Row("windows", lambda x, w, sizes=filters.shape, keywords=keywords: sg.conv1d(
                x, w.reshape(sizes), **keywords),
            lambda x, w, margins=margins, keywords=keywords: convolved(
                x, w, keywords.get("stride", 1), margins, keywords.get("dilation", 1),
                keywords.get("groups", 1)),
            [(SIGNALS, filters)], tolerance=50, absolute=50, label=f"conv1d {keywords}",
            errors=[((SIGNALS[:, :, :3], filters), sg.ShapeError),
                    ((MATRIX, filters), sg.ShapeError)])
        for filters, margins, keywords in (
            (np.ones((3, 4, 2)), [(0, 0)], {}),
            (_generator.normal(size=(3, 4, 5)), [(1, 1)], {"padding": "same", "stride": 2}),
            (_generator.normal(size=(2, 4, 3)), [(0, 1)], {"padding": "same"}),
            (_generator.normal(size=(3, 4, 1)), [(4, 0)], {"padding": "causal", "dilation": 2}),
            (_generator.normal(size=(2, 2, 6)), [(2, 2)], {"padding": 2, "groups": 2}),
            (_generator.normal(size=(1, 4, 3)), [(1, 0)], {"padding": (1, 0), "stride": 3}),
        )
    ),
    *(
        Row("windows", lambda x, w, sizes=filters.shape, keywords=keywords: sg.conv2d(
                x, w.reshape(sizes), **keywords),
            lambda x, w, margins=margins, keywords=keywords: convolved(
                x, w, keywords.get("stride", 1), margins, keywords.get("dilation", 1),
                keywords.get("groups", 1)),
            [(IMAGES, filters)], tolerance=50, absolute=50, label=f"conv2d {keywords}",
            errors=[((IMAGES[:, :1, :1], np.ones((9, 9, 2, 2))), sg.ShapeError)])
        for filters, margins, keywords in (
            (_generator.normal(size=(3, 2, 2, 3)), [(0, 0), (0, 0)], {}),
            (_generator.normal(size=(2, 3, 1, 4)), [(0, 1), (1, 1)], {"padding": "same", "groups": 2}),
            (_generator.normal(size=(2, 2, 2, 1)), [(1, 1), (0, 2)],
             {"padding": (1, (0, 2)), "stride": 2, "dilation": 2}),
        )
    ),
    *(
        Row("windows",
            lambda x, pool=pool, args=args: pool(x, args[0], stride=args[1], padding=args[2]),
            lambda x, mean=mean, args=args: pooled(x, *args, mean),
            [(IMAGES,)], tolerance=20, absolute=20, label=f"{'mean' if mean else 'max'} of windows {args}",
            errors=[((np.ones((1, 1, 1, 1)),), sg.ShapeError), ((VECTOR,), sg.ShapeError)])
        for pool, mean in ((sg.max_pool, False), (sg.average_pool, True))
        for args in ((2, 2, 0), (3, 1, 0), (4, 2, 1))
    ),
    Row("windows", lambda x: windows_of("windows", x, params=(1, 3, 2, 2)),
        lambda x: np.stack([x[:, [t, t + 2, t + 4]] for t in (0, 2)], 1), [(SIGNALS,)]),
    Row("overlap_add", lambda x: windows_of("overlap_add", x, params=((8,), 0, 3, 1)),
        lambda x: np.stack([x[0, 0], x[0, 1], 0 * x[0, 0], x[1, 0], x[1, 1], 0 * x[0, 0],
                            x[2, 0], x[2, 1]]), [(CUBE,)]),
]  # fmt: skip


# --- random numbers, by the numbers of Python ---------------------------------------------------


def threefry(key: Sequence[int], counter: Sequence[int]) -> tuple[int, int]:
    """Threefry-2x32 with 20 rounds, as the paper has it."""
    keys = (int(key[0]), int(key[1]), 0x1BD11BDA ^ int(key[0]) ^ int(key[1]))
    x, y = ((int(c) + k) % 2**32 for c, k in zip(counter, keys, strict=False))
    for i in range(20):
        turn = (13, 15, 26, 6, 17, 29, 16, 24)[i % 8]
        x = (x + y) % 2**32
        y = (y << turn | y >> (32 - turn)) % 2**32 ^ x
        if i % 4 == 3:
            step = i // 4 + 1
            x = (x + keys[step % 3]) % 2**32
            y = (y + keys[(step + 1) % 3] + step) % 2**32
    return x, y


def words(key: np.ndarray, count: int, domain: int) -> np.ndarray:
    found = [word for i in range((count + 1) // 2) for word in threefry(key, (domain, i))]
    return np.array(found[:count], np.uint32)


KEY = np.array([0xDEADBEEF, 42], np.uint32)
RANDOM = [
    Row("random_bits", sg.random.split, lambda k: words(k, 4, 1).reshape(2, 2), [(KEY,)],
        differentiable=False, errors=[((VECTOR,), sg.SymgraphTypeError)]),
    Row("random_bits", lambda k: sg.random.uniform(k, (5,)),
        lambda k: np.float32((words(k, 5, 0) >> 8) / 2**24), [(KEY,), (KEY * 0,)],
        differentiable=False, label="uniform"),
    Row("fold_in", lambda k, n: sg.random.fold_in(k, n),
        lambda k, n: np.array(threefry(k, (((int(n) >> 32) + 2) % 2**32, int(n) % 2**32)), np.uint32),
        [(KEY, np.int64(n)) for n in (0, 5, -1, 2**40 + 3)] + [(KEY, np.uint8(9))],
        differentiable=False),
]  # fmt: skip

ROWS = [*SHAPES, *CREATED, *INDEXING, *CHANGED, *PRODUCTS, *SORTED, *CONVOLUTIONS, *RANDOM]
