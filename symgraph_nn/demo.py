"""What the demonstrations of the `symgraph` command share: options, pictures, the result's line.

A demonstration is a file ``docs/examples/NAME.py`` with a function ``main(demo)``, written as a
user would write it.
"""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import fill
from typing import Any

import numpy as np

import symgraph as sg
from symgraph.errors import SymgraphValueError, explain

from .extras import MissingPackage, load_package
from .files import naming
from .history import History
from .serialise import save

__all__ = ["NAMES", "Demo", "cpu_times", "draw_confusion", "draw_pictures", "run_demo"]

NAMES = (
    "vowels",
    "airline",
    "digits",
    "motions",
    "eeg",
    "ctc",
    "charlm",
    "vanishing",
    "compression",
    "attention",
    "custom_cell",
)
"""The demonstrations, the default first."""


@dataclass
class Demo:
    """One run of a demonstration: its options, and the folder that it writes to."""

    name: str
    folder: Path = Path("symgraph-demo")
    quick: bool = False
    """Whether little is trained: enough to see that everything works."""
    n_epochs: int | None = None
    seed: int = 0
    backend: str = "native"
    data: Path | None = None
    """A folder of the user's with larger data."""
    results: list[str] = field(default_factory=list)

    def epochs(self, full: int, *, quick: int = 2) -> int:
        """How often to see the data: what the user said, or ``full``, or ``quick`` of it."""
        return self.n_epochs or (quick if self.quick else full)

    def path(self, name: str) -> Path:
        """A file in the folder of this run, which is made."""
        with naming(self.folder, "cannot be made"):
            self.folder.mkdir(parents=True, exist_ok=True)
        return self.folder / name

    def show(
        self, net: Any, history: History, inputs: Sequence[sg.Variable], loss: sg.Variable,
        updates: Mapping[sg.SharedVariable, sg.Variable], batch: Sequence[Any],
        name: str = "training",
    ) -> None:  # fmt: skip
        """Print the compile report, plot the epochs, write graph, checkpoint and a step's trace."""
        self.show_training(history, f"{name}.png")
        self.show_graph(loss)
        self.keep(net)
        new = list(updates.values())  # results, stored nowhere: the step trains nothing
        step = sg.compile(inputs, [loss, *new], name="train", backend=self.backend, profile=True)
        self.show_trace(step, [batch])

    def cross_validate(
        self,
        fold: Callable[..., Sequence[float]],
        settings: Sequence[Sequence[str]],
        parts: Sequence[Any],
        figures: Sequence[str],
    ) -> np.ndarray[Any, Any]:
        """The means [settings, figures] of ``fold(demo, *setting, part)`` over the parts.

        The folds run side by side in processes of their own, and all their figures are printed.
        """
        joblib = load_package("joblib", "sklearn")
        jobs = [
            joblib.delayed(fold)(self, *setting, part) for setting in settings for part in parts
        ]
        values = np.reshape(joblib.Parallel(n_jobs=-1)(jobs), (len(settings), len(parts), -1))
        print(f"cross-validation, {len(parts)} folds each")
        for setting, of_setting in zip(settings, values, strict=True):
            texts = [
                f"{name} {' '.join(f'{v:.2f}' for v in column)}, mean {column.mean():.3f}"
                for name, column in zip(figures, of_setting.T, strict=True)
            ]
            print(f"{' '.join(setting):<16}{'; '.join(texts)}")
        return values.mean(axis=1)

    def show_graph(self, subject: Any, name: str = "graph") -> None:
        """Write the picture of a graph, as text and, where Graphviz is installed, as SVG."""
        dot = self.path(f"{name}.dot")
        sg.to_dot(subject).save(dot)
        if shutil.which("dot") is None:
            return
        target = dot.with_suffix(".svg")
        command = ["dot", "-Tsvg", "-o", str(target), str(dot)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:  # Graphviz may be there without the part that writes SVG
            said = done.stderr.strip().splitlines() or [f"status {done.returncode}"]
            print(f"no {target.name}: dot says {said[0]}")

    def show_training(self, history: History, name: str = "training.png") -> None:
        """Print the compile report, and plot the figures of the epochs."""
        print(f"\n{history.report}\n")
        if importlib.util.find_spec("matplotlib"):
            history.plot(self.path(name))

    def show_plot(self, name: str, draw: Callable[[Any], None], **size: Any) -> None:
        """Write a picture that ``draw(figure)`` fills, where Matplotlib is installed."""
        if not importlib.util.find_spec("matplotlib"):
            print(f"no {name}: Matplotlib is not installed (pip install 'symgraph[plot]')")
            return
        figures = importlib.import_module("matplotlib.figure")
        figure = figures.Figure(layout="constrained", **size)
        draw(figure)
        figure.savefig(self.path(name), dpi=120)

    def show_trace(self, step: sg.Function, calls: Sequence[Sequence[Any]]) -> None:
        """Run a function on these arguments, and write where the time went."""
        for arguments in calls:
            step(*arguments)
        sg.write_trace(self.path("trace.json"), step)

    def keep(self, module: Any, name: str = "checkpoint.safetensors") -> None:
        """Write the values of a module."""
        save(module, self.path(name))

    def result(self, measure: str, value: float, *, digits: int = 2) -> None:
        """Print a figure of the test, what was written, and as the last line the result."""
        print(f"{measure} {value:.{digits}f}")
        if self.folder.exists():
            files = ", ".join(sorted(path.name for path in self.folder.iterdir()))
            print(fill(f"written to {self.folder}/: {files}", 80, subsequent_indent="  "))
        line = f"result {self.name}: {measure} {value:.{digits}f}"
        self.results.append(line)
        print(line)


def draw_confusion(axes: Any, confusion: np.ndarray[Any, Any], names: Sequence[Any]) -> None:
    """A matrix of counts as a picture: what is (rows), and what was said (columns)."""
    axes.imshow(confusion, cmap="Blues", vmin=0)
    for (row, column), count in np.ndenumerate(confusion):
        if count:
            colour = "white" if count > confusion.max() / 2 else "black"
            axes.text(column, row, str(count), ha="center", va="center", color=colour)
    axes.set_xticks(range(len(names)), names)
    axes.set_yticks(range(len(names)), names)


def draw_pictures(figure: Any, pictures: Mapping[str, np.ndarray[Any, Any]]) -> None:
    """Grey pictures, from 0 to 255, side by side under their names."""
    for place, (name, picture) in enumerate(pictures.items(), start=1):
        axes = figure.add_subplot(1, len(pictures), place)
        axes.imshow(picture, cmap="gray", vmin=0, vmax=255)
        axes.set_title(name, fontsize=8)
        axes.axis("off")


def cpu_times(
    steps: Sequence[Callable[..., Any]], arguments: Sequence[Any], n: int
) -> np.ndarray[Any, Any]:
    """The median CPU seconds of each step, called in turn so that a busy machine is fair."""
    spent = np.zeros((n, len(steps)))
    for row in spent:
        for i, step in enumerate(steps):
            started = time.process_time()
            step(*arguments)
            row[i] = time.process_time() - started
    return np.median(spent, axis=0)


def run_demo(*demos: Demo) -> list[str]:
    """Run demonstrations, if all can be loaded; the lines of their results."""
    mains = [_main_of(demo.name) for demo in demos]
    for main, demo in zip(mains, demos, strict=True):
        main(demo)
    return [line for demo in demos for line in demo.results]


def _main_of(name: str) -> Callable[[Demo], None]:
    """The function of an example's file, which lies in the documentation or in the package."""
    if name not in NAMES:
        raise SymgraphValueError.here(
            f"there is no demo {name!r}, but {', '.join(NAMES)}",
            remedy="`symgraph demo all` runs all of them.",
        )
    package = Path(__file__).resolve().parent
    for folder in (package.parent / "docs" / "examples", package / "examples"):
        path = folder / f"{name}.py"
        if path.exists():
            spec = importlib.util.spec_from_file_location(f"symgraph_example_{name}", path)
            assert spec is not None
            assert spec.loader is not None
            module = importlib.util.module_from_spec(spec)
            sys.modules[spec.name] = module  # dataclasses look their module up
            try:
                spec.loader.exec_module(module)
            except ImportError as error:
                text = f"the demo {name!r} cannot be loaded: {error}"
                remedy = "pip install 'symgraph[cli,plot,sklearn,image]' brings what demos need."
                raise MissingPackage(explain(text, remedy=remedy)) from None
            finally:  # joblib's processes cannot import it: they get by value what is in no module
                del sys.modules[spec.name]
            return module.main
    raise SymgraphValueError.here(f"the file of the demo {name!r} is not installed")
