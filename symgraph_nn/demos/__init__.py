"""The demonstrations of the `symgraph` command, written as a user would write them."""

from __future__ import annotations

from .sequences import DEMOS, run_demo

__all__ = ["DEMOS", "run_demo"]
