"""What is known of sizes holds for all numbers that they may stand for."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys

import pytest

from symgraph.core.dims import (
    Dim,
    Size,
    floor_div,
    fresh_number,
    maximum_zero,
    minimum,
    named_size,
    size_atoms,
)

P, Q, NUMBER = named_size("p"), named_size("q"), fresh_number()
FORMULAS: list[Size] = [
    P - floor_div(P, Q) * Q,
    P - floor_div(P, NUMBER) * NUMBER,
    P - floor_div(P, 3) * 3,
    P - floor_div(Q, 3) * 3,
    P + Q - floor_div(P + Q, Q) * Q,
    P - maximum_zero(P - 1),
    P - maximum_zero(P - NUMBER),
    P - minimum(P, Q),
    P - minimum(P, NUMBER),
    P - maximum_zero(P - 1) - 1,
    P - 1 - maximum_zero(P - 1),
    maximum_zero(P - 1) - P + 1,
    maximum_zero(P - 1) - maximum_zero(P - 2),
    maximum_zero(P - 2) - maximum_zero(P - 1),
    maximum_zero(P - 1) + maximum_zero(Q - 2) - Q + 2,
    maximum_zero(P - 1) * 2 - maximum_zero(P * 2 - 3),
    maximum_zero(NUMBER - 1) - maximum_zero(NUMBER - 2),
    maximum_zero(NUMBER) - NUMBER,
    floor_div(P, NUMBER),
    NUMBER,
    P - Q,
]


@pytest.mark.parametrize("size", FORMULAS, ids=str)
def test_what_is_at_least_zero_is_so(size: Size) -> None:
    assert isinstance(size, Dim)
    atoms = [atom for atom in dict.fromkeys(size_atoms(size)) if atom[0] in ("name", "number")]
    ranges = [range(-4, 8) if atom[0] == "number" else range(8) for atom in atoms]
    for numbers in itertools.product(*ranges):
        value = size.evaluate(dict(zip(atoms, numbers, strict=True)))
        assert value is not None
        assert value >= 0 or maximum_zero(size) is not size
        assert value <= 0 or maximum_zero(size) != 0


def test_the_lesser_of_two_slices_of_one_axis_is_one_of_them() -> None:
    lengths = [P, *(maximum_zero(P - n) for n in (1, 2, 5))]
    for i, j in itertools.product(range(4), repeat=2):
        assert minimum(lengths[i], lengths[j]) is lengths[max(i, j)]


def test_minima_of_minima_take_no_more_than_they_are_many() -> None:
    """Each has the one before twice, so that what goes by its text is twice as long each time."""
    sizes = [named_size(f"n{k}") for k in range(80)]
    least: Size = sizes[0]
    for size in sizes[1:]:
        least = minimum(least, size)
    numbers = {("name", f"n{k}"): (k * 37) % 83 + 2 for k in range(80)}
    assert isinstance(least, Dim)
    assert set(size_atoms(least)) == set(numbers)
    assert len(size_atoms(least)) == 80
    assert least.evaluate(numbers) == min(numbers.values())
    assert least.evaluate({k: v for k, v in numbers.items() if k != ("name", "n3")}) is None
    assert len(least.key) < 400


def test_long_formulas_have_one_order_in_every_process() -> None:
    program = """
from symgraph.core.dims import minimum, named_size
least = named_size("a")
for k in range(20):
    least = minimum(least, named_size(f"n{k}"))
other = minimum(least, named_size("b")) * least + least
print(other.key)
"""
    keys = {
        subprocess.run(
            [sys.executable, "-c", program],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "2")
    }
    assert len(keys) == 1
