"""How a loop's flat inputs and results belong together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Generic, Literal, NamedTuple, TypeAlias, TypeVar

__all__ = ["Inputs", "IntervalRule", "Layout", "Role"]

T = TypeVar("T")

Role: TypeAlias = Literal[
    "written", "again", "gradient", "jacobian", "grouping", "running", "running gradient"
]
"""What a loop is: written by somebody, steps of one that are run again from a checkpoint, the
gradient of one, what `jacobian` does for each number, a part of what `associative_scan` does in
groups; or all that it does, row by row, and the gradients of that, of any order, which may be done
in groups."""


class Inputs(NamedTuple, Generic[T]):
    """A loop's inputs, or values of them, by what they are for."""

    n_steps: T
    sequences: Sequence[T]
    initials: Sequence[T]
    fixed: Sequence[T]
    interval: T | None
    """A vector as long as checkpoints are apart; None without checkpoints."""
    first: T | None
    """The number of the first step, where that is not 0: of a part of the steps of a loop."""

    def flat(self) -> tuple[T, ...]:
        """The inputs in their order."""
        ending = [x for x in (self.interval, self.first) if x is not None]
        return (self.n_steps, *self.sequences, *self.initials, *self.fixed, *ending)


@dataclass(frozen=True)
class IntervalRule:
    """By what a call chooses how far checkpoints are apart."""

    memory: int | None = None
    """The bytes that there are; None where it is about the root of the number of steps."""

    def __str__(self) -> str:
        return "auto" if self.memory is None else f"memory={self.memory}"


@dataclass(frozen=True)
class Layout:
    """What a loop reads at which steps, and how it ends; a parameter of its node."""

    sequences: tuple[tuple[int, ...], ...]
    """For each sequence the offsets (at least 0) at which a step reads it."""
    states: tuple[tuple[int, ...], ...]
    """For each state its taps (negative), in the order of the body's inputs."""
    until: bool = False
    """Whether the body's last output ends the loop."""
    truncate: int | None = None
    """How many of the last steps the gradient goes back; None for all."""
    has_checkpoints: bool = False
    """Whether states are kept for the gradient after every so-many-th step alone."""
    rule: IntervalRule | None = None
    """How the interval is chosen; None where it was given."""
    ends_at_checkpoint: bool = False
    """Whether there is a checkpoint after the last step, too."""
    chunk_parts: int = 1
    """How many parts a chunk has, with a checkpoint before each: it is known from the beginning,
    since what a body is made of may change between a gradient and what is settled later."""
    is_over_chunks: bool = False
    """Whether its steps are chunks of steps: what leaves such a loop would be as long as they all
    are together."""
    role: Role = "written"
    is_numbered: bool = False
    """Whether it is told the number of its first step."""

    @property
    def is_lean(self) -> bool:
        """Whether the loop is to keep no more over time than what is read of it as it stands."""
        return self.has_checkpoints or self.is_over_chunks

    def with_checkpoints(self, rule: IntervalRule | None, chunk_parts: int) -> Layout:
        """The layout of the same loop with checkpoints."""
        return replace(self, has_checkpoints=True, rule=rule, chunk_parts=chunk_parts)

    def without_checkpoints(self) -> Layout:
        """The layout of the same loop with no checkpoints."""
        return replace(
            self, has_checkpoints=False, rule=None, chunk_parts=1, ends_at_checkpoint=False
        )

    def parts(self, inputs: Sequence[T]) -> Inputs[T]:
        """The loop's inputs, or values of them, taken apart."""
        first = 1 + len(self.sequences)
        last = first + len(self.states)
        end = len(inputs) - self.has_checkpoints - self.is_numbered
        interval = inputs[end] if self.has_checkpoints else None
        number = inputs[-1] if self.is_numbered else None
        sequences, initials, fixed = inputs[1:first], inputs[first:last], inputs[last:end]
        return Inputs(inputs[0], sequences, initials, fixed, interval, number)
