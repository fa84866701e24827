"""Where the time of a function's calls went: by kernel, by loop and by call."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["Profile", "ProfileRow"]


@dataclass
class ProfileRow:
    """The time spent in one kernel or loop, over all calls."""

    name: str
    """The op's name, or the kernel's."""
    line: str | None
    """The user's line, where it is known."""
    depth: int
    """0 outside loops, 1 in the body of a loop, and so on."""
    is_loop: bool = False
    """Whether this is a loop: its time includes that of the rows of its body, which follow it."""
    runs: int = 0
    seconds: float = 0.0


@dataclass
class Profile:
    """The time of a function's calls; printable as a table, the slowest first.

    >>> x = sg.vector("x")
    >>> f = sg.compile([x], sg.exp(x), backend="numpy", profile=True)
    >>> y = f([0.0]), f([1.0])
    >>> [(row.name, row.runs) for row in f.profile.rows], len(f.profile.calls)
    ([('exp', 2)], 2)
    """

    rows: list[ProfileRow] = field(default_factory=list)
    """One for each kernel and loop, in order of execution."""
    calls: list[tuple[float, float]] = field(default_factory=list)
    """When each call began, on the clock of `time.perf_counter`, and how many seconds it took."""

    @property
    def seconds(self) -> float:
        """The seconds of all calls together."""
        return sum(seconds for _, seconds in self.calls)

    def __str__(self) -> str:
        total = self.seconds or 1.0
        ranked = sorted(self.rows, key=lambda row: -row.seconds)
        lines = [
            f"{len(self.calls)} calls, {self.seconds * 1e3:.3f} ms",
            f"{'ms':>10} {'%':>6} {'runs':>9}  kernel",
        ]
        lines += [
            f"{row.seconds * 1e3:>10.3f} {100 * row.seconds / total:>6.1f} {row.runs:>9}  "
            f"{'  ' * row.depth}{row.name}{' (loop)' if row.is_loop else ''}"
            f"{f'  {row.line}' if row.line else ''}"
            for row in ranked
        ]
        return "\n".join(lines)

    def __repr__(self) -> str:
        return str(self)
