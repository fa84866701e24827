"""The benchmark of batches of one reads what it says it reads, and its loop is the loop."""

from __future__ import annotations

import batch_of_one
import numpy as np
import pytest
from batch_of_one import FLOAT32

from symgraph.backends.llvm.code.cpu import host


@pytest.mark.parametrize("n_bytes", [512, 2048, 65536])
def test_the_code_adds_up_each_element_once_in_each_pass(n_bytes):
    reading = batch_of_one.compile_reading(host())
    array = batch_of_one.make_array(n_bytes)
    array[:] = np.arange(array.size) % 7
    total = np.zeros(reading.lanes, FLOAT32)
    reading.run(array.ctypes.data, array.size, 3, total.ctypes.data)
    assert total.sum() == 3 * array.sum()


def test_arrays_begin_with_a_cache_line():
    assert batch_of_one.make_array(4096).ctypes.data % 64 == 0


@pytest.mark.parametrize("backend", ["native", "numpy"])
def test_the_loop_gives_the_state_after_so_many_steps(backend):
    rng = np.random.default_rng(0)
    start, u = rng.normal(size=(1, 8)).astype("float32"), rng.normal(size=(8, 8)).astype("float32")
    h = start.astype("float64")
    for _ in range(4):
        h = np.tanh(h @ u)
    found = batch_of_one.compile_loop(8, backend)(start, u, 4)
    np.testing.assert_allclose(found, h, rtol=1e-5, atol=1e-6)


def test_rows_have_the_speed_of_the_weights_and_its_share_of_the_limit(monkeypatch):
    monkeypatch.setattr(batch_of_one, "_BYTES_READ", 1 << 14)
    monkeypatch.setattr("measure.SAMPLE_MS", 0.01)
    reading = batch_of_one.compile_reading(host())
    (row,) = batch_of_one.measure_loops(reading, 1, "native", [16])
    speed, limit = row["weights read, GB/s"], row["limit, GB/s"]
    assert speed == pytest.approx(1e-3 * 16 * 16 * 4 / row["a step, µs"])
    assert row["of the limit"] == pytest.approx(speed / limit)
    (row,) = batch_of_one.measure_reading(reading, 1, [1])
    assert all(value > 0 for value in row.values())
