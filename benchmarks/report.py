"""What the benchmarks write: tables on the terminal, JSON, plots."""

from __future__ import annotations

import importlib.util
import json
import os
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import symgraph as sg

Line = Sequence[tuple[float, float]]


def print_table(title: str, rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> None:
    """Print a table, by rich where it is installed."""
    text = [[_text(row.get(column)) for column in columns] for row in rows]
    if importlib.util.find_spec("rich") is None:
        print(f"\n{title}")
        for line in (columns, *text):
            print("  ".join(cell.rjust(12) for cell in line))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    for column, cells in zip(columns, zip(*text, strict=True), strict=True):
        is_number = all(cell[:1].isdigit() or cell in ("", "–") for cell in cells)
        table.add_column(column, justify="right" if is_number else "left")
    for line in text:
        table.add_row(*line)
    width = None if Console().is_terminal else 200
    Console(width=width).print(table)


def _text(value: Any) -> str:
    if value is None:
        return "–"
    return (
        f"{value:.3g}"
        if isinstance(value, float) and value < 100
        else (f"{value:.0f}" if isinstance(value, float) else str(value))
    )


def write_json(path: Path, figures: Any) -> Path:
    """Write the figures; the path."""
    path.write_text(json.dumps(figures, indent=2, default=str) + "\n", "utf-8")
    return path


def plot_lines(panels: Mapping[str, Mapping[str, Line]], x_label: str, path: Path) -> list[Path]:
    """Draw a panel for each entry, a line for each of its series; no path without matplotlib."""
    if importlib.util.find_spec("matplotlib") is None:
        return []
    from matplotlib.figure import Figure

    n_columns = 2
    n_rows = -(-len(panels) // n_columns)
    figure = Figure(figsize=(5 * n_columns, 3.4 * n_rows), layout="constrained")
    axes = figure.subplots(n_rows, n_columns, squeeze=False)
    for panel, (title, lines) in zip(axes.flat, panels.items(), strict=False):
        for k, (name, points) in enumerate(lines.items()):
            marker, style = "osv^D"[k % 5], ("-", "--")[k % 2]
            panel.plot(*zip(*points, strict=True), marker=marker, linestyle=style, label=name)
        panel.set(title=title, xlabel=x_label, ylim=(0, None))
        panel.xaxis.get_major_locator().set_params(integer=True)
        panel.grid(alpha=0.3)
        panel.legend(frameon=False)
    figure.savefig(path, dpi=120)
    return [path]


def plot_bars(panels: Mapping[str, Mapping[str, Mapping[str, float]]], path: Path) -> list[Path]:
    """Draw a panel for each entry, with a bar for each series and group on a logarithmic scale."""
    if not panels or importlib.util.find_spec("matplotlib") is None:
        return []
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 3.4 * len(panels)), layout="constrained")
    axes = figure.subplots(len(panels), 1, squeeze=False)
    for panel, (title, series) in zip(axes.flat, panels.items(), strict=True):
        groups = list(dict.fromkeys(group for bars in series.values() for group in bars))
        width = 0.8 / len(series)
        for k, (name, bars) in enumerate(series.items()):
            places = [groups.index(group) + (k + 0.5) * width - 0.4 for group in bars]
            panel.bar(places, list(bars.values()), width, label=name)
        panel.set(title=title, yscale="log")
        panel.set_xticks(range(len(groups)), groups)
        panel.grid(axis="y", alpha=0.3)
        panel.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
    figure.savefig(path, dpi=120)
    return [path]


def environment() -> dict[str, Any]:
    """Where the figures were measured."""
    return {
        "symgraph": sg.__version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "machine": platform.machine(),
        "processors": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS"),
    }
