"""What came of a training: figures for each epoch, and their picture."""

from __future__ import annotations

import os
from typing import Any

from symgraph.errors import SymgraphError, explain, user_line

from .extras import load_package
from .typing import Path

__all__ = ["History", "UnknownSeries"]


class UnknownSeries(SymgraphError, KeyError):
    """A series that the history does not hold."""

    def __str__(self) -> str:
        return str(self.args[0])


class History:
    """The figures of each epoch, as `fit` returns them.

    ``history["loss"]`` is one series, a list with a number for each epoch; a name that is none is
    a `KeyError`. ``len(history)`` is the number of epochs.

    epochs
        A dict for each epoch: ``epoch`` (from 1), ``loss``, the metrics, the same with
        ``validation_`` before the name, and ``seconds``.
    monitored, best_epoch
        The name of the figure that decides, and the epoch that has the best one (None at first).
    ended
        What ended the training: ``"epochs"``, ``"patience"``, ``"stop"`` (of a callback) or
        ``"interrupt"`` (Ctrl-C); None where an error did.
    report
        The compile report of the training function.

    >>> history = nn.History("loss")
    >>> history.epochs += [{"epoch": 1, "loss": 0.5}, {"epoch": 2, "loss": 0.25}]
    >>> history["loss"], history.names
    ([0.5, 0.25], ['epoch', 'loss'])
    """

    epochs: list[dict[str, float]]
    monitored: str
    best_epoch: int | None
    ended: str | None
    report: Any

    def __init__(self, monitored: str, report: Any = None) -> None:
        self.epochs = []
        self.monitored = monitored
        self.best_epoch = None
        self.ended = None
        self.report = report

    @property
    def names(self) -> list[str]:
        """The names of the series."""
        return list(self.epochs[0]) if self.epochs else []

    def __getitem__(self, name: str) -> list[float]:
        if name not in self.names:
            raise UnknownSeries(
                explain(
                    f"the history has no {name!r}, but {', '.join(self.names) or 'no epoch yet'}",
                    line=user_line(),
                )
            )
        return [epoch[name] for epoch in self.epochs]

    def __len__(self) -> int:
        return len(self.epochs)

    def plot(self, path: Path | None = None) -> Any:
        """A Matplotlib figure of losses and metrics by epoch, written to ``path`` where given.

        Validation as lines, training dashed. Needs ``pip install symgraph[plot]``.

        >>> history = nn.History("loss")
        >>> history.epochs += [{"epoch": 1, "loss": 0.5}, {"epoch": 2, "loss": 0.25}]
        >>> figure = history.plot("training.png")
        """
        figures = load_package("matplotlib.figure", "plot")
        series = [n for n in self.names if n not in ("epoch", "seconds")]
        losses = [n for n in series if n.removeprefix("validation_") == "loss"]
        metrics = [n for n in series if n not in losses]
        panels = [panel for panel in (losses, metrics) if panel]
        figure = figures.Figure(figsize=(5 * max(len(panels), 1), 3.6), layout="constrained")
        for i, names in enumerate(panels):
            axes = figure.add_subplot(1, len(panels), i + 1)
            for name in names:
                style = "-" if name.startswith("validation_") else "--"
                axes.plot(self["epoch"], self[name], style, label=name.replace("_", " "))
            if self.best_epoch is not None and len(self) > 1:
                axes.axvline(self.best_epoch, color="0.8", linewidth=1, zorder=0)
            axes.set_xlabel("epoch")
            axes.xaxis.get_major_locator().set_params(integer=True)
            axes.spines[["top", "right"]].set_visible(False)
            axes.legend(frameon=False)
        if path is not None:
            figure.savefig(os.fspath(path), dpi=150)
        return figure

    def __repr__(self) -> str:
        if not self.epochs:
            return "<History of no epoch>"
        last = ", ".join(
            f"{name} {value:.4g}"
            for name, value in self.epochs[-1].items()
            if name not in ("epoch", "seconds")
        )
        return f"<History of {len(self)} epochs: {last}>"
