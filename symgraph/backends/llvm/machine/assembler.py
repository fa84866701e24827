"""The making of a program: slots of the frame, instructions, and sizes as slots.

A program has two streams. The *prologue* computes what is known when the arguments are: sizes.
The *main* stream does the work. Loops are instructions whose operands hold their body.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from ....core.dims import PRIMITIVE, Atom, Dim, Size, size_atoms
from ..code.engine import Kernel
from .frame import HEADER_WORDS, MAX_OPERANDS, SLOT_BYTES, Slot
from .pieces import Pieces, pieces_kernel
from .runtime import guard_kernels, runtime_kernels
from .threads import part_kernel, together_kernel

__all__ = ["Assembler", "Room", "Stream", "TooLarge", "UnboundSizeError"]

TooLarge = Callable[[Size, np.dtype | None], int]
"""The status of a call in which 64 bits do not hold a size, or no memory so many elements."""

# Slots that nobody uses: what two threads write lies on different lines of their caches, and on
# different pairs of lines, which are fetched together.
_GAP = (0,) * 16
# What 64 bits hold.
_LARGEST = (1 << 63) - 1


class UnboundSizeError(Exception):
    """A size that depends on data which is not computed yet."""


@dataclass
class Stream:
    """Instructions, with the places where addresses of kernels belong."""

    words: list[int] = field(default_factory=list)
    kernels: list[tuple[int, Kernel]] = field(default_factory=list)
    _open: list[int] = field(default_factory=list)

    def emit(self, kernel: Kernel, *slots: int) -> None:
        """Append an instruction that reads these slots."""
        assert len(slots) <= MAX_OPERANDS
        self._append(kernel, len(slots), slots)

    def emit_raw(self, kernel: Kernel, *operands: int) -> None:
        """Append an instruction of the runtime, which gets its operands as they stand."""
        self._append(kernel, 0, operands)

    def _append(self, kernel: Kernel, n_read: int, operands: Sequence[int]) -> None:
        self.kernels.append((len(self.words), kernel))
        self.words += (0, 8 * (HEADER_WORDS + len(operands)), n_read, *operands)

    def open(self, kernel: Kernel, *operands: int) -> None:
        """Append an instruction whose last operands are the program that follows."""
        self._open.append(len(self.words))
        self.emit_raw(kernel, *operands)

    def close(self) -> None:
        """End the inner program."""
        self.words.append(0)
        start = self._open.pop()
        self.words[start + 1] = 8 * (len(self.words) - start)

    def linked(self, addresses: dict[str, int]) -> np.ndarray:
        """The program with the kernels' addresses."""
        words = np.array([*self.words, 0], np.int64)
        for position, kernel in self.kernels:
            words[position] = addresses[kernel.name]
        return words


@dataclass
class Known:
    """What the program has computed at some place: slots, which hold it from there on.

    What a loop's body computes holds for one turn, and what a part computes may not have been run:
    both write on a copy of what is known around them (`Assembler.scope`), and the copy goes with
    them.
    """

    atoms: dict[Atom, int] = field(default_factory=dict)
    """Sizes that are not made of others. A body's parameters, from whose values its sizes come,
    are other variables than those of the loops inside it, so that an atom is one size in a scope
    and in all scopes within."""
    sizes: dict[Dim, int] = field(default_factory=dict)
    addresses: dict[tuple[int, Size, int], int] = field(default_factory=dict)
    """By the slot of an address: those so many elements, of so many bytes, after it."""

    def copy(self) -> Known:
        """The same, to be added to."""
        return Known(dict(self.atoms), dict(self.sizes), dict(self.addresses))


class Room(NamedTuple):
    """A buffer in a call's arena."""

    slot: int
    """Of its address."""
    elements: int
    """The slot of its number of elements."""
    itemsize: int
    status: int
    """Of a call in which it is too large."""


class Assembler:
    """A program that is being made."""

    def __init__(self, too_large: TooLarge, *, guarded: bool) -> None:
        self._too_large = too_large
        self.guarded = guarded
        """Whether memory is filled and looked at, for tests."""
        self.runtime = {**runtime_kernels(), **(guard_kernels() if guarded else {})}
        self.template: list[int] = [0] * (Slot.FIRST // SLOT_BYTES)
        self.prologue = Stream()
        self.main = Stream()
        self.arena: list[Room] = []
        """Buffers of known sizes."""
        self.taken: list[Size] = []
        """The bytes of all buffers, those of the arena and others."""
        self._known = Known()
        """What is known where the program has got to."""
        self._entry_atoms: set[Atom] = set()
        self._literals: dict[int, int] = {}
        self._entry_sizes: dict[Dim, int] = {}
        """Sizes that the prologue computes: of arguments' sizes alone, so true everywhere."""

    # --- slots ----------------------------------------------------------------------------------

    def slot(self, initial: int = 0) -> int:
        """A new slot of the frame: its offset in bytes."""
        self.template.append(initial)
        return SLOT_BYTES * (len(self.template) - 1)

    def literal(self, number: int) -> int:
        """A slot that holds this number."""
        slot = self._literals.get(number)
        if slot is None:
            slot = self._literals[number] = self.slot(number)
        return slot

    def run(self, name: str, *operands: int) -> None:
        """Append an instruction of the runtime to the main stream."""
        self.main.emit_raw(self.runtime[name], *operands)

    def run_kernel(self, kernel: Kernel, pieces: Pieces | None, *slots: int) -> None:
        """Append an instruction that reads these slots, in pieces where it may be long."""
        if pieces is None:
            self.main.emit(kernel, *slots)
            return
        self.main.open(pieces_kernel(), *pieces.words())
        self.main.emit(kernel, *slots)
        self.main.close()

    # --- scopes ---------------------------------------------------------------------------------

    @contextmanager
    def scope(self) -> Iterator[Known]:
        """What is written meanwhile may be run any number of times: what it computes is known in it
        alone."""
        outer = self._known
        self._known = outer.copy()
        try:
            yield self._known
        finally:
            self._known = outer

    def sizes_known(self) -> dict[Atom, int]:
        """The slots of the sizes that are known here."""
        return dict(self._known.atoms)

    # --- sizes ----------------------------------------------------------------------------------

    def bind(self, atom: Atom, slot: int, *, at_entry: bool) -> None:
        """Let a slot hold the value of a name or an unknown size."""
        self._known.atoms[atom] = slot
        if at_entry:
            self._entry_atoms.add(atom)

    def knows(self, atom: Atom) -> bool:
        """Whether a slot holds this name or unknown size here."""
        return atom in self._known.atoms

    @property
    def n_known(self) -> int:
        """How many names and unknown sizes slots hold here: within a scope never fewer."""
        return len(self._known.atoms)

    def known(self) -> Hashable:
        """Which names and unknown sizes slots hold here, and which of them the arguments tell."""
        return frozenset(self._known.atoms), frozenset(self._entry_atoms)

    def is_bound(self, size: Size) -> bool:
        """Whether the size can be computed here."""
        atoms = self._known.atoms
        return all(atom in atoms for atom in size_atoms(size))

    def is_known_at_entry(self, size: Size) -> bool:
        """Whether the size can be computed from the arguments' shapes."""
        return all(atom in self._entry_atoms for atom in size_atoms(size))

    def size(self, size: Size) -> int:
        """The slot that holds the size."""
        if isinstance(size, int):
            return self._number(size)
        if self.is_known_at_entry(size):
            return self._size(size, self.prologue, self._entry_sizes)
        if not self.is_bound(size):
            raise UnboundSizeError(str(size))
        return self._size(size, self.main, self._known.sizes)

    def work(self, work: Size) -> int:
        """The slot that holds how much there is to do: the largest number where it is larger."""
        if isinstance(work, int):
            return self.literal(min(work, _LARGEST))
        slot, at_entry = self.slot(), self.is_known_at_entry(work)
        stream = self.prologue if at_entry else self.main
        known = self._entry_sizes if at_entry else self._known.sizes
        self._polynomial(slot, work, 0, stream, known)
        return slot

    def _number(self, number: int) -> int:
        if abs(number) > _LARGEST:
            # Every call fails, as it does where sizes come with the arguments.
            ends = (self.literal(0), self.literal(1), self._too_large(number, None))
            self.prologue.emit_raw(self.runtime["check"], *ends)
            return self.literal(0)
        return self.literal(number)

    def _size(self, size: Size, stream: Stream, known: dict[Dim, int]) -> int:
        if isinstance(size, int):
            return self._number(size)
        slot = known.get(size)
        if slot is not None:
            return slot
        if size.atom is not None:
            slot = self._atom(size.atom, stream, known)
        else:
            slot = self.slot()
            self._polynomial(slot, size, self._too_large(size, None), stream, known)
        known[size] = slot
        return slot

    def _polynomial(
        self, slot: int, size: Dim, status: int, stream: Stream, known: dict[Dim, int]
    ) -> None:
        terms: list[int] = []
        for monomial, factor in size.terms:
            atoms = [self._atom(a, stream, known) for a in monomial]
            if abs(factor) > _LARGEST:
                # More than 64 bits hold, unless an atom is 0.
                atoms, factor = [*atoms, self.literal(2)], _LARGEST if factor > 0 else -_LARGEST
            terms += (factor, len(atoms), *atoms)
        stream.emit_raw(self.runtime["polynomial"], slot, status, len(size.terms), *terms)

    def _atom(self, atom: Atom, stream: Stream, known: dict[Dim, int]) -> int:
        if atom[0] in PRIMITIVE:
            return self._known.atoms[atom]
        # Sizes nest a few levels deep at most: a slice of a slice.
        parts = [self._size(part, stream, known) for part in atom[1:]]
        slot = self.slot()
        stream.emit_raw(self.runtime[atom[0]], slot, *parts)
        return slot

    # --- loops and memory -----------------------------------------------------------------------

    def loop(
        self,
        turns: int,
        turn: int,
        advances: Sequence[tuple[int, int]],
        body: Callable[[], object],
        *,
        until: int = -1,
    ) -> None:
        """A loop: slots of its number of turns and of the turn, what advances by how many bytes."""
        pairs = [slot for pair in advances for slot in pair]
        self.main.open(self.runtime["loop"], turns, turn, until, len(advances), *pairs)
        with self.scope():
            body()
        self.main.close()

    def together(self, threads: int, parts: Sequence[tuple[Size, Callable[[], object]]]) -> int:
        """Parts of a program, each with its work, that so many threads may run at once: where in
        the main stream the number of threads stands."""
        works = [self.work(work) for work, _ in parts]
        atoms: dict[Atom, int] = {}
        self.main.open(together_kernel(), threads)
        position = len(self.main.words) - 1
        for work, (_, write) in zip(works, parts, strict=True):
            self.template += _GAP
            self.main.open(part_kernel(), work)
            with self.scope() as known:  # what one part computes is not there for the others
                write()
            self.main.close()
            atoms |= known.atoms
        self.template += _GAP
        self.main.close()
        self._known.atoms |= atoms  # every part has been run
        return position

    def sometimes(
        self, turn: int, turns: int, every: int, count: int, body: Callable[[], object]
    ) -> None:
        """A part of a loop's body that runs at every so many turns; for slots see the runtime."""
        self.main.open(self.runtime["sometimes"], turn, turns, every, count)
        with self.scope():
            body()
        self.main.close()

    def memory(self, elements: Size, dtype: np.dtype) -> int:
        """A slot with the address of room for so many elements."""
        slot = self.slot()
        self.taken.append(elements * dtype.itemsize)
        if self.is_known_at_entry(elements):
            status = self._too_large(elements, dtype)
            self.arena.append(Room(slot, self.size(elements), dtype.itemsize, status))
        else:
            self.allocate(slot, elements, dtype)
        return slot

    def allocate(self, slot: int, elements: Size, dtype: np.dtype) -> None:
        """Let a slot hold the address of room for so many elements, in each turn of a loop anew."""
        status = self._too_large(elements, dtype)
        count, before = self.size(elements), (self.slot(), self.slot())
        self.run("allocate", slot, count, dtype.itemsize, status, *before)

    def address(self, base: int, elements: Size, dtype: np.dtype) -> int:
        """A slot with the address so many elements after another."""
        if isinstance(elements, int) and elements == 0:
            return base
        key = (base, elements, dtype.itemsize)
        slot = self._known.addresses.get(key)
        if slot is None:
            slot = self._known.addresses[key] = self.slot()
            self.run("address", slot, base, self.size(elements), dtype.itemsize)
        return slot
