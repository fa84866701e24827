"""The last rows of a state, of which a loop may keep no others."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

import symgraph as sg

BACKENDS = ["native", "numpy"]


def rows_of(taps: list[int], n: int, shape: tuple[int, ...]) -> np.ndarray:
    """The rows of a state that is the sum of its earlier ones and of their number."""
    depth = -min(taps)
    rows = list(np.arange(1.0, depth + 1).reshape((depth, *(1 for _ in shape))) * np.ones(shape))
    for _ in range(n):
        rows.append(sum(rows[len(rows) + tap] for tap in taps) * 0.5 + len(rows) % 3)
    return np.array(rows)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("ends_early", [False, True])
@pytest.mark.parametrize("shape", [(), (1,), (3,), (0,)])
@pytest.mark.parametrize("taps", [[-1], [-2, -1], [-2], [-3, -1], [-4, -3]])
def test_the_last_rows(
    taps: list[int], shape: tuple[int, ...], ends_early: bool, backend: str
) -> None:
    depth, n = -min(taps), sg.scalar("n", "int64")

    def step(number, *past):
        new = sum(past[1:], past[0]) * 0.5 + (number + depth) % 3
        return (new, sg.until(number >= 5)) if ends_early else new

    first = rows_of(taps, 0, shape)
    info = {"initial": first, "taps": taps} if taps != [-1] else first[0]
    numbers = sg.arange(n)
    states = sg.scan(step, [numbers], [info])
    last = [states[-1 - i] for i in range(depth)]
    f = sg.compile([n], last, backend=backend)
    alone = sg.compile([n], last[-1], backend=backend)
    for steps in range(depth, 3 * depth + 4):
        taken = min(steps, 6) if ends_early else steps
        if taken < depth:
            continue
        expected = rows_of(taps, taken, shape)[::-1][:depth]
        np.testing.assert_allclose(f(steps), expected)
        np.testing.assert_allclose(alone(steps), expected[-1])


PROGRAM = """
import resource, numpy as np, symgraph as sg
n = sg.scalar("n", "int64")
def step(h):
    new = sg.tanh(h * 0.999) + 0.001
    return (new, sg.until(new.sum() < -1.0)) if {ends_early} else new
h = sg.scan(step, outputs_info=[np.ones(64, "float32")], n_steps=n)
f = sg.compile([n], h[-1], backend={backend!r})
f(10)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
f(100_000)  # 26 MB of rows
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="counts memory in kB, as Linux does")
@pytest.mark.parametrize(
    ("backend", "ends_early"), [("native", True), ("native", False), ("numpy", False)]
)
def test_no_others_are_kept(backend: str, ends_early: bool) -> None:
    code = PROGRAM.format(backend=backend, ends_early=ends_early)
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert int(result.stdout) < 5_000
