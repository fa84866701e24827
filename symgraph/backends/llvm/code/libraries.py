"""Addresses of functions of the C library and of SciPy that compiled code calls by name."""

from __future__ import annotations

import ctypes
import importlib
from functools import cache
from typing import Any

__all__ = ["SCIPY", "address_of", "capsule_pointer"]

# Names in compiled code, and those in the table that SciPy's Cython module exports.
SCIPY = {
    "sg_gammaln": "gammaln",
    "sg_digamma": "__pyx_fuse_1psi",
}

_get_name = ctypes.pythonapi.PyCapsule_GetName
_get_name.restype, _get_name.argtypes = ctypes.c_char_p, [ctypes.py_object]
_get_pointer = ctypes.pythonapi.PyCapsule_GetPointer
_get_pointer.restype, _get_pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]


def capsule_pointer(capsule: Any) -> int:
    """The address in a capsule."""
    return _get_pointer(capsule, _get_name(capsule))


@cache
def address_of(name: str) -> int:
    """The address of one of `SCIPY`'s functions, by its name in compiled code."""
    # SciPy's special functions take a quarter of a second to import, and few programs call them.
    module = importlib.import_module("scipy.special.cython_special")
    return capsule_pointer(module.__pyx_capi__[SCIPY[name]])
