"""How far loops with a batch of one are from the speed at which a core reads their weights.

    python benchmarks/batch_of_one.py [--rounds 15] [--backend native]

Where a state is one row, a step ``h = tanh(h @ U)`` uses each weight once: it cannot take less
time than it takes to read them. So the first table has the speed at which one core reads arrays of
such sizes again and again: by machine code that adds up vectors and does nothing else, and, to
compare, by NumPy's `max` and by BLAS's `dot` of an array with itself. The second has the bytes of
the weights by the time of a step, and the ratio of that to the first. All are medians of CPU time
on one thread, which is started with OMP_NUM_THREADS=1.
"""

from __future__ import annotations

import argparse
import ctypes
import os
from collections.abc import Callable, Iterable
from functools import partial
from statistics import median
from typing import Any, NamedTuple

import numpy as np
from measure import time_calls
from report import print_table

import symgraph as sg
from symgraph.backends.llvm.code.cpu import Cpu, host
from symgraph.backends.llvm.code.emit import Function
from symgraph.backends.llvm.code.engine import Kernel, engine

FLOAT32 = np.dtype("float32")
KILOBYTES = (32, 64, 128, 256, 512, 1024, 2048, 4096)
UNITS = (128, 256, 512, 1024)
# How many sums wait for each other's additions, and how much is read in one call of the code.
_SUMS = 8
_BYTES_READ = 1 << 28


class Reading(NamedTuple):
    """Machine code that reads an array, and what keeps it alive."""

    run: Callable[[int, int, int, int], None]
    """By the address, the vectors, how often, and the address of a vector for the sum."""
    lanes: int
    module: Any


def compile_reading(cpu: Cpu) -> Reading:
    """The code that adds up an array's vectors, as often as it is told."""
    kernel = reading_kernel(cpu.lanes(FLOAT32))
    loaded = engine().load([kernel])
    address = loaded.addresses[kernel.name]
    signature = ctypes.CFUNCTYPE(
        None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p
    )
    return Reading(signature(address), cpu.lanes(FLOAT32), loaded.modules)


def reading_kernel(lanes: int) -> Kernel:
    """The code in IR: each turn of its inner loop reads one vector for each of its sums."""
    f = Function("void (ptr %array, i64 %n, i64 %repeats, ptr %sum)")
    zero = f.splat(f.value("fadd float 0.0, 0.0", FLOAT32), lanes)
    again = f.begin_loop("%repeats", carried=[zero] * _SUMS)
    turn = f.begin_loop("%n", by=str(_SUMS * lanes), carried=again.carried)
    start = f.pointer("%array", turn.index.text, FLOAT32)
    sums = []
    for k, total in enumerate(turn.carried):
        part = f.load(f.pointer(start, str(k * lanes), FLOAT32), FLOAT32, lanes)
        sums.append(f.value(f"fadd {total.type} {total}, {part}", FLOAT32, lanes))
    whole = f.end_loop(again, f.end_loop(turn, sums))
    result = whole[0]
    for other in whole[1:]:
        result = f.value(f"fadd {result.type} {result}, {other}", FLOAT32, lanes)
    f.store(result, "%sum")
    f.do("ret void")
    return f.kernel()


def make_array(n_bytes: int) -> np.ndarray:
    """Float32 ones, from the beginning of a cache line on. They are written: zeros that nobody
    has written all lie in one page, and are read from the first-level cache."""
    raw = np.ones(n_bytes // 4 + 16, FLOAT32)
    start = -raw.ctypes.data % 64 // 4
    return raw[start : start + n_bytes // 4]


def speed_of_reading(reading: Reading, array: np.ndarray, rounds: int) -> float:
    """Bytes per second that the code reads of an array that it has read before.

    It reads whole turns of its inner loop: the array has a multiple of 512 bytes.
    """
    total = np.zeros(reading.lanes, FLOAT32)
    repeats = max(1, _BYTES_READ // array.nbytes)
    call = partial(reading.run, array.ctypes.data, array.size, repeats, total.ctypes.data)
    return array.nbytes * repeats / seconds(call, rounds)


def seconds(call: Callable[[], Any], rounds: int) -> float:
    """The median CPU time of a call."""
    return 1e-3 * median(time_calls(call, rounds))


def measure_reading(
    reading: Reading, rounds: int, kilobytes: Iterable[int] = KILOBYTES
) -> list[dict[str, Any]]:
    """A row for each size: gigabytes per second by the code, by NumPy and by BLAS."""
    rows = []
    for size in kilobytes:
        array = make_array(size << 10)
        by_numpy = array.nbytes / seconds(array.max, rounds)
        by_blas = array.nbytes / seconds(partial(np.dot, array, array), rounds)
        rows.append(
            {
                "kB": size,
                "machine code, GB/s": 1e-9 * speed_of_reading(reading, array, rounds),
                "NumPy's max, GB/s": 1e-9 * by_numpy,
                "BLAS's dot, GB/s": 1e-9 * by_blas,
            }
        )
    return rows


def compile_loop(n_units: int, backend: str) -> sg.Function:
    """The last state of ``h = tanh(h @ u)``, by an initial row, the weights and ``n_steps``."""
    start, u = sg.tensor("start", (1, n_units)), sg.tensor("u", (n_units, n_units))
    n_steps = sg.scalar("n_steps", "int64")
    last = sg.scan(lambda h, u: sg.tanh(h @ u), [], start, u, n_steps=n_steps)[-1]
    return sg.compile([start, u, n_steps], last, backend=backend, threads=1)


def measure_loops(
    reading: Reading, rounds: int, backend: str, units: Iterable[int] = UNITS
) -> list[dict[str, Any]]:
    """A row for each number of units: a step's time, the weights' bytes by it, and the limit."""
    rng = np.random.default_rng(0)
    rows = []
    for n_units in units:
        start = rng.normal(size=(1, n_units)).astype(FLOAT32)
        # The limit is that of the same memory: where caches are nearly full, its pages matter.
        u = make_array(4 * n_units * n_units).reshape(n_units, n_units)
        u[:] = rng.normal(0, n_units**-0.5, u.shape)
        n_steps = max(1, _BYTES_READ // 4 // u.nbytes)
        call = partial(compile_loop(n_units, backend), start, u, n_steps)
        step = seconds(call, rounds) / n_steps
        limit = speed_of_reading(reading, u, rounds)
        rows.append(
            {
                "units": n_units,
                "weights, kB": u.nbytes >> 10,
                "a step, µs": 1e6 * step,
                "weights read, GB/s": 1e-9 * u.nbytes / step,
                "limit, GB/s": 1e-9 * limit,
                "of the limit": u.nbytes / step / limit,
            }
        )
    return rows


def main(arguments: list[str] | None = None) -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=15, help="of which to take the median")
    parser.add_argument("--backend", default="native", help="native or numpy, for the loops")
    options = parser.parse_args(arguments)
    if os.environ.get("OMP_NUM_THREADS") != "1":
        print("OMP_NUM_THREADS is not 1: BLAS may use several threads")
    reading = compile_reading(host())
    rows = measure_reading(reading, options.rounds)
    print_table("One core reads an array that lies in a cache", rows, list(rows[0]))
    rows = measure_loops(reading, options.rounds, options.backend)
    print_table("A loop with a batch of one", rows, list(rows[0]))


if __name__ == "__main__":
    main()
