"""The state of a program that is being drawn, and what every kind of instruction draws from it."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import accumulate
from typing import Any

import numpy as np

import symgraph as sg

from ...core.errors import SymgraphError
from .. import eager
from ..program import Input, Program, code_of, names_of, numbers, quietly

__all__ = ["DTYPES", "INTEGERS", "SIZES", "Drawer", "Kind", "Source"]

SIZES = (0, 1, 2, 3, 5, 8, 16, 17, 33)
_SIZE_WEIGHTS = (4, 10, 14, 18, 16, 12, 4, 5, 4)
INTEGERS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
DTYPES = ("bool", *INTEGERS, "float32", "float64")
# An instruction with more elements or larger numbers is not taken.
_MOST_ELEMENTS = 3000
_LARGEST = 1e4
# Numbers that are no variables: what a loop's body adds to the names of the program.
_OUTER = ("np", "sg")

# Chances are drawn as parts of this many.
_PARTS = 100

Source = Callable[[int], int]
"""Draws a whole number from 0 to below the one given: where all chance comes from."""

Kind = Callable[["Drawer"], "str | None"]
"""Draws the expression of an instruction, or adds instructions itself and gives None."""


def numbers_of(seed: int | Sequence[int]) -> Source:
    """The numbers of a generator of this seed."""
    generator = np.random.default_rng(seed)
    return lambda n: int(generator.integers(n))


class Drawer:
    """A program in the making: its names with the values that NumPy gives them."""

    def __init__(self, source: int | Sequence[int] | Source, *, label: str = "") -> None:
        self._below = source if callable(source) else numbers_of(source)
        self.label = label
        self.inputs: list[Input] = []
        self.instructions: list[str] = []
        self.values: dict[str, Any] = {}
        """What programs compute with: the names that an instruction may use."""
        self.space: dict[str, Any] = {"np": np, "sg": eager}
        self.symbols: dict[str, Any] | None = {"np": np, "sg": sg}
        """The variables; None within a loop, whose body symgraph sees as a whole."""
        self.sizes: dict[str, int] = {}
        self.untold: set[str] = set()
        self.is_wild: bool = self.chance(0.1)
        """Whether infinities and NaN are welcome."""
        self.depth: int = 0
        self.made_here: set[str] = set()
        """What the body of the loop that is drawn has made so far."""
        self.refused: int = 0
        self.is_broken: bool = False
        """Whether an instruction raised what is no error of symgraph's: the last one then."""
        self.count: int = 0
        self.largest: float = _LARGEST
        self.is_smooth: bool = False
        """Whether everything has derivatives of every order."""
        self.dtype: str = "float64"
        """That of new floats."""
        self.steps: int | None = None
        """How many steps a single loop takes that is drawn with its arguments; None where loops
        read what there is."""

    @property
    def is_at_top_of_a_case(self) -> bool:
        """Whether a loop is drawn with arguments of its own."""
        return self.steps is not None and self.symbols is not None

    # --- chance ---------------------------------------------------------------------------------

    def chance(self, part: float) -> bool:
        """Whether something of this probability happens."""
        return self._below(_PARTS) >= round((1.0 - part) * _PARTS)

    def integer(self, low: int, high: int) -> int:
        """A whole number from ``low`` to ``high``, both included."""
        return low + self._below(high - low + 1)

    def one_of(self, options: Sequence[Any], weights: Sequence[int] | None = None) -> Any:
        """One of the options."""
        if weights is None:
            return options[self._below(len(options))]
        sums = list(accumulate(weights))
        return options[bisect_right(sums, self._below(sums[-1]))]

    def shuffled(self, options: Iterable[Any]) -> list[Any]:
        """The options in any order."""
        left = list(options)
        return [left.pop(self._below(len(left))) for _ in range(len(left))]

    def size(self) -> int:
        """A size."""
        return self.one_of(SIZES, _SIZE_WEIGHTS)

    def number(self) -> str:
        """A Python number, as text."""
        return self.one_of(("0.5", "2.0", "0.113", "-1.507", "3.0", "1.0", "0.25", "-0.297"))

    # --- names ----------------------------------------------------------------------------------

    def fresh(self, prefix: str = "v") -> str:
        """A name that is not taken."""
        self.count += 1
        return f"{prefix}{self.count}"

    def pick(
        self, fits: Callable[[Any], bool] = lambda value: True, *, told: bool = False
    ) -> str | None:
        """The name of a value that fits, more likely a late one; None where there is none."""
        names = [n for n, v in self.values.items() if fits(v) and not (told and n in self.untold)]
        if not names:
            return None
        return self.one_of(names, range(2, len(names) + 2))

    def float_name(self, least: int = 0, most: int = 3) -> str | None:
        """The name of a float array with so many axes."""
        return self.pick(lambda v: v.dtype.kind == "f" and least <= v.ndim <= most)

    def whole_name(self, least: int = 0, most: int = 3) -> str | None:
        """The name of an integer array with so many axes."""
        return self.pick(lambda v: v.dtype.kind in "iu" and least <= v.ndim <= most)

    # --- growing --------------------------------------------------------------------------------

    def declare(
        self,
        axes: Sequence[int | str],
        dtype: str,
        *,
        low: float = -2,
        high: float = 2,
        is_shared: bool = False,
    ) -> str:
        """The name of a new argument or shared variable."""
        if np.dtype(dtype).kind == "u":
            low, high = 0, max(high, 1)
        name = self.fresh("w" if is_shared else "k" if np.dtype(dtype).kind in "iu" else "x")
        fixed = [a if isinstance(a, int) else self.sizes[a.lstrip("?")] for a in axes]
        given = tuple(fixed if is_shared else axes)
        x = Input(name, given, dtype, self.integer(0, 99), low, high, is_shared)
        self.inputs.append(x)
        self.values[name] = self.space[name] = eager.as_eager(x.array(self.sizes))
        assert self.symbols is not None
        exec(code_of(x.source(self.sizes)), {"numbers": numbers, **self.symbols}, self.symbols)
        return name

    def add(self, expression: str | None, *, name: str | None = None) -> str | None:
        """The name of the expression's value, in a new instruction; None where it does not work."""
        if expression is None:
            return None
        name = name or self.fresh()
        return name if self.add_instruction(f"{name} = {expression}", [name]) else None

    def add_instruction(self, text: str, names: Sequence[str], *, untold: bool = False) -> bool:
        """Whether the instruction works, which makes the names; it is added then.

        Not where NumPy refuses it, where its values are too many or too large, or where symgraph
        refuses it as it is built. What raises anything else there is added, and is the last one.
        """
        if self.is_broken:
            return False
        made = dict(self.space)
        try:
            with quietly():
                exec(code_of(text), made)
        except Exception:
            return False
        if not all(self.is_moderate(made[n]) for n in names):
            return False
        if not self.build(text):
            return False
        self.instructions.append(text)
        self.made_here.update(names)
        _, read = names_of(text)
        for n in names:
            self.values[n] = self.space[n] = eager.as_eager(made[n])
            if untold or read & self.untold:
                self.untold.add(n)
        return True

    def build(self, text: str) -> bool:
        """Whether symgraph takes the instruction, or raises what it should not."""
        if self.symbols is None:
            return True
        try:
            exec(code_of(text), self.symbols)
        except SymgraphError:
            self.refused += 1
            return False
        except Exception:
            self.is_broken = True
        return True

    def is_moderate(self, value: Any) -> bool:
        """Whether a value may be computed with."""
        value = np.asarray(value)
        if value.dtype.name not in DTYPES or value.size > _MOST_ELEMENTS or value.ndim > 4:
            return False
        if value.dtype.kind != "f" or not value.size:
            return True
        if self.is_wild:
            return True
        return bool(np.all(np.abs(value) < self.largest))  # NaN is not less, either

    @contextmanager
    def body(self, arguments: dict[str, Any]) -> Iterator[list[str]]:
        """The instructions of a loop's body, drawn inside with values of one step."""
        kept = self.instructions, dict(self.values), dict(self.space), self.symbols
        made_before = self.made_here
        self.instructions, self.symbols, self.made_here = [], None, set()
        self.depth += 1
        try:
            for name, value in arguments.items():
                self.values[name] = self.space[name] = eager.as_eager(value)
            yield self.instructions
        finally:
            self.instructions, self.values, self.space, self.symbols = kept
            self.made_here = made_before
            self.depth -= 1

    # --- the end --------------------------------------------------------------------------------

    def program(
        self, updates: Sequence[tuple[str, str]], calls: Sequence[dict[Any, Any]]
    ) -> Program:
        """What was drawn, with some of its values as outputs."""
        # In the order of `values`: that of sets of names is another one in each process.
        written = {n for i in self.instructions for n in names_of(i)[0]}
        made = [n for n in self.values if n in written] or list(self.values)
        unused = [n for n in made if not any(n in names_of(i)[1] for i in self.instructions)]
        wanted = list(unused[-3:]) or [made[-1]]
        for _ in range(self.integer(0, 2)):
            wanted.append(self.one_of(made))
        if self.is_broken:
            wanted = [n for n in wanted if n in self.symbols] if self.symbols else wanted
        outputs = tuple(dict.fromkeys(wanted))
        return Program(
            tuple(self.inputs),
            tuple(self.instructions),
            outputs,
            updates=tuple(updates),
            calls=tuple(calls),
            threads=2 if self.chance(0.15) else 1,
            label=self.label,
        )
