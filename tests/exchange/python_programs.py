"""Programs that were written as Python: loaded, compared, looked at by a formatter and a linter."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

__all__ = ["check", "load", "same"]


def load(path: Path) -> Callable[..., Any]:
    """The function of a program."""
    # No import: of a file that is written again within a second Python runs the old bytecode.
    module = ModuleType(path.stem)
    module.__file__ = str(path)
    exec(compile(path.read_text(), path, "exec"), module.__dict__)
    return getattr(module, path.stem)


def check(path: Path, width: int = 96) -> str:
    """The text of a program, which formatters leave alone and linters find nothing in."""
    for command in (["format", "--check", f"--line-length={width}"], ["check"]):
        arguments = [sys.executable, "-m", "ruff", *command, "--isolated", "--no-cache", str(path)]
        done = subprocess.run(arguments, capture_output=True, text=True)
        assert not done.returncode, done.stdout + done.stderr
    return path.read_text() if path.is_file() else ""


def same(got: Any, expected: Any) -> None:
    """Fail unless both are the same results, to the last bit."""
    if isinstance(expected, dict):
        assert list(got) == list(expected)
        got, expected = list(got.values()), list(expected.values())
    if isinstance(expected, (list, tuple)):
        assert type(got) is type(expected)
        assert len(got) == len(expected)
        for a, b in zip(got, expected, strict=True):
            same(a, b)
        return
    if expected is None:
        assert got is None
        return
    got, expected = np.asarray(got), np.asarray(expected)
    assert (got.dtype, got.shape) == (expected.dtype, expected.shape)
    np.testing.assert_array_equal(got, expected)
