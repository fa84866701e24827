"""Programs that are wrong on purpose, for the run that looks for such."""

from __future__ import annotations

from collections.abc import Sequence

from symgraph.testing import Program
from symgraph.testing.program import Input

_INPUT = Input("x", (3,))


def draw_crash(seed: Sequence[int]) -> Program:
    """A program whose number 2 ends the process."""
    last = "os.abort()" if seed[1] == 2 else "a = x * 2.0"
    text = ("import os", "y = sg.exp(x)", last, "z = y + 1.0")
    return Program((_INPUT,), text, ("y", "z"))


def draw_right(seed: Sequence[int]) -> Program:
    """A program with nothing wrong."""
    return Program((_INPUT,), (f"y = x * {seed[1]}.0",), ("y",))
