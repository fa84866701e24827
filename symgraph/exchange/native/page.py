"""A page for the browser: a module, a function that calls it, and a place to try it."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from ...core.binding import solved_for
from ...core.dims import Atom, Size
from .interface import Array, Interface, size_expression
from .sample import Sample

__all__ = ["page_text"]

_TEMPLATE = Path(__file__).with_name("page.html")
_ARRAYS = {
    "bool": "Uint8Array",
    "float32": "Float32Array",
    "float64": "Float64Array",
    **{f"int{bits}": f"Int{bits}Array" for bits in (8, 16, 32)},
    **{f"uint{bits}": f"Uint{bits}Array" for bits in (8, 16, 32)},
    "int64": "BigInt64Array",
    "uint64": "BigUint64Array",
}
# Samples of more elements are left out.
_MOST_SHOWN = 1 << 12
# An input of so many rows and columns at least, and at most, can be drawn.
_LEAST_SIDE, _MOST_SIDE = 6, 64
# Rows of so many results are shown as bars.
_MOST_BARS = 64


def page_text(
    interface: Interface, module: bytes, sample: Sample, version: str, *, is_one: bool
) -> str:
    """The page: one file that needs nothing else. ``is_one``: the one result is handed over as it
    is, and not in an array."""
    marks = {
        "@NAME@": html.escape(interface.name),
        "@VERSION@": version,
        "@PROGRAM@": _program(interface, sample, is_one=is_one),
        "@WASM@": base64.b64encode(module).decode(),
    }
    text = _TEMPLATE.read_text(encoding="utf-8")
    for mark, content in marks.items():
        text = text.replace(mark, content)
    return text


def _program(interface: Interface, sample: Sample, *, is_one: bool) -> str:
    """What JavaScript has to know of the program, as an object's source."""
    numbers = {atom: i for i, atom in enumerate(interface.sizes)}
    fields = {
        "name": json.dumps(interface.name),
        "sizes": json.dumps(list(interface.sizes.values())),
        "inputs": _list(_described(interface, x, numbers) for x in interface.inputs),
        "outputs": _list(_described(interface, y, numbers) for y in interface.outputs),
        "isOne": json.dumps(is_one),
        "picture": json.dumps(_picture(interface)),
        "sample": json.dumps(
            {"sizes": sample.sizes, "inputs": [_numbers(array) for array in sample.inputs]}
        ),
    }
    return "{\n" + "".join(f"  {key}: {value},\n" for key, value in fields.items()) + "}"


def _described(interface: Interface, array: Array, numbers: Mapping[Atom, int]) -> str:
    """An array's name, type, shape, and how its sizes and those of the program belong together."""

    def spelt(atom: Atom) -> str:
        number = numbers.get(atom)
        return str(interface.known[atom]) if number is None else f"s[{number}]"

    dims = [size_expression(size, spelt, "floorDivided") for size in array.shape]
    last = array.shape[-1] if array.shape else 1
    fields = {
        "name": json.dumps(array.name),
        "type": _ARRAYS[array.dtype.name],
        "shape": json.dumps(f"{array.c_type} {interface.shape_text(array)}"),
        "dims": f"(s) => {_list(dims)}",
        "count": f"(s) => {' * '.join(f'({dim})' for dim in dims) or '1'}",
        "told": json.dumps([_told(size, numbers) for size in array.shape]),
        "width": json.dumps(last if isinstance(last, int) and 1 < last <= _MOST_BARS else None),
    }
    return "{ " + ", ".join(f"{key}: {value}" for key, value in fields.items()) + " }"


def _told(size: Size, numbers: Mapping[Atom, int]) -> list[int] | None:
    """The number of the size that an axis tells, the factor and the constant; or None."""
    solved = solved_for(size)
    if solved is None or solved[0] not in numbers:
        return None
    atom, factor, constant = solved
    return [numbers[atom], factor, constant]


def _picture(interface: Interface) -> dict[str, int] | None:
    """The rows and columns of the one input, where it is a picture with each free size one."""
    if len(interface.inputs) != 1 or interface.inputs[0].dtype.kind != "f":
        return None
    sides = []
    for size in interface.inputs[0].shape:
        if isinstance(size, int):
            sides += [size] if size != 1 else []
        elif size.atom is None:
            return None
    is_picture = len(sides) == 2 and all(_LEAST_SIDE <= n <= _MOST_SIDE for n in sides)
    return {"rows": sides[0], "columns": sides[1]} if is_picture else None


def _numbers(array: np.ndarray) -> list[float | str] | None:
    """The numbers of a sample, as texts where JavaScript's would not hold them."""
    if array.size > _MOST_SHOWN:
        return None
    flat = array.reshape(-1)
    if flat.dtype.kind == "f":
        return [float(f"{value!s}") if np.isfinite(value) else str(value) for value in flat]
    return [str(int(value)) for value in flat]


def _list(texts: Iterable[str]) -> str:
    return f"[{', '.join(texts)}]"
