"""A cache of compiled code for this run alone: empty at first, shared by workers and by processes
that tests start, gone afterwards. What an earlier run left would change what reports say."""

from __future__ import annotations

import os
import shutil
import tempfile

import pytest

_FOLDER = pytest.StashKey[str]()


def pytest_configure(config: pytest.Config) -> None:
    if hasattr(config, "workerinput"):  # one of xdist's workers, which has it from the main process
        return
    config.stash[_FOLDER] = tempfile.mkdtemp(prefix="symgraph-tests-")
    os.environ["SYMGRAPH_CACHE_DIR"] = config.stash[_FOLDER]


def pytest_unconfigure(config: pytest.Config) -> None:
    folder = config.stash.get(_FOLDER, None)
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)
