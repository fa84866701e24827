"""Rows of the op table: convolutions, pooling and random numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from op_row import Row

import symgraph as sg
from symgraph.core.op import OPS
from symgraph.core.variable import node

__all__ = ["ROWS"]

_generator = np.random.default_rng(11)
CUBE = _generator.normal(size=(3, 2, 4))
MATRIX = _generator.normal(size=(3, 4))
VECTOR = np.array([0.5, -1.5, 2.0, 0.25])


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
        Row(
            "windows",
            lambda x, w, sizes=filters.shape, keywords=keywords: sg.conv1d(
                x, w.reshape(sizes), **keywords
            ),
            lambda x, w, margins=margins, keywords=keywords: convolved(
                x,
                w,
                keywords.get("stride", 1),
                margins,
                keywords.get("dilation", 1),
                keywords.get("groups", 1),
            ),
            [(SIGNALS, filters)],
            tolerance=50,
            absolute=50,
            label=f"conv1d {keywords}",
            errors=[
                ((SIGNALS[:, :, :3], filters), sg.ShapeError),
                ((MATRIX, filters), sg.ShapeError),
            ],
        )
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
        Row(
            "windows",
            lambda x, w, sizes=filters.shape, keywords=keywords: sg.conv2d(
                x, w.reshape(sizes), **keywords
            ),
            lambda x, w, margins=margins, keywords=keywords: convolved(
                x,
                w,
                keywords.get("stride", 1),
                margins,
                keywords.get("dilation", 1),
                keywords.get("groups", 1),
            ),
            [(IMAGES, filters)],
            tolerance=50,
            absolute=50,
            label=f"conv2d {keywords}",
            errors=[((IMAGES[:, :1, :1], np.ones((9, 9, 2, 2))), sg.ShapeError)],
        )
        for filters, margins, keywords in (
            (_generator.normal(size=(3, 2, 2, 3)), [(0, 0), (0, 0)], {}),
            (
                _generator.normal(size=(2, 3, 1, 4)),
                [(0, 1), (1, 1)],
                {"padding": "same", "groups": 2},
            ),
            (
                _generator.normal(size=(2, 2, 2, 1)),
                [(1, 1), (0, 2)],
                {"padding": (1, (0, 2)), "stride": 2, "dilation": 2},
            ),
        )
    ),
    *(
        Row(
            "windows",
            lambda x, pool=pool, args=args: pool(x, args[0], stride=args[1], padding=args[2]),
            lambda x, mean=mean, args=args: pooled(x, *args, mean),
            [(IMAGES,)],
            tolerance=20,
            absolute=20,
            label=f"{'mean' if mean else 'max'} of windows {args}",
            errors=[((np.ones((1, 1, 1, 1)),), sg.ShapeError), ((VECTOR,), sg.ShapeError)],
        )
        for pool, mean in ((sg.max_pool, False), (sg.average_pool, True))
        for args in ((2, 2, 0), (3, 1, 0), (4, 2, 1))
    ),
    Row(
        "windows",
        lambda x: windows_of("windows", x, params=(1, 3, 2, 2)),
        lambda x: np.stack([x[:, [t, t + 2, t + 4]] for t in (0, 2)], 1),
        [(SIGNALS,)],
    ),
    Row(
        "overlap_add",
        # Windows are of a known size.
        lambda x: windows_of(
            "overlap_add", sg.reshape(x, (x.shape[0], 2, x.shape[2])), params=((8,), 0, 3, 1)
        ),
        lambda x: np.stack(
            [x[0, 0], x[0, 1], 0 * x[0, 0], x[1, 0], x[1, 1], 0 * x[0, 0], x[2, 0], x[2, 1]]
        ),
        [(CUBE,)],
    ),
]


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
    Row(
        "random_bits",
        sg.random.split,
        lambda k: words(k, 4, 1).reshape(2, 2),
        [(KEY,)],
        differentiable=False,
        errors=[((VECTOR,), sg.SymgraphTypeError)],
    ),
    Row(
        "random_bits",
        lambda k: sg.random.uniform(k, (5,)),
        lambda k: np.float32((words(k, 5, 0) >> 8) / 2**24),
        [(KEY,), (KEY * 0,)],
        differentiable=False,
        label="uniform",
    ),
    Row(
        "fold_in",
        lambda k, n: sg.random.fold_in(k, n),
        lambda k, n: np.array(
            threefry(k, (((int(n) >> 32) + 2) % 2**32, int(n) % 2**32)), np.uint32
        ),
        [(KEY, np.int64(n)) for n in (0, 5, -1, 2**40 + 3)] + [(KEY, np.uint8(9))],
        differentiable=False,
    ),
]

ROWS = [*CONVOLUTIONS, *RANDOM]
