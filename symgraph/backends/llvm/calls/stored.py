"""An image as bytes, and back: lists, numbers and names as JSON, behind them arrays and texts.

No more can come out of it than an image and plain data, whoever wrote it: no name in an entry is
looked up anywhere. A text that is used twice, as the parts of kernels are, is stored once.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..code.engine import Kernel
from ..lowering.image import Image, Output
from ..machine.assembler import Stream

__all__ = ["decode", "encode"]

# How long the JSON, the texts and the arrays are.
_HEADER = struct.Struct("<QQQ")
_KINDS = "biuf"


def encode(image: Image, notes: Any) -> bytes:
    """The image and what belongs to it, which is what JSON can say, as bytes."""
    assert not image.formula_atoms, "sizes of a process have no names on disk"
    writer = _Writer()
    head = {
        "image": {
            "template": writer.array(image.template),
            "constants": [[slot, writer.array(array)] for slot, array in image.constants],
            "prologue": writer.stream(image.prologue),
            "main": writer.stream(image.main),
            "bases": image.bases,
            "axes": image.axes,
            "outputs": [[o.dtype.str, o.sizes, o.slot, o.is_static] for o in image.outputs],
            "arena": image.arena,
            "numbers": [image.kernels, image.distinct_kernels, image.threads],
        },
        "notes": notes,
        "kernels": writer.kernels,
        "texts": [len(text) for text in writer.texts],
        "arrays": [[array.dtype.str, array.shape] for array in writer.arrays],
    }
    text = json.dumps(head, separators=(",", ":"), allow_nan=False).encode()
    texts = "".join(writer.texts).encode()
    arrays = [array.tobytes() for array in writer.arrays]
    sizes = _HEADER.pack(len(text), len(texts), sum(map(len, arrays)))
    return b"".join([sizes, text, texts, *arrays])


def decode(content: bytes) -> tuple[Image, Any]:
    """The image and what belongs to it; anything else than what `encode` wrote is an exception."""
    sizes = _HEADER.unpack_from(content)
    ends = [_HEADER.size]
    for size in sizes:
        ends.append(ends[-1] + size)
    if ends[-1] != len(content):
        raise ValueError("parts are missing")
    head = json.loads(content[ends[0] : ends[1]])
    texts = _parted(content[ends[1] : ends[2]].decode(), head["texts"])
    arrays = _arrays(memoryview(content)[ends[2] :], head["arrays"])
    kernels = _kernels(head["kernels"], texts)
    data = head["image"]
    prologue, main = (_stream(data[name], arrays, kernels) for name in ("prologue", "main"))
    image = Image(
        arrays[data["template"]],
        tuple((slot, arrays[i]) for slot, i in data["constants"]),
        prologue,
        main,
        tuple(data["bases"]),
        tuple((i, axis, slot) for i, axis, slot in data["axes"]),
        (),
        tuple(
            Output(_dtype(name), tuple(sizes), slot, is_static)
            for name, sizes, slot, is_static in data["outputs"]
        ),
        None if data["arena"] is None else tuple(data["arena"]),
        *data["numbers"],
    )
    return image, head["notes"]


class _Writer:
    """Tables of what an image is made of, each entry once."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.arrays: list[np.ndarray] = []
        self.kernels: list[list] = []
        """Those that a kernel needs stand before it."""
        self._texts: dict[str, int] = {}
        self._kernels: dict[str, int] = {}

    def text(self, text: str) -> int:
        number = self._texts.setdefault(text, len(self.texts))
        if number == len(self.texts):
            self.texts.append(text)
        return number

    def array(self, array: np.ndarray) -> int:
        self.arrays.append(array)
        return len(self.arrays) - 1

    def stream(self, stream: Stream) -> list:
        words = self.array(np.array(stream.words, np.int64))
        return [words, [[position, self.kernel(kernel)] for position, kernel in stream.kernels]]

    def kernel(self, kernel: Kernel) -> int:
        """The number of the kernel; its name is the hash of all that it is."""
        stack = [kernel]
        while stack:
            k = stack[-1]
            missing = [needed for needed in k.needs if needed.name not in self._kernels]
            if k.name in self._kernels or not missing:
                stack.pop()
            stack += missing
            if not missing and k.name not in self._kernels:
                parts = [[self.text(name), self.text(text)] for name, text in k.parts]
                needs = [self._kernels[needed.name] for needed in k.needs]
                self._kernels[k.name] = len(self.kernels)
                self.kernels.append([self.text(k.name), self.text(k.text), parts, needs])
        return self._kernels[kernel.name]


def _parted(text: str, lengths: Sequence[int]) -> list[str]:
    """The text in pieces of these lengths."""
    pieces, start = [], 0
    for length in lengths:
        pieces.append(text[start : start + length])
        start += length
    if start != len(text):
        raise ValueError("texts are missing")
    return pieces


def _arrays(content: memoryview, types: Sequence[Any]) -> list[np.ndarray]:
    """Arrays of these types, one after another; each with memory of its own, which is aligned."""
    arrays, start = [], 0
    for name, shape in types:
        dtype = _dtype(name)
        array = np.empty(shape, dtype)
        array.reshape(-1).view(np.uint8)[:] = content[start : start + array.nbytes]
        arrays.append(array)
        start += array.nbytes
    if start != len(content):
        raise ValueError("arrays are missing")
    return arrays


def _dtype(name: str) -> np.dtype:
    dtype = np.dtype(name)
    if dtype.kind not in _KINDS:
        raise ValueError(f"{dtype} is no dtype of a program")
    return dtype


def _kernels(rows: Sequence[Any], texts: list[str]) -> list[Kernel]:
    kernels: list[Kernel] = []
    for name, text, pairs, needs in rows:
        parts = tuple((texts[part], texts[definition]) for part, definition in pairs)
        needed = tuple(kernels[i] for i in needs)
        kernels.append(Kernel(texts[name], texts[text], parts, needed))
    return kernels


def _stream(data: Any, arrays: Sequence[np.ndarray], kernels: Sequence[Kernel]) -> Stream:
    words, uses = data
    return Stream(arrays[words].tolist(), [(position, kernels[i]) for position, i in uses])
