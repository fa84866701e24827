"""Modules of WebAssembly: linked here, run by wasmtime, and their page in a browser."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from wasm_instance import call_by_name

import symgraph as sg
import symgraph_nn as nn

DRAWS = np.random.default_rng(0)


def normal(*shape: int) -> np.ndarray:
    return DRAWS.normal(size=shape).astype("float32")


def reader(n_units: int = 16) -> sg.Function:
    """A net that reads pictures of eight rows and says which digit each might be."""
    x = sg.tensor("x", (8, "B", 8))
    net = nn.Sequential(nn.LSTM(8, n_units, rng=0), nn.Dense(n_units, 10, rng=1))
    return sg.compile([x], sg.softmax(net(x)[-1]))


@pytest.fixture(scope="module")
def apart() -> Iterator[Callable[..., Any]]:
    """A function of `wasm_instance` called in another process, on a module and arguments."""
    pytest.importorskip("wasmtime")
    with ProcessPoolExecutor(1, get_context("spawn")) as process:
        yield lambda name, *arguments: process.submit(call_by_name, name, *arguments).result()


def module_of(f: sg.Function, folder: Path) -> bytes:
    sg.export_native(f, folder, target="wasm32")
    return (folder / "model.wasm").read_bytes()


Agree = Callable[..., None]


@pytest.fixture
def agree(apart: Callable[..., Any], tmp_path: Path) -> Agree:
    """A check that the module gives what the function gives, to rounding."""

    def check(
        f: sg.Function, arguments: Sequence[Any], sizes: Sequence[int], *, atol: float
    ) -> None:
        module = module_of(f, tmp_path)
        arrays = [np.asarray(a, v.dtype) for a, v in zip(arguments, f.inputs, strict=True)]
        states = [v for v in f.program.shared if v in f.program.updates]
        before = [v.get_value() for v in states]
        results = f(*arrays)
        results = results if isinstance(results, list) else [results]
        wanted = [*results, *(v.get_value() for v in f.program.updates)]
        found = apart("results", module, [*arrays, *before], sizes, wanted)
        for a, b in zip(found, wanted, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=atol)

    return check


@pytest.mark.parametrize("batch", [1, 5])
def test_the_digits_reader(agree: Agree, batch: int) -> None:
    agree(reader(), [normal(8, batch, 8)], [batch], atol=1e-6)


def test_a_training_step(agree: Agree) -> None:
    x, label = sg.tensor("x", ("T", "B", 5)), sg.tensor("label", ("B",), "int64")
    net = nn.Sequential(nn.GRU(5, 8, rng=0), nn.Dense(8, 3, rng=1))
    loss = nn.cross_entropy(net(x)[-1], label)
    f = sg.compile([x, label], loss, updates=nn.nesterov(loss, net.params, 0.1))
    agree(f, [normal(6, 4, 5), [0, 2, 1, 1]], [6, 4], atol=1e-6)


def test_memory_that_is_allocated_on_the_way(agree: Agree) -> None:
    x = sg.tensor("x", ("n",))
    doubled = sg.scan(lambda v: (v * 2, sg.until(v.sum() > 50)), outputs_info=x, n_steps=1000)
    f = sg.compile([x], [doubled.sum(axis=0), (x**2.5).sum(), sg.arctan2(x, x[::-1])])
    agree(f, [np.abs(normal(7))], [7], atol=1e-4)


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int32", "int64", "float64"])
def test_types_and_large_products_of_sizes(agree: Agree, dtype: str) -> None:
    x = sg.tensor("x", ("n", "m"), dtype)
    f = sg.compile([x], [x.T, x.astype("int64").sum(axis=0), x[::2] + x[::2]])
    agree(f, [DRAWS.integers(0, 2, (9, 70))], [9, 70], atol=1e-12)


def test_statuses(apart: Callable[..., Any], tmp_path: Path) -> None:
    x, i = sg.tensor("x", ("n",)), sg.tensor("i", ("k",), "int32")
    module = module_of(sg.compile([x, i], x[i]), tmp_path)
    calls = [("here", "here", 3, 1, "here", 0), (0, 0, -1, 1, 0, 0)]
    outside, negative = apart("texts", module, calls, np.array([9], "int32").tobytes())
    assert "index" in outside
    assert negative == "a size is negative"
    (size,) = apart("numbers", module, [("model_workspace", -1, 0)])
    assert size % 2**32 == 2**32 - 1


def test_sizes_that_do_not_fit_the_memory_of_a_page(
    apart: Callable[..., Any], tmp_path: Path
) -> None:
    x = sg.tensor("x", ("n", "m"))
    module = module_of(sg.compile([x], (x @ x.T).sum()), tmp_path)
    calls = [(64, n, 1, 64, 0) for n in (1 << 16, 1 << 31, 1 << 33, 3037000500, 1 << 62)]
    assert all("memory" in text for text in apart("texts", module, calls))


def test_lld_makes_the_same_of_it(apart: Callable[..., Any], tmp_path: Path) -> None:
    pytest.importorskip("ziglang")
    f, pictures = reader(), normal(8, 3, 8)
    object_file, *_ = sg.export_native(f, tmp_path, target="wasm32")
    exports = ["model", "model_workspace", "model_status", "__heap_base"]
    command = [sys.executable, "-m", "ziglang", "wasm-ld", "--no-entry", "--allow-undefined"]
    command += [*(f"--export={name}" for name in exports), "-o", "lld.wasm", str(object_file)]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    wanted = f(pictures)
    by_lld, by_us = (
        apart("results", (tmp_path / file).read_bytes(), [pictures], [3], [wanted])
        for file in ("lld.wasm", "model.wasm")
    )
    np.testing.assert_array_equal(by_us, by_lld)


# --- the page -----------------------------------------------------------------------------------


def in_browser(page: Path, script: str) -> str:
    """What the script, in which ``say`` writes, has said at the end of the page."""
    chromium = next(filter(None, map(shutil.which, ("chromium", "chrome", "google-chrome"))), None)
    if chromium is None:
        pytest.skip("no browser")
    text = page.read_text()
    script = (
        "<pre id=said></pre><script>const say = (t) => { document.getElementById('said')"
        f".textContent += t; }};\nready.then(() => {{ {script} }});</script></body>"
    )
    copy = page.with_name("said.html")
    copy.write_text(text.replace("</body>", script))
    command = [chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
    command += [f"--user-data-dir={page.parent / 'profile'}", "--virtual-time-budget=4000"]
    done = subprocess.run(
        [*command, "--dump-dom", copy.as_uri()], capture_output=True, text=True, check=False,
        timeout=100,
    )  # fmt: skip
    found = re.search(r'<pre id="said">(.*?)</pre>', done.stdout, re.DOTALL)
    assert found, done.stderr[-2000:]
    return found[1]


def test_the_page_of_the_digits_reader(tmp_path: Path) -> None:
    """The same probabilities; and what is drawn goes in, and bars come out."""
    f, pictures = reader(), np.abs(normal(8, 3, 8))
    *_, page = sg.export_native(f, tmp_path, name="digits", target="wasm32")
    assert page.name == "digits.html"
    said = in_browser(
        page,
        f"const x = new Float32Array({json.dumps(pictures.reshape(-1).tolist())});"
        "const y = run(x), again = run(x, 3); say(JSON.stringify([Array.from(y), y.length,"
        "y.constructor.name, y.every((v, i) => v === again[i])])); say(' | ');"
        "const pad = document.getElementById('pad'), at = pad.getBoundingClientRect();"
        "pad.setPointerCapture = () => {};"
        "const point = (kind, x, y) => pad.dispatchEvent(new PointerEvent(kind, {pointerId: 1,"
        "clientX: at.left + x, clientY: at.top + y}));"
        "point('pointerdown', 140, 40); point('pointermove', 140, 240); point('pointerup', 0, 0);"
        "say(JSON.stringify(Array.from(document.querySelectorAll('.row'), (row) =>"
        "Number(row.lastChild.textContent))));"
        "try { run(new Float32Array(5)); } catch (e) { say(' | ' + e.message); }",
    )
    numbers, drawn, message = said.split(" | ")
    values, length, kind, is_same = json.loads(numbers)
    wanted = f(pictures)
    np.testing.assert_allclose(np.reshape(values, (3, 10)), wanted, rtol=1e-5, atol=1e-6)
    assert (length, kind, is_same) == (30, "Float32Array", True)
    stroke = json.loads(drawn)
    assert len(stroke) == 10
    assert abs(sum(stroke) - 1) < 0.01
    assert "do not tell the size B" in message


def test_the_page_of_numbers(tmp_path: Path) -> None:
    """Any function has a page: its sample is computed, and results have their names."""
    x, k, w = sg.tensor("x", ("n",)), sg.tensor("k", ("m",), "int64"), sg.shared(2.0, "w")
    f = sg.compile([x, k], {"y": x * w, "total": k.sum()}, updates={w: w + 1})
    *_, page = sg.export_native(f, tmp_path, target="wasm32")
    said = in_browser(
        page,
        "say(document.querySelectorAll('textarea').length + ' '"
        "+ document.querySelectorAll('output').length + ' | ');"
        "const r = run([1, 2, 3], [5n, -7n], new Float32Array([4]));"
        "say([r.y.join(), r.total.join(), r.w_next.join(), r[0] === r.y].join(' ') + ' | ');"
        "try { run(1, 2); } catch (e) { say(e.message); }",
    )
    shown, results, message = said.split(" | ")
    assert shown == "3 3"
    assert results == "4,8,12 -2 5 true"
    assert message.startswith("run takes x,k,w")


def test_a_list_of_one_result_is_a_list_on_the_page(tmp_path: Path) -> None:
    x = sg.tensor("x", ("n",))
    *_, page = sg.export_native(sg.compile([x], [x * 2]), tmp_path, target="wasm32")
    assert in_browser(page, "say(run([3, 4])[0].join() + ' ' + run([5]).output[0]);") == "6,8 10"
