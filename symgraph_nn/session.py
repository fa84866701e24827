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
from symgraph.errors import SymgraphValueError, describe, explain, user_line

from .history import History
from .module import ancestors, checked_values, set_values, variables_of
from .serialise import optimiser_variables, read_arrays, write_arrays

__all__ = ["Session", "streams_of"]


def streams_of(outputs: Sequence[sg.Variable]) -> list[sg.SharedVariable]:
    """The variables that advance by themselves, such as those of random streams."""
    found = [v for v in ancestors(outputs) if isinstance(v, sg.SharedVariable)]
    return [v for v in found if v.default_update is not None]


@dataclass
class Session:
    """The state of a training between two epochs."""

    module: Any
    updates: Mapping[sg.SharedVariable, sg.Variable]
    streams: list[sg.SharedVariable]
    seed: int
    history: History
    sign: float  # -1 where a higher figure is better
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
        set_values(variables_of(self.module) if self.best else {}, self.best)

    def values(self) -> dict[str, np.ndarray]:
        """All that the training changes: of the module, the optimiser and random streams."""
        return {name: v.get_value() for name, v in self._variables().items()}

    def go_back(self, values: Mapping[str, np.ndarray]) -> None:
        """Take what `values` gave earlier."""
        set_values(self._variables(), values)

    def broken_since(self, before: Mapping[str, np.ndarray]) -> str | None:
        """What has no finite numbers any more, but had them ``before``; None for nothing."""
        for name, v in self._variables().items():
            if np.isfinite(before[name]).all() and not np.isfinite(v.get_value()).all():
                return describe(v)
        return None

    def _variables(self) -> dict[str, sg.SharedVariable]:
        named = {f"module/{k}": v for k, v in variables_of(self.module).items()}
        streams = {f"stream/{i}": v for i, v in enumerate(self.streams)}
        return {**named, **optimiser_variables(self.module, self.updates), **streams}

    def store(self, path: str | os.PathLike) -> None:
        """Write everything to a file."""
        arrays = self.values()
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
        variables, owner = self._variables(), f"fit(resume={os.fspath(path)!r})"
        arrays = checked_values(variables, arrays, owner)
        checked_values(variables_of(self.module) if best else {}, best, owner)
        set_values(variables, arrays)
        progress = json.loads(metadata["fit"])
        self.best, self.seed = best, progress["seed"]
        self.history.epochs = progress["epochs"]
        self.history.best_epoch = progress["best_epoch"]
