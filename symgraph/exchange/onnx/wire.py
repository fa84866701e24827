"""What a file holds, field by field, before a parser makes objects of it.

Parsing takes memory of its own: an empty node of two bytes becomes 150. So the fields are
counted first, in the format of protocol buffers: a key, with the field's number and how it is
written, then a number, or a length and so many bytes, which may be a message again.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, TypeAlias

from ...core.errors import ExchangeError
from . import library
from .limits import MAX_DEPTH, MAX_FIELDS, MAX_PACKED_BYTES, MAX_TEXT_BYTES

__all__ = ["check_fields"]

_VARINT, _EIGHT_BYTES, _LENGTH, _FOUR_BYTES = 0, 1, 2, 5
_RAW_DATA = ("TensorProto", "raw_data")
_FIXED = ("floats", "float_data", "double_data")

Kind: TypeAlias = "Mapping[int, Kind] | str"
"""What the bytes of a field are: a message's fields by number, "text", "packed", "raw" or
"bytes"."""


def check_fields(data: bytes | memoryview, name: str) -> None:
    """Raise `ExchangeError` unless the bytes are a model's fields, of bearable depth and number."""
    _Fields(data, name).check()


class _Fields:
    """A walk over the fields of a file."""

    def __init__(self, data: bytes | memoryview, name: str) -> None:
        self.data = data
        self.name = name
        self.position = 0
        self.fields = 0
        self.text_bytes = self.packed_bytes = 0

    def check(self) -> None:
        messages: list[tuple[int, Kind]] = [(len(self.data), _fields_of_model())]
        while messages:
            end, kinds = messages[-1]
            if self.position == end:
                messages.pop()
            elif (inner := self._read_field(end, kinds)) is not None:
                messages.append(inner)
                if len(messages) > MAX_DEPTH:
                    raise self._refusal(f"it nests deeper than {MAX_DEPTH} levels")

    def _read_field(self, end: int, kinds: Any) -> tuple[int, Kind] | None:
        """Go past a field, or to the first byte of its message, whose end and fields it gives."""
        self.fields += 1
        if self.fields > MAX_FIELDS:
            raise self._refusal(f"it has more than {MAX_FIELDS} fields")
        key = self._read_number(end)
        written = key & 7
        if written == _VARINT:
            self._read_number(end)
        elif written == _LENGTH:
            return self._read_bytes(end, kinds.get(key >> 3, "bytes"))
        elif written in (_FOUR_BYTES, _EIGHT_BYTES):
            self.position += 4 if written == _FOUR_BYTES else 8
        else:
            raise self._refusal(f"byte {self.position} begins no field")
        self._check_end(self.position, end)
        return None

    def _read_bytes(self, end: int, kind: Kind) -> tuple[int, Kind] | None:
        length = self._read_number(end)
        start, stop = self.position, self.position + length
        if isinstance(kind, Mapping):
            self._check_end(stop, end)
            return stop, kind
        self.position = stop
        self._check_end(self.position, end)
        if kind == "raw":
            return None
        self.text_bytes += length
        if self.text_bytes > MAX_TEXT_BYTES:
            raise self._refusal(f"it has more than {MAX_TEXT_BYTES >> 20} MiB beside its tensors")
        if kind == "packed":
            self.packed_bytes += length
            if self.packed_bytes > MAX_PACKED_BYTES:
                raise self._refusal(
                    f"it has more than {MAX_PACKED_BYTES >> 20} MiB of integers that are not raw"
                )
        elif kind == "text":
            try:
                str(self.data[start:stop], "utf-8")
            except UnicodeDecodeError:
                raise self._refusal(f"the text at byte {start} is not UTF-8") from None
        return None

    def _read_number(self, end: int) -> int:
        """A number of seven bits in each byte, the eighth set where more follow."""
        data, position = self.data, self.position
        value = shift = 0
        while position < end and shift < 70:
            byte = data[position]
            position += 1
            value |= (byte & 127) << shift
            if byte < 128:
                self.position = position
                return value
            shift += 7
        raise self._refusal(f"the number at byte {self.position} has no end")

    def _check_end(self, position: int, end: int) -> None:
        if position > end:
            raise self._refusal(f"it is cut off: byte {end} should not be the end of a message")

    def _refusal(self, reason: str) -> ExchangeError:
        return ExchangeError.here(
            f"{self.name} is no ONNX model that can be read: {reason}",
            remedy="onnx.checker.check_model says more about a model that was damaged.",
        )


@cache
def _fields_of_model() -> Mapping[int, Kind]:
    """The fields of a model that hold bytes, by number, as onnx itself describes them."""
    model = library.onnx.ModelProto.DESCRIPTOR
    kinds: dict[str, dict[int, Kind]] = {model.full_name: {}}
    pending = [model]
    while pending:
        message = pending.pop()
        for field in message.fields:
            inner = field.message_type
            if inner is None:
                kinds[message.full_name][field.number] = _kind_of(message.name, field)
                continue
            if inner.full_name not in kinds:
                kinds[inner.full_name] = {}
                pending.append(inner)
            kinds[message.full_name][field.number] = kinds[inner.full_name]
    return kinds[model.full_name]


def _kind_of(message: str, field: Any) -> str:
    if (message, field.name) == _RAW_DATA or field.name in _FIXED:
        return "raw"
    if field.type == field.TYPE_STRING:
        return "text"
    return "bytes" if field.type == field.TYPE_BYTES else "packed"
