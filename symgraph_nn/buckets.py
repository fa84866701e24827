"""Sequences of like lengths put together into padded batches with masks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from symgraph.errors import ShapeError, SymgraphTypeError, SymgraphValueError, check_flags

from .batches import as_array
from .checks import check_positive
from .init import generator
from .typing import Rng

__all__ = ["Buckets", "buckets"]

_Batch = tuple[np.ndarray[Any, Any], ...] | dict[str, np.ndarray[Any, Any]]


def buckets(
    data: Sequence[Any] | Mapping[str, Any],
    lengths: Sequence[int] | np.ndarray[Any, Any] | None = None,
    batch_size: int = 32,
    *,
    padding: Any = 0,
    mask: bool = True,
    shuffle: bool = True,
    rng: Rng = None,
) -> Buckets:
    """Padded batches of sequences of like lengths, with their masks: data for `fit`.

    Rows are sorted by their lengths, those of one length in random order, and cut into batches,
    which come in random order: another one each epoch. A batch is a tuple (a dict where the data
    are one) of what the data have, and the mask [time, batch] last (under ``"mask"``): float32, 1
    where a row still has steps.

    data
        For each input all rows: a list of sequences, arrays [time, …] of any lengths, which become
        [time, batch, …], no longer than the longest in the batch; or an array with a value for
        each row [rows, …], such as labels; or, with ``lengths``, an array that is padded already
        [time, rows, …]. The mask is that of the first of the sequences.
    lengths
        What to sort by, a number for each row, and how long the rows of padded arrays are; by
        default the lengths of the first sequences.
    batch_size
        How many rows a batch has; one may have fewer.
    padding
        What stands behind the end of a sequence, 0 by default: a value for all, or a list (a dict)
        with one for each of the data, such as -1 for labels that a loss ignores.
    mask, shuffle
        Whether there is a mask, and whether rows and batches come in random order; else the
        shortest come first.
    rng
        A seed or Generator for the order: with a seed a training that is resumed goes on to the
        bit.

    Raises a `ShapeError`, `SymgraphTypeError` or `SymgraphValueError` for data that do not fit.

    >>> words = [np.arange(n) for n in (5, 2, 4, 3)]
    >>> tags = [np.ones(n, int) for n in (5, 2, 4, 3)]
    >>> batches = nn.buckets([words, tags], batch_size=2, padding=[0, -1], shuffle=False)
    >>> for x, labels, mask in batches:
    ...     print(x.shape, labels[:, 0], mask[:, 0])
    (3, 2) [ 1  1 -1] [1. 1. 0.]
    (5, 2) [ 1  1  1  1 -1] [1. 1. 1. 1. 0.]
    """
    check_flags("buckets", mask=mask, shuffle=shuffle)
    check_positive("buckets", batch_size=batch_size)
    names = list(data) if isinstance(data, Mapping) else None
    if not isinstance(data, (list, tuple, Mapping)):
        raise SymgraphTypeError.here(
            f"buckets: data are a list with all rows of each input, or a dict, not {data!r}"
        )
    listed = list(data.values()) if isinstance(data, Mapping) else list(data)
    fillers = _fillers(padding, names, len(listed))
    known = None if lengths is None else _counts(lengths)
    columns = [
        _column(f"data[{key!r}]", value, filler, known)
        for key, value, filler in zip(names or range(len(listed)), listed, fillers, strict=True)
    ]
    masked = next((c.lengths for c in columns if c.lengths is not None), None)
    if masked is None:
        raise SymgraphValueError.here(
            "buckets: one of the data at least is a list of sequences",
            remedy="Give arrays that are padded already, [time, rows, …], with lengths=.",
        )
    key = masked if known is None else known
    n_rows = [len(key), *(column.n_rows for column in columns)]
    if len(set(n_rows)) > 1 or not n_rows[0]:
        counts = ", ".join(map(str, n_rows[1:]))
        raise ShapeError.here(
            f"buckets: all have the same number of rows, at least one; found {counts}"
            + ("" if known is None else f", and {len(known)} lengths")
        )
    if names is not None and mask:
        if "mask" in names:
            raise SymgraphValueError.here("buckets: the data have a 'mask' already; mask=False")
        names.append("mask")
    seed = int(generator(rng).integers(2**31))
    return Buckets(columns, key, batch_size, masked if mask else None, names, seed, shuffle=shuffle)


class Buckets:
    """Padded batches, in another order each time they are iterated; ``buckets(3)`` has epoch 3's.

    `buckets` makes them.
    """

    def __init__(
        self,
        columns: Sequence[_Column],
        key: np.ndarray,
        size: int,
        masked: np.ndarray | None,
        names: Sequence[str] | None,
        seed: int,
        *,
        shuffle: bool,
    ) -> None:
        self._columns, self._key, self._size = columns, key, size
        self._masked, self._names, self._seed, self._shuffle = masked, names, seed, shuffle
        self._n_begun = 0

    def __len__(self) -> int:
        """The number of batches."""
        return -(-len(self._key) // self._size)

    def __iter__(self) -> Iterator[_Batch]:
        """The batches of the next epoch."""
        self._n_begun += 1
        return self(self._n_begun - 1)

    def __call__(self, epoch: int) -> Iterator[_Batch]:
        """The batches of an epoch, from 0."""
        draws = np.random.default_rng([self._seed, epoch])
        n = len(self._key)
        rows = draws.permutation(n) if self._shuffle else np.arange(n)
        rows = rows[np.argsort(self._key[rows], kind="stable")]
        numbers = draws.permutation(len(self)) if self._shuffle else range(len(self))
        for i in numbers:
            yield self._batch(rows[i * self._size : (i + 1) * self._size])

    def _batch(self, rows: np.ndarray) -> _Batch:
        arrays = [column.of(rows) for column in self._columns]
        if self._masked is not None:
            lengths = self._masked[rows]
            steps = np.arange(lengths.max(initial=0))[:, None]
            arrays.append((steps < lengths).astype(np.float32))
        return tuple(arrays) if self._names is None else dict(zip(self._names, arrays, strict=True))


# --- what the data have for each input ------------------------------------------------------------


class _Sequences(NamedTuple):
    """Sequences of any lengths."""

    arrays: list[np.ndarray]
    lengths: np.ndarray
    empty: np.ndarray
    """A padded step."""

    @property
    def n_rows(self) -> int:
        return len(self.arrays)

    def of(self, rows: np.ndarray) -> np.ndarray:
        """The sequences of these rows, padded [time, batch, …]."""
        n_steps = self.lengths[rows].max()
        padded = np.empty((n_steps, len(rows), *self.empty.shape), self.empty.dtype)
        padded[:] = self.empty
        for i, row in enumerate(rows):
            padded[: self.lengths[row], i] = self.arrays[row]
        return padded


class _Padded(NamedTuple):
    """An array that is padded already [time, rows, …]."""

    array: np.ndarray
    lengths: np.ndarray

    @property
    def n_rows(self) -> int:
        return self.array.shape[1]

    def of(self, rows: np.ndarray) -> np.ndarray:
        """These rows, as far as the longest goes."""
        return np.take(self.array[: self.lengths[rows].max()], rows, axis=1)


class _Values(NamedTuple):
    """A value for each row."""

    array: np.ndarray
    lengths: None = None

    @property
    def n_rows(self) -> int:
        return len(self.array)

    def of(self, rows: np.ndarray) -> np.ndarray:
        """The values of these rows."""
        return np.take(self.array, rows, axis=0)


_Column = _Sequences | _Padded | _Values


def _column(name: str, value: Any, filler: Any, lengths: np.ndarray | None) -> _Column:
    """What the data have for one input."""
    is_array = hasattr(value, "ndim") and value.dtype != object
    rows = value if is_array else list(value)
    if not is_array and any(np.ndim(row) for row in rows):
        return _sequences(name, [as_array(row, f"buckets: {name}") for row in rows], filler)
    array = as_array(rows, f"buckets: {name}")
    if not array.ndim:
        raise ShapeError.here(f"buckets: {name} has a value for each row; found {value!r}")
    if lengths is None or array.ndim < 2 or array.shape[1] != len(lengths):
        return _Values(array)
    if len(array) >= lengths.max(initial=0):
        return _Padded(array, lengths)
    return _Values(array)


def _sequences(name: str, arrays: list[np.ndarray], filler: Any) -> _Sequences:
    shapes = {array.shape[1:] for array in arrays}
    if len(shapes) > 1 or any(not array.ndim for array in arrays):
        raise ShapeError.here(
            f"buckets: the sequences of {name} are arrays [time, …] that differ in time alone; "
            f"found shapes {', '.join(sorted({str(array.shape) for array in arrays})[:4])}"
        )
    dtype, shape = np.result_type(*arrays), shapes.pop()
    try:
        empty, exact = np.full(shape, filler, dtype), np.full(shape, filler)
        fits = np.array_equal(empty, exact, equal_nan=dtype.kind == "f")
    except (TypeError, ValueError):
        empty, fits = np.zeros(shape, dtype), False
    if not fits:
        raise SymgraphValueError.here(f"buckets: padding {filler!r} is no {dtype} for {name}")
    return _Sequences(arrays, np.array([len(array) for array in arrays]), empty)


def _fillers(padding: Any, names: list[str] | None, n: int) -> list[Any]:
    """The padding of each of the data."""
    if isinstance(padding, Mapping):
        unknown = [str(name) for name in padding if name not in (names or [])]
        if unknown:
            raise SymgraphValueError.here(f"buckets: padding: {', '.join(unknown)} not in the data")
        return [padding.get(name, 0) for name in names or []]
    if not isinstance(padding, (list, tuple)):
        return [padding] * n
    if len(padding) != n:
        raise SymgraphValueError.here(
            f"buckets: padding has {len(padding)} values; one for each of {n} data is needed"
        )
    return [0 if value is None else value for value in padding]


def _counts(lengths: Any) -> np.ndarray:
    counts = as_array(lengths, "buckets: lengths")
    whole = counts.astype(np.int64) if counts.dtype.kind in "iuf" else counts
    if counts.ndim != 1 or counts.dtype.kind not in "iuf" or (whole != counts).any():
        raise SymgraphTypeError.here(
            f"buckets: lengths are a whole number for each row, not {lengths!r}"
        )
    if (whole < 0).any():
        raise SymgraphValueError.here(f"buckets: lengths are at least 0, not {int(whole.min())}")
    return whole
