"""The workloads of the run-time benchmark, tiny: both styles find the same losses."""

from __future__ import annotations

from dataclasses import replace

import measure
import numpy as np
import pytest
import run_rows
import workloads_symgraph
import workloads_symgraph_nn
from workloads import WORKLOADS, Program, Workload, initial_parameters, make_data

TINY = {"n_in": 3, "n_units": 4, "n_classes": 5, "n_steps": 6, "batch": 2}
TRAINED = [name for name, workload in WORKLOADS.items() if workload.n_steps]


def make_tiny(name: str) -> Workload:
    workload = WORKLOADS[name]
    return replace(workload, **TINY) if workload.n_steps else replace(workload, n_numbers=7)


def prepare(module, workload: Workload) -> Program:
    return module.prepare(workload, initial_parameters(workload), make_data(workload), "numpy")


def losses(program: Program, n_steps: int = 6) -> list[float]:
    return [float(program.step()) for _ in range(n_steps)]


@pytest.mark.parametrize("name", TRAINED)
def test_both_styles_find_the_same_losses(name):
    workload = make_tiny(name)
    plain = losses(prepare(workloads_symgraph, workload))
    own = losses(prepare(workloads_symgraph_nn, workload))
    np.testing.assert_allclose(plain, own, rtol=1e-5)
    assert plain[-1] < plain[0]


@pytest.mark.parametrize("name", TRAINED)
def test_evaluation_gives_the_loss_of_the_next_step(name):
    program = prepare(workloads_symgraph, make_tiny(name))
    program.step()
    assert program.evaluate is not None
    np.testing.assert_allclose(program.evaluate(), program.step(), rtol=1e-6)


def test_elementwise_gives_the_mean_and_its_gradient():
    workload = make_tiny("elementwise")
    value, gradient = prepare(workloads_symgraph, workload).step()
    (x,) = make_data(workload)

    def mean(x: np.ndarray) -> float:
        a = np.tanh(1.5 * x + 0.1)
        b = 1 / (1 + np.exp(a - x))
        return np.mean(np.sqrt(np.exp(-a * b) ** 2 + 1) * b)

    x = x.astype("float64")
    differences = [(mean(x + h) - mean(x - h)) / 2e-5 for h in 1e-5 * np.eye(len(x))]
    np.testing.assert_allclose(value, mean(x), rtol=1e-6)
    np.testing.assert_allclose(gradient, differences, rtol=1e-4, atol=1e-6)


def test_a_call_of_ten_numbers_gives_their_tanh():
    workload = WORKLOADS["ten-numbers"]
    found = prepare(workloads_symgraph, workload).step()
    np.testing.assert_allclose(found, np.tanh(make_data(workload)[0]), rtol=1e-6)


def test_results_become_comparable_numbers():
    assert measure.as_numbers(np.float32(0.5)) == [0.5]
    assert measure.as_numbers([np.float32(2), np.array([3.0, -3.0])]) == [2.0, 3.0]


def test_rows_have_ratios_and_differences():
    def make_run(framework: str, step: float, loss: float, number: int = 0) -> run_rows.Run:
        figures = {"step": step, "results": [[1.0], [loss]]}
        return {"workload": "leaky", "framework": framework, "round": number, **figures}

    runs = [
        make_run("symgraph", 2.0, 0.5),
        make_run("symgraph", 4.0, 0.5, 1),
        make_run("jax", 6.0, 0.5),
        make_run("torch", 9.0, 0.49),
    ]
    (row,) = run_rows.step_rows(runs)
    assert row["best peer"] == "jax"
    assert row["symgraph ratio"] == 2.0
    assert row["symgraph_nn ratio"] is None
    assert row["difference"] == pytest.approx(0.02)


def test_compile_rows_compare_with_jax_measured_in_the_same_way():
    def make_run(framework: str, first_call: float, *, after: bool) -> run_rows.Run:
        figures = {"import": 1.0, "first call": first_call}
        if not after:
            figures["import to first result"] = 1.0 + first_call
        state = {"cache": "cold", "after trivial": after}
        return {"workload": "leaky", "framework": framework, **state, **figures}

    runs = [
        make_run("symgraph", 10.0, after=True),
        make_run("symgraph", 19.0, after=False),
        make_run("jax", 50.0, after=True),
        make_run("jax", 99.0, after=False),
    ]
    ours, jax = run_rows.compile_rows(runs)
    assert (ours["first call"], ours["JAX's: first call"]) == (10.0, 5.0)
    assert ours["JAX's: import to first result"] == 5.0
    assert jax["framework"] == "jax"
