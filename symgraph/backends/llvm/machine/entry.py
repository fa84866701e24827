"""The short way from Python into a program: a built-in function made of machine code.

It takes arrays exactly as the program wants them (dtype, number of axes, C order, alignment, sizes
that agree). Whatever is unusual, and whatever fails, goes to a Python function given with it, which
starts again from the same arguments. The code is in `entry_kernel.py`; the descriptor that it reads
is filled here.
"""

from __future__ import annotations

import ctypes
import sys
import sysconfig
import weakref
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from ..code.engine import engine
from ..code.libraries import capsule_pointer
from .entry_kernel import USUAL, ArrayField, Word, entry_kernel

__all__ = ["Argument", "Description", "Result", "is_supported", "make_entry"]

# Frames of more words than this are not put on the stack.
MAX_SLOTS = 4096
_METH_FASTCALL = 0x80


class Argument(NamedTuple):
    """What an argument has to be, and where its address goes."""

    dtype: np.dtype
    slot: int
    axes: tuple[tuple[bool, int], ...]
    """For each axis whether its size is put into a slot, and the slot; or the size it must have."""

    def words(self) -> list[int]:
        """What the machine code reads of it."""
        axes = [word for stored, what in self.axes for word in (int(stored), what)]
        return [id(self.dtype), len(self.axes), self.slot, *axes]


class Result(NamedTuple):
    """What a result is: its dtype, the slot of its address, those of its sizes."""

    dtype: np.dtype
    slot: int
    sizes: tuple[int, ...]

    def words(self) -> list[int]:
        """What the machine code reads of it."""
        return [self.dtype.num, len(self.sizes), self.slot, *self.sizes]


class Description(NamedTuple):
    """What the built-in needs to know of a program."""

    arguments: Sequence[Argument]
    results: Sequence[Result]
    template: np.ndarray
    prologue: np.ndarray
    main: np.ndarray
    arena: tuple[int, int] | None
    """The slots of the arena's size and address."""
    is_long: bool
    """Whether the program runs long for all that is known: then other threads run meanwhile."""


class _MethodDef(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_char_p),
        ("function", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("doc", ctypes.c_char_p),
    )


@lru_cache(maxsize=1)
def _numpy_functions() -> tuple[int, int]:
    """The addresses of PyArray_New and PyArray_Return: entries 93 and 76 of NumPy's C table."""
    capsule = sys.modules["numpy._core._multiarray_umath"]._ARRAY_API
    table = (ctypes.c_void_p * 94).from_address(capsule_pointer(capsule))
    return table[93] or 0, table[76] or 0


@lru_cache(maxsize=1)
def is_supported() -> bool:
    """Whether this Python and this NumPy have the objects that the built-in reads."""
    if sys.implementation.name != "cpython" or sysconfig.get_config_var("Py_GIL_DISABLED"):
        return False
    if object.__basicsize__ != 16 or np.lib.NumpyVersion(np.__version__) < "2.0.0":
        return False
    sample = np.zeros((3, 5), np.float32)
    at = id(sample)

    def pointer(offset: int) -> int:
        return ctypes.c_void_p.from_address(at + offset).value or 0

    dims = (ctypes.c_int64 * 2).from_address(pointer(ArrayField.DIMS))
    return (
        pointer(ArrayField.TYPE) == id(np.ndarray)
        and pointer(ArrayField.DATA) == sample.__array_interface__["data"][0]
        and ctypes.c_int.from_address(at + ArrayField.NDIM).value == 2
        and list(dims) == [3, 5]
        and pointer(ArrayField.DESCR) == id(np.dtype("float32"))
        and ctypes.c_int.from_address(at + ArrayField.FLAGS).value & USUAL == USUAL
    )


def _table(rows: Sequence[Argument | Result]) -> np.ndarray:
    """The words of all of them, and one more: a table has an address though it be empty."""
    return np.array([*(word for row in rows for word in row.words()), 0], np.int64)


class Entry:
    """What a built-in function refers to, and what frees it."""

    def __init__(self, description: Description, slow: Callable[..., Any], form: str) -> None:
        self._description = description
        self._slow = slow
        self._arguments = _table(description.arguments)
        self._results = _table(description.results)
        self._loaded = engine().load([entry_kernel()])
        new, scalars = _numpy_functions()
        words = self.words = np.zeros(Word.COUNT, np.int64)
        words[Word.N_ARGUMENTS] = len(description.arguments)
        words[Word.N_SLOTS] = len(description.template)
        words[Word.TEMPLATE] = description.template.ctypes.data
        words[Word.PROLOGUE] = description.prologue.ctypes.data
        words[Word.MAIN] = description.main.ctypes.data
        words[Word.ARGUMENTS] = self._arguments.ctypes.data
        words[Word.N_RESULTS] = len(description.results)
        words[Word.RESULTS] = self._results.ctypes.data
        words[Word.ARENA_SIZE], words[Word.ARENA_BASE] = description.arena or (-1, -1)
        words[Word.ARRAY_TYPE] = id(np.ndarray)
        words[Word.ARRAY_NEW], words[Word.ARRAY_RETURN] = new, scalars
        words[Word.IS_LONG] = description.is_long
        words[Word.SLOW] = id(slow)
        words[Word.IS_ONE] = form == "one"
        words[Word.HAS_SCALARS] = form != "arrays"
        address = self._loaded.addresses[entry_kernel().name]
        weakref.finalize(self, _free_arena, words).atexit = False
        self._method = _MethodDef(b"compiled", address, _METH_FASTCALL, None)

    def builtin(self) -> Callable[..., Any]:
        """The built-in function; this object must outlive it."""
        make_capsule = ctypes.pythonapi.PyCapsule_New
        make_capsule.restype = ctypes.py_object
        make_capsule.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
        capsule = make_capsule(self.words.ctypes.data, None, None)
        make = ctypes.pythonapi.PyCFunction_NewEx
        make.restype = ctypes.py_object
        make.argtypes = [ctypes.c_void_p, ctypes.py_object, ctypes.c_void_p]
        return make(ctypes.addressof(self._method), capsule, None)


_free = ctypes.CDLL(None).free
_free.argtypes, _free.restype = [ctypes.c_void_p], None


def _free_arena(words: np.ndarray) -> None:
    """Give back the arena that the last call left."""
    address = int(words[Word.CELL])
    if address:
        _free(address)


def make_entry(
    description: Description, slow: Callable[..., Any], form: str
) -> tuple[Callable[..., Any], Entry] | None:
    """The built-in and what must live as long; None where program or platform are unusual.

    ``form``: ``one`` (the one result), ``list``, or ``arrays``: a list where results of no
    dimensions stay arrays.
    """
    if not is_supported() or len(description.template) > MAX_SLOTS:
        return None
    entry = Entry(description, slow, form)
    return entry.builtin(), entry
