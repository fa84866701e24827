"""Random programs from fixed seeds: right on both backends, or refused alike.

`make fuzz` draws others.
"""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from symgraph.testing import Program, random_programs
from symgraph.testing.outcome import outcome_of
from symgraph.testing.shrink import shrink
from symgraph_nn.testing import random_nets

_SEED = 8
_CHUNK = 50


def check(programs: Iterable[Program]) -> None:
    """Fail with a script for the first program that does, made as short as it gets."""
    for program in programs:
        failure = outcome_of(program).failure
        if failure is None:
            continue
        kind = failure.kind

        def fails_alike(other: Program, kind: str = kind) -> bool:
            found = outcome_of(other).failure
            return found is not None and found.kind == kind

        short = shrink(program, fails_alike)
        pytest.fail(f"{program.label}: {kind}\n{failure.text}\n\n{short.source()}", pytrace=False)


@pytest.mark.parametrize("first", range(0, 650, _CHUNK))
def test_programs(first: int) -> None:
    check(random_programs(_SEED, _CHUNK, first=first))


@pytest.mark.parametrize("first", range(0, 350, _CHUNK))
def test_programs_with_loops(first: int) -> None:
    check(random_programs(_SEED, _CHUNK, first=first, loops=True))


@pytest.mark.parametrize("first", range(0, 40, _CHUNK // 5))
def test_nets(first: int) -> None:
    check(random_nets(_SEED, _CHUNK // 5, first=first))
