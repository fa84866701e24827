"""Object files for other machines: linked, and run where there is an emulator."""

from __future__ import annotations

import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import symgraph as sg
import symgraph_nn as nn
from symgraph.exchange.native.targets import TARGETS, target_of


def net() -> sg.Function:
    """Two layers, a loop whose steps are counted, powers, angles and an index."""
    x, i = sg.tensor("x", ("T", "B", 6)), sg.tensor("i", ("k",), "int64")
    layer = nn.Bidirectional(nn.LSTM(6, 10, rng=0), nn.GRU(6, 10, rng=1))
    y = layer(x)[-1]
    steps = sg.scan(
        lambda v: (v * 2, sg.until(v > 50)), outputs_info=sg.square(y).sum(), n_steps=99
    )
    wide = y.astype("float64")
    return sg.compile(
        [x, i], {"y": sg.softmax(y)[i], "last": steps[-1], "power": sg.abs(wide) ** wide}
    )


def printed(text: str) -> dict[str, np.ndarray]:
    lines = [line.split(":") for line in text.splitlines()]
    return {key: np.array(values.split(), float) for key, values in lines}


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> dict[str, np.ndarray]:
    """What the program in C prints on this machine."""
    if shutil.which("cc") is None:
        pytest.skip("no C compiler")
    folder = tmp_path_factory.mktemp("here")
    sg.export_native(net(), folder)
    subprocess.run(["cc", "main.c", "model.o", "-o", "model", "-lm"], cwd=folder, check=True)
    return printed(subprocess.run([folder / "model"], capture_output=True, text=True).stdout)


def assert_close(found: dict[str, np.ndarray], wanted: dict[str, np.ndarray]) -> None:
    assert found.keys() == wanted.keys() == {"y", "last", "power"}
    for key, values in wanted.items():
        np.testing.assert_allclose(found[key], values, rtol=2e-5, atol=1e-7)


@pytest.mark.parametrize("cpu", [None, "cortex-a72", "neoverse-n1"])
def test_aarch64_in_an_emulator(
    tmp_path: Path, here: dict[str, np.ndarray], cpu: str | None
) -> None:
    compiler, emulator = map(shutil.which, ("aarch64-linux-gnu-gcc", "qemu-aarch64"))
    if compiler is None or emulator is None:
        pytest.skip("no compiler for AArch64, or no emulator")
    sg.export_native(net(), tmp_path, target="aarch64-linux-gnu", cpu=cpu)
    command = [compiler, "-static", "main.c", "model.o", "-o", "model", "-lm"]
    subprocess.run(command, cwd=tmp_path, check=True)
    done = subprocess.run(
        [emulator, tmp_path / "model"], capture_output=True, text=True, check=True
    )
    assert_close(printed(done.stdout), here)


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="levels of x86-64")
@pytest.mark.parametrize("cpu", ["x86-64", "x86-64-v2", "x86-64-v3"])
def test_levels_of_this_architecture(tmp_path: Path, here: dict[str, np.ndarray], cpu: str) -> None:
    sg.export_native(net(), tmp_path, cpu=cpu)
    subprocess.run(["cc", "main.c", "model.o", "-o", "model", "-lm"], cwd=tmp_path, check=True)
    done = subprocess.run([tmp_path / "model"], capture_output=True, text=True, check=True)
    assert_close(printed(done.stdout), here)
    if shutil.which("objdump") is None:
        return
    command = ["objdump", "-d", "--no-show-raw-insn", tmp_path / "model.o"]
    code = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    has = {name: name in code for name in ("%xmm", "%ymm", "%zmm", "vfmadd")}
    is_third = cpu == "x86-64-v3"
    assert has == {"%xmm": True, "%ymm": is_third, "%zmm": False, "vfmadd": is_third}


@pytest.mark.parametrize(
    ("target", "linker", "arguments"),
    [
        ("aarch64-linux-gnu", "ld.lld", ["-shared", "-z", "text", "-o", "out"]),
        ("aarch64-linux-android", "ld.lld", ["-shared", "-z", "text", "-o", "out"]),
        ("x86_64-linux-gnu", "ld.lld", ["-shared", "-z", "text", "-o", "out"]),
        (
            "x86_64-pc-windows-msvc",
            "lld-link",
            ["/dll", "/noentry", "/force:unresolved", "/export:model", "/out:out"],
        ),
    ],
)
def test_linkers_take_the_objects(
    tmp_path: Path, target: str, linker: str, arguments: list[str]
) -> None:
    """As parts of shared libraries too, in which no address is fixed."""
    pytest.importorskip("ziglang")
    object_file, *_ = sg.export_native(net(), tmp_path, target=target)
    command = [sys.executable, "-m", "ziglang", linker, *arguments, str(object_file)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lacking = set(re.findall(r"undefined symbol: (\w+)", done.stderr))
    assert lacking <= {"malloc", "free", "memcpy", "pow", "_fltused", "__chkstk"}
    assert (tmp_path / "out").stat().st_size > 10_000


@pytest.mark.parametrize("name", TARGETS)
def test_every_target_has_files(tmp_path: Path, name: str) -> None:
    x = sg.tensor("x", ("n",))
    files = sg.export_native(sg.compile([x], sg.tanh(x)), tmp_path, target=name)
    magic = files[0].read_bytes()[:4]
    kinds = {b"\x7fELF": "linux", b"\0asm": "wasm", b"\xcf\xfa\xed\xfe": "apple"}
    assert kinds.get(magic, "windows") in name
    assert name in files[1].read_text() or target_of(name).triple in files[1].read_text()


def test_processors_are_known_by_their_vectors() -> None:
    widths = {"x86-64": 16, "sandybridge": 16, "x86-64-v3": 32, "x86-64-v4": 64, "znver4": 64}
    for cpu, width in widths.items():
        found = target_of("x86_64-linux-gnu", cpu).cpu
        assert (found.name, found.vector_bytes) == (cpu, width)
        assert found.has_fma == (width > 16)
    assert target_of("aarch64-linux-gnu").cpu.has_fma
    assert not target_of("wasm32").cpu.has_fma
    with pytest.raises(sg.ExchangeError, match=r"no processor 'pentium3'.*\n.*\n?.*znver4"):
        target_of("x86_64-linux-gnu", "pentium3")
