"""The `symgraph` command as a user types it, in processes of its own."""

from __future__ import annotations

import functools
import importlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import symgraph as sg

NET = """
import numpy as np
import symgraph as sg

x = sg.tensor("x", ("T", 3))
h = sg.scan(lambda x_t, h: sg.tanh(x_t + h), x, sg.zeros(3), name="adder")
loss = sg.square(h).mean()
f = sg.compile([x], loss)
"""


# Forks a process for each line it reads, so that one start-up serves all. It compiles nothing
# itself: it has no thread that a fork would lose.
_SERVER = """
import contextlib, importlib, json, os, sys
import symgraph.cli, symgraph_nn, symgraph.exchange.command
for optional in ("graphviz", "onnx"):
    with contextlib.suppress(ImportError):
        importlib.import_module(optional)
sys.argv = ["symgraph", "--version"]
with contextlib.redirect_stdout(sys.stderr), contextlib.suppress(SystemExit):
    symgraph.cli.main()  # typer imports the most when it runs
for line in sys.stdin:
    folder, environment, arguments = json.loads(line)
    child = os.fork()
    if not child:
        break
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
else:
    sys.exit()
os.chdir(folder)
os.environ.clear()
os.environ.update(environment)
for descriptor, file in enumerate((os.devnull, ".stdout", ".stderr")):
    opened = os.open(file, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
    os.dup2(opened, descriptor)
    os.close(opened)
sys.argv = ["symgraph", *arguments]
symgraph.cli.main()
"""


@functools.cache
def server() -> subprocess.Popen[str]:
    """A process that runs commands in forks of itself, until its input ends with this one."""
    return subprocess.Popen(
        [sys.executable, "-c", _SERVER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=_environment(),
    )


def _environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "NO_COLOR": "1", "COLUMNS": "120"}


def run(*arguments: str, folder: Path) -> subprocess.CompletedProcess:
    """The command with these arguments, in a process that has its imports already."""
    pipes = server()
    assert pipes.stdin is not None
    assert pipes.stdout is not None
    print(json.dumps([str(folder), _environment(), arguments]), file=pipes.stdin, flush=True)
    status = int(pipes.stdout.readline())
    said = [(folder / file).read_text() for file in (".stdout", ".stderr")]
    return subprocess.CompletedProcess(arguments, status, *said)


def run_afresh(*arguments: str, folder: Path, start: str = "") -> subprocess.CompletedProcess:
    """The command with these arguments, in a new Python; ``start`` is what it runs before."""
    script = f"{start}import sys; from symgraph.cli import main; sys.argv[0] = 'symgraph'; main()"
    return subprocess.run(
        [sys.executable, "-c", script, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        env=_environment(),
        check=False,
    )


def failure(*arguments: str, folder: Path) -> str:
    """What the command says when it refuses its arguments: a message, never a traceback."""
    done = run(*arguments, folder=folder)
    assert done.returncode != 0
    assert "Traceback" not in done.stderr, done.stderr
    return done.stderr


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "net.py").write_text(NET)
    return tmp_path


def test_demo_trains_and_writes_what_it_names(folder: Path) -> None:
    pytest.importorskip("typer")
    done = run("demo", "vowels", "--quick", folder=folder)
    assert done.returncode == 0, done.stderr
    last = done.stdout.splitlines()[-1]
    assert re.fullmatch(r"result vowels: test accuracy [01]\.\d\d", last)
    assert re.search(r"^test accuracy [01]\.\d\d$", done.stdout, re.MULTILINE)
    assert re.search(r"^bodies +4 +4$", done.stdout, re.MULTILINE)
    assert "No loop body is computed twice." in done.stdout
    assert "symgraph-demo/vowels/" in done.stdout
    written = folder / "symgraph-demo" / "vowels"
    assert (written / "graph.dot").read_text().startswith("digraph")
    assert json.loads((written / "trace.json").read_text())["traceEvents"]
    assert (written / "checkpoint.safetensors").stat().st_size > 1000


def test_demo_refuses_what_it_does_not_know(folder: Path) -> None:
    pytest.importorskip("typer")
    assert "there is no demo 'cats', but vowels" in failure("demo", "cats", folder=folder)
    assert "cuda" in failure("demo", "--backend", "cuda", folder=folder)
    assert "--epochs" in failure("demo", "--epochs", "0", folder=folder)
    assert "--data" in failure("demo", "digits", "--data", "nowhere", folder=folder)
    message = failure("demo", "--quick", "--output", "net.py", folder=folder)
    assert f"net.py{os.sep}vowels cannot be made: Not a directory" in message


def test_an_interrupted_demo_ends(folder: Path) -> None:
    """Though `fit`, in a program of the user's, would come back with what it has."""
    pytest.importorskip("typer")
    written = folder / "symgraph-demo" / "vowels" / "checkpoint.safetensors"
    script = "from symgraph.cli import main; main()"
    with subprocess.Popen(
        [sys.executable, "-c", script, "demo", "all", "--epochs", "100000"],
        cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    ) as process:  # fmt: skip
        try:
            while process.poll() is None and not written.exists():
                time.sleep(0.05)
            process.send_signal(signal.SIGINT)
            text, _ = process.communicate(timeout=30)
        finally:
            process.kill()
    assert process.returncode == 130, text
    assert "Traceback" not in text
    assert "result vowels" not in text


def test_bench_compile_prints_tables_and_writes_json(folder: Path) -> None:
    pytest.importorskip("typer")
    done = run(
        "bench", "compile", "--layers", "1", "--repeats", "1", "--output", "out", folder=folder
    )
    assert done.returncode == 0, done.stderr
    figures = json.loads((folder / "out" / "compile_time.json").read_text())["symgraph"]
    bodies = {(row["cell"], row["updates"]): row["bodies"] for row in figures}
    assert bodies["tanh", "nesterov"] == bodies["lstm", "nesterov"] == 4
    assert bodies["tanh", "n1"] == bodies["lstm", "n2"] == 6
    assert "bodies" in done.stdout


def test_bench_compile_refuses_other_options(folder: Path) -> None:
    pytest.importorskip("typer")
    assert "--layers" in failure("bench", "compile", "--layers", "many", folder=folder)


@pytest.mark.parametrize("name", ["loss", "f", "h"])
def test_draw_writes_a_picture(folder: Path, name: str) -> None:
    pytest.importorskip("typer")
    done = run("draw", f"net.py:{name}", folder=folder)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"written: {name}.dot\n"
    assert "adder" in (folder / f"{name}.dot").read_text()


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("net.py", "draw takes FILE.py:NAME, such as net.py:loss; found 'net.py'"),
        ("none.py:f", "there is no file none.py"),
        ("net.py:g", "net.py has no 'g'; it can draw x, h, loss, f"),
        ("net.py:np", "module"),
        ("text.txt:f", "text.txt is no Python file: its name does not end in .py"),
    ],
)
def test_draw_says_what_it_takes(folder: Path, target: str, message: str) -> None:
    pytest.importorskip("typer")
    (folder / "text.txt").write_text("f = 1\n")
    assert message in failure("draw", target, folder=folder)


def test_demo_goes_on_where_dot_writes_no_svg(folder: Path, monkeypatch) -> None:
    pytest.importorskip("typer")
    program = folder / "bin" / "dot"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho 'Format: svg not recognized' >&2\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=os.pathsep)
    done = run("demo", "vowels", "--epochs", "1", folder=folder)
    assert done.returncode == 0, done.stderr
    assert re.search(r"^no \w+\.svg: dot says Format: svg not recognized$", done.stdout, re.M)
    assert not list(folder.rglob("*.svg"))


def test_draw_says_why_a_file_cannot_be_written(folder: Path) -> None:
    pytest.importorskip("typer")
    message = failure("draw", "net.py:f", "--output", "f.picture", folder=folder)
    assert "f.picture cannot be written" in message or "'dot' (Graphviz) is missing" in message


def test_an_error_in_the_drawn_file_has_its_line(folder: Path) -> None:
    pytest.importorskip("typer")
    (folder / "wrong.py").write_text(NET + "x + sg.tensor('y', ('T', 4))\n")
    message = failure("draw", "wrong.py:f", folder=folder)
    assert "sizes do not fit" in message
    assert "wrong.py:9" in message


def test_export_writes_a_program_in_python(folder: Path) -> None:
    pytest.importorskip("typer")
    done = run("export", "net.py:f", "out/net_program.py", folder=folder)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "written: out/net_program.py\n"
    assert "def adder(x_t, h)" in (folder / "out" / "net_program.py").read_text()
    done = run("export", "net.py:loss", "loss.py", "--framework", "torch", folder=folder)
    assert done.returncode == 0, done.stderr
    assert "import torch" in (folder / "loss.py").read_text()
    message = failure("export", "net.py:f", "a b.py", folder=folder)
    assert "the function's name is an identifier, not 'a b'" in message
    message = failure("export", "net.py:f", "net_2.py", "--framework", "cupy", folder=folder)
    assert "there is no framework 'cupy'" in message


def test_export_writes_an_object_file(folder: Path) -> None:
    pytest.importorskip("typer")
    done = run("export", "net.py:f", "build", "--cpu", "native", folder=folder)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "".join(f"written: build/{file}\n" for file in ("f.o", "f.h", "main.c"))
    assert "int32_t f(const float *x, int64_t T, " in (folder / "build" / "f.h").read_text()


def test_export_for_the_browser(folder: Path) -> None:
    pytest.importorskip("typer")
    done = run("export", "net.py:f", "web", "--target", "wasm32", "--name", "add", folder=folder)
    assert done.returncode == 0, done.stderr
    assert "written: web/add.html\n" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["net.py", "build"], "export takes FILE.py:NAME, such as net.py:loss; found 'net.py'"),
        (["net.py:g", "build"], "net.py has no 'g'; it can export"),
        (["net.py:sg", "build"], "what goes out is a function"),
        (["net.py:loss", "net.py"], "net.py is the file that is read"),
        (["net.py:loss", "p.py", "--inputs", "x"], "net.py:x is no list of inputs, but <x:"),
        (["broken.py:f", "build"], "there is no file broken.py"),
        (["net.py:f", "build", "--target", "toaster"], "no target 'toaster'"),
        (["net.py:f", "net.py/build"], "cannot be written"),
    ],
)
def test_export_says_what_it_takes(folder: Path, arguments: list[str], message: str) -> None:
    pytest.importorskip("typer")
    assert message in failure("export", *arguments, folder=folder)


@pytest.mark.parametrize(
    ("target", "options"),
    [
        ("net.onnx", ["--target", "wasm32"]),
        ("net.onnx", ["--framework", "torch"]),
        ("program.py", ["--cpu", "znver3"]),
        ("build", ["--opset", "20"]),
    ],
)
def test_export_refuses_options_of_other_targets(
    folder: Path, target: str, options: list[str]
) -> None:
    message = failure("export", "net.py:f", target, *options, folder=folder)
    assert f"{options[0]} says nothing of '{target}'" in message
    assert not (folder / target).exists()


def test_export_takes_variables_and_modules_with_a_list_of_inputs(folder: Path) -> None:
    pytest.importorskip("typer")
    (folder / "parts.py").write_text(PARTS)
    for name in ("loss", "both", "named", "layer"):
        for target in (f"{name}_program.py", f"c_{name}"):
            done = run("export", f"parts.py:{name}", target, "--inputs", "inputs", folder=folder)
            assert done.returncode == 0, done.stderr
    assert "int32_t both(const float *x, " in (folder / "c_both" / "both.h").read_text()
    missing = failure("export", "parts.py:f", "build", folder=folder)
    assert "it can export x, layer, y, loss, both, named, inputs" in missing


PARTS = """
from __future__ import annotations
from dataclasses import dataclass
import symgraph as sg, symgraph_nn as nn

@dataclass
class Sizes:
    n_in: int = 4

x = sg.tensor("x", ("B", Sizes().n_in))
layer = nn.Dense(4, 3)
y = layer(x)
loss = y.sum()
both, named, inputs = [y, loss], {"y": y}, [x]
"""


def test_errors_of_a_users_file_are_seen_from_that_file_on(folder: Path) -> None:
    pytest.importorskip("typer")
    (folder / "wrong.py").write_text("def f():\n    return {}['a']\nf()\n")
    said = run("export", "wrong.py:f", "build", folder=folder).stderr
    assert said.endswith("KeyError: 'a'\n")
    assert said.count('File "') == said.count("wrong.py") == 2
    (folder / "wrong.py").write_text("x = (\n")
    assert "SyntaxError" in failure("draw", "wrong.py:f", folder=folder)


def test_doctor_looks_at_the_machine(folder: Path) -> None:
    pytest.importorskip("typer")
    done = run("doctor", folder=folder)
    assert done.returncode == 0, done.stderr
    found = {line.split()[0]: line for line in done.stdout.splitlines()}
    assert {"symgraph", "CPU", "vectors", "BLAS", "cache", "dot", "extras"} <= set(found)
    assert re.search(r"\b(4|8|16) lanes of float32", found["vectors"])


def test_doctor_compiles_and_checks_a_function(folder: Path) -> None:
    pytest.importorskip("typer")
    done = run("doctor", folder=folder)
    assert done.returncode == 0
    assert re.search(r"^check .* are right, and are read back", done.stdout, re.MULTILINE)


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("sg.tanh = sg.sin", "Mismatched elements"),
        ("import os; os.abort()", "ended with status -6"),
        ("from symgraph.backends.llvm.calls import programs\n"
         "programs.NativePrograms.recall = lambda *_: 'lost'", "not found again in a cache: lost"),
    ],
)  # fmt: skip
def test_doctor_finds_what_is_wrong(folder: Path, fault: str, said: str) -> None:
    pytest.importorskip("typer")
    start = f"from symgraph import doctor\ndoctor._CHECK = {'import symgraph as sg; '!r} + "
    start += f"{fault!r} + chr(10) + doctor._CHECK\n"
    done = run_afresh("doctor", folder=folder, start=start)
    assert done.returncode == 1
    assert "check         FAILED" in done.stdout
    assert said in done.stdout


def test_cache_shows_and_clears(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("typer")
    monkeypatch.setenv("SYMGRAPH_CACHE_DIR", str(folder / "kept"))
    monkeypatch.setenv("SYMGRAPH_CACHE_SIZE", "5MB")
    assert _cache_rows(folder)["entries"] == "0"
    assert not (folder / "kept").exists()
    subprocess.run([sys.executable, "net.py"], cwd=folder, check=True, timeout=120)
    rows = _cache_rows(folder)
    sizes = [path.stat().st_size for path in (folder / "kept").rglob("*.o")]
    assert rows["folder"] == str(folder / "kept" / "objects")
    assert (int(rows["entries"]), rows["use"]) == (len(sizes), "writable")
    assert rows["bytes"].split(",")[0] == str(sum(sizes))
    assert rows["bound"].split(",")[0] == "5000000"
    assert f"{len(sizes)} entries removed" in run("cache", "clear", folder=folder).stdout
    assert not list((folder / "kept").rglob("*.o"))
    assert "show or clear" in failure("cache", "burn", folder=folder)


def test_a_cache_of_others_is_not_cleared(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("typer")
    monkeypatch.setenv("SYMGRAPH_CACHE_DIR", str(folder / "kept"))
    subprocess.run([sys.executable, "net.py"], cwd=folder, check=True, timeout=120)
    (folder / "kept").chmod(0o777)
    assert "can be written by other users" in _cache_rows(folder)["use"]
    assert "nothing is removed" in run("cache", "clear", folder=folder).stdout
    assert list((folder / "kept").rglob("*.o"))


def _cache_rows(folder: Path) -> dict[str, str]:
    lines = run("cache", folder=folder).stdout.splitlines()
    return {name: found.strip() for name, _, found in (line.partition(" ") for line in lines)}


def test_doctor_looks_into_the_cache(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("typer")
    monkeypatch.setenv("SYMGRAPH_CACHE_DIR", str(folder / "none" / "yet"))
    assert re.search(r"yet\W.*: 0 entries, 0\.0 MB, writable$", _cache_line(folder))
    assert not (folder / "none").exists()  # looking makes nothing
    subprocess.run([sys.executable, "net.py"], cwd=folder, check=True, timeout=120)
    found = re.search(r": (\d+) entries, (\d+\.\d) MB, writable$", _cache_line(folder))
    assert found is not None
    assert int(found[1]) >= 2
    (folder / "file").touch()
    monkeypatch.setenv("SYMGRAPH_CACHE_DIR", str(folder / "file"))
    assert _cache_line(folder).endswith(": 0 entries, 0.0 MB, cannot be written")


def _cache_line(folder: Path) -> str:
    (line,) = (x for x in run("doctor", folder=folder).stdout.splitlines() if x[:5] == "cache")
    return line


def test_import_leaves_llvm_for_the_first_compile(folder: Path) -> None:
    code = "import sys, symgraph, symgraph_nn; print('llvmlite' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=True
    )
    assert done.stdout == "False\n"


def test_version_and_help(folder: Path) -> None:
    pytest.importorskip("typer")
    assert run_afresh("--version", folder=folder).stdout == f"symgraph {sg.__version__}\n"
    shown = run("--help", folder=folder).stdout
    assert all(command in shown for command in ("demo", "bench", "draw", "cache", "doctor"))
    assert "no such command" in failure("paint", folder=folder).lower()


def test_without_typer_the_command_says_what_to_install(folder: Path) -> None:
    finder = "import importlib.util; found = importlib.util.find_spec; "
    finder += "importlib.util.find_spec = lambda name: None if name == 'typer' else found(name); "
    done = run_afresh("doctor", folder=folder, start=finder)
    assert done.returncode == 1
    assert done.stderr == (
        "The symgraph command needs the extra 'cli': pip install 'symgraph[cli]'\n"
    )


def test_export_writes_a_model_of_onnx(folder: Path) -> None:
    pytest.importorskip("typer")
    onnx = pytest.importorskip("onnx")
    done = run("export", "net.py:f", "f.onnx", "--opset", "18", folder=folder)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "written: f.onnx\n"
    model = onnx.load(folder / "f.onnx")
    onnx.checker.check_model(model, full_check=True)
    assert model.opset_import[0].version == 18
    (folder / "layer.py").write_text(LAYER)
    done = run("export", "layer.py:layer", "g.onnx", "--inputs", "inputs", folder=folder)
    assert done.returncode == 0, done.stderr
    message = failure("export", "net.py:f", "f.onnx", "--opset", "3", folder=folder)
    assert "opset is an int from 18" in message


LAYER = """
import symgraph as sg, symgraph_nn as nn
inputs = [sg.tensor("x", ("B", 4))]
layer = nn.Dense(4, 3)
"""
LSTM = Path(__file__).parent / "exchange" / "files" / "lstm.onnx"


def test_import_shows_a_model(folder: Path) -> None:
    pytest.importorskip("typer")
    pytest.importorskip("onnx")
    done = run("import", str(LSTM), folder=folder)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[:4] == [
        "inputs",
        "    x                 float32[T, B, 5]",
        "outputs",
        "    y                 float32[T, B, 3]",
    ]
    assert "    onnx::LSTM_107    float32[1, 16, 5]" in lines
    assert any("= scan(" in line for line in lines)


def test_import_writes_a_model_as_python(folder: Path) -> None:
    pytest.importorskip("typer")
    pytest.importorskip("onnx")
    done = run("import", str(LSTM), "--python", "net_program.py", folder=folder)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("written: net_program.py\nwritten: net_program.npz\n")
    arrays = np.load(LSTM.with_suffix(".npz"))
    sys.path.insert(0, str(folder))
    try:
        program = importlib.import_module("net_program")
    finally:
        sys.path.remove(str(folder))
    y = program.net_program(arrays["x1"])["y"]
    np.testing.assert_allclose(y, arrays["y1"], rtol=1e-6, atol=1e-6)


def test_draw_writes_a_picture_of_a_model(folder: Path) -> None:
    pytest.importorskip("typer")
    pytest.importorskip("onnx")
    done = run("draw", str(LSTM), folder=folder)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "written: lstm.dot\n"
    assert "onnx::LSTM_107" in (folder / "lstm.dot").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["import", "none.onnx"], "there is no file none.onnx"),
        (["import", "net.py"], "import reads files ending in .onnx; found 'net.py'"),
        (["draw", "broken.onnx"], "broken.onnx is no ONNX model"),
        (["import", str(LSTM), "--python", "program"], "a name ending in .py; found 'program'"),
    ],
)
def test_import_says_what_it_takes(folder: Path, arguments: list[str], message: str) -> None:
    pytest.importorskip("typer")
    pytest.importorskip("onnx")
    (folder / "broken.onnx").write_bytes(LSTM.read_bytes()[:500])
    text = failure(*arguments, folder=folder)
    assert message in text
    assert "typer" not in text
