"""Threefry-2x32 with 20 rounds: the words that random numbers and keys are made of.

Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..core.errors import CallError
from ..core.op import Op
from ..core.types import TensorType, tensor_type
from ..core.variable import Variable, make_constant
from .broadcast import template_numbers, template_sizes
from .comparison import bitwise_and, equal, right_shift
from .elementwise import add, where
from .index import get
from .join import stack
from .promotion import cast_to
from .ranges import iota
from .reshape import product_of, reshape

__all__ = ["DRAWS", "FOLD_IN", "RANDOM_BITS", "SPLIT", "threefry"]

_UINT32 = np.dtype("uint32")
_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
_PARITY = 0x1BD11BDA
# The first words of the counters of draws, of split and of fold_in.
DRAWS, SPLIT, FOLD = 0, 1, 2


def threefry(k0: Any, k1: Any, c0: Any, c1: Any) -> tuple[Any, Any]:
    """The two words for a counter (c0, c1) under a key (k0, k1): arrays, or variables."""
    keys = (k0, k1, k0 ^ k1 ^ np.uint32(_PARITY))
    x0, x1 = c0 + k0, c1 + k1
    for group in range(5):
        for rotation in _ROTATIONS[group % 2]:
            x0 = x0 + x1
            x1 = (x1 << np.uint32(rotation)) | (x1 >> np.uint32(32 - rotation))
            x1 = x1 ^ x0
        x0 = x0 + keys[(group + 1) % 3]
        x1 = x1 + keys[(group + 2) % 3] + np.uint32(group + 1)
    return x0, x1


def _infer_bits(
    inputs: Sequence[Variable], template: tuple[int | None, ...], domain: int
) -> TensorType:
    return tensor_type(_UINT32, template_sizes(template, inputs[1:]))


def _evaluate_bits(
    arrays: Sequence[np.ndarray], template: tuple[int | None, ...], domain: int
) -> np.ndarray:
    key_array, *symbols = arrays
    shape = template_numbers(template, symbols)
    if any(size < 0 for size in shape):
        raise CallError(f"random numbers: a size is negative: {tuple(shape)}")
    total = math.prod(shape)
    blocks = np.arange((total + 1) // 2, dtype=np.uint32)
    words = threefry(key_array[:1], key_array[1:], np.full_like(blocks, domain), blocks)
    return np.stack(words, axis=1).reshape(-1)[:total].reshape(shape)


def _expand_bits(bits: Variable) -> Variable:
    key_variable, *symbols = bits.inputs
    template, domain = bits.params
    rest = iter(symbols)
    shape = [next(rest) if size is None else size for size in template]
    number = iota(product_of(shape), _UINT32)
    blocks = right_shift(number, np.uint32(1))
    first, second = threefry(
        get(key_variable, 0), get(key_variable, 1), make_constant(np.uint32(domain)), blocks
    )
    even = equal(bitwise_and(number, np.uint32(1)), np.uint32(0))
    return reshape(where(even, first, second), shape)


# Evenly distributed words; inputs are the key and the symbolic sizes.
RANDOM_BITS = Op(
    "random_bits",
    _infer_bits,
    _evaluate_bits,
    expand=_expand_bits,
    params=("template", "domain"),
)


def _evaluate_fold_in(arrays: Sequence[np.ndarray]) -> np.ndarray:
    key_array, data = arrays
    number = int(data) & 0xFFFFFFFFFFFFFFFF
    high = np.array([(number >> 32) + FOLD & 0xFFFFFFFF], _UINT32)
    low = np.array([number & 0xFFFFFFFF], _UINT32)
    return np.concatenate(threefry(key_array[:1], key_array[1:], high, low))


def _expand_fold_in(folded: Variable) -> Variable:
    key_variable, data = folded.inputs
    high = add(cast_to(right_shift(data, np.int64(32)), _UINT32), np.uint32(FOLD))
    low = cast_to(bitwise_and(data, np.int64(0xFFFFFFFF)), _UINT32)
    return stack(threefry(get(key_variable, 0), get(key_variable, 1), high, low))


# A key of its own for a number (an int64 scalar).
FOLD_IN = Op(
    "fold_in",
    lambda inputs: tensor_type(_UINT32, (2,)),
    _evaluate_fold_in,
    expand=_expand_fold_in,
)
