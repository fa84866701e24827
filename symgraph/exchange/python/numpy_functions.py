"""Functions that exported programs bring along, as they are copied into them: NumPy alone.

Each does what the op of symgraph does, to the last bit. No line of theirs is longer than 76
characters, and no statement takes several, so that formatters leave them alone at any width.
"""

# pyright: basic

from __future__ import annotations

import numpy as np


def sigmoid(x):
    """The logistic function."""
    return 1.0 / (np.exp(-x) + 1.0)


def softplus(x):
    """log(1 + exp(x)), without overflow."""
    return np.maximum(x, 0.0) + np.log1p(np.exp(-np.abs(x)))


def log1mexp(x):
    """log(1 - exp(x)), exact for every x below 0."""
    near, far = np.log(-np.expm1(x)), np.log1p(-np.exp(x))
    return np.where(x > -0.6931471805599453, near, far)


def logaddexp(x, y):
    """log(exp(x) + exp(y)), without overflow."""
    distance = np.abs(x - y)
    result = np.maximum(x, y) + np.log1p(np.exp(-distance))
    return np.where(x == y, x + 0.6931471805599453, result)


def hypot(x, y):
    """sqrt(x**2 + y**2), without overflow."""
    x, y = np.abs(x), np.abs(y)
    large, small = np.maximum(x, y), np.minimum(x, y)
    ratio = small / np.where(large == 0.0, 1.0, large).astype(large.dtype)
    length = large * np.sqrt(ratio * ratio + 1.0)
    return np.where(np.isinf(x) | np.isinf(y), np.inf, length)


def one_minus_square(x):
    """1 - x**2, exact near 1."""
    return (1.0 - x) * (x + 1.0)


def scale(x, y):
    """x * y, but 0 wherever either is, whatever the other."""
    return np.where((y != 0) & (x != 0), x * y, 0)


def unscale(x, y):
    """x / y, but 0 wherever x or 1 / y is, whatever the other."""
    return np.where((x == 0) | np.isinf(y), 0, x / y)


def power(x, y):
    """x**y; the square root of minus infinity is infinite."""
    result = np.power(x, y)
    if np.ndim(y) == 0 and y == 0.5:
        return np.where(np.isneginf(x) | (x == 0), np.abs(x), result)
    return result


def whole(x, dtype):
    """Floats without their fractions; what does not fit is the least."""
    limit = x.dtype.type(2.0 ** (8 * np.dtype(dtype).itemsize - 1))
    return np.where((x >= -limit) & (x < limit), x, -limit).astype(dtype)


def to_integer(x, dtype):
    """Floats as integers, as C converts them on x86-64."""
    x, dtype = np.asarray(x), np.dtype(dtype)
    if dtype == np.uint64:
        high = x >= 2.0**63
        low = whole(np.where(high, x - x.dtype.type(2.0**63), x), np.int64)
        return low.astype(dtype) ^ (high.astype(dtype) << np.uint64(63))
    wide = np.int64 if dtype in (np.int64, np.uint32) else np.int32
    return whole(x, wide).astype(dtype)


def softmax(x, axis):
    """exp(x) divided by its sum over the axis."""
    weights = np.exp(x - np.max(x, axis=axis, keepdims=True))
    return weights / np.sum(weights, axis=axis, keepdims=True)


def finite_maximum(x, axis):
    """The largest element over the axis, 0 where it is not finite."""
    largest = np.max(x, axis=axis, keepdims=True)
    return np.where(np.isfinite(largest), largest, x.dtype.type(0))


def log_softmax(x, axis):
    """log(softmax(x)), without underflow."""
    distance = x - finite_maximum(x, axis)
    return distance - np.log(np.sum(np.exp(distance), axis=axis, keepdims=True))


def logsumexp(x, axis, *, keepdims=False):
    """log(sum(exp(x))) over the axis, without overflow."""
    shift = finite_maximum(x, axis)
    total = np.log(np.sum(np.exp(x - shift), axis=axis, keepdims=True)) + shift
    return total if keepdims else np.squeeze(total, axis=axis)


def product_of_rows(x, matrix):
    """x @ matrix, as one product for all leading axes."""
    *leading, columns = x.shape
    rows = x.reshape(int(np.prod(leading)), columns)
    return (rows @ matrix).reshape(*leading, matrix.shape[1])


def same_size(x, axis, other, other_axis):
    """x, which has to be as long on an axis as other is on one of its own."""
    if x.shape[axis] != other.shape[other_axis]:
        raise ValueError(f"shapes {x.shape} and {other.shape} do not fit")
    return x


def in_range(indices, size, what):
    """The indices, each of which has to be from 0 to below a size."""
    wrong = np.asarray((indices < 0) | (indices >= size))
    if wrong.any():
        raise IndexError(f"{what} is not from 0 to below {size}")
    return indices


def reshaped(x, *shape):
    """x in another shape, none of whose sizes is left open."""
    if any(size < 0 for size in shape):
        raise ValueError(f"a shape has a negative size: {shape}")
    return x.reshape(shape)


def stacked(rows, shape, dtype):
    """The rows as one array; each has this shape, if there are any."""
    return np.stack(rows) if rows else np.empty((0, *shape), dtype)


def linear_recurrence(added, factors, axis):
    """s[i] = added[i] + factors[i] * s[i - 1] along an axis."""
    states = added.copy()
    rows, factors = np.moveaxis(states, axis, 0), np.moveaxis(factors, axis, 0)
    for i in range(1, len(rows)):
        rows[i] += factors[i] * rows[i - 1]
    return states


def add_at(x, values, indices, axes, place):
    """A copy of x with values added at indices of some axes, all of several."""
    result = np.array(x)
    target = np.moveaxis(result, axes, range(len(axes)))
    sizes = target.shape[: len(axes)]
    common = np.broadcast_shapes(*(np.shape(index) for index in indices))
    flat = np.zeros(common, np.int64)
    for index, size in zip(indices, sizes):  # noqa: B905
        if np.any((index < -size) | (index >= size)):
            raise IndexError(f"an index is outside an axis of size {size}")
        index = np.asarray(index).astype(np.int64)
        flat = flat * size + np.where(index < 0, index + size, index)
    if not values.size:
        return result
    source = range(place, place + len(common))
    rows = np.moveaxis(values, source, range(len(common)))
    rows = rows.reshape(flat.size, -1)
    order = np.argsort(flat, axis=None, kind="stable")
    ordered = flat.reshape(-1)[order]
    changes = np.concatenate([[True], ordered[1:] != ordered[:-1]])
    starts = np.flatnonzero(changes)
    sums = np.add.reduceat(rows[order], starts, axis=0, dtype=x.dtype)
    hit = np.unravel_index(ordered[starts], sizes)
    target[hit] += sums.reshape(len(starts), *target.shape[len(axes) :])
    return result


def windows(x, axis, size, stride, dilation):
    """The stretches of an axis under a moving window."""
    span = (size - 1) * dilation + 1
    every = np.lib.stride_tricks.sliding_window_view(x, span, axis)
    before = (slice(None),) * axis
    every = every[(*before, slice(None, None, stride))]
    return np.moveaxis(every[..., ::dilation], -1, axis + 1)


def overlap_add(x, length, axis, stride, dilation):
    """Windows put back where they came from on an axis, and added up."""
    result = np.zeros((*x.shape[:axis], length, *x.shape[axis + 2 :]), x.dtype)
    count, size = x.shape[axis : axis + 2]
    before = (slice(None),) * axis
    for i in range(size):
        start, stop = i * dilation, i * dilation + (count - 1) * stride + 1
        target = (*before, slice(start, stop, stride))
        result[target] += x[(*before, slice(None), i)]
    return result


def threefry(key, first, second):
    """The two random words for counters under a key (Salmon et al. 2011)."""
    k0, k1 = key[:1], key[1:]
    keys = (k0, k1, k0 ^ k1 ^ np.uint32(0x1BD11BDA))
    first, second = first + k0, second + k1
    for group in range(5):
        for turn in ((13, 15, 26, 6), (17, 29, 16, 24))[group % 2]:
            first = first + second
            left, right = np.uint32(turn), np.uint32(32 - turn)
            second = (second << left) | (second >> right)
            second = second ^ first
        first = first + keys[(group + 1) % 3]
        second = second + keys[(group + 2) % 3] + np.uint32(group + 1)
    return first, second


def random_bits(key, shape, domain):
    """Random words of this shape; draws and keys are domains of their own."""
    total = int(np.prod(shape, dtype=np.int64))
    blocks = np.arange((total + 1) // 2, dtype=np.uint32)
    words = threefry(key, np.full_like(blocks, domain), blocks)
    return np.stack(words, axis=1).reshape(-1)[:total].reshape(shape)


def fold_in(key, data):
    """The key that belongs to a key and a number."""
    number = int(data) & 0xFFFFFFFFFFFFFFFF
    high = np.array([((number >> 32) + 2) & 0xFFFFFFFF], np.uint32)
    low = np.array([number & 0xFFFFFFFF], np.uint32)
    return np.concatenate(threefry(key, high, low))
