"""What a training shows while it runs: a bar, or a line for each epoch, on standard error."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from .extras import MissingPackage, load_package
from .history import History

__all__ = ["Progress", "show_progress"]


class Progress:
    """Shows nothing; the bar and the lines derive from it."""

    def expect(self, n_batches: int | None, n_epochs: int) -> None:
        """There are so many epochs to come, each of so many batches, where that is known."""

    def batch_done(self, epoch: int, loss: float) -> None:
        pass

    def epoch_done(self, history: History) -> None:
        pass


class _Lines(Progress):
    """A line for each epoch on standard error."""

    def epoch_done(self, history: History) -> None:
        print(f"epoch {len(history)}: {_figures(history)}", file=sys.stderr)


class _Bar(Progress):
    """A bar of tqdm over all batches."""

    def __init__(self, bar: Any) -> None:
        self.bar = bar
        self.figures = ""
        self.n_begun = 0

    def expect(self, n_batches: int | None, n_epochs: int) -> None:
        # Where an iterable does not tell its length, the epoch before does.
        known = self.bar.n - self.n_begun if n_batches is None else n_batches
        self.n_begun = self.bar.n
        if known:
            self.bar.total = self.bar.n + known * n_epochs

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
def show_progress(*, shown: bool) -> Iterator[Progress]:
    """A bar to report to, a notebook's own in a notebook; or lines where tqdm is missing."""
    if not shown:
        yield Progress()
        return
    try:
        tqdm = load_package("tqdm.auto", "cli")
    except MissingPackage:
        yield _Lines()
        return
    with tqdm.tqdm(unit="batch", dynamic_ncols=True) as bar:
        yield _Bar(bar)
