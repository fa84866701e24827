"""Loops that differ in one thing alone are told apart: in a process, on disk, in another one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

import symgraph as sg
from symgraph.backends.llvm.code.cache import DiskCache
from symgraph.backends.llvm.code.engine import engine


class Made(NamedTuple):
    """How a loop is made, and what is read of it."""

    decay: Any = 0.75
    shift: Any = 0.0
    dtype: str = "float64"
    axis: int = 0
    is_swapped: bool = False
    is_backward: bool = False
    is_lesser: bool = False
    least: float | None = None
    """The loop ends after the first step with a number below."""
    depth: int = 1
    """How far back the state is read."""
    read: str = "rows"
    has_product: bool = False
    threads: int = 1

    def step(self, numbers: Any, row: Any, before: Any) -> Any:
        """One step, on arrays or on variables."""
        mixed = row @ np.ones((2, 2), self.dtype) if self.has_product else row
        total = mixed - numbers.sum(row, axis=self.axis, keepdims=True) * 0.25
        pair = (before * self.decay, total)
        new = pair[1] - pair[0] if self.is_swapped else pair[0] - pair[1]
        new = (numbers.minimum if self.is_lesser else numbers.maximum)(new, row)
        return new + self.shift if self.shift else new

    def function(self) -> sg.Function:
        """The loop, compiled anew."""
        x = sg.tensor("x", ("T", 2, 2), self.dtype)
        initial = sg.zeros((self.depth, 2, 2), self.dtype)

        def step(row: sg.Variable, before: sg.Variable) -> Any:
            new = self.step(sg, row, before)
            return new if self.least is None else (new, sg.until(sg.min(new) < self.least))

        state = {"initial": initial, "taps": [-self.depth]}
        h = sg.scan(step, x, state, go_backwards=self.is_backward)
        return sg.compile([x], _read(self.read, h), threads=self.threads)

    def expected(self, x: np.ndarray) -> Any:
        """What a loop in Python makes of it."""
        rows = [np.zeros((2, 2), self.dtype)] * self.depth
        for row in x[::-1] if self.is_backward else x:
            rows.append(self.step(np, row, rows[-self.depth]))
            if self.least is not None and rows[-1].min() < self.least:
                break
        return _read(self.read, np.array(rows[self.depth :]))


def _read(what: str, h: Any) -> Any:
    parts = {
        "rows": lambda: h,
        "last": lambda: h[-1],
        "last two": lambda: h[-2:],
        "all but one": lambda: h[1:],
        "from the last": lambda: h[::-1],
        "total": lambda: h.sum(axis=0),
        "twice": lambda: [h, h[-1]],
    }
    return parts[what]()


PLAIN = Made()
OTHERS = [
    *(PLAIN._replace(decay=decay) for decay in (0.5, -0.75, 1e-300, 5e-324, np.inf)),
    *(PLAIN._replace(shift=shift) for shift in (1.0, -1.0, np.nan, -np.inf)),
    *(PLAIN._replace(depth=depth) for depth in (2, 3)),
    *(PLAIN._replace(least=least) for least in (-2.0, -4.0)),
    *(
        PLAIN._replace(read=read)
        for read in ("last", "last two", "all but one", "from the last", "total", "twice")
    ),
    PLAIN._replace(dtype="float32"),
    PLAIN._replace(axis=1),
    PLAIN._replace(is_swapped=True),
    PLAIN._replace(is_backward=True),
    PLAIN._replace(is_lesser=True),
    PLAIN._replace(has_product=True),
    PLAIN._replace(threads=2),
]
LOOPS = [*dict.fromkeys([PLAIN, *OTHERS, *(made._replace(read="last") for made in OTHERS)])]
VALUE = np.random.default_rng(0).normal(size=(9, 2, 2)) * 2


def check_all(*, are_recalled: bool, order: int = 1) -> None:
    """Compile all loops and hold what they give against loops in Python."""
    for made in LOOPS[::order]:
        f, x = made.function(), VALUE.astype(made.dtype)
        assert f.report.is_recalled == are_recalled, made
        with np.errstate(all="ignore"):
            wanted = made.expected(x)
        for found, each in zip(_list(f(x)), _list(wanted), strict=True):
            assert found.dtype == each.dtype, made
            tolerance = 1e-5 if made.dtype == "float32" else 1e-13
            np.testing.assert_allclose(found, each, tolerance, tolerance, err_msg=str(made))


def _list(results: Any) -> list[np.ndarray]:
    return results if isinstance(results, list) else [results]


@pytest.mark.parametrize("order", [1, -1])
def test_loops_that_differ_in_one_thing(
    order: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine(), "cache", DiskCache(tmp_path))
    for are_recalled in (False, True):
        check_all(are_recalled=are_recalled, order=-order if are_recalled else order)


def test_loops_of_another_process_that_differ_in_one_thing(tmp_path: Path) -> None:
    module = Path(__file__)
    program = (
        f"import sys; sys.path.insert(0, {str(module.parent)!r})\n"
        f"from {module.stem} import check_all\n"
        "check_all(are_recalled=sys.argv[1] == '-1', order=int(sys.argv[1]))"
    )
    environment = {**os.environ, "SYMGRAPH_CACHE_DIR": str(tmp_path)}
    for order in ("1", "-1"):
        command = [sys.executable, "-c", program, order]
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
