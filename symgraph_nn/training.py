"""`fit`: train a module on arrays, in batches, with validation, early stopping and checkpoints."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import symgraph as sg
from symgraph.errors import (
    SymgraphError,
    SymgraphTypeError,
    SymgraphValueError,
    describe,
)

from .batches import Batches, batches_of
from .calls import check_kept, check_trained, trainable
from .files import check_target
from .graphs import ancestors
from .history import History
from .init import generator
from .progress import Progress, show_progress
from .serialise import save
from .session import Session, streams_of
from .typing import BatchAxis, Data, ModuleLike, Path, Rng, UpdatesLike
from .walk import variables_of

__all__ = ["TrainingError", "fit"]


class TrainingError(SymgraphError, ArithmeticError):
    """A training that cannot go on: the loss is no number any more."""

    history: History
    """The epochs before the one in which it happened."""


def fit(
    module: ModuleLike,
    inputs: Sequence[sg.Variable],
    loss: sg.Variable,
    updates: UpdatesLike,
    data: Data,
    *,
    epochs: int = 10,
    batch_size: int = 32,
    batch_axis: BatchAxis | Sequence[BatchAxis] | None = None,
    metrics: Mapping[str, sg.Variable] | None = None,
    validation: Data | None = None,
    evaluation: Mapping[str, sg.Variable] | None = None,
    monitor: str = "loss",
    higher_is_better: bool = False,
    patience: int | None = None,
    checkpoint: Path | None = None,
    resume: Path | None = None,
    rng: Rng = None,
    progress: bool = True,
    backend: str = "native",
) -> History:
    """Train the module in place; the `History` of the epochs.

    module
        What is trained, kept where it is best and restored: a `Module`, another object with
        ``params``, or a list or dict of these.
    inputs, loss, updates
        The symbols that stand for the data, the loss built on them, and an update rule's result,
        ``nn.nesterov(loss, module.params, 0.1)``.
    data
        An array for each input, in their order, or by their names. All have as many rows along
        ``batch_axis``: an axis, the name of a size ("B") that each input has on some axis, or a
        list with one of these for each input. It may be left out, for 0, where an input can have
        its rows nowhere else: not in a sequence [time, batch, …]. Each epoch takes the rows in a
        new order; the last batch may be smaller.
    epochs, batch_size
        How often all rows are seen, 10 by default, and how many at once, 32 by default.
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
        A seed or Generator for the order of the rows; another one each time by default.
    progress
        Show a bar (where tqdm is installed, else a line for each epoch) on standard error.
    backend
        ``"native"`` or ``"numpy"``.

    Raises a `ShapeError`, `SymgraphTypeError` or `SymgraphValueError` for arguments that are none
    of these or data that do not fit, before anything is trained; and a `TrainingError` when the
    loss, or what an epoch's last update stores, becomes infinite or no number. Module and optimiser
    then have the values from before that epoch again, with ``patience`` the module those of the
    best one; the error's ``history`` holds the epochs so far.

    >>> net, x, target = nn.Dense(1, 1, rng=0), sg.matrix("x"), sg.matrix("target")
    >>> loss = nn.squared_error(net(x), target)
    >>> data = [np.array([[0.0], [1], [2], [3]]), np.array([[1.0], [3], [5], [7]])]
    >>> updates = nn.nesterov(loss, net.params, 0.1)
    >>> history = nn.fit(net, [x, target], loss, updates, data, epochs=200, progress=False)
    >>> net.W.get_value().round(2), net.b.get_value().round(2)
    (array([[2.]], dtype=float32), array([1.], dtype=float32))
    """
    _check_counts(epochs=epochs, batch_size=batch_size, patience=patience)
    for path in (checkpoint, resume):
        if path is not None:
            check_target(path)
    figures = _with_metrics(loss, metrics)
    _check_updates(module, loss, updates)
    rows = batches_of(inputs, data, batch_size, batch_axis, "data")
    train = sg.compile(list(inputs), figures, updates=updates, name="train", backend=backend)
    validate = None
    if validation is not None:
        held_out = batches_of(inputs, validation, batch_size, batch_axis, "validation")
        validate = _Validation(evaluation or figures, held_out, backend)
    monitored = _monitored(monitor, figures, validate)
    seed = int(generator(rng).integers(2**31))
    session = Session(
        module,
        updates,
        streams_of([*figures.values(), *(evaluation or {}).values()]),
        seed,
        History(monitored, train.report),
        sign=-1.0 if higher_is_better else 1.0,
    )
    if resume is not None and os.path.exists(resume):
        session.restore(resume)
    training = _Training(train, rows, validate, session, patience, checkpoint, resume)
    training.run(epochs, shown=progress)
    return session.history


def _check_counts(**counts: int | None) -> None:
    for name, count in counts.items():
        if count is not None and (not isinstance(count, int) or count < 1):
            raise SymgraphValueError.here(
                f"fit: {name} is a whole number of at least 1, not {count!r}"
            )


def _check_updates(module: Any, loss: sg.Variable, updates: Any) -> None:
    """Raise where the updates train nothing of the module, or leave out what it does not keep."""
    if not isinstance(updates, Mapping):
        raise SymgraphTypeError.here(f"fit: updates are the dict of a rule, not {updates!r}")
    moved = [v for v in trainable(updates) if updates[v] is not v]
    check_trained("fit", moved, [loss])
    if not set(moved) & set(variables_of(module).values()):
        raise SymgraphValueError.here(
            f"fit: the updates move {describe(moved[0])}, but nothing of {module!r}",
            remedy="Give the module whose params the rule trains, to be kept and restored.",
        )
    check_kept("fit", [loss], updates, module)


def _with_metrics(
    loss: sg.Variable, metrics: Mapping[str, sg.Variable] | None
) -> dict[str, sg.Variable]:
    """The loss and the metrics by name."""
    if metrics and "loss" in metrics:
        raise SymgraphValueError.here("fit: a metric named 'loss' would hide the loss")
    figures = {"loss": loss, **(metrics or {})}
    for name, figure in figures.items():
        if not isinstance(figure, sg.Variable) or figure.ndim:
            raise SymgraphTypeError.here(
                f"fit: {name} is a scalar expression, not "
                + (describe(figure) if isinstance(figure, sg.Variable) else repr(figure)),
                remedy="Take its mean." if isinstance(figure, sg.Variable) else None,
            )
    return figures


def _monitored(
    monitor: str, trained: Mapping[str, sg.Variable], validate: _Validation | None
) -> str:
    """The name, in the history, of the figure that decides which epoch is best."""
    names = list(trained) if validate is None else validate.names
    if monitor not in names:
        raise SymgraphValueError.here(
            f"fit: there is no figure {monitor!r} to monitor, but {', '.join(names)}"
        )
    return monitor if validate is None else f"validation_{monitor}"


class _Validation:
    """The figures of held-out rows; called after each epoch."""

    def __init__(self, expressions: Mapping[str, sg.Variable], rows: Batches, backend: str) -> None:
        needed = set(ancestors(list(expressions.values())))
        self.names = list(expressions)
        self.rows = rows.only([x in needed for x in rows.inputs])
        self.evaluate = sg.compile(
            self.rows.inputs, dict(expressions), name="evaluate", backend=backend
        )

    def __call__(self) -> dict[str, float]:
        mean = _Mean()
        for weight, batch in self.rows.in_order():
            mean.add(self.evaluate(*batch), weight)
        return {f"validation_{name}": value for name, value in mean.result().items()}


@dataclass
class _Training:
    """A training under way: what each epoch does."""

    train: Any
    rows: Batches
    validate: _Validation | None
    session: Session
    patience: int | None
    checkpoint: Path | None
    resume: Path | None

    def run(self, epochs: int, *, shown: bool) -> None:
        """Go on to this many epochs, or to the end of the patience."""
        session = self.session
        first = len(session.history) + 1
        with show_progress((epochs + 1 - first) * self.rows.count, shown=shown) as bar:
            for epoch in range(first, epochs + 1):
                if self.patience is not None and session.is_stale(self.patience):
                    break
                before = session.values()
                try:
                    self._run_epoch(epoch, before, bar)
                except TrainingError as error:
                    error.history = session.history
                    session.go_back(before)
                    if self.patience is not None:
                        session.take_best()
                    raise
        if self.patience is not None:
            session.take_best()

    def _run_epoch(self, epoch: int, before: Mapping[str, np.ndarray], bar: Progress) -> None:
        """One pass over the rows, the figures of held-out ones, and the files."""
        session = self.session
        started = time.perf_counter()
        figures = self._train(epoch, bar)
        # No loss of this epoch tells what its last update did.
        broken = session.broken_since(before)
        if broken is not None:
            raise self._failed(f"the last update of epoch {epoch} made {broken} infinite or NaN")
        if self.validate is not None:
            figures |= self.validate()
        session.record({"epoch": epoch, **figures, "seconds": time.perf_counter() - started})
        bar.epoch_done(session.history)
        if self.checkpoint is not None and session.history.best_epoch == epoch:
            save(session.module, self.checkpoint)
        if self.resume is not None:
            session.store(self.resume)

    def _train(self, epoch: int, bar: Progress) -> dict[str, float]:
        """One pass over the rows in random order; the weighted means of the figures."""
        mean = _Mean()
        order = np.random.default_rng([self.session.seed, epoch])
        for number, (weight, batch) in enumerate(self.rows.shuffled(order), start=1):
            figures = self.train(*batch)
            if not math.isfinite(figures["loss"]):
                raise self._failed(
                    f"the loss became {figures['loss']} in epoch {epoch}, batch {number} of "
                    f"{self.rows.count}"
                )
            mean.add(figures, weight)
            bar.batch_done(epoch, mean.values["loss"] / mean.weight)
        return mean.result()

    def _failed(self, what: str) -> TrainingError:
        has_best = self.patience is not None and self.session.history.best_epoch is not None
        values = "of the best epoch" if has_best else "from before this epoch"
        return TrainingError.here(
            f"fit: {what}; the module has the values {values} again",
            remedy="Lower the learning rate, clip the gradients with clip_norm, or look "
            "for invalid data.",
        )


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
