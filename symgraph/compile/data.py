"""What a report holds, as JSON can hold it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from ..core.dims import Dim
from ..core.provenance import Line

__all__ = ["as_data"]


def as_data(value: Any) -> Any:
    """Records as dicts by field, lines as ``file:line``, formulas of sizes as text; what is inside
    lists and mappings too. Records nest no deeper than a report."""
    if isinstance(value, (Line, Dim)):
        return str(value)
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: as_data(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): as_data(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [as_data(entry) for entry in value]
    return value
