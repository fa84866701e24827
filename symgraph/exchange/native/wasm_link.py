"""An object file of WebAssembly, linked: a module that a browser runs.

What is linked is one object file, whose functions keep their numbers: addresses are put in, and
memory, table and stack are made. Functions that it lacks (those of the C library) the module has
from outside, as ``env``'s.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from .wasm_object import (
    CODE,
    DATA,
    DATA_COUNT,
    ELEMENT,
    EXPORT,
    FUNCTION,
    GLOBAL,
    IMPORT,
    MEMORY,
    SYMBOL_DATA,
    SYMBOL_FUNCTION,
    TABLE,
    TYPE,
    Relocation,
    WasmObject,
    read_object,
)

__all__ = ["link"]

# Nothing lies at address 0, nor function at place 0 of the table: they are NULL.
_FIRST_ADDRESS, _FIRST_FUNCTION = 1024, 1
_STACK_BYTES = 1 << 18
_PAGE = 1 << 16
# Kinds of relocations: how a number is written, and what it is.
_TABLE_SLEB, _TABLE_I32 = 1, 2
_ADDRESS_LEB, _ADDRESS_SLEB, _ADDRESS_I32 = 3, 4, 5
_KEPT = frozenset({0, 6, 7, 20})  # numbers of functions, types, globals and tables
_I32, _MUTABLE, _CONSTANT, _END = b"\x7f", b"\x01", b"\x41", b"\x0b"


def link(content: bytes, exported: Sequence[str]) -> bytes:
    """The module of an object file, with these functions, ``memory`` and ``__heap_base``, the
    address from which on memory is free."""
    wasm = read_object(content)
    addresses, end = _place_segments(wasm)
    stack = _up(end, 16) + _STACK_BYTES
    functions = _addressed_functions(wasm)
    for name, section in (("CODE", CODE), ("DATA", DATA)):
        for relocation in wasm.relocations.get(name, ()):
            _relocate(wasm, wasm.sections[section], relocation, addresses, functions)
    return _assembled(wasm, exported, addresses, stack, functions)


def _assembled(
    wasm: WasmObject,
    exported: Sequence[str],
    addresses: Sequence[int],
    stack: int,
    functions: Sequence[int],
) -> bytes:
    """The sections of the module, one after another; ``stack``: where it begins, to grow down."""
    imports = [i for i in wasm.imports if i.kind == 0]
    others = {i.name for i in wasm.imports if i.kind == 3}
    assert others <= {"__stack_pointer"}, f"globals from outside: {others}"
    numbers = {s.name: s.number for s in wasm.symbols if s.kind == SYMBOL_FUNCTION and s.is_defined}
    n_functions = _FIRST_FUNCTION + len(functions)
    exports = [
        _text("memory") + b"\x02" + _leb(0),
        _text("__heap_base") + b"\x03" + _leb(1),
        *(_text(name) + b"\x00" + _leb(numbers[name]) for name in exported),
    ]
    variables = [_I32 + _MUTABLE + _constant(stack), _I32 + b"\x00" + _constant(stack)]
    elements = [_leb(0) + _constant(_FIRST_FUNCTION) + _vector(map(_leb, functions))]
    sections = {
        TYPE: bytes(wasm.sections[TYPE]),
        IMPORT: _vector(
            _text(i.module) + _text(i.name) + bytes([i.kind]) + i.content for i in imports
        ),
        FUNCTION: bytes(wasm.sections[FUNCTION]),
        TABLE: _vector([b"\x70\x01" + _leb(n_functions) + _leb(n_functions)]),
        MEMORY: _vector([b"\x00" + _leb(-(-stack // _PAGE))]),
        GLOBAL: _vector(variables),
        EXPORT: _vector(exports),
        ELEMENT: _vector(elements),
        DATA_COUNT: bytes(wasm.sections.get(DATA_COUNT, b"")),
        CODE: bytes(wasm.sections[CODE]),
        DATA: _vector(
            _leb(0) + _constant(address) + _leb(segment.size)
            + bytes(wasm.sections[DATA][segment.start : segment.start + segment.size])
            for address, segment in zip(addresses, wasm.segments, strict=True)
        ),
    }  # fmt: skip
    parts = [bytes([key]) + _leb(len(body)) + body for key, body in sections.items() if body]
    return b"\0asm\1\0\0\0" + b"".join(parts)


def _place_segments(wasm: WasmObject) -> tuple[list[int], int]:
    """The address of each segment of data, and where they end."""
    addresses, at = [], _FIRST_ADDRESS
    for segment in wasm.segments:
        at = _up(at, segment.alignment)
        addresses.append(at)
        at += segment.size
    return addresses, at


def _addressed_functions(wasm: WasmObject) -> list[int]:
    """The functions whose addresses are taken, in the order of the table."""
    kinds = (_TABLE_SLEB, _TABLE_I32)
    taken = (r for each in wasm.relocations.values() for r in each if r.kind in kinds)
    return list(dict.fromkeys(wasm.symbols[r.symbol].number for r in taken))


def _relocate(
    wasm: WasmObject,
    body: bytearray,
    relocation: Relocation,
    addresses: Sequence[int],
    functions: Sequence[int],
) -> None:
    """Put in a number that is known now."""
    kind, at = relocation.kind, relocation.offset
    if kind in _KEPT:
        return
    symbol = wasm.symbols[relocation.symbol]
    if kind in (_TABLE_SLEB, _TABLE_I32):
        value = _FIRST_FUNCTION + functions.index(symbol.number)
    else:
        assert kind in (_ADDRESS_LEB, _ADDRESS_SLEB, _ADDRESS_I32), f"a relocation of kind {kind}"
        assert symbol.kind == SYMBOL_DATA, f"an address of {symbol}"
        assert symbol.is_defined, f"data that is not here: {symbol}"
        value = addresses[symbol.number] + symbol.offset + relocation.addend
    if kind in (_TABLE_I32, _ADDRESS_I32):
        body[at : at + 4] = value.to_bytes(4, "little")
    else:
        # Five bytes, seven bits in each; of a number below 2^31 both kinds are alike.
        body[at : at + 5] = bytes(
            (value >> 7 * i & 0x7F) | (0x80 if i < 4 else 0) for i in range(5)
        )


# --- writing ------------------------------------------------------------------------------------


def _up(number: int, multiple: int) -> int:
    return -(-number // multiple) * multiple


def _leb(number: int) -> bytes:
    """A number that is not negative, seven bits in each byte."""
    content = bytearray()
    while number >= 0x80:
        content.append(number & 0x7F | 0x80)
        number >>= 7
    content.append(number)
    return bytes(content)


def _constant(number: int) -> bytes:
    """An expression: the number. Its highest bit is its sign, so there is one bit more."""
    content = bytearray()
    while number >= 0x40:
        content.append(number & 0x7F | 0x80)
        number >>= 7
    content.append(number)
    return _CONSTANT + bytes(content) + _END


def _text(text: str) -> bytes:
    return _leb(len(text.encode())) + text.encode()


def _vector(entries: Iterable[bytes]) -> bytes:
    listed = list(entries)
    return _leb(len(listed)) + b"".join(listed)
