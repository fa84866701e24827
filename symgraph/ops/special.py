"""SciPy's special functions, loaded when the first one is used: the import costs 100 ms."""

from __future__ import annotations

import importlib
from typing import Any

__all__: list[str] = []


def __getattr__(name: str) -> Any:
    return getattr(importlib.import_module("scipy.special"), name)
