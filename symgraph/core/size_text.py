"""Sizes as text, such as ``max(T - 1, 0)`` and ``2*B + ?``."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

__all__ = ["atom_text", "sum_text"]


def sum_text(
    terms: Iterable[tuple[tuple[Any, ...], int]], text_of: Callable[[Any], str] = str
) -> str:
    """A sum of terms, each the atoms of a product and their factor.

    ``text_of``: the text of a size that an atom is made of.
    """
    text = ""
    for monomial, factor in terms:
        magnitude = abs(factor)
        write = _factor_text if len(monomial) > 1 or magnitude != 1 else atom_text
        atoms = "*".join(write(atom, text_of) for atom in monomial)
        if not atoms:
            body = str(magnitude)
        else:
            body = atoms if magnitude == 1 else f"{magnitude}*{atoms}"
        if not text:
            text = f"-{body}" if factor < 0 else body
        else:
            text += f" - {body}" if factor < 0 else f" + {body}"
    return text


def atom_text(atom: tuple[Any, ...], text_of: Callable[[Any], str] = str) -> str:
    """An atom: a name, ``?`` for a size that nothing is known of, or a formula."""
    if atom[0] == "name":
        return atom[1]
    if atom[0] in ("unknown", "number"):
        return "?"
    parts = [str(part) if isinstance(part, int) else text_of(part) for part in atom[1:]]
    if atom[0] == "max_zero":
        return f"max({parts[0]}, 0)"
    if atom[0] == "interval":
        memory = parts[3]
        return f"interval({parts[0]}, {memory} bytes)" if memory != "0" else f"root({parts[0]})"
    return "//".join(map(_parenthesised, atom[1:], parts))


def _factor_text(atom: tuple[Any, ...], text_of: Callable[[Any], str]) -> str:
    text = atom_text(atom, text_of)
    return f"({text})" if atom[0] == "floor_div" else text


def _parenthesised(size: Any, text: str) -> str:
    return text if isinstance(size, int) or size.is_name else f"({text})"
