"""Constants of a module in IR: words with addresses among them, bytes, texts."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np

__all__ = ["array_global", "fill_room", "text_globals", "words_global"]

# Arrays of so many bytes are put into the object file afterwards.
_LARGE, _MARK_BYTES = 1 << 14, 32


def words_global(
    name: str, words: Sequence[int], addresses: Mapping[int, str], pointer_bits: int
) -> str:
    """Words of 64 bits, of which some are the addresses of functions or of other constants."""
    types, values, start = [], [], 0
    for position in [*sorted(addresses), len(words)]:
        if position > start:
            types.append(f"[{position - start} x i64]")
            numbers = ", ".join(f"i64 {word}" for word in words[start:position])
            values.append(f"{types[-1]} [{numbers}]")
        if position < len(words):
            types.append("ptr")
            values.append(f"ptr @{addresses[position]}")
            if pointer_bits == 32:  # the rest of the word
                types.append("i32")
                values.append("i32 0")
        start = position + 1
    kind = f"<{{ {', '.join(types)} }}>"
    return f"@{name} = private constant {kind} <{{ {', '.join(values)} }}>, align 64"


def array_global(name: str, array: np.ndarray) -> str:
    """The elements of an array; one that has none has an address too.

    Of a large one there is only room, which begins with a mark: see `fill_room`.
    """
    content = _content(array)
    if len(content) < _LARGE:
        return f"@{name} = private constant {_bytes_text(content)}, align 64"
    mark, rest = _bytes_text(_mark(name)), f"[{len(content) - _MARK_BYTES} x i8]"
    kind = f"<{{ [{_MARK_BYTES} x i8], {rest} }}>"
    value = f"<{{ {mark}, {rest} zeroinitializer }}>"
    return f"@{name} = private constant {kind} {value}, align 64"


def fill_room(code: bytes, arrays: Mapping[str, np.ndarray]) -> bytes:
    """An object file with the elements of large arrays, which LLVM would take long to read."""
    filled = bytearray(code)
    for name, array in arrays.items():
        content = _content(array)
        if len(content) >= _LARGE:
            start = code.index(_mark(name))
            filled[start : start + len(content)] = content
    return bytes(filled)


def _content(array: np.ndarray) -> bytes:
    return np.ascontiguousarray(array).tobytes() or bytes(1)


def _mark(name: str) -> bytes:
    """What no other part of a file is."""
    return hashlib.blake2b(name.encode(), digest_size=_MARK_BYTES).digest()


def text_globals(name: str, texts: Sequence[str]) -> list[str]:
    """Texts that end as C's do, and a table of their addresses."""
    names = {text: f"{name}.{i}" for i, text in enumerate(dict.fromkeys(texts))}
    lines = [
        f"@{name} = private constant {_bytes_text(text.encode() + bytes(1))}"
        for text, name in names.items()
    ]
    table = ", ".join(f"ptr @{names[text]}" for text in texts)
    return [*lines, f"@{name} = private constant [{len(texts)} x ptr] [{table}]"]


def _bytes_text(content: bytes) -> str:
    return f'[{len(content)} x i8] c"\\{content.hex(chr(92))}"'
