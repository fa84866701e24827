"""What all tests share.

A cache of compiled code for this run alone: empty at first, shared by workers and by processes that
tests start, gone afterwards. What an earlier run left would change what reports say.

And which tests are fast, as a mark: those of what differs between versions of Python and of other
packages.
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

# What is computed from graphs alone is the same on every version, so passes and lowerings are left
# to the whole suite. These are in the parts that lean on Python and on other packages:
_FAST = (
    # interning and weak references; signatures; the command, documents and pictures
    *("core", "docs", "viz/test_viz_texts.py", "test_cli.py", "test_imports.py"),
    "test_public_names.py",
    # calls by ctypes and llvmlite: threads, interrupts, dtypes, maths, the cache on disk
    *("backends/test_native_cache.py", "backends/test_native_calls.py"),
    *("backends/test_native_elements.py", "backends/test_native_faults.py"),
    *("backends/test_native_guard.py", "backends/test_native_interrupts.py"),
    *("backends/test_native_loops_apart.py", "backends/test_native_maths.py"),
    *("backends/test_native_stored.py", "backends/test_native_threads.py"),
    *("backends/test_numpy_backend.py", "backends/test_numpy_running.py"),
    "backends/test_protocols.py",
    # pickles, copies, and what is recalled in another process
    *("compile/test_alike_in_every_process.py", "compile/test_evaluate.py"),
    *("compile/test_function.py", "compile/test_function_copies.py", "compile/test_inputs.py"),
    *("compile/test_recall.py", "compile/test_trace.py", "compile/test_updates.py"),
    *("nn/test_nn_serialise.py", "nn/test_nn_training.py", "scan/test_scan_copies.py"),
    # how steps are called and what their source says: names, lines
    *("compile/test_lines_of_loops.py", "compile/test_lines_of_programs.py"),
    *("scan/test_scan_step_errors.py", "scan/test_scan_step_functions.py"),
    # NumPy's dispatch, promotion and dtypes
    *("ops/test_create.py", "ops/test_numpy_dispatch.py", "ops/test_operators.py"),
    *("ops/test_random.py", "ops/test_weak_numbers.py"),
)
_FOLDER = pytest.StashKey[str]()


def pytest_configure(config: pytest.Config) -> None:
    # A shell that starts it in the background has it ignore Ctrl-C, which tests send.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if hasattr(config, "workerinput"):  # one of xdist's workers, which has it from the main process
        return
    config.stash[_FOLDER] = tempfile.mkdtemp(prefix="symgraph-tests-")
    os.environ["SYMGRAPH_CACHE_DIR"] = str(Path(config.stash[_FOLDER], "cache"))
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
