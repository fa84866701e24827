"""Initial values of parameters: each function returns an initialiser, ``(rng, shape, dtype)``.

``rng`` is a NumPy Generator. A matrix is ``(inputs, outputs)``; the filters of a convolution
are ``(*sizes, inputs, outputs)``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from symgraph.errors import ShapeError, SymgraphTypeError

__all__ = [
    "Initialiser",
    "constant",
    "default_bias",
    "default_weights",
    "generator",
    "glorot_normal",
    "glorot_uniform",
    "he_normal",
    "he_uniform",
    "initial_value",
    "normal",
    "orthogonal",
    "side_by_side",
    "uniform",
    "zeros",
]

Initialiser = Callable[[np.random.Generator, tuple[int, ...], Any], np.ndarray]


def constant(value: float) -> Initialiser:
    """An initialiser that gives this number everywhere."""
    return lambda rng, shape, dtype: np.full(shape, value, dtype)


def zeros() -> Initialiser:
    """An initialiser that gives zeros."""
    return constant(0.0)


def uniform(low: float = -0.01, high: float = 0.01) -> Initialiser:
    """An initialiser that draws evenly from [low, high)."""
    return lambda rng, shape, dtype: rng.uniform(low, high, shape).astype(dtype)


def normal(deviation: float = 0.01, mean: float = 0.0) -> Initialiser:
    """An initialiser that draws from the normal distribution."""
    return lambda rng, shape, dtype: rng.normal(mean, deviation, shape).astype(dtype)


def glorot_uniform(gain: float = 1.0) -> Initialiser:
    """Even draws of variance ``gain² · 2 / (inputs + outputs)`` (Glorot and Bengio 2010)."""
    return _scaled(gain, lambda fan_in, fan_out: 2 / (fan_in + fan_out), _draw_uniform)


def glorot_normal(gain: float = 1.0) -> Initialiser:
    """Normal draws of variance ``gain² · 2 / (inputs + outputs)`` (Glorot and Bengio 2010)."""
    return _scaled(gain, lambda fan_in, fan_out: 2 / (fan_in + fan_out), _draw_normal)


def he_uniform(gain: float = math.sqrt(2)) -> Initialiser:
    """Even draws of variance ``gain² / inputs``; the gain is that of relu (He et al. 2015)."""
    return _scaled(gain, lambda fan_in, fan_out: 1 / fan_in, _draw_uniform)


def he_normal(gain: float = math.sqrt(2)) -> Initialiser:
    """Normal draws of variance ``gain² / inputs``; the gain is that of relu (He et al. 2015)."""
    return _scaled(gain, lambda fan_in, fan_out: 1 / fan_in, _draw_normal)


def orthogonal(gain: float = 1.0) -> Initialiser:
    """``gain`` times a random matrix with orthonormal rows or columns (Saxe et al. 2013).

    More than two axes are taken as a matrix of all the others by the last one.
    """

    def draw(rng: np.random.Generator, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        rows, columns = _matrix_sizes(shape)
        tall = rng.normal(size=(max(rows, columns), min(rows, columns)))
        basis, triangle = np.linalg.qr(tall)
        # The signs make the draw even over all orthogonal matrices.
        basis = basis * np.where(np.diagonal(triangle) < 0, -1.0, 1.0)
        matrix = basis if rows >= columns else basis.T
        return (gain * matrix).reshape(shape).astype(dtype)

    return draw


def _scaled(
    gain: float,
    variance: Callable[[float, float], float],
    draw: Callable[[np.random.Generator, float, tuple[int, ...]], np.ndarray],
) -> Initialiser:
    def initialise(rng: np.random.Generator, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        fan_in, fan_out = _fans(shape)
        deviation = gain * math.sqrt(variance(max(fan_in, 1), max(fan_out, 1)))
        return draw(rng, deviation, shape).astype(dtype)

    return initialise


def _draw_uniform(rng: np.random.Generator, deviation: float, shape: tuple[int, ...]) -> np.ndarray:
    limit = math.sqrt(3) * deviation
    return rng.uniform(-limit, limit, shape)


def _draw_normal(rng: np.random.Generator, deviation: float, shape: tuple[int, ...]) -> np.ndarray:
    return rng.normal(0.0, deviation, shape)


def _fans(shape: Sequence[int]) -> tuple[int, int]:
    """The numbers of inputs and outputs of one unit."""
    rows, columns = _matrix_sizes(shape)
    return rows, columns * math.prod(shape[:-2])


def _matrix_sizes(shape: Sequence[int]) -> tuple[int, int]:
    if len(shape) < 2:
        raise ShapeError.here(
            f"this initialiser needs at least two axes, not the shape {tuple(shape)}",
            remedy="Use constant, uniform or normal for vectors.",
        )
    return math.prod(shape[:-1]), shape[-1]


# What layers take where nothing is given.
default_weights: Initialiser = glorot_uniform()
default_bias: Initialiser = zeros()


# --- for layers ---------------------------------------------------------------------------------


def generator(rng: int | np.random.Generator | None) -> np.random.Generator:
    """The generator that a layer's ``rng`` means: itself, one with this seed, or a fresh one."""
    try:
        return np.random.default_rng(rng)
    except (TypeError, ValueError):
        raise SymgraphTypeError.here(
            f"rng is a seed of at least 0, a NumPy Generator or None, not {rng!r}"
        ) from None


def initial_value(
    source: Initialiser | Any, rng: np.random.Generator, shape: tuple[int, ...], dtype: Any
) -> np.ndarray:
    """An initialiser's draw, or the array that the user gave in its place."""
    if callable(source):
        return np.asarray(source(rng, shape, dtype), dtype)
    value = np.asarray(source, dtype)
    if value.shape != shape:
        raise ShapeError.here(f"an initial value of shape {shape} is expected; found {value.shape}")
    return value


def side_by_side(
    initialiser: Initialiser | Any,
    rng: np.random.Generator,
    n_in: int,
    n_units: int,
    n_blocks: int,
    dtype: Any,
) -> np.ndarray:
    """Matrices [n_in, n_units] drawn one by one and put side by side: the gates of a cell."""
    if not callable(initialiser):
        return initial_value(initialiser, rng, (n_in, n_blocks * n_units), dtype)
    blocks = [initial_value(initialiser, rng, (n_in, n_units), dtype) for _ in range(n_blocks)]
    return np.concatenate(blocks, axis=1)
