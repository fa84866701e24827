"""The `symgraph` command: demonstrations, benchmarks, pictures of graphs, and a look at the machine."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any

__all__ = ["main"]


def main() -> None:
    """Run the command; says what to install where typer is missing."""
    if importlib.util.find_spec("typer") is None:
        sys.exit("The symgraph command needs the extra 'cli': pip install 'symgraph[cli]'")
    _application()()


def _application() -> Any:
    import typer

    application = typer.Typer(
        no_args_is_help=True, add_completion=False, help=__doc__, pretty_exceptions_enable=False
    )
    bench = typer.Typer(no_args_is_help=True, help="Measure, as tables, JSON and a plot.")
    application.add_typer(bench, name="bench")

    @application.command()
    def demo(
        name: str = typer.Argument("vowels", help="vowels or motions"),
        output: Path = typer.Option(Path("symgraph-demo"), help="the folder to write to"),
        seed: int = typer.Option(0, help="of initial values, dropout and the order of batches"),
        backend: str = typer.Option("native", help="native or numpy"),
    ) -> None:
        """Train a bidirectional LSTM on real data and show what was compiled."""
        from symgraph_nn.demos import DEMOS, run_demo

        if name not in DEMOS:
            raise typer.BadParameter(f"there is no demo {name!r}, but {', '.join(DEMOS)}")
        run_demo(name, output / name, seed=seed, backend=backend)

    @bench.command("compile", context_settings={"ignore_unknown_options": True})
    def bench_compile(arguments: list[str] = typer.Argument(None)) -> None:
        """Loops, bodies and milliseconds of bidirectional nets: [--layers N] [--peers] …"""
        _run_benchmark("compile_time.py", arguments)

    @application.command()
    def draw(
        target: str = typer.Argument(help="FILE.py:NAME of a variable, graph or function"),
        output: Path = typer.Option(None, help="a .dot, .svg, .png or .pdf file; default NAME.dot"),
    ) -> None:
        """Draw a graph."""
        _draw(target, output)

    @application.command()
    def doctor() -> None:
        """Say what symgraph finds on this machine."""
        from symgraph.doctor import examine

        for name, found in examine().items():
            print(f"{name:14}{found}")

    return application


def _run_benchmark(script: str, arguments: list[str] | None) -> None:
    """Run a script of the benchmarks, which lie beside the package or inside it."""
    package = Path(__file__).resolve().parent
    for folder in (package / "benchmarks", package.parent / "benchmarks"):
        if (folder / script).exists():
            command = [sys.executable, str(folder / script), *(arguments or [])]
            sys.exit(subprocess.run(command, check=False).returncode)
    sys.exit(f"The benchmark {script} is missing from this installation.")


def _draw(target: str, output: Path | None) -> None:
    import graphviz
    from symgraph.core.errors import SymgraphError
    from symgraph.viz.dot import to_dot

    file, _, name = target.rpartition(":")
    path = Path(file)
    if not name or not path.is_file():
        sys.exit(f"draw takes FILE.py:NAME; found no file {file!r} in {target!r}")
    module_spec = importlib.util.spec_from_file_location(path.stem, path)
    assert module_spec is not None and module_spec.loader is not None
    module = importlib.util.module_from_spec(module_spec)
    sys.path.insert(0, str(path.resolve().parent))
    module_spec.loader.exec_module(module)
    if not hasattr(module, name):
        names = ", ".join(n for n in vars(module) if not n.startswith("_"))
        sys.exit(f"{file} has no {name!r}, but {names}")
    output = output or Path(f"{name}.dot")
    try:
        picture = to_dot(getattr(module, name))
    except SymgraphError as error:
        sys.exit(f"{name} cannot be drawn: {error}")
    if output.suffix in (".dot", ".gv", ""):
        picture.save(output)
    else:
        try:
            output.write_bytes(picture.pipe(format=output.suffix[1:]))
        except graphviz.ExecutableNotFound:
            sys.exit("Only .dot files can be written: the program 'dot' (Graphviz) is missing.")
        except (ValueError, graphviz.CalledProcessError) as error:
            sys.exit(f"{output} cannot be written: {error}")
    print(f"written: {output}")
