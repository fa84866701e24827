"""What a training calls at the ends of batches and epochs, and what it tells there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

import symgraph as sg
from symgraph.errors import SymgraphTypeError, SymgraphValueError, check_flags

from .checks import check_number, check_positive
from .history import History

__all__ = ["LowerOnPlateau", "Run", "call_back", "check_callbacks"]

_HOOKS = ("begin", "batch_end", "epoch_end")


class Run:
    """A training under way, as callbacks of `fit` see it.

    module
        What is trained.
    history
        The epochs so far: at the end of an epoch with this one.
    epoch, batch
        Their numbers, from 0; the batch's within its epoch.
    figures
        Loss and metrics of the batch; at the end of an epoch those of the epoch, of the
        validation too.

    >>> class StopAt:
    ...     def batch_end(self, run):
    ...         if run.figures["loss"] < 1e-3:
    ...             run.stop()
    >>> w = sg.shared(np.float32(1), "w")
    >>> x = sg.vector("x")
    >>> loss = sg.mean(sg.square(w * x))
    >>> history = nn.fit([w], [x], loss, nn.sgd(loss, [w], 0.1), [np.ones(8)], epochs=100,
    ...                  callbacks=[StopAt()], progress=False)
    >>> len(history), history.ended
    (17, 'stop')
    """

    module: Any
    history: History
    epoch: int
    batch: int
    figures: dict[str, float]
    stopped: bool
    """Whether a callback asked for the end."""

    def __init__(self, module: Any, history: History) -> None:
        self.module, self.history = module, history
        self.epoch = self.batch = 0
        self.figures = {}
        self.stopped = False

    def stop(self) -> None:
        """End the training after this batch, or this epoch.

        >>> run = nn.Run(nn.Dense(3, 1), nn.History("loss"))
        >>> run.stop()
        >>> run.stopped
        True
        """
        self.stopped = True


def check_callbacks(callbacks: Sequence[object]) -> None:
    """Raise unless each callback has something to call."""
    if not isinstance(callbacks, (list, tuple)):
        raise SymgraphTypeError.here(f"fit: callbacks are a list of objects, not {callbacks!r}")
    for callback in callbacks:
        hooks = [getattr(callback, name, None) for name in _HOOKS]
        if isinstance(callback, type) or not any(callable(hook) for hook in hooks):
            raise SymgraphTypeError.here(
                f"fit: a callback is an object with batch_end(run) or epoch_end(run), "
                f"not {callback!r}"
            )


def call_back(callbacks: Sequence[object], name: str, run: Run) -> None:
    """Call this method of each that has it."""
    for callback in callbacks:
        hook = getattr(callback, name, None)
        if hook is not None:
            hook(run)


class LowerOnPlateau:
    """A callback of `fit` that lowers a shared learning rate where a figure gets no better.

    After ``patience`` epochs without a better one the rate is multiplied by ``factor``, to no less
    than ``least``, and the count begins anew.

    rate
        The shared variable that the update rule was given.
    monitor, higher_is_better
        The name of the figure in the history, by default the one that `fit` monitors, and which
        of its values are better.

    The rate begins with the value that it has when the callback is made. A training that is resumed
    goes on with the one that it had, which follows from its history.

    >>> rate = sg.shared(np.float32(0.1), "rate")
    >>> lower = nn.LowerOnPlateau(rate, factor=0.5, patience=1)
    >>> run = nn.Run(nn.Dense(3, 1), nn.History("loss"))
    >>> for loss in (1.0, 0.8, 0.8):
    ...     run.history.epochs.append({"loss": loss})
    ...     lower.epoch_end(run)
    >>> rate.get_value()
    array(0.05, dtype=float32)
    """

    rate: sg.SharedVariable

    def __init__(
        self,
        rate: sg.SharedVariable,
        *,
        factor: float = 0.5,
        patience: int = 5,
        least: float = 0.0,
        monitor: str | None = None,
        higher_is_better: bool = False,
    ) -> None:
        if not isinstance(rate, sg.SharedVariable) or rate.ndim:
            raise SymgraphTypeError.here(
                f"LowerOnPlateau: rate is a shared scalar, not {rate!r}",
                remedy="Make it with sg.shared(0.1), and give it to the update rule.",
            )
        check_flags("LowerOnPlateau", higher_is_better=higher_is_better)
        check_positive("LowerOnPlateau", patience=patience)
        check_number("LowerOnPlateau", factor=factor, least=least)
        if not 0 < factor < 1:
            raise SymgraphValueError.here(
                f"LowerOnPlateau: factor is a number between 0 and 1, not {factor!r}"
            )
        self.rate = rate
        self._first = float(rate.get_value())
        self._factor, self._least, self._patience = factor, least, patience
        self._monitor, self._sign = monitor, -1.0 if higher_is_better else 1.0

    def begin(self, run: Run) -> None:
        """Set the rate that goes with the epochs so far; `fit` calls it before the first batch.

        >>> rate = sg.shared(np.float32(0.1), "rate")
        >>> run = nn.Run(nn.Dense(3, 1), nn.History("loss"))
        >>> run.history.epochs += [{"loss": 1.0}, {"loss": 1.0}]
        >>> nn.LowerOnPlateau(rate, patience=1).begin(run)
        >>> rate.get_value()
        array(0.05, dtype=float32)
        """
        self._set(run.history[self._name(run)] if len(run.history) else [])

    def epoch_end(self, run: Run) -> None:
        """Lower the rate, if it is time; `fit` calls it after each epoch.

        >>> rate = sg.shared(np.float32(0.1), "rate")
        >>> run = nn.Run(nn.Dense(3, 1), nn.History("loss"))
        >>> run.history.epochs.append({"loss": 1.0})
        >>> nn.LowerOnPlateau(rate).epoch_end(run)
        >>> rate.get_value()
        array(0.1, dtype=float32)
        """
        self._set(run.history[self._name(run)])

    def _name(self, run: Run) -> str:
        return self._monitor or run.history.monitored

    def _set(self, series: list[float]) -> None:
        """Set the rate that goes with these values of the figure."""
        value = self._first * self._factor ** self._n_lowered(series)
        value = max(value, min(self._least, self._first))
        self.rate.set_value(np.asarray(value, self.rate.dtype))

    def _n_lowered(self, series: list[float]) -> int:
        """How often the rate has been lowered after these epochs."""
        best, n_waited, n_lowered = np.inf, 0, 0
        for value in series:
            n_waited += 1
            if self._sign * value < best:
                best, n_waited = self._sign * value, 0
            elif n_waited == self._patience:
                n_waited, n_lowered = 0, n_lowered + 1
        return n_lowered
