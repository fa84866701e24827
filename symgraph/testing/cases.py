"""Loops with arrays for them, drawn: what `check_scan` and `check_unrolled` take."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

import symgraph as sg

from ..core.errors import SymgraphError
from . import eager
from .draw import loops, smooth
from .draw.drawer import Drawer, Source
from .program import code_of, names_of, quietly
from .symbols import Symbols
from .values import evaluate

__all__ = ["LoopingFunction", "ScanCase", "draw_function", "draw_scan"]

_LENGTHS = (2, 1, 0, 3, 4, 5, 7)
_LARGEST = 20.0
# Shapes of what does not change over time.
_FIXED = ([2, 2], [2], [], [5], [3, 2], [1, 2])


@dataclass(frozen=True)
class ScanCase:
    """A loop: what `scan` takes, with arrays for variables. It prints as the lines that make it."""

    text: str
    """The step as a user would write it, and the call of `check_scan`."""
    step: Callable[..., Any]
    sequences: list[Any]
    outputs_info: list[Any]
    non_sequences: list[np.ndarray]
    options: dict[str, Any]
    expected: list[np.ndarray]
    """The outputs, by the same lines with NumPy for symgraph."""

    @property
    def arguments(self) -> dict[str, Any]:
        """All of it by the names that `check_scan` and `scan` have for it."""
        return {
            "step": self.step,
            "sequences": self.sequences,
            "outputs_info": self.outputs_info,
            "non_sequences": self.non_sequences,
            **self.options,
        }

    def __repr__(self) -> str:
        return f"ScanCase:\n{self.text}"


@dataclass(frozen=True)
class LoopingFunction:
    """A function with loops and arrays for it. It prints as the lines that make it."""

    text: str
    """The function as a user would write it, and the call of `check_unrolled`."""
    function: Callable[..., Any]
    """Takes a variable for each array, and returns a list of variables."""
    arrays: list[np.ndarray]
    expected: list[np.ndarray]
    """The results, by the same lines with NumPy for symgraph."""

    def __repr__(self) -> str:
        return f"LoopingFunction:\n{self.text}"


@eager.states_of_one_size()
def draw_scan(
    source: Source, *, max_steps: int, dtype: str | None, options: Mapping[str, Any]
) -> ScanCase | None:
    """A loop; None where what was drawn makes none."""
    d = _drawer(source, dtype)
    d.steps = d.one_of([n for n in _LENGTHS if n <= max_steps])
    for axes in d.shuffled(_FIXED)[: d.integer(0, 2)]:
        d.declare(axes, d.dtype)
    loop = loops.draw(d)
    if loop is None:
        return None
    text = loops.step_text(loop, "step", [])
    others = [x.name for x in d.inputs if x.name in names_of(text)[1]]
    text = loops.step_text(loop, "step", [*loop.arguments, *others])
    given = {
        # The steps' numbers, too, are an array.
        "sequences": f"[{', '.join(loop.sequences)}]".replace("sg.arange(", "np.arange("),
        "outputs_info": f"[{', '.join(loop.infos)}]",
        "non_sequences": f"[{', '.join(others)}]",
    }
    chosen = {**eval(f"dict({loop.options[2:]})"), **options}
    space = _run(text, eager)
    space |= {x.name: np.asarray(d.values[x.name]) for x in d.inputs}
    found = {name: eval(code_of(value, "eval"), space) for name, value in given.items()}
    fixed = [eager.as_eager(x) for x in found["non_sequences"]]
    try:
        with quietly():
            expected = eager.scan(space["step"], **{**found, "non_sequences": fixed}, **chosen)
    except Exception:  # what no single step does, such as reading a row that is not there
        return None
    step = _run(text, sg)["step"]
    try:
        for known in (True, False):
            built = Symbols(*found.values(), known=known).call(sg.scan, step, chosen)
        evaluate(built.outputs, built.needed)
    except SymgraphError:  # a size that only a step tells, or that only NumPy lets meet another
        return None
    written = given | {name: repr(value) for name, value in chosen.items()}
    call = ", ".join(f"{k}={v}" for k, v in written.items())
    return ScanCase(
        f"{_declared(d, others, call)}{text}check_scan(step, {call})",
        step,
        options=chosen,
        expected=[np.asarray(x) for x in (expected if isinstance(expected, list) else [expected])],
        **found,
    )


@eager.states_of_one_size()
def draw_function(
    source: Source, *, max_steps: int, instructions: int, dtype: str | None
) -> LoopingFunction | None:
    """A function with loops; None where what was drawn makes none."""
    d = _drawer(source, dtype)
    steps = d.one_of([n for n in _LENGTHS if n <= max_steps])
    row = d.one_of(([2], [], [3, 2], [1], [2, 2]))
    for axes in ([steps, *row], row, *([[steps + d.integer(0, 2), *row]] * d.integer(0, 1))):
        d.declare(axes, d.dtype)
    if d.chance(0.2):
        d.declare([steps], "int64")
    kinds, weights = zip(*loops.KINDS, *((kind, 1) for kind, _ in smooth.KINDS), strict=True)
    loops.plain(d)
    for _ in range(d.integer(0, instructions - 1)):
        d.add(d.one_of(kinds, weights)(d))
    program = d.program([], [{}]).without_what_nobody_reads()
    if not program.instructions:
        return None
    names = [x.name for x in program.inputs]
    lines = [*program.instructions, f"return [{', '.join(program.outputs)}]"]
    body = textwrap.indent("\n".join(lines), "    ")
    text = f"def function({', '.join(names)}):\n{body}\n"
    call = ", ".join(names)
    arrays = [np.asarray(d.values[n]) for n in names]
    function = _run(text, sg)["function"]
    given = {sg.tensor(n, a.shape, a.dtype): a for n, a in zip(names, arrays, strict=True)}
    try:
        evaluate(function(*given), given)
    except SymgraphError:  # a size that only NumPy lets meet another
        return None
    return LoopingFunction(
        f"{_declared(d, [], call)}{text}check_unrolled(function, {call})",
        function,
        arrays,
        [np.asarray(d.values[n]) for n in program.outputs],
    )


def _drawer(source: Source, dtype: str | None) -> Drawer:
    """A drawer of smooth instructions."""
    d = Drawer(source)
    d.is_wild, d.is_smooth, d.largest = False, True, _LARGEST
    d.dtype = dtype or ("float32" if d.chance(0.15) else "float64")
    return d


def _run(text: str, module: Any) -> dict[str, Any]:
    """What the text defines, with this module for symgraph."""
    space = {"sg": module, "np": np}
    exec(code_of(text), space)
    return space


def _declared(d: Drawer, names: Sequence[str], call: str) -> str:
    """The lines that make the arrays that a call needs."""
    read = names_of(f"f({call})")[1] | {*names}
    return "".join(f"{x.name} = {x.data_source({})}\n" for x in d.inputs if x.name in read)
