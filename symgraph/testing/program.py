"""A program as text: what a user would write, and what both symgraph and NumPy can run.

The instructions of a program use the names ``sg`` and ``np`` and those of its inputs. Run with
symgraph as ``sg`` they build a graph; run with `eager` as ``sg``, and arrays for the inputs, they
compute its values one after the other, without a graph.
"""

from __future__ import annotations

import ast
import importlib
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from types import CodeType, MappingProxyType
from typing import Any

import numpy as np

from . import eager

__all__ = ["Input", "Program", "code_of", "names_of", "numbers", "quietly", "run_eagerly"]
__all__ += ["run_symbolically"]

Sizes = Mapping[str, int]
# What the twin cannot compute: derivatives, and the layers of a package above this one.
_UNTOLD = ("sg.grad(", "sg.jvp(", "sg.vjp(", "sg.hessian", "sg.jacobian(", "nn.", ".params")
_STEPS = 100.0  # the numbers have two decimals, so that they are short where they are printed


def numbers(
    shape: Sequence[int], dtype: str = "float64", seed: int = 0, low: float = -2, high: float = 2
) -> np.ndarray:
    """An array of numbers from ``low`` to ``high``, always the same for the same arguments.

    Floats have two decimals.

    >>> sg.testing.numbers((2, 3), "int32").shape
    (2, 3)
    """
    drawn = np.random.default_rng(seed).uniform(low, high, tuple(shape))
    kind = np.dtype(dtype).kind
    if kind == "b":
        return drawn > (low + high) / 2
    return (np.rint(drawn) if kind in "iu" else np.rint(drawn * _STEPS) / _STEPS).astype(dtype)


@dataclass(frozen=True)
class Input:
    """An argument or a shared variable, and the numbers that it gets."""

    name: str
    axes: tuple[int | str, ...]
    """For each axis its fixed size, the name of its size, or "?" and a name for a size that the
    declaration leaves open."""
    dtype: str = "float64"
    seed: int = 0
    low: float = -2
    high: float = 2
    is_shared: bool = False

    def shape(self, sizes: Sizes) -> tuple[int, ...]:
        """The shape of its array."""
        return tuple(a if isinstance(a, int) else sizes[a.lstrip("?")] for a in self.axes)

    def array(self, sizes: Sizes) -> np.ndarray:
        """Its numbers."""
        return numbers(self.shape(sizes), self.dtype, self.seed, self.low, self.high)

    def data_source(self, sizes: Sizes) -> str:
        """The expression of its numbers."""
        limits = "" if (self.low, self.high) == (-2, 2) else f", {self.low:g}, {self.high:g}"
        return f"numbers({self.shape(sizes)}, {self.dtype!r}, {self.seed}{limits})"

    def source(self, sizes: Sizes) -> str:
        """The line that declares it."""
        if self.is_shared:
            return f"{self.name} = sg.shared({self.data_source(sizes)}, {self.name!r})"
        declared = tuple(None if str(a).startswith("?") else a for a in self.axes)
        return f"{self.name} = sg.tensor({self.name!r}, {declared!r}, {self.dtype!r})"


_ONE_CALL: tuple[Sizes, ...] = (MappingProxyType({}),)


@dataclass(frozen=True)
class Program:
    """Inputs, instructions, and which of their values come out.

    >>> x = sg.testing.program.Input("x", (2,))
    >>> program = sg.testing.Program((x,), ("y = x * 2", "z = x + 1"), ("y",))
    >>> program.lines
    2
    """

    inputs: tuple[Input, ...]
    instructions: tuple[str, ...]
    outputs: tuple[str, ...]
    updates: tuple[tuple[str, str], ...] = ()
    """Shared variables, and the names of their new values."""
    rules: tuple[str, ...] = ()
    """Names of dictionaries of updates."""
    calls: tuple[Sizes, ...] = _ONE_CALL
    """For each call of the function the sizes by name."""
    threads: int = 1
    label: str = ""
    """Where it comes from: a seed and a number."""

    @property
    def lines(self) -> int:
        """How many lines its instructions have."""
        return sum(text.count("\n") + 1 for text in self.instructions)

    @property
    def wanted(self) -> list[str]:
        """The names whose values come out."""
        return [*self.outputs, *(new for _, new in self.updates), *self.rules]

    def without_what_nobody_reads(self) -> Program:
        """The program without instructions and inputs that nothing that comes out needs.

        >>> program = sg.testing.Program((), ("y = sg.ones(2)", "z = y + 1"), ("y",))
        >>> program.without_what_nobody_reads().instructions
        ('y = sg.ones(2)',)
        """
        wanted = {*self.wanted, *(shared for shared, _ in self.updates)}
        kept: list[str] = []
        for instruction in reversed(self.instructions):
            made, read = names_of(instruction)
            if made & wanted:
                wanted |= read
                kept.insert(0, instruction)
        inputs = tuple(x for x in self.inputs if x.name in wanted)
        return replace(self, instructions=tuple(kept), inputs=inputs)

    def in_float64(self) -> Program:
        """The program with float64 for each float32.

        >>> program = sg.testing.Program((), ("y = sg.ones(2, 'float32')",), ("y",))
        >>> program.in_float64().instructions
        ("y = sg.ones(2, 'float64')",)
        """
        inputs = tuple(replace(x, dtype=x.dtype.replace("float32", "float64")) for x in self.inputs)
        text = tuple(i.replace("float32", "float64") for i in self.instructions)
        return replace(self, inputs=inputs, instructions=text)

    def source(self) -> str:
        """A script that runs it on both backends.

        >>> script = sg.testing.Program((), ("y = sg.ones(2)",), ("y",)).source()
        >>> print(script.splitlines()[-1])
        check_backends([y], [], [])
        """
        body = "\n".join(self.instructions)
        nets = "import symgraph_nn as nn\n" if "nn." in body else ""
        arguments = [x for x in self.inputs if not x.is_shared]
        arrays = [
            "[" + ", ".join(x.data_source(sizes) for x in arguments) + "]" for sizes in self.calls
        ]
        options = f", threads={self.threads}" if self.threads != 1 else ""
        if self.updates or self.rules:
            pairs = [*(f"**{rule}" for rule in self.rules), *(f"{a}: {b}" for a, b in self.updates)]
            options += ", updates={" + ", ".join(pairs) + "}"
        if arrays[1:]:
            options += f", more=[{', '.join(arrays[1:])}]"
        return (
            f"import numpy as np\n\nimport symgraph as sg\n{nets}"
            "from symgraph.testing import check_backends, numbers\n\n"
            + "".join(x.source(self.calls[0]) + "\n" for x in self.inputs)
            + f"{body}\n"
            f"check_backends([{', '.join(self.outputs)}], "
            f"[{', '.join(x.name for x in arguments)}], {arrays[0]}{options})\n"
        )

    def untold(self) -> set[str]:
        """The names whose values the twin does not know.

        >>> program = sg.testing.Program((), ("y = sg.grad(c, x)", "z = y + 1"), ("z",))
        >>> sorted(program.untold())
        ['y', 'z']
        """
        found: set[str] = set()
        for instruction in self.instructions:
            made, read = names_of(instruction)
            if read & found or any(mark in instruction for mark in _UNTOLD):
                found |= made
        return found


@lru_cache(maxsize=512)
def code_of(text: str, mode: str = "exec") -> CodeType:
    """The text compiled."""
    return compile(text, "<program>", mode)


@lru_cache(maxsize=512)
def names_of(instruction: str) -> tuple[set[str], set[str]]:
    """The names that an instruction makes, and all others that it reads."""
    made: set[str] = set()
    read: set[str] = set()
    for part in ast.walk(ast.parse(instruction)):
        if isinstance(part, ast.Name):
            (made if isinstance(part.ctx, ast.Store) else read).add(part.id)
        elif isinstance(part, (ast.FunctionDef, ast.ClassDef)):
            made.add(part.name)
        elif isinstance(part, ast.arg):
            made.add(part.arg)
        elif isinstance(part, ast.alias):
            made.add(part.name)
    return made, read - made


def run_symbolically(program: Program, sg: Any) -> dict[str, Any]:
    """The variables of a program by name. Raises whatever an instruction raises."""
    space = symbols(program, sg)
    for instruction in program.instructions:
        exec(code_of(instruction), space)
    return space


def symbols(program: Program, sg: Any) -> dict[str, Any]:
    """The names that the first instruction finds."""
    space: dict[str, Any] = {"np": np, "sg": sg, "numbers": numbers}
    if any("nn." in instruction for instruction in program.instructions):
        space["nn"] = importlib.import_module("symgraph_nn")
    for x in program.inputs:
        exec(code_of(x.source(program.calls[0])), space)
    return space


def run_eagerly(
    program: Program,
    arrays: Mapping[str, np.ndarray],
    names: Sequence[str] | None = None,
    *,
    nudge: int = 0,
) -> dict[str, Any]:
    """The values of a program by name, those of the given names where there are some.

    What the twin does not know is left out. With a ``nudge`` the floats that each instruction and
    each step of a loop makes are moved by about one rounding, another way for each number.
    """
    space: dict[str, Any] = {"np": np, "sg": eager}
    space |= {name: eager.as_eager(array) for name, array in arrays.items()}
    with quietly(), eager.rounding(nudge) as rounded:
        for instruction in needed_for(program, names):
            exec(code_of(instruction), space)
            if nudge:
                made = names_of(instruction)[0] & space.keys()
                space |= {name: rounded(space[name]) for name in sorted(made)}
    return space


@contextmanager
def quietly() -> Iterator[None]:
    """NumPy without its warnings."""
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        yield


def needed_for(program: Program, names: Sequence[str] | None) -> Iterator[str]:
    """The instructions that the twin can run, in their order; those that the names need."""
    untold = program.untold()
    told = [i for i in program.instructions if not names_of(i)[0] & untold]
    if names is None:
        yield from told
        return
    wanted, kept = set(names), []
    for instruction in reversed(told):
        made, read = names_of(instruction)
        if made & wanted:
            wanted |= read
            kept.append(instruction)
    yield from reversed(kept)
