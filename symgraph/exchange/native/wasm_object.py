"""An object file of WebAssembly, read: its sections, its symbols, and where addresses belong.

The formats: WebAssembly's binary format, and "WebAssembly Object File Linking" of its tool
conventions. LLVM writes every number that a linker changes in five bytes, so that it can be
changed where it stands.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

__all__ = ["Import", "Reader", "Relocation", "Segment", "Symbol", "WasmObject", "read_object"]

# Sections by their numbers.
CUSTOM, TYPE, IMPORT, FUNCTION, TABLE, MEMORY, GLOBAL, EXPORT, ELEMENT = 0, 1, 2, 3, 4, 5, 6, 7, 9
CODE, DATA, DATA_COUNT = 10, 11, 12
# Kinds of symbols.
SYMBOL_FUNCTION, SYMBOL_DATA, SYMBOL_GLOBAL, SYMBOL_SECTION, SYMBOL_TABLE = 0, 1, 2, 3, 5
_UNDEFINED, _EXPLICIT_NAME = 0x10, 0x40
# Subsections of what is told to linkers.
_SEGMENT_INFO, _SYMBOL_TABLE = 5, 8
# Relocations that have an addend: those of addresses in memory, and offsets.
_WITH_ADDEND = frozenset({3, 4, 5, 8, 9, 11, 14, 15, 16, 17, 21, 22, 23, 25})


class Import(NamedTuple):
    """What a module has from outside."""

    module: str
    name: str
    kind: int
    """0: a function, 1: a table, 2: a memory, 3: a global."""
    content: bytes
    """Its description, as it stands in the file."""


class Symbol(NamedTuple):
    """What has a name, or may be referred to."""

    kind: int
    name: str
    number: int
    """Of the function, global or table; of the segment of data."""
    offset: int = 0
    """In the segment."""
    is_defined: bool = True


class Relocation(NamedTuple):
    """A number that depends on where things come to lie."""

    kind: int
    offset: int
    """In the section's content."""
    symbol: int
    addend: int


@dataclass
class Segment:
    """Bytes that are in memory from the beginning."""

    start: int
    """Where its bytes are in the content of the section."""
    size: int
    alignment: int = 1


@dataclass
class WasmObject:
    """An object file."""

    sections: dict[int, bytearray] = field(default_factory=dict)
    """The contents of sections, by number."""
    imports: list[Import] = field(default_factory=list)
    segments: list[Segment] = field(default_factory=list)
    symbols: list[Symbol] = field(default_factory=list)
    relocations: dict[str, list[Relocation]] = field(default_factory=dict)
    """By the name of the section: CODE or DATA."""


class Reader:
    """Numbers and texts, one after another."""

    def __init__(self, content: bytes | bytearray, at: int = 0) -> None:
        self.content, self.at = content, at

    @property
    def is_done(self) -> bool:
        """Whether nothing is left."""
        return self.at >= len(self.content)

    def byte(self) -> int:
        """The next byte."""
        self.at += 1
        return self.content[self.at - 1]

    def number(self, *, signed: bool = False) -> int:
        """A number of as many bytes as it takes, seven bits in each."""
        result = shift = 0
        while True:
            byte = self.byte()
            result |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return result - (1 << shift) if signed and byte & 0x40 else result

    def take(self, size: int) -> bytes:
        """So many bytes."""
        self.at += size
        return bytes(self.content[self.at - size : self.at])

    def text(self) -> str:
        """A text and its length."""
        return self.take(self.number()).decode()


def read_object(content: bytes) -> WasmObject:
    """What the file holds."""
    result, reader = WasmObject(), Reader(content, 8)
    linking = b""
    while not reader.is_done:
        number = reader.byte()
        body = reader.take(reader.number())
        if number != CUSTOM:
            result.sections[number] = bytearray(body)
            continue
        part = Reader(body)
        name = part.text()
        if name == "linking":
            linking = body[part.at :]
        elif name in ("reloc.CODE", "reloc.DATA"):
            result.relocations[name.removeprefix("reloc.")] = _relocations(part)
    result.imports = _imports(Reader(result.sections.get(IMPORT, b"\0")))
    result.segments = _segments(Reader(result.sections.get(DATA, b"\0")))
    _read_linking(Reader(linking), result)
    return result


def _imports(reader: Reader) -> list[Import]:
    imports = []
    for _ in range(reader.number()):
        module, name, kind, start = reader.text(), reader.text(), reader.byte(), reader.at
        if kind == 0:
            reader.number()
        elif kind == 3:
            reader.take(2)
        else:
            if kind == 1:
                reader.byte()  # of what it is a table
            has_most = reader.byte() & 1
            for _ in range(1 + has_most):
                reader.number()
        imports.append(Import(module, name, kind, bytes(reader.content[start : reader.at])))
    return imports


def _segments(reader: Reader) -> list[Segment]:
    segments = []
    for _ in range(reader.number()):
        assert reader.number() == 0, "a segment that is placed at the beginning"
        assert reader.byte() == 0x41, "at a constant"
        reader.number(signed=True)
        assert reader.byte() == 0x0B
        size = reader.number()
        segments.append(Segment(reader.at, size))
        reader.take(size)
    return segments


def _relocations(reader: Reader) -> list[Relocation]:
    reader.number()  # the section's number
    relocations = []
    for _ in range(reader.number()):
        kind, offset, symbol = reader.byte(), reader.number(), reader.number()
        addend = reader.number(signed=True) if kind in _WITH_ADDEND else 0
        relocations.append(Relocation(kind, offset, symbol, addend))
    return relocations


def _read_linking(reader: Reader, result: WasmObject) -> None:
    assert reader.number() == 2, "version 2 of what is told to linkers"
    while not reader.is_done:
        kind = reader.byte()
        part = Reader(reader.take(reader.number()))
        if kind == _SEGMENT_INFO:
            for segment in result.segments[: part.number()]:
                part.text()
                segment.alignment = 1 << part.number()
                part.number()
        elif kind == _SYMBOL_TABLE:
            imported = [i.name for i in result.imports if i.kind == 0]
            result.symbols = [_symbol(part, imported) for _ in range(part.number())]


def _symbol(reader: Reader, imported: list[str]) -> Symbol:
    kind, flags = reader.byte(), reader.number()
    is_defined = not flags & _UNDEFINED
    if kind == SYMBOL_DATA:
        name = reader.text()
        if not is_defined:
            return Symbol(kind, name, -1, is_defined=False)
        index, offset = reader.number(), reader.number()
        reader.number()  # its size
        return Symbol(kind, name, index, offset)
    index = reader.number()
    if kind == SYMBOL_SECTION:
        return Symbol(kind, "", index)
    has_name = is_defined or flags & _EXPLICIT_NAME
    name = reader.text() if has_name else imported[index] if kind == SYMBOL_FUNCTION else ""
    return Symbol(kind, name, index, is_defined=is_defined)
