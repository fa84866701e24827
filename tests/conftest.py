"""What all tests share.

A cache of compiled code for this run alone: empty at first, shared by workers and by processes that
tests start, gone afterwards. What an earlier run left would change what reports say.

And which tests are fast, as a mark: those of the parts that other packages and Python are used in.
"""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("deep", max_examples=5000, deadline=None)

_FAST = ("backends", "compile", "core", "docs", "viz", "test_cli.py", "ops/test_random.py")
_FAST += ("nn/test_nn_serialise.py", "nn/test_nn_training.py")
_FOLDER = pytest.StashKey[str]()


def pytest_configure(config: pytest.Config) -> None:
    # A shell that starts it in the background has it ignore Ctrl-C, which tests send.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if hasattr(config, "workerinput"):  # one of xdist's workers, which has it from the main process
        return
    config.stash[_FOLDER] = tempfile.mkdtemp(prefix="symgraph-tests-")
    os.environ["SYMGRAPH_CACHE_DIR"] = config.stash[_FOLDER]
    # Where sources are to stay without bytecode, processes that tests start have it elsewhere, or
    # each would compile all modules that it imports.
    if os.environ.pop("PYTHONDONTWRITEBYTECODE", ""):
        os.environ["PYTHONPYCACHEPREFIX"] = str(Path(config.stash[_FOLDER], "bytecode"))


def pytest_unconfigure(config: pytest.Config) -> None:
    folder = config.stash.get(_FOLDER, None)
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    tests = Path(__file__).parent
    for item in items:
        if tests not in item.path.parents:
            continue
        path = item.path.relative_to(tests)
        if path.parts[0] in _FAST or path.as_posix() in _FAST:
            item.add_marker(pytest.mark.fast)
