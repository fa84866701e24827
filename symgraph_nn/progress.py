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
def show_progress(total: int, *, shown: bool) -> Iterator[Progress]:
    """A bar of this many batches to report to, or lines where tqdm is not installed."""
    if not shown:
        yield Progress()
        return
    try:
        tqdm = load_package("tqdm", "cli")
    except MissingPackage:
        yield _Lines()
        return
    with tqdm.tqdm(total=total, unit="batch", dynamic_ncols=True) as bar:
        yield _Bar(bar)
