"""The `symgraph` command: demonstrations, benchmarks, pictures, exports, a look at the machine."""

from __future__ import annotations

import functools
import importlib.util
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ._version import __version__
from .compile.function import Function
from .core.errors import SymgraphError
from .core.graph import Graph
from .core.variable import Variable

if TYPE_CHECKING:
    import typer

__all__ = ["main"]


def main() -> None:
    """Run the command; says what to install where typer is missing."""
    if importlib.util.find_spec("typer") is None:
        sys.exit("The symgraph command needs the extra 'cli': pip install 'symgraph[cli]'")
    try:
        _application()()
    except SymgraphError as error:
        sys.exit(f"symgraph: {_without_lines_of_typer(str(error))}")


def _without_lines_of_typer(message: str) -> str:
    """The message but for lines that are the user's in a program, and typer's where it runs."""
    import typer

    folder = Path(typer.__file__).parent
    lines = message.splitlines()
    return "\n".join(line for line in lines if not line.startswith(f"  at {folder}"))


def _application() -> typer.Typer:
    import typer

    application = typer.Typer(
        no_args_is_help=True, add_completion=False, help=__doc__, pretty_exceptions_enable=False
    )

    @application.callback(invoke_without_command=True)
    def common(
        version: bool = typer.Option(False, "--version", help="Show the version and exit."),
    ) -> None:
        if version:
            print(f"symgraph {__version__}")
            raise typer.Exit

    for add in (_add_demo, _add_benchmarks, _add_pictures, _add_exchange, _add_machine):
        add(application)
    return application


def _add_demo(application: typer.Typer) -> None:
    import typer

    @application.command()
    def demo(
        name: str = typer.Argument("vowels", help="which one, or all"),
        quick: bool = typer.Option(False, "--quick", help="train little: does it all work?"),
        output: Path = typer.Option(Path("symgraph-demo"), help="the folder to write to"),
        data: Path = typer.Option(
            None, exists=True, file_okay=False, help="a folder: MNIST for digits, speech for ctc"
        ),
        epochs: int = typer.Option(None, min=1, help="passes over the data"),
        seed: int = typer.Option(0, min=0, help="of initial values, dropout and order of batches"),
        backend: str = typer.Option("native", help="native or numpy"),
    ) -> None:
        """Train on real data, and show what was compiled and what came out."""
        from symgraph_nn.demo import NAMES, Demo, run_demo

        if name not in (*NAMES, "all"):
            raise typer.BadParameter(f"there is no demo {name!r}, but {', '.join(NAMES)}, all")
        options = {"quick": quick, "n_epochs": epochs, "seed": seed, "data": data}
        names = NAMES if name == "all" else [name]
        # Not Python's own handler, of which a training makes its early end: here all ends.
        signal.signal(signal.SIGINT, _leave)
        lines = run_demo(*(Demo(n, output / n, backend=backend, **options) for n in names))
        if name == "all":
            print("\n" + "\n".join(lines))


def _add_benchmarks(application: typer.Typer) -> None:
    import typer

    bench = typer.Typer(no_args_is_help=True, help="Measure, as tables, JSON and a plot.")
    application.add_typer(bench, name="bench")

    @bench.command("compile", context_settings={"ignore_unknown_options": True})
    def bench_compile(arguments: list[str] = typer.Argument(None)) -> None:
        """Loops, bodies and milliseconds of bidirectional nets: [--layers N] [--peers] …"""
        _run_benchmark("compile_time.py", arguments)

    @bench.command("run", context_settings={"ignore_unknown_options": True})
    def bench_run(arguments: list[str] = typer.Argument(None)) -> None:
        """Milliseconds of training steps and calls: [--only NAME] [--peers] [--backend NAME] …"""
        _run_benchmark("run_time.py", arguments)


def _add_pictures(application: typer.Typer) -> None:
    import typer

    @application.command()
    def draw(
        target: str = typer.Argument(
            help="FILE.py:NAME of a variable, graph or function; or a model.onnx"
        ),
        output: Path = typer.Option(None, help="a .dot, .svg, .png or .pdf file; default NAME.dot"),
    ) -> None:
        """Draw a graph."""
        _draw(target, output)


def _add_exchange(application: typer.Typer) -> None:
    import typer

    @application.command()
    def export(
        source: str = typer.Argument(help="FILE.py:NAME of a function, variables or a module"),
        target: Path = typer.Argument(
            help="what to write: model.onnx, model.py, or a folder for C"
        ),
        inputs: str = typer.Option(
            None, help="the NAME of a list of the inputs in FILE.py, for variables and modules"
        ),
        opset: int = typer.Option(21, help="of a model of ONNX: the version of its ops"),
        machine: str = typer.Option(
            "host", "--target", help="of a program for C: aarch64-linux-gnu, wasm32, …"
        ),
        cpu: str = typer.Option(None, help="of a program for C: a processor as LLVM names it"),
        called: str = typer.Option(
            None, "--name", help="of a program for C: its function's name; default NAME"
        ),
        framework: str = typer.Option("numpy", help="of a program in Python: numpy or torch"),
    ) -> None:
        """Write what was built as a file for other programs, or as a program for C."""
        from symgraph.exchange.command import Options, export_to

        what = _find(source, "export", is_usable=_is_exportable)
        file, _, name = source.rpartition(":")
        if target.resolve() == Path(file).resolve():
            sys.exit(f"{target} is the file that is read: give the program another name")
        given = None if inputs is None else _list_in(f"{file}:{inputs}")
        options = Options(called or name, given, opset, machine, cpu, framework)
        for path in export_to(what, target, options):
            print(f"written: {path}")

    @application.command("import")
    def import_(
        source: Path = typer.Argument(help="a model.onnx"),
        python: Path = typer.Option(None, help="write it as a program in Python: model.py"),
    ) -> None:
        """Show what a model of ONNX takes, gives and consists of; write it as Python."""
        from symgraph.exchange.command import describe, import_from

        imported, written = import_from(source, python)
        for line in describe(imported):
            print(line)
        for path in written:
            print(f"written: {path}")


def _add_machine(application: typer.Typer) -> None:
    import typer

    @application.command()
    def cache(what: str = typer.Argument("show", help="show or clear")) -> None:
        """Show where compiled code is kept, and how much there is; or clear it."""
        from symgraph.doctor import clear, examine_cache

        if what not in ("show", "clear"):
            raise typer.BadParameter(f"cache takes show or clear, not {what!r}")
        if what == "clear":
            print(clear())
        else:
            _print_table(examine_cache())

    @application.command()
    def doctor() -> None:
        """Say what symgraph finds on this machine; compile and check a function."""
        from symgraph.doctor import check, examine

        _print_table(examine())
        is_right, text = check()
        _print_table({"check": text})
        if not is_right:
            raise typer.Exit(1)


def _leave(number: int, frame: Any) -> None:
    """Handle Ctrl-C."""
    raise SystemExit(128 + number)


def _print_table(rows: dict[str, str]) -> None:
    for name, text in rows.items():
        print(f"{name:14}{text}")


def _run_benchmark(script: str, arguments: list[str] | None) -> None:
    """Run a script of the benchmarks, which lie beside the package or inside it."""
    package = Path(__file__).resolve().parent
    for folder in (package / "benchmarks", package.parent / "benchmarks"):
        if (folder / script).exists():
            command = [sys.executable, str(folder / script), *(arguments or [])]
            sys.exit(subprocess.run(command, check=False).returncode)
    sys.exit(f"The benchmark {script} is not installed: it is part of the source repository.")


def _draw(target: str, output: Path | None) -> None:
    import graphviz

    from symgraph.viz.dot import to_dot

    if target.endswith(".onnx"):
        from symgraph.exchange.command import import_from

        imported, _ = import_from(Path(target))
        what, name = list(imported.outputs.values()), Path(target).stem
    else:
        what, name = _find(target, "draw", is_usable=_is_drawable), target.rpartition(":")[2]
    picture, output = to_dot(what), output or Path(f"{name}.dot")
    try:
        if output.suffix in (".dot", ".gv", ""):
            picture.save(output)
        else:
            output.write_bytes(picture.pipe(format=output.suffix[1:]))
    except graphviz.ExecutableNotFound:
        sys.exit("Only .dot files can be written: the program 'dot' (Graphviz) is missing.")
    except (ValueError, OSError, graphviz.CalledProcessError) as error:
        sys.exit(f"{output} cannot be written: {error}")
    print(f"written: {output}")


def _find(target: str, command: str, *, is_usable: Callable[[Any], bool]) -> Any:
    """What FILE.py:NAME means."""
    file, _, name = target.rpartition(":")
    if not file or not name:
        sys.exit(f"{command} takes FILE.py:NAME, such as net.py:loss; found {target!r}")
    names = _names_in(Path(file))
    if name not in names:
        usable = [key for key, value in names.items() if is_usable(value)]
        found = ", ".join(usable) or "nothing in it"
        sys.exit(f"{file} has no {name!r}; it can {command} {found}")
    return names[name]


def _list_in(source: str) -> Any:
    """The list of inputs that FILE.py:NAME means."""
    found = _find(source, "export", is_usable=_is_list)
    if not _is_list(found):
        sys.exit(f"{source} is no list of inputs, but {found!r}")
    return found


@functools.cache
def _names_in(path: Path) -> dict[str, Any]:
    """What a Python file defines, once it has run."""
    if not path.is_file():
        sys.exit(f"there is no file {path}")
    module_spec = importlib.util.spec_from_file_location(path.stem, path)
    if module_spec is None or module_spec.loader is None:
        sys.exit(f"{path} is no Python file: its name does not end in .py")
    module = importlib.util.module_from_spec(module_spec)
    sys.path.insert(0, str(path.resolve().parent))
    sys.modules.setdefault(path.stem, module)  # where dataclasses look for what names mean
    try:
        module_spec.loader.exec_module(module)
    except SymgraphError:
        raise
    except Exception as error:  # whatever a user's program may raise
        sys.exit(_seen_from(str(module_spec.origin), error))
    return vars(module)


def _seen_from(file: str, error: Exception) -> str:
    """The traceback of an error in a user's file, from that file on."""
    frame = error.__traceback__
    while frame is not None and frame.tb_frame.f_code.co_filename != file:
        frame = frame.tb_next
    return "".join(traceback.format_exception(type(error), error, frame)).rstrip()


def _is_drawable(value: Any) -> bool:
    return isinstance(value, (Variable, Graph, Function))


def _is_exportable(value: Any) -> bool:
    if isinstance(value, (list, tuple, dict)):
        values = value.values() if isinstance(value, dict) else value
        return len(value) > 0 and all(isinstance(v, Variable) for v in values)
    is_module = not isinstance(value, type) and callable(value) and hasattr(value, "params")
    return is_module or isinstance(value, (Variable, Function))


def _is_list(value: Any) -> bool:
    return isinstance(value, (list, tuple))
