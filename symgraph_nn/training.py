"""`fit`: train a module on arrays, in batches, with validation, early stopping and checkpoints."""

from __future__ import annotations

import json
import math
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import symgraph as sg
from symgraph.errors import SymgraphError, SymgraphValueError, explain, user_line

from .batches import Batches, batches_of
from .extras import MissingPackage, load_package
from .history import History
from .module import ancestors, checked_values, set_values, variables_of
from .serialise import optimiser_variables, read_arrays, save, write_arrays

__all__ = ["TrainingError", "fit"]


class TrainingError(SymgraphError, ArithmeticError):
    """A training that cannot go on: the loss is no number any more."""


def fit(
    module: Any,
    inputs: Sequence[sg.Variable],
    loss: sg.Variable,
    updates: Mapping[sg.SharedVariable, sg.Variable],
    data: Sequence[Any] | Mapping[str, Any],
    *,
    epochs: int = 10,
    batch_size: int = 32,
    batch_axis: int | str | Sequence[int] = 0,
    metrics: Mapping[str, sg.Variable] | None = None,
    validation: Sequence[Any] | Mapping[str, Any] | None = None,
    evaluation: Mapping[str, sg.Variable] | None = None,
    monitor: str = "loss",
    higher_is_better: bool = False,
    patience: int | None = None,
    checkpoint: str | os.PathLike | None = None,
    resume: str | os.PathLike | None = None,
    rng: int | np.random.Generator | None = None,
    progress: bool = True,
    backend: str = "native",
) -> History:
    """Train the module in place; the `History` of the epochs.

    inputs, loss, updates
        The symbols that stand for the data, the loss built on them, and an update rule's result,
        ``nn.nesterov(loss, module.params, 0.1)``.
    data
        An array for each input, in their order, or by their names. All have as many rows along
        ``batch_axis``: an axis (0), one for each input, or the name of a size ("B") that each
        input has on some axis. Each epoch takes the rows in a new order; the last batch may be
        smaller.
    metrics
        Further expressions to report, by name, such as an accuracy.
    validation, evaluation
        Arrays like ``data``, and what to compute on them after each epoch: expressions by name,
        the loss and the metrics if not given. Nets with dropout or batch normalisation give the
        expressions built with ``training=False`` here. Figures are means over batches, weighted
        by their rows.
    monitor, higher_is_better, patience
        The figure that decides which epoch is best: of the validation where there is one. With
        ``patience`` the training ends after so many epochs without a better one, and the module
        gets the values of the best epoch.
    checkpoint
        A file for the values of the best epoch so far; `load` reads it.
    resume
        A file for everything, written after each epoch. If it exists, the training goes on from
        it as if it had not been interrupted. Both files are complete at any time.
    rng
        A seed or Generator for the order of the rows.
    progress
        Show a bar (where tqdm is installed, else a line for each epoch) on standard error.

    Raises `TrainingError` when the loss becomes infinite or no number.
    """
    _check_counts(epochs=epochs, batch_size=batch_size, patience=patience)
    metrics = dict(metrics or {})
    if "loss" in metrics:
        raise SymgraphValueError(
            explain("fit: the metric 'loss' would hide the loss", line=user_line())
        )
    rows = batches_of(inputs, data, batch_size, batch_axis, "data")
    train = sg.compile(
        list(inputs), {"loss": loss, **metrics}, updates=updates, name="train", backend=backend
    )
    seed = int(np.random.default_rng(rng).integers(2**31))
    session = _Session(module, updates, _streams([loss, *metrics.values()]), seed)
    session.history = History(monitor if validation is None else f"validation_{monitor}")
    session.history.report = train.report
    session.sign = -1.0 if higher_is_better else 1.0
    evaluate, held_out = None, None
    if validation is not None:
        held_out = batches_of(inputs, validation, batch_size, batch_axis, "validation")
        evaluate, held_out = _evaluation(evaluation or {"loss": loss, **metrics}, held_out, backend)
    if resume is not None and Path(resume).exists():
        session.restore(resume)
    first = len(session.history) + 1
    with _shown(progress, (epochs - first + 1) * rows.count, first - 1) as bar:
        for epoch in range(first, epochs + 1):
            if patience is not None and session.is_stale(patience):
                break
            started = time.perf_counter()
            figures = _train_epoch(train, rows, np.random.default_rng([seed, epoch]), epoch, bar)
            if evaluate is not None and held_out is not None:
                measured = _evaluate(evaluate, held_out)
                figures |= {f"validation_{name}": value for name, value in measured.items()}
            seconds = time.perf_counter() - started
            session.record({"epoch": epoch, **figures, "seconds": seconds})
            bar.epoch_done(session.history)
            if checkpoint is not None and session.history.best_epoch == epoch:
                save(module, checkpoint)
            if resume is not None:
                session.store(resume)
    if patience is not None:
        session.take_best()
    return session.history


def _check_counts(**counts: int | None) -> None:
    for name, count in counts.items():
        if count is not None and (not isinstance(count, int) or count < 1):
            raise SymgraphValueError(
                explain(
                    f"fit: {name} is a whole number of at least 1, not {count!r}", line=user_line()
                )
            )


def _streams(outputs: Sequence[sg.Variable]) -> list[sg.SharedVariable]:
    """The variables that advance by themselves, such as those of random streams."""
    found = [v for v in ancestors(outputs) if isinstance(v, sg.SharedVariable)]
    return [v for v in found if v.default_update is not None]


def _evaluation(
    expressions: Mapping[str, sg.Variable], rows: Batches, backend: str
) -> tuple[Any, Batches]:
    """The function of the inputs that the expressions need, and the batches of these."""
    needed = set(ancestors(list(expressions.values())))
    rows = rows.only([x in needed for x in rows.inputs])
    return sg.compile(rows.inputs, dict(expressions), name="evaluate", backend=backend), rows


def _train_epoch(
    train: Any, rows: Batches, rng: np.random.Generator, epoch: int, bar: _Progress
) -> dict[str, float]:
    """One pass over the rows in random order; the weighted means of the figures."""
    mean = _Mean()
    for number, (weight, batch) in enumerate(rows.shuffled(rng), start=1):
        figures = train(*batch)
        if not math.isfinite(figures["loss"]):
            raise TrainingError(
                explain(
                    f"fit: the loss became {figures['loss']} in epoch {epoch}, batch {number} of "
                    f"{rows.count}",
                    remedy="Lower the learning rate, clip the gradients with clip_norm, or look "
                    "for invalid data.",
                )
            )
        mean.add(figures, weight)
        bar.batch_done(epoch, mean.values["loss"] / mean.weight)
    return mean.result()


def _evaluate(evaluate: Any, rows: Batches) -> dict[str, float]:
    mean = _Mean()
    for weight, batch in rows.in_order():
        mean.add(evaluate(*batch), weight)
    return mean.result()


@dataclass
class _Mean:
    """Weighted sums of figures by name."""

    values: dict[str, float] = field(default_factory=dict)
    weight: int = 0

    def add(self, figures: Mapping[str, Any], weight: int) -> None:
        for name, value in figures.items():
            self.values[name] = self.values.get(name, 0.0) + weight * float(value)
        self.weight += weight

    def result(self) -> dict[str, float]:
        return {name: value / self.weight for name, value in self.values.items()}


# --- the best epoch, and what is needed to go on -------------------------------------------------


@dataclass
class _Session:
    """The state of a training between two epochs."""

    module: Any
    updates: Mapping[sg.SharedVariable, sg.Variable]
    streams: list[sg.SharedVariable]
    seed: int
    history: History = field(default_factory=lambda: History("loss"))
    sign: float = 1.0
    best: dict[str, np.ndarray] = field(default_factory=dict)

    def record(self, figures: dict[str, float]) -> None:
        """Add an epoch; if it is the best one, keep its values."""
        history = self.history
        if history.monitored not in figures:
            raise SymgraphValueError(
                explain(
                    f"fit: there is no figure {history.monitored!r} to monitor, but "
                    f"{', '.join(figures)}",
                    line=user_line(),
                )
            )
        history.epochs.append(figures)
        if history.best_epoch is None or self._score(len(history)) < self._score(
            history.best_epoch
        ):
            history.best_epoch = len(history)
            self.best = {k: v.get_value() for k, v in variables_of(self.module).items()}

    def _score(self, epoch: int) -> float:
        value = self.sign * self.history.epochs[epoch - 1][self.history.monitored]
        return math.inf if math.isnan(value) else value

    def is_stale(self, patience: int) -> bool:
        """Whether so many epochs have passed since the best one."""
        best = self.history.best_epoch
        return best is not None and len(self.history) - best >= patience

    def take_best(self) -> None:
        """Give the module the values of the best epoch."""
        set_values(variables_of(self.module) if self.best else {}, self.best)

    def _variables(self) -> dict[str, sg.SharedVariable]:
        named = {f"module/{k}": v for k, v in variables_of(self.module).items()}
        streams = {f"stream/{i}": v for i, v in enumerate(self.streams)}
        return {**named, **optimiser_variables(self.module, self.updates), **streams}

    def store(self, path: str | os.PathLike) -> None:
        """Write everything to a file."""
        arrays = {name: v.get_value() for name, v in self._variables().items()}
        arrays |= {f"best/{name}": value for name, value in self.best.items()}
        progress = {
            "epochs": self.history.epochs,
            "best_epoch": self.history.best_epoch,
            "seed": self.seed,
        }
        write_arrays(path, arrays, {"fit": json.dumps(progress)})

    def restore(self, path: str | os.PathLike) -> None:
        """Take everything from a file of `store`; nothing is changed if anything does not fit."""
        arrays, metadata = read_arrays(path)
        if "fit" not in metadata:
            raise SymgraphValueError(
                explain(f"fit: {os.fspath(path)} was not written by resume=", line=user_line())
            )
        best = {
            name.removeprefix("best/"): arrays.pop(name)
            for name in list(arrays)
            if name.startswith("best/")
        }
        variables = self._variables()
        set_values(variables, checked_values(variables, arrays, f"fit(resume={os.fspath(path)!r})"))
        progress = json.loads(metadata["fit"])
        self.best, self.seed = best, progress["seed"]
        self.history.epochs = progress["epochs"]
        self.history.best_epoch = progress["best_epoch"]


# --- progress -----------------------------------------------------------------------------------


class _Progress:
    """Shows nothing; the bar and the lines derive from it."""

    def batch_done(self, epoch: int, loss: float) -> None:
        pass

    def epoch_done(self, history: History) -> None:
        pass


class _Lines(_Progress):
    """A line for each epoch on standard error."""

    def epoch_done(self, history: History) -> None:
        print(f"epoch {len(history)}: {_figures(history)}", file=sys.stderr)


class _Bar(_Progress):
    """A bar of tqdm over all batches."""

    def __init__(self, bar: Any) -> None:
        self.bar = bar
        self.figures = ""

    def batch_done(self, epoch: int, loss: float) -> None:
        self.bar.set_description_str(f"epoch {epoch}", refresh=False)
        self.bar.set_postfix_str(self.figures or f"loss {loss:.4g}", refresh=False)
        self.bar.update()

    def epoch_done(self, history: History) -> None:
        self.figures = _figures(history)
        self.bar.set_postfix_str(self.figures)


def _figures(history: History) -> str:
    return ", ".join(
        f"{name.replace('_', ' ')} {value:.4g}"
        for name, value in history.epochs[-1].items()
        if name not in ("epoch", "seconds")
    )


@contextmanager
def _shown(wanted: bool, total: int, done: int) -> Iterator[_Progress]:
    """The progress to report to."""
    if not wanted:
        yield _Progress()
        return
    try:
        tqdm = load_package("tqdm", "cli")
    except MissingPackage:
        yield _Lines()
        return
    with tqdm.tqdm(total=total, unit="batch", dynamic_ncols=True) as bar:
        yield _Bar(bar)
