"""Whole programs: arguments and parameters, instructions, derivatives, updates, calls."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..program import Program
from . import arrangements, lengths, loops, products, values
from .derivatives import add_derivatives
from .drawer import INTEGERS, SIZES, Drawer

__all__ = ["draw_program", "random_programs"]

_GROUPS = {
    "values": values.KINDS,
    "arrangements": arrangements.KINDS,
    "products": products.KINDS,
    "lengths": lengths.KINDS,
    "loops": loops.KINDS,
}
_WEIGHTS = {"values": 7, "arrangements": 5, "products": 4, "lengths": 2, "loops": 1}
_NAMES = ("n", "m", "k")


def draw_program(seed: int | Sequence[int], *, loops: bool | None = None) -> Program:
    """The program of this seed: with loops, without, or (None) with some in a few."""
    d = Drawer(seed, label=f"seed {seed}")
    _declare(d)
    weights = dict(_WEIGHTS)
    if loops is not None or d.chance(0.6):
        weights["loops"] = 6 if loops else 0
    if d.chance(0.5):
        # Programs about one subject find what programs about everything dilute.
        weights[d.one_of([g for g in weights if weights[g]])] *= 4
    groups = list(weights)
    wanted = d.integer(3, 9)
    if loops:
        wanted = d.integer(1, 5)
        d.add(d.one_of(*zip(*_GROUPS["loops"], strict=True))(d))
    for _ in range(3 * wanted):
        if len(d.instructions) >= wanted or d.is_broken:
            break
        group = _GROUPS[d.one_of(groups, [weights[g] for g in groups])]
        kinds, parts = zip(*group, strict=True)
        d.add(d.one_of(kinds, parts)(d))
    pairs = [] if d.is_wild or d.is_broken or d.chance(0.4) else add_derivatives(d)
    return d.program(_updates(d, pairs), _calls(d))


def draw_plain(seed: int | Sequence[int]) -> Program:
    """A program that seldom has a loop."""
    return draw_program(seed)


def draw_looping(seed: int | Sequence[int]) -> Program:
    """A program with loops."""
    return draw_program(seed, loops=True)


def random_programs(
    seed: int, count: int, *, first: int = 0, loops: bool | None = None
) -> Iterator[Program]:
    """Programs that look like a user's, always the same for the same seed.

    Sizes, fixed, named and unknown, are drawn from 0, 1, 2, 3, 5, 8, 16, 17 and 33; dtypes from all
    that symgraph has. ``loops``: whether all have loops, none, or (None) a few.

    >>> [program.label for program in sg.testing.random_programs(seed=0, count=2)]
    ['seed [0, 0, 0]', 'seed [0, 1, 0]']
    """
    for i in range(first, first + count):
        yield draw_program([seed, i, 0 if loops is None else 1 + loops], loops=loops)


def _declare(d: Drawer) -> None:
    """Some arguments and parameters over a few sizes."""
    for name in _NAMES:
        d.sizes[name] = d.size()
    if d.chance(0.3):
        d.sizes["m"] = d.sizes["n"]
    kinds = {name: d.one_of(("fixed", "named", "unknown")) for name in _NAMES}
    dtype = "float32" if d.chance(0.15) else "float64"
    for i in range(d.integer(1, 3)):
        n_axes = d.one_of((0, 1, 1, 2, 2, 2, 2, 3))
        axes = [_axis(d, d.one_of(_NAMES), kinds) for _ in range(n_axes)]
        if i and d.chance(0.1):
            d.declare(axes, d.one_of(("float32", "float64", "bool")))
        else:
            d.declare(axes, dtype, is_shared=d.chance(0.2), low=d.one_of((-2, -1, 0.1)))
    if d.chance(0.5):
        _declare_whole(d, kinds)


def _declare_whole(d: Drawer, kinds: dict[str, str]) -> None:
    """An argument of whole numbers, from which sizes and positions may come."""
    dtype = d.one_of(("int64", "int64", "int32", *INTEGERS))
    axes = [_axis(d, d.one_of(_NAMES), kinds)] if d.chance(0.8) else []
    d.declare(axes, dtype, low=d.one_of((-3, 0, 1)), high=d.one_of((3, 5, 5, 100)))


def _axis(d: Drawer, name: str, kinds: dict[str, str]) -> int | str:
    """An axis of this size, as the program declares it."""
    kind = kinds[name] if d.chance(0.8) else d.one_of(("fixed", "unknown"))
    return {"fixed": d.sizes[name], "named": name, "unknown": f"?{name}"}[kind]


def _updates(d: Drawer, pairs: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """New values of shared variables: steps down their gradients, or anything of their type."""
    gradients = dict(pairs)
    updates = []
    for x in [x for x in d.inputs if x.is_shared and x.dtype.startswith("float")]:
        if x.name in gradients and d.chance(0.6):
            new = d.add(f"{x.name} - 0.01 * sg.tanh({gradients[x.name]})")
        elif d.chance(0.3):
            new = d.add(f"{x.name} * 0.5 + 0.1")
        else:
            new = None
        if new is not None:
            updates.append((x.name, new))
    return updates


def _calls(d: Drawer) -> list[dict[str, int]]:
    """The sizes of each call; those that are declared as numbers stay."""
    fixed = {
        s
        for x in d.inputs
        for a in x.axes
        if isinstance(a, int)
        for s in d.sizes
        if d.sizes[s] == a
    }
    calls = [dict(d.sizes)]
    if d.chance(0.3):
        calls.append({n: s if n in fixed else d.one_of(SIZES) for n, s in d.sizes.items()})
    if d.chance(0.2):
        calls.append(dict(d.sizes))
    return calls
