"""The DEAP recordings of emotions, in the form in which their authors publish them."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from symgraph.errors import SymgraphValueError

__all__ = ["Trials", "deap"]

_MIDDLE = 5.0  # of ratings from 1 to 9


class Trials(NamedTuple):
    """The trials of one participant.

    ``signals`` is [trials, channels, samples], float32; ``labels`` [trials], int64, the quadrant;
    ``ratings`` [trials, 4], float32: valence, arousal, dominance and liking, from 1 to 9.

    >>> trials = nn.datasets.Trials(np.zeros((1, 40, 8064)), np.array([3]), np.ones((1, 4)))
    >>> trials.signals.shape
    (1, 40, 8064)
    """

    signals: np.ndarray[Any, Any]
    labels: np.ndarray[Any, Any]
    ratings: np.ndarray[Any, Any]


def deap(folder: str | os.PathLike[str], participant: int) -> Trials:
    """The 40 trials of one of 32 participants, 40 channels of 8,064 samples (63 s at 128 Hz).

    Reads ``s01.dat`` … ``s32.dat`` of "data_preprocessed_python" in the folder; the data need a
    signed agreement and do not come with the package. The label is the quadrant of valence and
    arousal: 0 both low, 1 arousal high, 2 valence high, 3 both high, where high is above 5. Source:
    Koelstra et al. 2012. A `SymgraphValueError` where there is no such file, or another one; a file
    is read as arrays alone, whatever it holds.

    >>> nn.datasets.deap("data", 1)
    Traceback (most recent call last):
    symgraph.core.errors.SymgraphValueError: deap: there is no data/s01.dat...
    """
    path = Path(folder) / f"s{participant:02d}.dat"
    if not path.exists():
        raise SymgraphValueError.here(
            f"deap: there is no {path}",
            remedy="The data do not come with the package: name the folder that they are in.",
        )
    content = _read(path)
    signals, ratings = content["data"], content["labels"]
    if signals.ndim != 3 or ratings.shape != (len(signals), 4):
        raise SymgraphValueError.here(
            f"deap: {path} holds data {signals.shape} and labels {ratings.shape}; "
            "[trials, channels, samples] and [trials, 4] are expected"
        )
    valence, arousal = (ratings[:, i] > _MIDDLE for i in (0, 1))
    labels = 2 * valence.astype(np.int64) + arousal
    return Trials(signals.astype(np.float32), labels, ratings.astype(np.float32))


class _Array:
    """An array in the making. NumPy's own would take flags and addresses from the file."""

    value: np.ndarray[Any, Any]

    def __setstate__(self, state: Any) -> None:
        _, shape, dtype, is_fortran, data = state
        items = data if isinstance(data, bytes) else data.encode("latin1")
        array = np.frombuffer(items, dtype.name)
        self.value = array.reshape(shape, order="F" if is_fortran else "C")


class _Dtype:
    """The dtype of numbers, by its name in NumPy."""

    name: str

    def __init__(self, name: str, *_: Any) -> None:
        if name not in ("f4", "f8"):
            raise ValueError(f"its arrays are of {name!r}, not of f4 or f8")
        self.name = name

    def __setstate__(self, state: Any) -> None:
        self.name = (">" if state[1] == ">" else "<") + self.name


def _begin_array(*_: Any) -> _Array:
    return _Array()


def _encode(text: str, *_: Any) -> bytes:
    return text.encode("latin1")


# What pickled arrays are made of, by old and new versions, and what stands for it here.
_ADMITTED: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Dtype,
    ("numpy.core.multiarray", "_reconstruct"): _begin_array,
    ("numpy._core.multiarray", "_reconstruct"): _begin_array,
    ("_codecs", "encode"): _encode,
}


class _Arrays(pickle.Unpickler):
    """Reads dicts, lists, numbers, texts and arrays; refuses whatever could run code."""

    def find_class(self, module_name: str, global_name: str) -> Any:
        if (module_name, global_name) not in _ADMITTED:
            raise pickle.UnpicklingError(f"{module_name}.{global_name} is no part of an array")
        return _ADMITTED[module_name, global_name]


def _read(path: Path) -> dict[str, np.ndarray[Any, Any]]:
    """The arrays of a file by name."""
    with path.open("rb") as file:
        try:
            content = _Arrays(file, encoding="latin1").load()
            return {name: content[name].value for name in ("data", "labels")}
        except Exception as error:  # there is no end to how bytes can break a pickle
            raise SymgraphValueError.here(f"deap: {path} is none of its files: {error}") from None
