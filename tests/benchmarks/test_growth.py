"""The programs of the compilation's growth compute what they say, and rows have their ratios."""

from __future__ import annotations

import contextlib
import functools
import gc
from collections.abc import Callable
from cProfile import Profile
from typing import Any
from unittest import mock

import growth
import numpy as np
import pytest

import symgraph as sg
from symgraph.backends.llvm.code.engine import engine

X = np.random.default_rng(0).normal(size=(3, 8)).astype("float32")


def last_row(x: np.ndarray) -> np.ndarray:
    """The last state of the loops, whose weights are the identity."""
    h = np.zeros(8)
    for row in x:
        h = np.tanh(row + h)
    return h


@pytest.mark.parametrize("name", growth.OUTPUTS)
@pytest.mark.parametrize("n_outputs", [1, 3])
def test_programs_have_so_many_outputs(name, n_outputs):
    inputs, outputs = growth.OUTPUTS[name](n_outputs)
    assert len(outputs) == n_outputs
    found = sg.compile(inputs, outputs, backend="numpy")(*[X] * len(inputs))
    if name == "loops":
        np.testing.assert_allclose(found, [last_row(X).sum()] * n_outputs, rtol=1e-5)
    else:
        assert all(gradient.shape == (8, 8) for gradient in found)


@pytest.mark.parametrize("backend", ["native", "numpy"])
def test_operations_are_the_same_in_each_place(backend):
    def compute(h: np.ndarray) -> np.ndarray:
        for k in range(4):
            h = np.tanh(h + 0.01 * k) - 0.5 * h
        return h

    def run(place: str, x: np.ndarray) -> float:
        inputs, outputs = growth.build_operations(place, 20, "forward")
        return sg.compile(inputs, outputs, backend=backend)(x)[0]

    x = X.astype("float64")
    np.testing.assert_allclose(run("outside", X), compute(x).sum(), rtol=1e-4)
    np.testing.assert_allclose(run("map", X[:, None]), compute(x).sum(), rtol=1e-4)
    h = np.zeros(8)
    for row in x:
        h = compute(row + h)
    np.testing.assert_allclose(run("state", X[:, None]), h.sum(), rtol=1e-4)
    np.testing.assert_allclose(run("nested", X[None, :, None]), h.sum(), rtol=1e-4)


def test_rows_compare_with_the_fewest_outputs_and_with_outside():
    rows = growth.measure_outputs("numpy", 1, (1, 2))
    assert [row["outputs"] for row in rows] == [1, 2] * len(growth.OUTPUTS)
    first, second = rows[:2]
    assert first["of 1 outputs"] == 1
    assert second["of 1 outputs"] == second["compile ms"] / first["compile ms"]
    rows = growth.measure_operations("numpy", 1, 10)
    assert [row["place"] for row in rows] == ["outside", "map", "state", "nested"] * 2
    assert rows[2]["of outside"] == rows[2]["compile ms"] / rows[0]["compile ms"]


@functools.cache
def count_calls(backend: str, build: Callable[..., growth.Program], *arguments: Any) -> int:
    """How many functions, of Python's and of C's, are called to compile what is built."""
    profile = Profile()
    # Without the cache on disk all passes run; kernels are there from the first time on.
    with mock.patch.object(engine(), "cache", None):
        for counting in (contextlib.nullcontext(), profile):
            inputs, outputs = build(*arguments)
            gc.collect()  # or what other tests left behind is taken away meanwhile, and counted
            gc.disable()
            try:
                with counting:
                    sg.compile(inputs, outputs, backend=backend, threads=1)
            finally:
                gc.enable()
    return sum(entry.callcount for entry in profile.getstats())


@pytest.mark.parametrize("backend", ["native", "numpy"])
@pytest.mark.parametrize(
    ("place", "figure", "most"),
    [
        ("map", "forward", 0.91),
        ("state", "forward", 0.93),
        ("map", "gradient", 0.98),
        # The steps hand on 120 values of theirs to the gradient loop; in two loops, twice.
        ("state", "gradient", 1.41),
        ("nested", "forward", 1.05),
        ("nested", "gradient", 1.93),
    ],
)
def test_a_loop_compiles_many_operations_for_what_they_cost_outside(
    place: str, figure: str, most: float, backend: str
) -> None:
    build = growth.build_operations
    few, many = (count_calls(backend, build, place, n, figure) for n in (150, 600))
    assert many < 4.2 * few
    assert many < most * count_calls(backend, build, "outside", 600, figure)


@pytest.mark.parametrize("backend", ["native", "numpy"])
@pytest.mark.parametrize("name", growth.OUTPUTS)
def test_compiling_many_outputs_takes_as_many_times_what_few_take(name: str, backend: str) -> None:
    few, many = (count_calls(backend, growth.OUTPUTS[name], n) for n in (10, 40))
    assert many < 4.1 * few
