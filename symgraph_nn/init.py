"""Initial values of parameters: each function returns an initialiser, ``(rng, shape, dtype)``.

``rng`` is a NumPy Generator. A matrix is ``(inputs, outputs)``; the filters of a convolution
are ``(*sizes, inputs, outputs)``. Any such function of your own does as well.

>>> layer = nn.Dense(3, 4, weights=nn.init.he_normal(), bias=nn.init.constant(0.1), rng=0)
>>> layer.b.get_value()
array([0.1, 0.1, 0.1, 0.1], dtype=float32)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from symgraph.errors import ShapeError, SymgraphTypeError
from symgraph.typing import DTypeLike

from .typing import Initial, Initialiser, Rng

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


def constant(value: float) -> Initialiser:
    """An initialiser that gives this number everywhere.

    >>> nn.init.constant(0.5)(np.random.default_rng(0), (3,), "float32")
    array([0.5, 0.5, 0.5], dtype=float32)
    """
    return lambda rng, shape, dtype: np.full(shape, value, dtype)


def zeros() -> Initialiser:
    """An initialiser that gives zeros.

    >>> nn.init.zeros()(np.random.default_rng(0), (3,), "float32")
    array([0., 0., 0.], dtype=float32)
    """
    return constant(0.0)


def uniform(low: float = -0.01, high: float = 0.01) -> Initialiser:
    """An initialiser that draws evenly from [low, high).

    >>> W = nn.init.uniform(-1, 1)(np.random.default_rng(0), (100, 100), "float32")
    >>> W.shape, bool(W.min() >= -1), bool(W.max() < 1)
    ((100, 100), True, True)
    """
    return lambda rng, shape, dtype: rng.uniform(low, high, shape).astype(dtype)


def normal(deviation: float = 0.01, mean: float = 0.0) -> Initialiser:
    """An initialiser that draws from the normal distribution of this mean and deviation.

    >>> W = nn.init.normal(0.1)(np.random.default_rng(0), (100, 100), "float32")
    >>> print(f"{W.std():.2f}")
    0.10
    """
    return lambda rng, shape, dtype: rng.normal(mean, deviation, shape).astype(dtype)


def glorot_uniform(gain: float = 1.0) -> Initialiser:
    """Even draws of variance ``gain² · 2 / (inputs + outputs)`` (Glorot and Bengio 2010).

    A shape of fewer than two axes is a `ShapeError`, here and below.

    >>> W = nn.init.glorot_uniform()(np.random.default_rng(0), (300, 200), "float32")
    >>> print(f"{W.var() * 250:.2f}")
    1.00
    """
    return _scaled(gain, lambda fan_in, fan_out: 2 / (fan_in + fan_out), _draw_uniform)


def glorot_normal(gain: float = 1.0) -> Initialiser:
    """Normal draws of variance ``gain² · 2 / (inputs + outputs)`` (Glorot and Bengio 2010).

    >>> nn.init.glorot_normal()(np.random.default_rng(0), (3, 2), "float32").shape
    (3, 2)
    """
    return _scaled(gain, lambda fan_in, fan_out: 2 / (fan_in + fan_out), _draw_normal)


def he_uniform(gain: float = math.sqrt(2)) -> Initialiser:
    """Even draws of variance ``gain² / inputs``; the gain is that of relu (He et al. 2015).

    >>> nn.Dense(3, 2, sg.relu, weights=nn.init.he_uniform(), rng=0).W.get_value().shape
    (3, 2)
    """
    return _scaled(gain, lambda fan_in, fan_out: 1 / fan_in, _draw_uniform)


def he_normal(gain: float = math.sqrt(2)) -> Initialiser:
    """Normal draws of variance ``gain² / inputs``; the gain is that of relu (He et al. 2015).

    >>> W = nn.init.he_normal()(np.random.default_rng(0), (3, 3, 8, 500), "float32")
    >>> print(f"{W.var() * (3 * 3 * 8):.1f}")
    2.0
    """
    return _scaled(gain, lambda fan_in, fan_out: 1 / fan_in, _draw_normal)


def orthogonal(gain: float = 1.0) -> Initialiser:
    """``gain`` times a random matrix with orthonormal rows or columns (Saxe et al. 2013).

    More than two axes are taken as a matrix of all the others by the last one.

    >>> U = nn.init.orthogonal()(np.random.default_rng(0), (4, 4), "float64")
    >>> np.allclose(U @ U.T, np.eye(4))
    True
    """

    def draw(rng: np.random.Generator, shape: tuple[int, ...], dtype: DTypeLike) -> np.ndarray:
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
    def initialise(
        rng: np.random.Generator, shape: tuple[int, ...], dtype: DTypeLike
    ) -> np.ndarray:
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


def default_weights(
    rng: np.random.Generator, shape: tuple[int, ...], dtype: DTypeLike
) -> np.ndarray:
    """What layers draw weights by where nothing is given: `glorot_uniform`.

    >>> nn.init.default_weights(np.random.default_rng(0), (3, 2), "float32").shape
    (3, 2)
    """
    return _GLOROT(rng, shape, dtype)


def default_bias(rng: np.random.Generator, shape: tuple[int, ...], dtype: DTypeLike) -> np.ndarray:
    """What layers begin a bias with where nothing is given: `zeros`.

    >>> nn.init.default_bias(np.random.default_rng(0), (2,), "float32")
    array([0., 0.], dtype=float32)
    """
    return np.zeros(shape, dtype)


_GLOROT = glorot_uniform()


# --- for layers ---------------------------------------------------------------------------------


def generator(rng: Rng) -> np.random.Generator:
    """The generator that a layer's ``rng`` means: itself, one with this seed, or a fresh one.

    Anything else is a `SymgraphTypeError`.

    >>> rng = nn.init.generator(0)
    >>> rng is nn.init.generator(rng)
    True
    """
    try:
        return np.random.default_rng(rng)
    except (TypeError, ValueError):
        raise SymgraphTypeError.here(
            f"rng is a seed of at least 0, a NumPy Generator or None, not {rng!r}"
        ) from None


def initial_value(
    source: Initial, rng: np.random.Generator, shape: tuple[int, ...], dtype: DTypeLike
) -> np.ndarray:
    """An initialiser's draw, or the array that the user gave in its place.

    An array of another shape is a `ShapeError`.

    >>> nn.init.initial_value([1, 2], np.random.default_rng(0), (2,), "float32")
    array([1., 2.], dtype=float32)
    """
    if callable(source):
        return np.asarray(source(rng, shape, dtype), dtype)
    value = np.asarray(source, dtype)
    if value.shape != shape:
        raise ShapeError.here(f"an initial value of shape {shape} is expected; found {value.shape}")
    return value


def side_by_side(
    initialiser: Initial,
    rng: np.random.Generator,
    n_in: int,
    n_units: int,
    n_blocks: int,
    dtype: DTypeLike,
) -> np.ndarray:
    """Matrices [n_in, n_units] drawn one by one and put side by side: the gates of a cell.

    >>> orthogonal, rng = nn.init.orthogonal(), np.random.default_rng(0)
    >>> nn.init.side_by_side(orthogonal, rng, 5, 5, 4, "float32").shape
    (5, 20)
    """
    if not callable(initialiser):
        return initial_value(initialiser, rng, (n_in, n_blocks * n_units), dtype)
    blocks = [initial_value(initialiser, rng, (n_in, n_units), dtype) for _ in range(n_blocks)]
    return np.concatenate(blocks, axis=1)
