"""Beam search against the search through all strings."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

import symgraph_nn as nn
from symgraph.errors import ShapeError, SymgraphValueError

N_SYMBOLS, END, LONGEST = 4, 3, 4


class Memory:
    """Symbols that depend on the row of the batch and on all symbols before."""

    def __init__(self, seed: int, n_rows: int) -> None:
        self.seed, self.n_rows = seed, n_rows

    def logs(self, row: int, beginning: tuple[int, ...]) -> np.ndarray:
        draws = np.random.default_rng([self.seed, row, len(beginning), *beginning])
        logits = 2 * draws.normal(size=N_SYMBOLS)
        return logits - np.logaddexp.reduce(logits)

    @property
    def state(self) -> Any:
        return np.arange(self.n_rows), (np.zeros((self.n_rows, LONGEST + 1), int),
                                        np.zeros(self.n_rows, int))  # fmt: skip

    def step(self, symbols: np.ndarray, state: Any) -> tuple[np.ndarray, Any]:
        rows, (written, counts) = state
        written = written.copy()
        written[np.arange(len(rows)), counts] = symbols
        logs = [self.logs(int(row), tuple(line[1 : count + 1]))
                for row, line, count in zip(rows, written, counts, strict=True)]  # fmt: skip
        return np.reshape(logs, (-1, N_SYMBOLS)), (rows, (written, counts + 1))

    def search(self, width: int, longest: int = LONGEST) -> list[list[int]]:
        return nn.beam_search(self.step, self.state, start=0, end=END, longest=longest, width=width)

    def likeliest(self, row: int) -> list[int]:
        """The best of all strings that end, or are as long as can be."""
        best: tuple[float, list[int]] = (-np.inf, [])
        for length in range(LONGEST + 1):
            for string in itertools.product(range(END), repeat=length):
                whole = [*string, END][:LONGEST]
                score = sum(self.logs(row, tuple(whole[:i]))[s] for i, s in enumerate(whole))
                best = max(best, (float(score), list(string)))
        return best[1]

    def greedy(self, row: int) -> list[int]:
        string: list[int] = []
        while len(string) < LONGEST:
            symbol = int(self.logs(row, tuple(string)).argmax())
            if symbol == END:
                break
            string.append(symbol)
        return string


@pytest.mark.parametrize("seed", range(5))
def test_a_beam_of_all_beginnings_finds_the_likeliest_string(seed: int) -> None:
    memory = Memory(seed, 3)
    assert memory.search(N_SYMBOLS**LONGEST) == [memory.likeliest(row) for row in range(3)]


@pytest.mark.parametrize("seed", range(5))
def test_a_beam_of_one_is_greedy(seed: int) -> None:
    memory = Memory(seed, 6)
    assert memory.search(1) == [memory.greedy(row) for row in range(6)]


def test_rows_are_apart() -> None:
    memory = Memory(7, 5)
    together = memory.search(3)
    alone = []
    for row in range(5):
        one = Memory(7, 1)
        one.logs = lambda _, beginning, row=row: memory.logs(row, beginning)  # type: ignore[method-assign]
        alone += one.search(3)
    assert together == alone


def test_no_rows_and_one_symbol() -> None:
    assert Memory(0, 0).search(2) == []
    assert all(len(string) <= 1 for string in Memory(0, 4).search(2, longest=1))


@pytest.mark.parametrize(("width", "longest"), [(0, 4), (True, 4), (2, 0), (1.5, 4)])
def test_widths_and_lengths_are_whole_numbers(width: Any, longest: Any) -> None:
    with pytest.raises(SymgraphValueError, match="whole number of at least 1"):
        Memory(0, 2).search(width, longest)


def test_other_log_probabilities_are_an_error() -> None:
    def search(step: Any) -> Any:
        return nn.beam_search(step, np.zeros((2, 1)), start=0, end=3, longest=2)

    with pytest.raises(ShapeError, match=r"\[2, symbols\].*shape \(2, 3\)"):
        search(lambda symbols, state: (np.zeros((2, 3)), state))
    with pytest.raises(ShapeError, match=r"shape \(1, 4\)"):
        search(lambda symbols, state: (np.zeros((1, 4)), state))
    with pytest.raises(SymgraphValueError, match="NaN"):
        search(lambda symbols, state: (np.full((2, 4), np.nan), state))


def shortest(a: str, b: str) -> int:
    """The distance by its definition: the best of all first steps."""
    if not a or not b:
        return len(a) + len(b)
    return min(shortest(a[1:], b) + 1, shortest(a, b[1:]) + 1,
               shortest(a[1:], b[1:]) + (a[0] != b[0]))  # fmt: skip


def test_the_edit_distance_is_the_least_number_of_changes() -> None:
    rng = np.random.default_rng(0)
    for _ in range(60):
        a, b = ("".join(rng.choice(list("abc"), rng.integers(0, 6))) for _ in range(2))
        assert nn.edit_distance(a, b) == shortest(a, b)
    assert nn.edit_distance(np.array([1, 2]), [1, 2, 3]) == 1
