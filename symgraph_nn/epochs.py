"""The epochs of a training: what each does, and what an end before the last one leaves."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from symgraph.errors import SymgraphError

from .callbacks import Run, call_back
from .carried import Step
from .history import History
from .interrupts import Interrupts
from .iterables import Source
from .progress import Progress, show_progress
from .serialise import save
from .session import Session
from .typing import Path
from .validation import Mean, Validation

__all__ = ["Training", "TrainingError"]


class TrainingError(SymgraphError, ArithmeticError):
    """A training that cannot go on: the loss is no number any more."""

    history: History
    """The epochs before the one in which it happened."""


@dataclass
class Training:
    """A training under way."""

    train: Step
    rows: Source
    validate: Validation | None
    session: Session
    callbacks: Sequence[object]
    patience: int | None
    checkpoint: Path | None
    resume: Path | None
    interrupts: Interrupts = field(default_factory=Interrupts)

    def run(self, epochs: int, *, shown: bool) -> None:
        """Go on to this many epochs, to the end of the patience, or until somebody stops it."""
        self.session.resume(self.resume)
        history, n_batches = self.session.history, self.rows.count
        total = None if n_batches is None else n_batches * max(epochs - len(history), 0)
        with self.interrupts:
            try:
                with show_progress(total, shown=shown) as bar:
                    history.ended = self._run_epochs(epochs, bar)
            except KeyboardInterrupt:
                history.ended = "interrupt"
            finally:
                self.interrupts.ignore()
                if self.patience is not None:
                    self.session.take_best()

    def _run_epochs(self, epochs: int, bar: Progress) -> str:
        """Go on to the end; what it was."""
        session, run = self.session, Run(self.session.module, self.session.history)
        run.epoch = max(len(session.history) - 1, 0)
        call_back(self.callbacks, "begin", run)
        for epoch in range(len(session.history), epochs):
            if self.patience is not None and session.is_stale(self.patience):
                return "patience"
            if run.stopped:
                return "stop"
            bar.epoch_begun(epochs - epoch)
            before = session.values()
            run.epoch = epoch
            try:
                self._run_epoch(run, before, bar)
            except TrainingError as error:
                error.history = session.history
                session.go_back(before)
                raise
        return "stop" if run.stopped else "epochs"

    def _run_epoch(self, run: Run, before: Mapping[str, np.ndarray], bar: Progress) -> None:
        """One pass over the rows, the figures of held-out ones, and the files."""
        session, number = self.session, run.epoch + 1
        started = time.perf_counter()
        figures = self._train(run, bar)
        is_whole = not run.stopped
        # No loss of this epoch tells what its last update did.
        broken = session.broken_since(before)
        if broken is not None:
            raise self._failed(f"the last update of epoch {number} made {broken} infinite or NaN")
        if self.validate is not None:
            figures |= self.validate()
        with self.interrupts.held:
            session.record({"epoch": number, **figures, "seconds": time.perf_counter() - started})
            if self.checkpoint is not None and session.history.best_epoch == number:
                save(session.module, self.checkpoint)
        bar.epoch_done(session.history)
        run.figures = session.history.epochs[-1]
        call_back(self.callbacks, "epoch_end", run)
        if self.resume is not None and is_whole:
            with self.interrupts.held:
                session.store(self.resume)

    def _train(self, run: Run, bar: Progress) -> dict[str, float]:
        """One pass over the rows; the weighted means of the figures."""
        mean, number = Mean(), run.epoch + 1
        if self.session.carrier is None:
            self.train.values = None
        # What is carried on needs the rows as they stand.
        order = np.random.default_rng([self.session.seed, number])
        batches = self.rows.epoch(run.epoch, None if self.train.is_stateful else order)
        for run.batch, batch in enumerate(batches):
            with self.interrupts.held:
                run.figures = self.train(batch, is_first=run.batch == 0)
            loss = run.figures["loss"]
            if not math.isfinite(loss):
                of = f" of {self.rows.count}" if self.rows.count is not None else ""
                raise self._failed(
                    f"the loss became {loss} in epoch {number}, batch {run.batch + 1}{of}"
                )
            mean.add(run.figures, batch.weight)
            bar.batch_done(number, mean.values["loss"] / mean.weight)
            call_back(self.callbacks, "batch_end", run)
            if run.stopped:
                break
        return mean.result()

    def _failed(self, what: str) -> TrainingError:
        has_best = self.patience is not None and self.session.history.best_epoch is not None
        values = "of the best epoch" if has_best else "from before this epoch"
        return TrainingError.here(
            f"fit: {what}; the module has the values {values} again",
            remedy="Lower the learning rate, clip the gradients with clip_norm, or look "
            "for invalid data.",
        )
