"""Sizes made known: numbers in place of names, and what follows from them as constants."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ...core import provenance
from ...core.dims import Atom, Dim, Size, named_size, size_atoms, substitute_size
from ...core.errors import ExchangeError
from ...core.graph import Graph, graph_of, replace
from ...core.values import whole_number
from ...core.variable import CONSTANT, Variable, ancestors, item, make_input, node
from ...ops.create import zeros
from ...ops.sizes import CHECK_SIZE, check_size
from ...rewrite.engine import RuleSet, sweep
from ...rewrite.shapes import drop_bound, drop_check, find_size, fix_sizes
from ...rewrite.simplify import fold_constants
from ...scan.op import Loop, is_scan, rebuild_alike
from ...scan.rewrites import rewrite_bodies
from .parts import Place, change_everywhere, with_ends

__all__ = ["with_known_sizes"]

_FOLD = RuleSet(find_size, drop_check, drop_bound, fix_sizes, fold_constants)


def with_known_sizes(outputs: Sequence[Variable], sizes: Mapping[str, int | str]) -> list[Variable]:
    """The outputs for these sizes: what is made of sizes alone becomes constants, in loops too.

    ``sizes``: by name a number, or the name of another size, which it is equal to. The inputs stay;
    that they have these sizes is checked at the call. Raises `ExchangeError` for names that no
    input has, and for what is no size.
    """
    leaves = [v for v in graph_of(outputs).inputs if v.type.shape]
    known = _checked(leaves, sizes)
    replaced = {v: _with_sizes(v, known, leaves) for v in leaves}
    with provenance.without_lines():
        made = replace(outputs, {v: new for v, new in replaced.items() if new is not v})
        _check(made, sizes)
        return _folded(made)


def _folded(outputs: Sequence[Variable]) -> list[Variable]:
    """The outputs with what is made of constants as constants, those that loops are given too."""
    while True:
        graph = rewrite_bodies(_fold(graph_of(outputs)), _fold)
        made = change_everywhere(graph.outputs, _give_constants)
        if made == list(graph.outputs):
            return made
        outputs = made


def _fold(part: Graph) -> Graph:
    return sweep(part, _FOLD, rebuild=rebuild_alike)


def _give_constants(v: Variable) -> Place | None:
    """A loop that is given constants as what does not change over time gets them in its body."""
    if not is_scan(v) or not any(x.op is CONSTANT for x in Loop(v).fixed.values()):
        return None
    return Place(v.inputs, lambda inputs: _with_constants(rebuild_alike(v, inputs)))


def _with_constants(v: Variable) -> list[Variable]:
    loop = Loop(v)
    constants = {symbol: x for symbol, x in loop.fixed.items() if x.op is CONSTANT}
    symbols = {x: make_input(x.type) for x in loop.body.inputs}
    ends = loop.body(*(symbols | constants).values())
    made = with_ends(loop, list(symbols.values()), ends)
    return [item(made, i) for i in range(len(made.type.items))]


def _checked(leaves: Sequence[Variable], sizes: Any) -> dict[Atom, Size]:
    """What the names of sizes stand for."""
    if not isinstance(sizes, Mapping):
        raise ExchangeError.here(
            f"sizes are a dict of numbers by name, not {sizes!r}",
            remedy='Write sizes={"T": 8, "B": 2}.',
        )
    names = {atom[1]: atom for v in leaves for atom in _named(v)}
    known: dict[Atom, Size] = {}
    for name, size in sizes.items():
        if name not in names:
            there = ", ".join(map(repr, sorted(names))) or "none"
            raise ExchangeError.here(
                f"no input has a size named {name!r}; the names of sizes are {there}"
            )
        known[names[name]] = _as_size(name, size, names)
    return known


def _named(v: Variable) -> list[Atom]:
    sizes = [size for size in v.type.shape if isinstance(size, Dim)]
    return [atom for size in sizes for atom in size_atoms(size) if atom[0] == "name"]


def _as_size(name: str, size: Any, names: Mapping[str, Atom]) -> Size:
    number = whole_number(size)
    if number is not None and number >= 0:
        return number
    if isinstance(size, str) and size in names:
        return named_size(size)
    raise ExchangeError.here(
        f"the size {name!r} is a number of at least 0, or the name of another size, not {size!r}"
    )


def _with_sizes(v: Variable, known: Mapping[Atom, Size], leaves: Sequence[Variable]) -> Variable:
    """An input that is known to be as large as its sizes now say."""
    checked = v
    for axis, size in enumerate(v.type.shape):
        new = substitute_size(size, known)
        if new == size:
            continue
        if isinstance(new, int):
            checked = check_size(checked, axis, zeros(new), 0, "sizes")
            continue
        source = next((x for x in leaves if new in x.type.shape), None)
        if source is not None:
            # Two names are two sizes, but for what is said here.
            place = (axis, source.type.shape.index(new), "sizes")
            checked = node(CHECK_SIZE, (checked, source), place)
    return checked


def _check(outputs: Sequence[Variable], sizes: Mapping[str, int | str]) -> None:
    """An error where the graph needs other sizes than it is given."""
    for v in ancestors(outputs):
        if v.op is not CHECK_SIZE:
            continue
        (x, other), (axis, other_axis, context) = v.inputs, v.params
        found, wanted = x.type.shape[axis], other.type.shape[other_axis]
        if isinstance(found, int) and isinstance(wanted, int) and found != wanted:
            raise ExchangeError.here(
                f"with sizes {dict(sizes)} the graph does not fit: {context}: axis {axis} of "
                f"{provenance.describe(x)} has size {found}, and {wanted} is needed"
            )
