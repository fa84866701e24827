"""Memory: what was compiled and dropped leaves nothing behind."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

# Distinct functions have distinct kernels: the binary digits of their number choose operations.
_PROCESS = """
import ctypes, gc, resource
import numpy as np
import symgraph as sg

def make(number):
    x = sg.tensor("x", ("T", 3))
    w = sg.shared(np.ones(3, "float32"))
    y = x * w
    for digit in range(10):
        y = abs(y) if number >> digit & 1 else y * 0.5
    last = sg.scan(lambda row, s: sg.sqrt(row + s), y, sg.zeros(3))[-1].sum()
    f = sg.compile([x], last, updates={w: w - sg.grad(last, w)})
    assert np.isfinite(f(np.ones((2, 3), "float32")))

def megabytes():
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)  # what is free in the heap is nobody's
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize() / 1e6

found, numbers = [], iter(range(1000))
# The kernels and texts of the latest functions are kept: as many as the first turn makes.
for count in (260, 200, 200):
    for _ in range(count):
        make(next(numbers) if {distinct} else 0)
    found.append(megabytes())
print(*found)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="reads Linux's and glibc's figures")
@pytest.mark.parametrize("distinct", [True, False])
def test_dropped_functions_leave_memory_flat(tmp_path, distinct):
    environment = {**os.environ, "SYMGRAPH_CACHE_DIR": str(tmp_path)}
    code = _PROCESS.replace("{distinct}", str(distinct))
    ran = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    first, second, third = map(float, ran.stdout.split())
    assert second - first < 1, ran.stdout
    assert third - second < 1, ran.stdout
