"""Hypothesis strategies for loops: what `check_scan` and `check_unrolled` take.

>>> from hypothesis import given
>>> @given(sg.testing.strategies.scans())
... def test_loops(case):
...     sg.testing.check_scan(**case.arguments)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hypothesis import reject
from hypothesis import strategies as st

from .cases import LoopingFunction, ScanCase, draw_function, draw_scan
from .draw.drawer import Source

__all__ = ["LoopingFunction", "ScanCase", "functions_with_loops", "scans"]


@st.composite
def scans(
    draw: st.DrawFn,
    *,
    max_steps: int = 7,
    dtype: str | None = None,
    options: Mapping[str, st.SearchStrategy[Any]] | None = None,
) -> ScanCase:
    """A Hypothesis strategy of loops, for `check_scan`: a `ScanCase`.

    Loops of 0 to ``max_steps`` steps over sequences with taps, far and forward ones too, of just as
    many rows as are needed or more; states with one past value or several, plain outputs, counts;
    what does not change over time, read in several places or as a sequence too; windows that the
    step's number chooses; loops within the step; `until`, truncation, checkpoints, both directions.
    Rows have sizes of 0, 1 and more. ``dtype`` is that of floats: "float64", "float32", or one of
    both by default. ``options`` are strategies for options of `scan` to be used in place of those
    that are drawn. Bodies are smooth, so that derivatives of every order can be compared.

    >>> from hypothesis import find
    >>> case = find(sg.testing.strategies.scans(), lambda case: len(case.outputs_info) == 2)
    >>> len(sg.testing.check_scan(**case.arguments, orders=1))
    2
    """
    chosen = {name: draw(strategy) for name, strategy in (options or {}).items()}
    case = draw_scan(_source(draw), max_steps=max_steps, dtype=dtype, options=chosen)
    return reject() if case is None else case


@st.composite
def functions_with_loops(
    draw: st.DrawFn, *, max_steps: int = 4, instructions: int = 5, dtype: str | None = None
) -> LoopingFunction:
    """A Hypothesis strategy of functions with loops, for `check_unrolled`: a `LoopingFunction`.

    `scan`, `map`, `reduce`, `foldl`, `foldr` and `associative_scan`, some of which read what others
    give, and what is between them: at most so many ``instructions``. ``dtype`` as for `scans`.

    >>> from hypothesis import find
    >>> case = find(sg.testing.strategies.functions_with_loops(), lambda case: "scan" in case.text)
    >>> results = sg.testing.check_unrolled(case.function, *case.arrays, orders=1)
    >>> len(results) == len(case.expected)
    True
    """
    case = draw_function(_source(draw), max_steps=max_steps, instructions=instructions, dtype=dtype)
    return reject() if case is None else case


def _source(draw: st.DrawFn) -> Source:
    """Chance that is Hypothesis's, so that what fails is made short."""
    return lambda n: draw(st.integers(0, n - 1))
