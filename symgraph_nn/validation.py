"""Means of figures over batches, and those of held-out rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import symgraph as sg

from .carried import Step, needed_pairs
from .graphs import ancestors
from .iterables import Source

__all__ = ["Mean", "Validation"]


@dataclass
class Mean:
    """Weighted sums of figures by name."""

    values: dict[str, float] = field(default_factory=dict)
    weight: int = 0

    def add(self, figures: Mapping[str, Any], weight: int) -> None:
        """Count the figures of a batch."""
        for name, value in figures.items():
            self.values[name] = self.values.get(name, 0.0) + weight * float(value)
        self.weight += weight

    def result(self) -> dict[str, float]:
        """The means by name."""
        return {name: value / self.weight for name, value in self.values.items()}


class Validation:
    """The figures of held-out rows; called after each epoch."""

    def __init__(
        self,
        expressions: Mapping[str, sg.Variable],
        rows: Source,
        pairs: Sequence[tuple[sg.Variable, sg.Variable]],
        backend: str,
    ) -> None:
        pairs = needed_pairs(pairs, list(expressions.values()))
        needed = set(ancestors([*expressions.values(), *(after for _, after in pairs)]))
        wanted = [x in needed for x in rows.inputs]
        inputs = [x for x, is_wanted in zip(rows.inputs, wanted, strict=True) if is_wanted]
        self.names = list(expressions)
        self.rows = rows.only(wanted)
        self.step = Step(inputs, expressions, pairs, name="evaluate", backend=backend)

    def __call__(self) -> dict[str, float]:
        mean = Mean()
        self.step.values = None
        for i, batch in enumerate(self.rows.epoch(0, None)):
            mean.add(self.step(batch, is_first=i == 0), batch.weight)
        return {f"validation_{name}": value for name, value in mean.result().items()}
