"""The loader of DEAP, on a synthetic file of the published form."""

from __future__ import annotations

import os
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest

import symgraph as sg
import symgraph_nn as nn


def write(path: Path, content: object) -> None:
    """A pickle under the names that Python 2 and its NumPy gave."""
    pickled = pickle.dumps(content, protocol=2)
    path.write_bytes(pickled.replace(b"numpy._core.multiarray", b"numpy.core.multiarray"))


def test_trials_and_quadrants(tmp_path: Path) -> None:
    signals = np.random.default_rng(0).normal(size=(5, 40, 64))
    ratings = np.array(
        [[2.0, 3, 5, 5], [1, 9, 5, 5], [7, 2, 5, 5], [6, 5.5, 1, 9], [5, 5, 5, 5]]
    )  # of the last one neither is above the middle
    write(tmp_path / "s07.dat", {"data": signals, "labels": ratings})
    trials = nn.datasets.deap(tmp_path, 7)
    np.testing.assert_array_equal(trials.signals, signals.astype("float32"))
    np.testing.assert_array_equal(trials.labels, [0, 1, 2, 3, 0])
    np.testing.assert_array_equal(trials.ratings, ratings.astype("float32"))
    assert trials.labels.dtype == "int64"


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(sg.SymgraphValueError, match="name the folder"):
        nn.datasets.deap(tmp_path, 1)
    for content in ({"data": np.ones((2, 3, 4))}, [1, 2], "text", {"data": 1, "labels": 2},
                    {"data": np.ones((2, 3, 4)), "labels": np.ones((3, 4))}):  # fmt: skip
        write(tmp_path / "s01.dat", content)
        with pytest.raises(sg.SymgraphValueError, match="deap"):
            nn.datasets.deap(tmp_path, 1)
    (tmp_path / "s01.dat").write_bytes(b"nothing")
    with pytest.raises(sg.SymgraphValueError, match="none of its files"):
        nn.datasets.deap(tmp_path, 1)


def test_a_file_runs_no_code(tmp_path: Path) -> None:
    class Harm:
        def __reduce__(self) -> tuple:
            return os.mkdir, (str(tmp_path / "harm"),)

    write(tmp_path / "s01.dat", {"data": Harm(), "labels": np.ones((1, 4))})
    with pytest.raises(sg.SymgraphValueError, match="no part of an array"):
        nn.datasets.deap(tmp_path, 1)
    assert not (tmp_path / "harm").exists()


def python2_pickle(**arrays: np.ndarray) -> bytes:
    """A dict of arrays as Python 2's cPickle writes it in protocol 2: its str are bytes."""

    def text(value: bytes) -> bytes:
        return b"T" + struct.pack("<i", len(value)) + value

    def numbers(*values: int) -> bytes:
        return b"".join(b"J" + struct.pack("<i", value) for value in values)

    def pickled(array: np.ndarray) -> bytes:
        begun = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\n"
        begun += numbers(0) + b"\x85" + text(b"b") + b"\x87R"
        dtype = b"cnumpy\ndtype\n" + text(array.dtype.str[1:].encode()) + numbers(0, 1) + b"\x87R"
        dtype += b"(" + numbers(3) + text(b"<") + b"NNN" + numbers(-1, -1, 0) + b"tb"
        shape = b"(" + numbers(*array.shape) + b"t"
        state = numbers(1) + shape + dtype + b"\x89" + text(array.tobytes())
        return begun + b"(" + state + b"tb"

    items = b"".join(text(name.encode()) + pickled(array) for name, array in arrays.items())
    return b"\x80\x02}(" + items + b"u."


def test_the_form_and_length_that_are_published(tmp_path: Path) -> None:
    draws = np.random.default_rng(0)
    signals, ratings = draws.normal(size=(2, 40, 8064)), draws.uniform(1, 9, (2, 4))
    content = python2_pickle(labels=ratings, data=signals)
    np.testing.assert_array_equal(pickle.loads(content, encoding="latin1")["data"], signals)
    (tmp_path / "s32.dat").write_bytes(content)
    trials = nn.datasets.deap(tmp_path, 32)
    np.testing.assert_array_equal(trials.signals, signals.astype("float32"))
    np.testing.assert_array_equal(trials.ratings, ratings.astype("float32"))


@pytest.mark.parametrize("dtype", ["<f4", ">f8"])
def test_other_orders_of_numbers_and_axes(tmp_path: Path, dtype: str) -> None:
    signals = np.asfortranarray(np.arange(24.0).reshape(2, 3, 4).astype(dtype))
    write(tmp_path / "s01.dat", {"data": signals, "labels": np.ones((2, 4), dtype)})
    np.testing.assert_array_equal(nn.datasets.deap(tmp_path, 1).signals, signals)


def test_arrays_of_objects_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "s01.dat", {"data": np.ones((1, 2, 2), object), "labels": np.ones((1, 4))})
    with pytest.raises(sg.SymgraphValueError, match="not of f4 or f8"):
        nn.datasets.deap(tmp_path, 1)


def test_a_broken_file_is_an_error_that_says_so(tmp_path: Path) -> None:
    whole = python2_pickle(labels=np.ones((1, 4)), data=np.ones((1, 2, 2)))
    for at in range(0, len(whole), 3):
        (tmp_path / "s01.dat").write_bytes(whole[:at])
        with pytest.raises(sg.SymgraphValueError, match="none of its files"):
            nn.datasets.deap(tmp_path, 1)
    # NumPy would follow the bytes of the data as addresses.
    (tmp_path / "s01.dat").write_bytes(whole.replace(b"f8", b"O8"))
    with pytest.raises(sg.SymgraphValueError, match="not of f4 or f8"):
        nn.datasets.deap(tmp_path, 1)
