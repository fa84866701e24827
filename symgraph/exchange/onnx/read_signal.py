"""ONNX's ops on signals: windows, Fourier transforms, and the weights of mel bands."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...core.variable import Variable
from ...ops import comparison, elementwise
from ...ops.join import stack
from ...ops.linalg import matmul
from ...ops.padding import pad
from ...ops.promotion import cast_to
from ...ops.ranges import iota
from ...ops.shape import expand_dims, moveaxis
from ...ops.sizes import as_scalar, shape_of
from ...ops.slices import slice_axis
from ...ops.transcendental import cos, sin
from ...ops.windows import windows
from .read_node import Node
from .read_registry import reads
from .read_shape import divided, dtype_named
from .read_values import Value, simple_entry

_FLOAT64 = np.dtype("float64")
# Shares of cosines of 0, 1 and 2 turns.
_WINDOWS = {
    "BlackmanWindow": (0.42, -0.5, 0.08),
    "HammingWindow": (25 / 46, -21 / 46, 0.0),
    "HannWindow": (0.5, -0.5, 0.0),
}


@reads(*_WINDOWS)
def _window(node: Node) -> Value:
    dtype = dtype_named(node, node.attribute("output_datatype", 1))
    size = node.size(0)
    length = cast_to(as_scalar(size), _FLOAT64)
    turns = iota(size, _FLOAT64) / (length if node.attribute("periodic", 1) else length - 1)
    constant, first, second = _WINDOWS[node.op_type]
    values = constant + first * cos(2 * math.pi * turns) + second * cos(4 * math.pi * turns)
    return elementwise.cast(values, dtype)


@reads("MelWeightMatrix")
def _mel_weights(node: Node) -> Value:
    bands, length, rate = (node.number(i) for i in range(3))
    low, high = (float(node.array(i).reshape(())) for i in (3, 4))
    if bands < 1 or length < 1 or rate < 1:
        raise node.refusal("the numbers of bands, samples and samples a second are at least 1")
    node.scope.model.budget.compute([length // 2 + 1, bands])
    mel = [2595 * math.log10(1 + f / 700) for f in (low, high)]
    steps = mel[0] + np.arange(bands + 2) * (mel[1] - mel[0]) / (bands + 2)
    edges = ((length + 1) * 700 * (10 ** (steps / 2595) - 1) // rate).astype(int)
    bins = np.arange(length // 2 + 1)[:, None]
    left, centre, right = edges[:-2], edges[1:-1], edges[2:]
    rising = (bins - left) / np.maximum(centre - left, 1)
    falling = (right - bins) / np.maximum(right - centre, 1)
    weights = np.where(bins <= centre, np.where(centre == left, bins == centre, rising), falling)
    inside = (bins >= left) & ((bins < right) | (bins == centre))
    dtype = dtype_named(node, node.attribute("output_datatype", 1))
    return np.where(inside, np.where((bins == centre) & (right > centre), 1, weights), 0).astype(
        dtype
    )


# --- Fourier transforms -------------------------------------------------------------------------

# The real and the imaginary part; no imaginary one of real numbers.
_Complex = tuple[Variable, Variable | None]


def _complex(x: Variable) -> _Complex:
    return x[..., 0], None if x.type.shape[-1] == 1 else x[..., 1]


def _transformed(z: _Complex, n: Any, count: Any, *, inverse: bool) -> tuple[Variable, Variable]:
    """The first so many frequencies of signals of length n on the last axis."""
    real, imaginary = z
    # Whole turns are taken away while these are integers, so that angles stay exact.
    steps = elementwise.remainder(expand_dims(iota(n), 1) * iota(count), as_scalar(n))
    angles = cast_to(steps, _FLOAT64) * (2 * math.pi) / cast_to(as_scalar(n), _FLOAT64)
    cosines, sines = (cast_to(f(angles), real.dtype) for f in (cos, sin))
    sines = sines if inverse else -sines
    if imaginary is None:
        return matmul(real, cosines), matmul(real, sines)
    return (
        matmul(real, cosines) - matmul(imaginary, sines),
        matmul(real, sines) + matmul(imaginary, cosines),
    )


def _of_length(x: Variable, n: Any) -> Variable:
    """Signals on the last axis cut or filled with zeros to a length."""
    lacking = simple_entry(as_scalar(n) - shape_of(x)[-1])
    if isinstance(lacking, Variable):
        lacking = elementwise.maximum(lacking, 0)
    if isinstance(lacking, Variable) or lacking > 0:
        x = pad(x, [(0, 0)] * (x.ndim - 1) + [(0, lacking)])
    return slice_axis(x, x.ndim - 1, 0, n)


@reads("DFT")
def _fourier(node: Node) -> Value:
    x = node.variable(0)
    axis = node.number(2) if node.has(2) else node.attribute("axis", 1 if node.version < 20 else -2)
    axis = node.axis(axis, x.ndim)
    inverse, onesided = node.attribute("inverse", 0), node.attribute("onesided", 0)
    size = shape_of(x)[axis]
    n: Any = node.size(1) if node.has(1) else 2 * (size - 1) if inverse and onesided else size
    parts = [None if v is None else moveaxis(v, axis, -1) for v in _complex(x)]
    half = divided(n, 2) + 1
    if inverse and onesided:
        return moveaxis(_real_signal(parts, n, half), -1, axis)[..., None]
    real, imaginary = (None if v is None else _of_length(v, n) for v in parts)
    assert real is not None
    result = _transformed((real, imaginary), n, half if onesided else n, inverse=bool(inverse))
    if inverse:
        result = tuple(v / cast_to(as_scalar(n), v.dtype) for v in result)
    return stack([moveaxis(v, -1, axis) for v in result], -1)


def _real_signal(parts: Any, n: Any, half: Any) -> Variable:
    """The real signal of length n for its frequencies up to the half."""
    real, imaginary = (None if v is None else _of_length(v, half) for v in parts)
    assert real is not None
    number = as_scalar(n)
    place = iota(half)
    # All frequencies but the first, and the one in the middle, stand for two.
    alone = comparison.logical_or(comparison.eq(place, 0), comparison.eq(place * 2, number))
    steps = elementwise.remainder(expand_dims(place, 1) * iota(n), number)
    angles = cast_to(steps, _FLOAT64) * (2 * math.pi) / cast_to(number, _FLOAT64)
    weights = expand_dims(elementwise.where(alone, 1.0, 2.0), 1) / cast_to(number, _FLOAT64)
    result = matmul(real, cast_to(cos(angles) * weights, real.dtype))
    if imaginary is None:
        return result
    return result - matmul(imaginary, cast_to(sin(angles) * weights, real.dtype))


@reads("STFT")
def _short_fourier(node: Node) -> Value:
    """The transforms of frames of a signal, each under a window."""
    x, step = node.variable(0), node.number(1)
    node.sizes_of(x, "batch", "time", "parts")
    window = node.optional(2)
    if node.has(3):
        length = node.number(3)
    else:
        length = shape_of(x)[1] if window is None else shape_of(window)[0]
    if isinstance(length, Variable) or step < 1:
        raise node.refusal("the length of a frame and the step are known numbers of at least 1")
    frames = [None if v is None else windows(v, 1, length, step) for v in _complex(x)]
    if window is not None:
        frames = [None if v is None else v * window for v in frames]
    count = length // 2 + 1 if node.attribute("onesided", 1) else length
    real, imaginary = frames
    assert real is not None
    return stack(_transformed((real, imaginary), length, count, inverse=False), -1)
