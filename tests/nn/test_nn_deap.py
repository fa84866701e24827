"""The loader of DEAP, on a synthetic file of the published form."""

from __future__ import annotations

import os
import pickle
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
