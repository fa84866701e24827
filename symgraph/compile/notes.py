"""Records of a report as plain data, and back, for what is kept on disk.

A record is a list of its name and fields, so that only the kinds written here can come out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from ..core.provenance import Line
from .report import LoopRow, PassRow

__all__ = ["as_plain", "from_plain"]

_RECORDS = {kind.__name__: kind for kind in (PassRow, LoopRow)}


def as_plain(value: Any) -> Any:
    """The value in lists, dicts, numbers and strings."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if type(value) is Line:
        return ["Line", *value]
    if type(value) is tuple:
        return ["tuple", *map(as_plain, value)]
    if isinstance(value, Mapping):
        return {str(name): as_plain(part) for name, part in value.items()}
    kind = type(value).__name__
    if _RECORDS.get(kind) is not type(value):
        raise TypeError(f"a report on disk has no place for {value!r}")
    return [kind, *(as_plain(getattr(value, field.name)) for field in fields(value))]


def from_plain(data: Any) -> Any:
    """The value that `as_plain` wrote down."""
    if isinstance(data, dict):
        return {name: from_plain(part) for name, part in data.items()}
    if not isinstance(data, list):
        return data
    kind, *parts = data
    parts = map(from_plain, parts)
    if kind == "tuple":
        return tuple(parts)
    return Line(*parts) if kind == "Line" else _RECORDS[kind](*parts)
