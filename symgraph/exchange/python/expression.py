"""Expressions as text, with no more parentheses than Python needs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ...core.variable import Variable

__all__ = [
    "ATOM",
    "COMPARISON",
    "POWER",
    "SUM",
    "TERM",
    "UNARY",
    "Expression",
    "binary",
    "call",
    "method",
    "span",
    "subscript",
    "tuple_of",
    "unary",
]

# How strongly an expression holds together.
COMPARISON, BIT_OR, BIT_XOR, BIT_AND, SHIFT, SUM, TERM, UNARY, POWER, ATOM = range(10)
_LEVELS = {
    **dict.fromkeys(("==", "!=", "<", "<=", ">", ">="), COMPARISON),
    "|": BIT_OR,
    "^": BIT_XOR,
    "&": BIT_AND,
    **dict.fromkeys(("<<", ">>"), SHIFT),
    **dict.fromkeys(("+", "-"), SUM),
    **dict.fromkeys(("*", "/", "//", "%", "@"), TERM),
    "**": POWER,
}


@dataclass(frozen=True)
class Expression:
    """Source text of a value."""

    text: str
    level: int = ATOM
    is_number: bool = False
    """Whether it is a Python number, which takes the dtype of what it meets."""
    nodes: frozenset[Variable] = frozenset()
    """The variables that are computed in it."""
    items: tuple[str, ...] = ()
    """The arguments of a call, between which it may be broken into lines."""

    @property
    def is_name(self) -> bool:
        """Whether it is a plain name."""
        return self.text.isidentifier()

    def held(self, level: int = ATOM) -> str:
        """The text, in parentheses unless it holds together so strongly."""
        return self.text if self.level >= level else f"({self.text})"

    def computing(self, *variables: Variable) -> Expression:
        """The expression with these among what it computes."""
        return replace(self, nodes=self.nodes.union(variables))


def _made(
    text: str, level: int, parts: Sequence[Expression], *, number: bool = False
) -> Expression:
    nodes = frozenset().union(*(part.nodes for part in parts))
    return Expression(text, level, number, nodes)


def binary(operator: str, x: Expression, y: Expression) -> Expression:
    """``x operator y``."""
    level = _LEVELS[operator]
    left = level + 1 if level in (COMPARISON, POWER) else level
    right = UNARY if level == POWER else level + 1
    a, b = x.held(left), y.held(right)
    # As formatters have it: powers of names and numbers stand close together.
    close = operator == "**" and re.fullmatch(_NEAR, a) and re.fullmatch(_NEAR, b)
    text = f"{a}**{b}" if close else f"{a} {operator} {b}"
    return _made(text, level, (x, y), number=x.is_number and y.is_number)


_NEAR = r"-?[\w.]+"


def unary(operator: str, x: Expression) -> Expression:
    """``-x`` or ``~x``."""
    return _made(f"{operator}{x.held()}", UNARY, [x], number=x.is_number)


def call(function: str, *arguments: Expression | str, **named: Expression | str) -> Expression:
    """``function(*arguments, **named)``."""
    given = [*arguments, *named.values()]
    parts = [part for part in given if isinstance(part, Expression)]
    texts = [part.text if isinstance(part, Expression) else part for part in given]
    n = len(arguments)
    texts[n:] = [f"{key}={text}" for key, text in zip(named, texts[n:], strict=True)]
    made = _made(f"{function}({', '.join(texts)})", ATOM, parts)
    return replace(made, items=tuple(texts))


def method(
    x: Expression, name: str, *arguments: Expression | str, **named: Expression | str
) -> Expression:
    """``x.name(*arguments, **named)``."""
    made = call(f"{x.held()}.{name}", *arguments, **named)
    return made.computing(*x.nodes)


def subscript(x: Expression, *entries: Expression | str) -> Expression:
    """``x[entries]``."""
    parts = [x, *(e for e in entries if isinstance(e, Expression))]
    texts = [e.text if isinstance(e, Expression) else e for e in entries]
    return _made(f"{x.held()}[{', '.join(texts)}]", ATOM, parts)


def tuple_of(parts: Sequence[Expression]) -> Expression:
    """``(a, b)``."""
    texts = [part.text for part in parts]
    inside = texts[0] + "," if len(texts) == 1 else ", ".join(texts)
    return _made(f"({inside})", ATOM, parts)


def span(
    start: Expression | None = None, stop: Expression | None = None, step: int = 1
) -> Expression:
    """``start:stop:step``, with the spaces that formatters put around what is not simple."""
    given = [edge for edge in (start, stop) if edge is not None]
    first, last = (edge.text if edge else "" for edge in (start, stop))
    if not all(re.fullmatch(r"-?\w+", edge.text) for edge in given):
        first, last = first and f"{first} ", last and f" {last}"
    after = "" if step == 1 else f"{' ' if last.startswith(' ') else ''}:{step}"
    return _made(f"{first}:{last}{after}", ATOM, given)
