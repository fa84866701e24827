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

    def epoch_begun(self, n_epochs: int) -> None:
        """So many epochs are to come, this one among them."""

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
        self.is_open = bar.total is None
        self.n_before = 0

    def epoch_begun(self, n_epochs: int) -> None:
        # Where an iterable does not tell its length, the epoch before does.
        done, begun = self.bar.n, self.bar.start_t
        n_batches, self.n_before = done - self.n_before, done
        if self.is_open and n_batches:
            # To reset it is the one way to change a notebook's bar.
            self.bar.reset(total=done + n_batches * n_epochs)
            self.bar.n, self.bar.start_t = done, begun
            self.bar.refresh()

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
def show_progress(total: int | None, *, shown: bool) -> Iterator[Progress]:
    """A bar of so many batches to report to, a notebook's own in a notebook; or lines without tqdm.

    None for a number that nobody knows.
    """
    if not shown:
        yield Progress()
        return
    try:
        tqdm = load_package("tqdm.auto", "cli")
    except MissingPackage:
        yield _Lines()
        return
    with tqdm.tqdm(total=total, unit="batch", dynamic_ncols=True) as bar:
        yield _Bar(bar)
