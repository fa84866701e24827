"""Functions that programs for PyTorch bring along, as they are copied into them.

No line of theirs is longer than 72 characters, and no statement takes several, so that formatters
leave them alone at any width.
"""

# pyright: basic
# PyTorch is not needed where programs are written.
# pyright: reportMissingImports=false

from __future__ import annotations

import torch


def sign(x):
    """-1, 0 or 1, NaN for NaN."""
    return torch.where(torch.eq(x, x), torch.sign(x), x)


def log1mexp(x):
    """log(1 - exp(x)), exact for every x below 0."""
    near, far = torch.log(-torch.expm1(x)), torch.log1p(-torch.exp(x))
    return torch.where(x > -0.6931471805599453, near, far)


def one_minus_square(x):
    """1 - x**2, exact near 1."""
    return (1.0 - x) * (x + 1.0)


def scale(x, y):
    """x * y, but 0 wherever either is, whatever the other."""
    return torch.where((y != 0) & (x != 0), x * y, 0)


def unscale(x, y):
    """x / y, but 0 wherever x is, whatever y."""
    return torch.where(x == 0, 0, x / y)


def divided(x, y):
    """x // y of integers, 0 where y is."""
    return torch.where(y == 0, 0, x // torch.where(y == 0, 1, y))


def remainder(x, y):
    """x % y of integers, 0 where y is."""
    return torch.where(y == 0, 0, x % torch.where(y == 0, 1, y))


def shares_of_axes(x, axes):
    """exp(x) divided by its sum over the axes."""
    return torch.exp(x - torch.logsumexp(x, dim=axes, keepdim=True))


def quotient(x, y):
    """x // y of Python ints, 0 where y is."""
    return x // y if y else 0


def rest(x, y):
    """x % y of Python ints, 0 where y is."""
    return x % y if y else 0


def same_size(x, axis, other, other_axis):
    """x, which has to be as long on an axis as other on its own."""
    if x.shape[axis] != other.shape[other_axis]:
        raise ValueError(f"{x.shape} and {other.shape} do not fit")
    return x


def in_range(indices, size, what):
    """The indices, each of which has to be from 0 to below a size."""
    whole = indices.to(torch.int64)
    if ((whole < 0) | (whole >= size)).any():
        raise IndexError(f"{what} is not from 0 to below {size}")
    return indices


def stacked(rows, shape, dtype):
    """The rows as one tensor; each has this shape, if there are any."""
    if rows:
        return torch.stack(rows)
    return torch.empty((0, *shape), dtype=dtype)


def linear_recurrence(added, factors, axis):
    """s[i] = added[i] + factors[i] * s[i - 1] along an axis."""
    rows = []
    pairs = zip(added.unbind(axis), factors.unbind(axis), strict=True)
    for row, factor in pairs:
        rows.append(row + factor * rows[-1] if rows else row)
    return torch.stack(rows, dim=axis) if rows else added.clone()


def add_at(x, values, indices, axes, place):
    """A copy of x with values added at indices of some axes."""
    places = tuple(range(len(axes)))
    indices = torch.broadcast_tensors(*indices)
    common = indices[0].ndim
    target = torch.movedim(x, axes, places)
    source = tuple(range(place, place + common))
    rows = torch.movedim(values, source, tuple(range(common)))
    changed = target.index_put(indices, rows, accumulate=True)
    return torch.movedim(changed, places, axes)


def windows(x, axis, size, stride, dilation):
    """The stretches of an axis under a moving window."""
    every = x.unfold(axis, (size - 1) * dilation + 1, stride)
    return torch.movedim(every[..., ::dilation], -1, axis + 1)


def overlap_add(x, length, axis, stride, dilation):
    """Windows put back where they came from, and added up."""
    shape = (*x.shape[:axis], length, *x.shape[axis + 2 :])
    result = torch.zeros(shape, dtype=x.dtype)
    count, size = x.shape[axis : axis + 2]
    before = (slice(None),) * axis
    for i in range(size):
        start = i * dilation
        stop = start + (count - 1) * stride + 1
        part = (*before, slice(start, max(stop, start), stride))
        result[part] = result[part] + x[(*before, slice(None), i)]
    return result


def threefry(key, first, second):
    """Two random words for counters under a key (Salmon 2011)."""
    k0, k1 = key[:1], key[1:]
    keys = (k0, k1, k0 ^ k1 ^ 0x1BD11BDA)
    first, second = (first + k0) % 2**32, (second + k1) % 2**32
    for group in range(5):
        for turn in ((13, 15, 26, 6), (17, 29, 16, 24))[group % 2]:
            first = (first + second) % 2**32
            second = (second << turn) % 2**32 | second >> (32 - turn)
            second = second ^ first
        first = (first + keys[(group + 1) % 3]) % 2**32
        second = (second + keys[(group + 2) % 3] + group + 1) % 2**32
    return first, second


def random_bits(key, shape, domain):
    """Random words; draws and keys are domains of their own."""
    total = int(torch.Size(shape).numel())
    blocks = torch.arange((total + 1) // 2)
    words = threefry(key, torch.full_like(blocks, domain), blocks)
    return torch.stack(words, dim=1).reshape(-1)[:total].reshape(shape)


def fold_in(key, data):
    """The key that belongs to a key and a number."""
    number = int(data) & 0xFFFFFFFFFFFFFFFF
    high = torch.tensor([((number >> 32) + 2) & 0xFFFFFFFF])
    low = torch.tensor([number & 0xFFFFFFFF])
    return torch.cat(threefry(key, high, low))
