"""The programs whose memory is measured compute what they say, and rows have their figures."""

from __future__ import annotations

import sys

import loop_memory
import numpy as np
import pytest


@pytest.mark.parametrize("options", [{}, {"checkpoint_every": 2}, {"checkpoint_every": "auto"}])
@pytest.mark.parametrize("backend", ["native", "numpy"])
def test_states(backend, options):
    call, _ = loop_memory.prepare_states(backend, n_units=3, n_steps=5, **options)
    loss, by_w, by_b = call()
    w = (0.1 * np.random.default_rng(0).normal(size=(3, 3))).astype("float32").astype("float64")
    states = [np.full(3, 0.5)]
    for _ in range(5):
        states.append(np.tanh(states[-1] @ w))
    cotangent, want_w, want_b = 2 * states[-1], np.zeros((3, 3)), np.zeros(3)
    for before, after in zip(states[-2::-1], states[:0:-1], strict=True):
        inner = cotangent * (1 - after**2)
        want_w, want_b = want_w + np.outer(before, inner), want_b + inner
        cotangent = w @ inner
    np.testing.assert_allclose(loss, (states[-1] ** 2).sum(), rtol=1e-5)
    np.testing.assert_allclose(by_w, want_w, rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(by_b, want_b, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("with_until", [False, True])
def test_last_row(with_until):
    call, _ = loop_memory.prepare_last_row("native", n_steps=7, with_until=with_until)
    h = 1.0
    for _ in range(7):
        h = np.tanh(1.01 * h + 0.1)
    np.testing.assert_allclose(call(), np.full(64, h), rtol=1e-5)


@pytest.mark.skipif(sys.platform != "linux", reason="the figures are read from /proc")
def test_a_row_is_measured():
    (row,) = loop_memory.measure_in_processes(["tanh, training step"], "native")
    # The states alone are 8.2 MB.
    assert 8 < row["MB above before"] < 60
    assert 8 < row["stored, MB"] < 60


def test_rows_need_what_they_name():
    assert loop_memory.is_measurable("tanh, training step")
    assert set(loop_memory._NEEDED) < set(loop_memory.ROWS)
