"""A training between two epochs: its best values, and what is needed to go on after a kill."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import symgraph as sg
from symgraph.errors import SymgraphValueError, describe

from .carried import Step
from .graphs import shared_variables
from .history import History
from .serialise import fitting_arrays, optimiser_variables, write_arrays
from .tensors import StoredArray, read_arrays
from .walk import variables_of

__all__ = ["Session", "streams_of"]


def streams_of(outputs: Sequence[sg.Variable]) -> list[sg.SharedVariable]:
    """The variables that advance by themselves, such as those of random streams."""
    return [v for v in shared_variables(outputs) if v.default_update is not None]


@dataclass
class Session:
    """The state of a training between two epochs."""

    module: Any
    updates: Mapping[sg.SharedVariable, sg.Variable]
    streams: list[sg.SharedVariable]
    seed: int
    history: History
    sign: float  # -1 where a higher figure is better
    carrier: Step | None = None  # whose state goes from epoch to epoch
    best: dict[str, np.ndarray] = field(default_factory=dict)

    def record(self, figures: dict[str, float]) -> None:
        """Add an epoch; if it is the best one, keep its values."""
        history = self.history
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
        if self.best:
            variables = variables_of(self.module)
            sg.set_values({variables[path]: value for path, value in self.best.items()})

    def values(self) -> dict[str, np.ndarray]:
        """All that the training changes: of the module, the optimiser and random streams."""
        return {name: v.get_value() for name, v in self._variables().items()}

    def go_back(self, values: Mapping[str, np.ndarray]) -> None:
        """Take what `values` gave earlier."""
        variables = self._variables()
        sg.set_values({variables[name]: value for name, value in values.items()})

    def broken_since(self, before: Mapping[str, np.ndarray]) -> str | None:
        """What has no finite numbers any more, but had them ``before``; None for nothing."""
        for name, v in self._variables().items():
            if np.isfinite(before[name]).all() and not np.isfinite(v.get_value()).all():
                return describe(v)
        return None

    def _variables(self) -> dict[str, sg.SharedVariable]:
        named = {f"module/{k}": v for k, v in variables_of(self.module).items()}
        named |= optimiser_variables(self.module, self.updates)
        known = set(named.values())
        streams = [v for v in self.streams if v not in known]
        return named | {f"stream/{i}": v for i, v in enumerate(streams)}

    def store(self, path: str | os.PathLike[str]) -> None:
        """Write everything to a file."""
        arrays = self.values()
        arrays |= {f"best/{name}": value for name, value in self.best.items()}
        arrays |= {f"state/{i}": value for i, value in enumerate(self._state())}
        progress = {
            "epochs": self.history.epochs,
            "best_epoch": self.history.best_epoch,
            "seed": self.seed,
        }
        write_arrays(path, arrays, {"fit": json.dumps(progress)})

    def _state(self) -> list[np.ndarray]:
        """The state that the last batch of an epoch hands to the first one of the next."""
        return [] if self.carrier is None else self.carrier.values or []

    def _fitting_state(self, stored: dict[str, StoredArray], owner: str) -> list[np.ndarray] | None:
        """The state that a file holds, taken out of it; None where there is none yet."""
        if self.carrier is None:
            return None
        parts, dtypes = _split_off(stored, "state/"), self.carrier.dtypes
        arrays = [parts.get(str(i)) for i in range(len(dtypes))]
        if not parts:
            return None
        pairs = [(a, d) for a, d in zip(arrays, dtypes, strict=True) if a and a.dtype == str(d)]
        if len(pairs) < len(dtypes) or len(parts) > len(dtypes):
            raise SymgraphValueError.here(f"{owner}: that training carried another state")
        return [array.widened(dtype) for array, dtype in pairs]

    def resume(self, path: str | os.PathLike[str] | None) -> None:
        """Take everything from a file of `store`, if there is one; nothing changes on a misfit."""
        if path is None or not os.path.exists(path):
            return
        stored, metadata = read_arrays(path)
        owner = f"fit(resume={os.fspath(path)!r})"
        progress = _parsed_progress(metadata.get("fit"), owner)
        best = _split_off(stored, "best/")
        state = self._fitting_state(stored, owner)
        variables, own = self._variables(), variables_of(self.module)
        arrays, _ = fitting_arrays(variables, stored, owner)
        best_arrays, _ = fitting_arrays(own if best else {}, best, owner)
        history = self.history
        if any(history.monitored not in epoch for epoch in progress.epochs):
            raise SymgraphValueError.here(
                f"{owner}: that training knows no {history.monitored!r} to monitor",
                remedy="Go on with the same metrics, validation and monitor.",
            )
        if self.carrier is not None:
            self.carrier.values = state
        self.best, self.seed = best_arrays, progress.seed
        history.epochs, history.best_epoch = progress.epochs, progress.best_epoch
        sg.set_values({variables[name]: array for name, array in arrays.items()})


def _split_off(stored: dict[str, StoredArray], prefix: str) -> dict[str, StoredArray]:
    """What stands under this prefix, taken out, by the names without it."""
    names = [name for name in stored if name.startswith(prefix)]
    return {name.removeprefix(prefix): stored.pop(name) for name in names}


@dataclass
class _Progress:
    """How far a training has come."""

    epochs: list[dict[str, float]]
    best_epoch: int | None
    seed: int


def _parsed_progress(text: str | None, owner: str) -> _Progress:
    """What a file tells of a training; an error where it tells of none."""
    try:
        progress = _Progress(**json.loads(text or ""))
    except (TypeError, ValueError, RecursionError):
        progress = None
    if progress is None or not _makes_sense(progress):
        raise SymgraphValueError.here(f"{owner}: the file was not written by resume=")
    return progress


def _makes_sense(progress: _Progress) -> bool:
    """Whether all is there, of the right kind and in range."""
    epochs, best = progress.epochs, progress.best_epoch
    return (
        isinstance(epochs, list)
        and all(
            isinstance(epoch, dict)
            and all(isinstance(v, (int, float)) for v in epoch.values())
            and epoch.keys() == epochs[0].keys()
            for epoch in epochs
        )
        and (best is None or (isinstance(best, int) and 1 <= best <= len(epochs)))
        and isinstance(progress.seed, int)
        and progress.seed >= 0
    )
