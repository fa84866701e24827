"""The source of functions that programs bring along."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path

__all__ = ["functions_in", "with_what_they_call"]


@lru_cache(maxsize=4)
def functions_in(path: Path) -> Mapping[str, str]:
    """The source of each function and table of a file, by name, in order."""
    source = path.read_text(encoding="utf-8")
    lines = source.splitlines()
    found: dict[str, str] = {}
    for part in ast.parse(source).body:
        if isinstance(part, ast.FunctionDef):
            found[part.name] = "\n".join(lines[part.lineno - 1 : part.end_lineno])
        elif isinstance(part, ast.Assign) and isinstance(part.targets[0], ast.Name):
            found[part.targets[0].id] = "\n".join(lines[part.lineno - 1 : part.end_lineno])
    return found


def with_what_they_call(names: Iterable[str], functions: Mapping[str, str]) -> list[str]:
    """The names of functions and of what they are made of, in the order of the file."""
    needed: set[str] = set()
    pending = list(names)
    while pending:
        name = pending.pop()
        if name not in needed:
            needed.add(name)
            tree = ast.parse(functions[name])
            used = {x.id for x in ast.walk(tree) if isinstance(x, ast.Name)}
            pending += used & functions.keys() - needed
    return [name for name in functions if name in needed]
