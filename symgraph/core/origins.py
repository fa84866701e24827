"""Where nodes are written and what they are called: for all of them, and for those of a program.

Equal expressions are one node, whoever writes them: a node has the lines of all places where it is
known to be written, the latest first. What a compiled program says of its nodes stands in its
`Origins`, and while these are in force rewriting writes down there what it hands on: a node that
one program comes to by rewriting may be what another one's user has written.
"""

from __future__ import annotations

import contextvars
import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from .lines import Lines, lines_with
from .node import Node

__all__ = [
    "Origins",
    "Places",
    "call_alike",
    "call_in_steps",
    "call_within",
    "claim",
    "hand_on",
    "hand_on_all",
    "is_told_of",
    "joined",
    "loops_around",
    "name_of",
    "origins",
    "place_among",
    "places_of",
    "set_name",
    "set_places",
    "take_place",
    "without_names",
]

T = TypeVar("T")

Places = tuple[Lines, ...]
"""Where a node is written: the lines of each place, the latest one first."""

# In how many places a node is known to be written.
_PLACES = 32


class Origins:
    """The names and the places of a program's nodes, by their serials.

    As they were when it was compiled, and as rewriting hands them on.

    ``rest``
        Writes down what there is to say of nodes in loops, when somebody first asks for it.
    """

    __slots__ = ("__weakref__", "names", "places", "rest")

    def __init__(self, rest: Callable[[Origins], None]) -> None:
        self.names: dict[int, str] = {}
        self.places: dict[int, Places] = {}
        self.rest: Callable[[Origins], None] | None = rest

    def complete(self) -> None:
        """Write the rest down; for a second thread, or after Ctrl-C, once more."""
        rest = self.rest
        if rest is not None:
            rest(self)
            self.rest = None


_origins: contextvars.ContextVar[Origins | None] = contextvars.ContextVar("origins", default=None)
# The loops in whose steps nodes are spoken of, the outermost first.
_loops: contextvars.ContextVar[tuple[Node, ...]] = contextvars.ContextVar("loops", default=())

origins = _origins.get
"""Those of the program that is rewritten, or spoken of, just now; None outside of any."""


def call_within(origins: Origins | None, run: Callable[[], T]) -> T:
    """What ``run()`` returns while a program with these origins is rewritten, or spoken of.

    No context manager, which Ctrl-C could leave in force; see `symgraph.core.interrupts`.
    """
    before = _origins.get()
    try:
        _origins.set(origins)
        return run()
    finally:
        _origins.set(before)


def call_in_steps(loops: Sequence[Node], run: Callable[[], T]) -> T:
    """What ``run()`` returns while nodes are spoken of as they are written in the steps of these
    loops, the outermost first: loops of equal steps, written at two places, have one body."""
    before = _loops.get()
    try:
        _loops.set(tuple(loops))
        return run()
    finally:
        _loops.set(before)


loops_around = _loops.get
"""The loops in whose steps nodes are spoken of just now, the outermost first."""


def claim(variable: Node) -> None:
    """Let what only rewriting has come to so far be as if new, for somebody who writes it."""
    variable.is_derived, variable.given_name, variable.places = False, None, ()


def places_of(variable: Node) -> Places:
    """Where the variable is written, as far as it is known."""
    program = _origins.get()
    if program is None or not variable.inputs:
        return variable.places
    if program.rest is not None and variable.serial not in program.places:
        program.complete()
    places = program.places.get(variable.serial, ())
    return places if len(places) < 2 or not _loops.get() else _in_steps(program, variable)


def _in_steps(program: Origins, variable: Node) -> Places:
    """Where the variable is written in the steps of the loops that are spoken of; one of these in
    those of the loops around it."""
    program.complete()
    loops = itertools.takewhile(lambda loop: loop is not variable, _loops.get())
    around, *inner = [program.places.get(each.serial, ()) for each in (*loops, variable)]
    for places in inner:
        place = place_among(places, around)
        around = () if place is None else (place,)
    return around


def set_places(variable: Node, places: Places) -> None:
    """Let the variable be known as written at these places, and no others."""
    program = _origins.get() if variable.inputs else None
    if places and places[0].name != (name := name_of(variable)):
        places = (_named(places[0], name), *places[1:])
    if program is not None:
        program.places[variable.serial] = places
    if program is None or variable.is_derived:
        variable.places = places


def hand_on(original: Node, derived: Node) -> None:
    """Let what is derived from a variable be known as written where that is, before other places;
    it is not what has a name there."""
    _add(derived, without_names(places_of(original)), last=False)


def call_alike(
    copies: Iterable[tuple[Node, Node]], *, keeps_lines: bool, keeps_names: bool
) -> None:
    """Let each copy, after its original here, have the places of that after its own, and the name
    unless it has one.

    ``keeps_lines``: before its own. ``keeps_names``: in any case, none where the original has none.
    """
    program = _origins.get()
    for original, copy in copies:
        if program is None and not copy.places and copy.given_name is None:  # as most copies are
            copy.places, copy.given_name = original.places, original.given_name
        elif not _is_copied(program, original, copy) and (keeps_names or is_told_of(original)):
            hand_on_all(original, copy, last=not keeps_lines)
            name, known = name_of(original), name_of(copy)
            renames = keeps_names or (name is not None and keeps_lines and program is None)
            if name != known and (renames or known is None):
                set_name(copy, name)


def take_place(original: Node, new: Node, *, last: bool) -> bool:
    """Let what takes a variable's place have its places, before its own or after them, and its
    name unless it has one. Whether anything is known of the variable."""
    if _is_copied(_origins.get(), original, new):
        return True
    if not is_told_of(original):
        return False
    name = name_of(original)
    if name is not None and name_of(new) is None:
        set_name(new, name)
    hand_on_all(original, new, last=last)
    return True


def _is_copied(program: Origins | None, original: Node, copy: Node) -> bool:
    """Whether the copy has all that the program knows of the original now; nothing is done but
    where nothing is known of it yet, as mostly: then that is a short way."""
    if program is None or not (original.inputs and copy.inputs):
        return False
    serial, other, places, names = original.serial, copy.serial, program.places, program.names
    if program.rest is not None and (serial not in places or other not in places):
        program.complete()
    if serial not in places or other in places or other in names:
        return False
    handed, name = places[serial], None
    places[other] = handed
    if serial in names:
        name = names[other] = names[serial]
    if copy.is_derived:
        copy.places, copy.given_name = handed, name
    return True


def hand_on_all(original: Node, copy: Node, *, last: bool = False) -> None:
    """Let what has the value of a variable be known as written, and named, where that is, before
    other places or after them."""
    _add(copy, places_of(original), last=last)


def _add(variable: Node, places: Places, *, last: bool) -> None:
    known = places_of(variable)
    if places and places != known:
        set_places(variable, joined(known, places) if last else joined(places, known))


def without_names(places: Places) -> Places:
    """The places without what a variable is called there."""
    if all(x.name is None for x in places):
        return places
    return tuple([_named(x, None) for x in places])


def _named(place: Lines, name: str | None) -> Lines:
    return lines_with(place, place.written, steps=place.steps, name=name, callers=place.callers)


def joined(first: Places, others: Places) -> Places:
    """The places, those of the first ones before the others."""
    if not first or not others:
        return first or others
    return tuple(dict.fromkeys((*first, *others)))[:_PLACES]


def place_among(places: Places, loop: Places) -> Lines | None:
    """That of these places to which those of a loop led; else any, None where there is none."""
    for callers in loop if len(places) > 1 else ():
        led = [x for x in places if callers and callers[0] in (*x, *x.callers)]
        if led:
            return next((x for x in led if _lead_to(callers, x)), led[0])
    return places[0] if places else None


def _lead_to(callers: Lines, place: Lines) -> bool:
    """Whether the place is within what these lines call, as far as so many of them tell."""
    lines = (*place, *place.callers)
    k = lines.index(callers[0])
    return lines[k:] == callers[: len(lines) - k]


def set_name(variable: Node, name: str | None) -> None:
    """Give the variable a name, or take its name away with None."""
    program = _origins.get() if variable.inputs else None
    if program is None or variable.is_derived:
        variable.given_name = name
    if program is not None and name is not None:
        program.names[variable.serial] = name
    set_places(variable, places_of(variable))


def name_of(variable: Node) -> str | None:
    """The variable's name, None where it has none."""
    program = _origins.get()
    if program is None or not variable.inputs:
        return variable.given_name
    if program.rest is not None and variable.serial not in program.places:
        program.complete()
    name = program.names.get(variable.serial)
    if name is None or not _loops.get():
        return name
    names = {place.name for place in program.places.get(variable.serial, ())}
    return name if len(names) < 2 else places_of(variable)[0].name


def is_told_of(variable: Node) -> bool:
    """Whether anything is known of where the variable is written, or what it is called."""
    program = _origins.get()
    if program is None or not variable.inputs:
        return bool(variable.places) or variable.given_name is not None
    serial = variable.serial
    if program.rest is not None and serial not in program.places:
        program.complete()
    return serial in program.places or serial in program.names
