"""Constants of a module in IR: words with addresses among them, bytes, texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

__all__ = ["array_global", "text_globals", "words_global"]


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
    """The elements of an array; one that has none has an address too."""
    content = np.ascontiguousarray(array).tobytes() or b"\0"
    return f"@{name} = private constant {_bytes_text(content)}, align 64"


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
