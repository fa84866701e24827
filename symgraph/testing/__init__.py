"""Checks for tests, of symgraph itself and of users' own models and ops.

>>> sg.testing.check_gradient(lambda x: sg.log(sg.sum(sg.exp(x))), np.array([0.5, -1.0, 2.0]))
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from ..backends.guarded import guarded
from .compare import check_backends
from .draw.programs import random_programs
from .gradients import check_gradient
from .loops import unrolled
from .program import Program, numbers
from .scans import check_scan
from .twins import check_unrolled
from .unroll import unroll
from .values import check_op, evaluate

if TYPE_CHECKING:
    from . import strategies
    from .graphs import RandomGraph, random_graphs

__all__ = [
    "Program",
    "RandomGraph",
    "check_backends",
    "check_gradient",
    "check_op",
    "check_scan",
    "check_unrolled",
    "evaluate",
    "guarded",
    "numbers",
    "random_graphs",
    "random_programs",
    "strategies",
    "unroll",
    "unrolled",
]


def __getattr__(name: str) -> Any:
    """What needs Hypothesis, which is the extra ``test``."""
    if name == "strategies":
        return importlib.import_module(".strategies", __name__)
    if name in ("RandomGraph", "random_graphs"):
        return getattr(importlib.import_module(".graphs", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
