"""Sizes as text, such as ``max(T - 1, 0)`` and ``2*B + ?``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

__all__ = ["atom_text", "sum_text"]


def sum_text(terms: Iterable[tuple[tuple[Any, ...], int]]) -> str:
    """A sum of terms, each the atoms of a product and their factor."""
    text = ""
    for monomial, factor in terms:
        magnitude = abs(factor)
        is_product = len(monomial) > 1 or magnitude != 1
        atoms = "*".join(_factor_text(atom) if is_product else atom_text(atom) for atom in monomial)
        if not atoms:
            body = str(magnitude)
        else:
            body = atoms if magnitude == 1 else f"{magnitude}*{atoms}"
        if not text:
            text = f"-{body}" if factor < 0 else body
        else:
            text += f" - {body}" if factor < 0 else f" + {body}"
    return text


def atom_text(atom: tuple[Any, ...]) -> str:
    """An atom: a name, ``?`` for a size that nothing is known of, or a formula."""
    if atom[0] == "name":
        return atom[1]
    if atom[0] in ("unknown", "number"):
        return "?"
    if atom[0] == "max_zero":
        return f"max({atom[1]}, 0)"
    if atom[0] == "interval":
        steps, _, _, memory = atom[1:]
        return f"interval({steps}, {memory} bytes)" if memory != 0 else f"root({steps})"
    return f"{_parenthesised(atom[1])}//{_parenthesised(atom[2])}"


def _factor_text(atom: tuple[Any, ...]) -> str:
    return f"({atom_text(atom)})" if atom[0] == "floor_div" else atom_text(atom)


def _parenthesised(size: Any) -> str:
    return str(size) if isinstance(size, int) or size.is_name else f"({size})"
