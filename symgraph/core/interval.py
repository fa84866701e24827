"""How far checkpoints are apart, in numbers."""

from __future__ import annotations

import math

__all__ = ["interval_of"]


def interval_of(steps: int, kept: int, each: int, memory: int) -> int:
    """What `dims.interval` is for these numbers; roots are those of float64, as machine code has
    them."""
    steps, kept, each = max(steps, 0), max(kept, 0), max(each, 1)
    # It is a parabola in k: (rest ± root) / 2 each, and the root that of rest² - least².
    rest = memory - kept
    least = _root(4 * kept, each * steps)
    root = _root(rest - least, rest + least)
    return max(min((max(rest, least) + root) // (2 * each), steps), 1)


def _root(a: int, b: int) -> int:
    """The root of the product, rounded up, and 1 at least."""
    return max(math.ceil(math.sqrt(float(max(a, 0)) * float(max(b, 0)))), 1)
