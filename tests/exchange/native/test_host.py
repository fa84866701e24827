"""Object files for this machine compute what compiled functions compute, bit for bit."""

from __future__ import annotations

import platform
import re
import shutil
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import symgraph as sg
import symgraph_nn as nn

Check = Callable[..., Any]
DRAWS = np.random.default_rng(0)
needs_cc = pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")


def normal(*shape: int) -> np.ndarray:
    return DRAWS.normal(size=shape).astype("float32")


@pytest.mark.parametrize(("steps", "batch"), [(1, 1), (7, 3), (40, 17)])
def test_recurrent_nets(check: Check, steps: int, batch: int) -> None:
    x, mask = sg.tensor("x", ("T", "B", 12)), sg.tensor("mask", ("T", "B"))
    layer = nn.Bidirectional(nn.LSTM(12, 20, rng=0), nn.GRU(12, 20, rng=1))
    f = sg.compile([x, mask], sg.softmax(layer(x, mask=mask).mean(axis=0)))
    check(f, [normal(steps, batch, 12), np.ones((steps, batch))], [steps, batch])


def test_a_training_step_gives_new_parameters(check: Check) -> None:
    x, label = sg.tensor("x", ("T", "B", 5)), sg.tensor("label", ("B",), "int64")
    net = nn.Sequential(nn.LSTM(5, 8, rng=0), nn.Dense(8, 3, rng=1))
    loss = nn.cross_entropy(net(x)[-1], label)
    f = sg.compile([x, label], loss, updates=nn.adam(loss, net.params))
    check(f, [normal(6, 4, 5), [0, 2, 1, 1]], [6, 4])


def test_random_streams_count_on(check: Check) -> None:
    stream, x = sg.random.Stream(3), sg.tensor("x", ("n",))
    f = sg.compile([x], [x + stream.normal((4,)).sum(), stream.categorical(x)])
    for _ in range(2):
        check(f, [normal(6)], [6])


def test_an_until_loop_whose_last_step_is_wanted(check: Check) -> None:
    x = sg.scalar("x")
    doubled = sg.scan(lambda v: (v * 2, sg.until(v > 50)), outputs_info=x, n_steps=100)
    check(sg.compile([x], doubled[-1]), [1.5], [])


@pytest.mark.parametrize("size", [0, 1, 5, 1000])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_functions_of_the_c_library(check: Check, dtype: str, size: int) -> None:
    x, y = sg.tensor("x", ("n",), dtype), sg.tensor("y", ("n",), dtype)
    f = sg.compile([x, y], [sg.abs(x) ** y, sg.arctan2(x, y), sg.remainder(x, y), sg.rint(x)])
    check(f, [normal(size), normal(size)], [size])


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint8", "int16", "uint32", "int64", "uint64"])
def test_integers_and_bools(check: Check, dtype: str) -> None:
    x = sg.tensor("x", ("n", 2), dtype)
    f = sg.compile([x], [x, sg.where(x.astype("bool"), x, 1), (x.astype("int64") * 3).sum(axis=0)])
    check(f, [DRAWS.integers(0, 2, (9, 2))], [9])


def test_sizes_without_names_and_formulas_of_sizes(check: Check) -> None:
    x, y = sg.matrix("x"), sg.tensor("y", (sg.tensor("z", ("n",)).type.shape[0] * 2 + 1,))
    z = sg.tensor("z", ("n",))
    f = sg.compile([x, y, z], [x.sum(axis=0), y[:-1:2] + z, x.reshape((-1,))[::3]])
    check(f, [normal(4, 3), normal(11), normal(5)], [4, 3, 5])


def test_one_variable_as_several_results_inputs_and_constants(check: Check) -> None:
    x, w = sg.tensor("x", ("n",)), sg.shared(normal(3), "w")
    y = sg.exp(x)
    check(sg.compile([x], [y, x, y, w, w, sg.constant(2.5), y * w.sum()]), [normal(5)], [5])


def test_a_function_without_inputs(check: Check) -> None:
    check(sg.compile([], sg.arange(5) * 2), [], [])


def test_a_large_frame(check: Check) -> None:
    x = sg.tensor("x", ("T", 1, 4))
    parts = [nn.LSTM(4, 3, rng=i)(x) for i in range(40)]
    check(sg.compile([x], sum(parts[1:], parts[0])), [normal(5, 1, 4)], [5])


# --- states -------------------------------------------------------------------------------------


def test_states_stay_in_their_place(check: Check) -> None:
    """The results stand where the arguments stood, two of them the other way round."""
    x, a, b = (sg.tensor(name, (4,)) for name in "xab")
    f = sg.compile([x, a, b], [b + x, a * x])
    linked = check(f, [normal(4)] * 3, [])
    values, states = normal(4), [normal(4), normal(4)]
    for _ in range(3):
        wanted = f(values, *states)
        assert linked.status([values, *states], [], states) == 0
        np.testing.assert_array_equal(states, wanted)


def test_streaming_is_the_whole(check: Check) -> None:
    """A net fed step by step, its states updated in their place, is the net on all steps."""
    layer, readout = nn.LSTM(3, 6, rng=0), nn.Dense(6, 2, rng=1)
    frame, h, c = sg.tensor("frame", (1, 3)), sg.tensor("h", (1, 6)), sg.tensor("c", (1, 6))
    y, (h_next, c_next) = layer.step(frame, (h, c))
    f = sg.compile([frame, h, c], [readout(y), h_next, c_next])
    linked = check(f, [normal(1, 3), normal(1, 6), normal(1, 6)], [])
    x = sg.tensor("x", ("T", 1, 3))
    frames = normal(20, 1, 3)
    whole = sg.compile([x], readout(layer(x)))(frames)
    states, found = [np.zeros((1, 6), "float32"), np.zeros((1, 6), "float32")], []
    for one in frames:
        result = np.empty((1, 2), "float32")
        assert linked.status([one, *states], [], [result, *states]) == 0
        found.append(result)
    np.testing.assert_allclose(found, whole, atol=1e-6)


# --- faults -------------------------------------------------------------------------------------


def test_statuses_say_what_is_wrong(check: Check) -> None:
    x, i = sg.tensor("x", ("n",)), sg.tensor("i", ("k",), "int64")
    linked = check(sg.compile([x, i], x[i] + sg.zeros(2)), [normal(5), [0, 3]], [5, 2])
    values, result = normal(5), np.empty(2, "float32")

    def text(index: list[int], *sizes: int) -> str:
        return linked.text(linked.status([values, np.array(index)], sizes, [result]))

    assert text([0, 1], 5, 2) == "success"
    assert "index" in text([0, 5], 5, 2)
    assert "index" in text([-6, 0], 5, 2)
    assert "sizes of the inputs do not fit" in text([0, 1, 2], 5, 3)
    assert text([0], -1, 2) == text([0], 5, -2) == "a size is negative"
    assert linked.workspace(5, 3) == linked.workspace(-1, 2) == 2**64 - 1
    assert linked.text(10**6) == linked.text(-(10**6)) == "an unknown status"


def test_more_memory_than_there_is(check: Check) -> None:
    x = sg.tensor("x", ("n", "m"))
    y = x @ x.T
    linked = check(sg.compile([x], (y @ y).sum()), [normal(3, 2)], [3, 2])
    values, result = normal(1), np.empty((), "float32")
    for n in (1 << 22, 1 << 31, 1 << 62):
        status = linked.status([values], [n, 1], [result])
        assert "memory" in linked.text(status), n
    assert linked.workspace(1 << 62, 1) == 2**64 - 1


def test_threads_share_nothing(check: Check) -> None:
    x = sg.tensor("x", ("T", "B", 6))
    linked = check(f := sg.compile([x], nn.LSTM(6, 16, rng=0)(x)), [normal(30, 4, 6)], [30, 4])
    arguments = [normal(30, 4, 6) for _ in range(4)]
    wanted = [f(a) for a in arguments]
    wrong = []

    def call(a: np.ndarray, right: np.ndarray) -> None:
        result = np.empty_like(right)
        for _ in range(50):
            if linked.status([a], [30, 4], [result]) or (result != right).any():
                wrong.append(a)

    threads = [
        threading.Thread(target=call, args=pair) for pair in zip(arguments, wanted, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


# --- the files ----------------------------------------------------------------------------------


@needs_cc
def test_the_program_in_c_prints_the_results_of_its_sample(tmp_path: Path) -> None:
    x, i, w = sg.tensor("x", ("n", 3)), sg.tensor("i", ("n",), "int32"), sg.shared(1.5, "w")
    f = sg.compile([x, i], {"y": x[i] * w, "flag": x.sum() > 0}, updates={w: w + 1})
    files = sg.export_native(f, tmp_path / "build", name="gather")
    assert [path.name for path in files] == ["gather.o", "gather.h", "main.c"]
    printed = run_main(tmp_path / "build", "gather")
    assert list(printed) == ["y", "flag", "w_next"]
    text = files[2].read_text()
    rows = [float(v.strip(" f")) for v in re.split(r"[,\s]+", block_of(text, "in_x"))]
    index = [int(v) for v in re.split(r"[,\s]+", block_of(text, "in_i"))]
    wanted = f(np.array(rows, "float32").reshape(-1, 3), index)
    assert np.array_equal(np.array(printed["y"], "float32"), wanted["y"].reshape(-1))
    assert printed["flag"] == [wanted["flag"]]
    assert printed["w_next"] == [2.5]


def block_of(text: str, name: str) -> str:
    return re.search(rf"{name}\[\] = {{\s*(.*?)\s*}};", text, re.DOTALL)[1]


def run_main(folder: Path, name: str, *flags: str) -> dict[str, list[float]]:
    """What main.c prints, by result; it compiles without a warning."""
    command = ["cc", "-std=c99", "-Wall", "-Wextra", "-pedantic", "-Werror", *flags]
    command += ["main.c", f"{name}.o", "-o", name, "-lm"]
    subprocess.run(command, cwd=folder, check=True)
    done = subprocess.run([folder / name], capture_output=True, text=True, check=True)
    lines = [line.split(":") for line in done.stdout.splitlines()]
    return {key: [float(v) for v in values.split()] for key, values in lines}


@needs_cc
@pytest.mark.parametrize(
    "dtype", ["int8", "uint8", "int64", "uint64", "float32", "float64", "bool"]
)
def test_the_program_in_c_takes_defaults_of_all_types(tmp_path: Path, dtype: str) -> None:
    """The least and largest numbers, which are no literals of C as Python writes them."""
    kind = np.dtype(dtype)
    info = np.iinfo(kind) if kind.kind in "iu" else None
    ends = (
        [info.min, info.max]
        if info
        else [np.inf, -np.inf, np.nan, -0.0]
        if kind.kind == "f"
        else [0, 1]
    )
    values = np.array([*ends, 1], kind)
    x = sg.tensor("x", ("n",), dtype)
    sg.export_native(sg.compile([sg.In(x, value=values)], x), tmp_path, name="read")
    found = run_main(tmp_path, "read")["output"]
    np.testing.assert_array_equal(np.array(found), values.astype("float64"))


@needs_cc
def test_no_dependency_but_the_c_library(tmp_path: Path) -> None:
    x = sg.tensor("x", ("T", "B", 4), "float64")
    y = nn.GRU(4, 5, rng=0)(x.astype("float32"))
    object_file, *_ = sg.export_native(sg.compile([x], (y.sum() ** x).sum()), tmp_path)
    listed = subprocess.run(["nm", object_file], capture_output=True, text=True, check=True).stdout
    symbols = [line.split() for line in listed.splitlines()]
    assert {s[-1].lstrip("_") for s in symbols if s[-2] == "U"} <= {
        "malloc",
        "free",
        "memcpy",
        "pow",
    }
    seen = {s[-1].lstrip("_") for s in symbols if s[-2].isupper() and s[-2] != "U"}
    assert seen == {"model", "model_workspace", "model_status"}
    assert not [s for s in symbols if s[-2] in "bBcC"]  # nothing that calls could write to


@needs_cc
def test_two_objects_in_one_program(tmp_path: Path) -> None:
    """Two functions, and one of them for two levels of one architecture, linked together."""
    x = sg.tensor("x", ("n",))
    f, g = sg.compile([x], sg.tanh(x).sum()), sg.compile([x], sg.exp(x).sum())
    sg.export_native(f, tmp_path, name="first")
    sg.export_native(g, tmp_path, name="second")
    is_x86 = platform.machine() in ("x86_64", "AMD64")
    sg.export_native(f, tmp_path, name="old", cpu="x86-64-v2" if is_x86 else "generic")
    (tmp_path / "main.c").write_text(
        '#include <stdio.h>\n#include "first.h"\n#include "second.h"\n#include "old.h"\n'
        "int main(void) { float x[3] = {0.5f, -1, 2}, y[3];\n"
        "  int bad = first(x, 3, y, NULL) + second(x, 3, y + 1, NULL) + old(x, 3, y + 2, NULL);\n"
        '  printf("y: %.9g %.9g %.9g\\n", y[0], y[1], y[2]); return bad; }\n'
    )
    command = ["cc", "main.c", "first.o", "second.o", "old.o", "-o", "both", "-lm"]
    subprocess.run(command, cwd=tmp_path, check=True)
    done = subprocess.run([tmp_path / "both"], capture_output=True, text=True, check=True)
    found = [float(v) for v in done.stdout.split()[1:]]
    values = [0.5, -1, 2]
    np.testing.assert_allclose(found, [f(values), g(values), f(values)], rtol=1e-6)
    assert found[:2] == [float(f"{f(values):.9g}"), float(f"{g(values):.9g}")]


@needs_cc
def test_cpp_takes_the_header(tmp_path: Path) -> None:
    if shutil.which("c++") is None:
        pytest.skip("no C++ compiler")
    a = sg.tensor("class", ("template",))
    sg.export_native(sg.compile([a], {"new": a * 2, "class": a[:3]}), tmp_path)
    (tmp_path / "main.cpp").write_text('#include "model.h"\nint main() { return 0; }\n')
    command = ["c++", "-Wall", "-Werror", "-pedantic", "main.cpp", "model.o", "-o", "x", "-lm"]
    subprocess.run(command, cwd=tmp_path, check=True)


# --- what cannot go -----------------------------------------------------------------------------


def refused(f: Any, match: str, **options: Any) -> None:
    with pytest.raises(sg.ExchangeError, match=match):
        sg.export_native(f, "unused", **options)


def test_what_cannot_go_is_named() -> None:
    x = sg.tensor("x", ("n",), "float64")
    refused(sg.compile([x], sg.sort(x)), r"sort, float64\[n\].*computed by Python")
    refused(sg.compile([x], sg.gammaln(x)), r"gammaln, float64\[n\].*SciPy")
    looped = sg.scan(lambda v: sg.digamma(v), x)
    refused(sg.compile([x], looped), "digamma.*SciPy")
    refused(x, "takes a compiled function")
    f = sg.compile([x], x)
    for name in ("int", "2nd", "a-b", "", 3, "main"):
        refused(f, "function in C", name=name)
    refused(f, "'exp' is a function of the C library", name="exp")
    refused(f, "no target 'toaster'", target="toaster")
    refused(f, "no processor 'z80'", cpu="z80")
    refused(f, "target is a name", target=None)


def test_results_of_unknown_size_are_refused() -> None:
    v = sg.scalar("v")
    steps = sg.scan(lambda v: (v + 1, sg.until(v > 3)), outputs_info=v, n_steps=9)
    refused(sg.compile([v], steps), "only once the program has run")
