"""Matrix products: the right operand is packed into panels, a part of it at a time.

Panels are ``[panel][K][width]`` with zeros past the last column, so that what multiplies them reads
them in order. A loop packs its weights once, before its first step.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from ....core.dims import Size
from ..code.emit import POINTER, Function, Value, kernel
from ..machine.frame import frame_kernel, operand, operand_address, return_success
from .few_rows import FEW_ROWS, dot_products_kernel, row_kernel
from .panels import Tile, column_masks, panels_kernel

__all__ = ["K_BLOCK", "pack_kernel", "packed_product_kernel", "product_kernel", "room_for"]

# How much of K is multiplied at a time: with a few panels side by side, half of a usual L2 cache.
K_BLOCK = 512
_PANELS = 4
# Up to how many rows panels are read as they lie: packing them would cost as much.
_UNPACKED_ROWS = 64


@kernel("void (ptr %b, ptr %p, i64 %k, i64 %columns, i64 %rb, i64 %cb)")
def pack_panel_kernel(f: Function, tile: Tile) -> None:
    """``p[k, width] = b[k, columns]``, with zeros past the columns."""
    together = f.emit("icmp eq i64 %cb, 1")
    f.branch(together, "vectors", "elements")
    f.start_block("vectors")
    masks = column_masks(f, tile, tile.vectors)
    loop = f.begin_loop("%k")
    row = f.pointer("%b", f.emit(f"mul i64 {loop.index}, %rb"), tile.dtype)
    target = f.pointer("%p", f.emit(f"mul i64 {loop.index}, {tile.width}"), tile.dtype)
    for v, mask in enumerate(masks):
        part = tile.load(f, f.pointer(row, str(v * tile.lanes), tile.dtype), mask)
        f.store(part, f.pointer(target, str(v * tile.lanes), tile.dtype))
    f.end_loop(loop)
    f.do("ret void")
    f.start_block("elements")
    columns = f.begin_loop(str(tile.width))
    inside = f.emit(f"icmp slt i64 {columns.index}, %columns")
    column = f.pointer("%b", f.emit(f"mul i64 {columns.index}, %cb"), tile.dtype)
    # Past the last column the first one is read, and zero is written.
    column = f.emit(f"select i1 {inside}, ptr {column}, ptr %b")
    loop = f.begin_loop("%k")
    element = f.load(
        f.pointer(column, f.emit(f"mul i64 {loop.index}, %rb"), tile.dtype), tile.dtype
    )
    kept = f.value(f"select i1 {inside}, {element.type} {element}, {element.type} 0.0", tile.dtype)
    place = f.emit(f"mul i64 {loop.index}, {tile.width}")
    place = f.emit(f"add i64 {place}, {columns.index}")
    f.store(kept, f.pointer("%p", place, tile.dtype))
    f.end_loop(loop)
    f.end_loop(columns)


@frame_kernel
def pack_kernel(f: Function, tile: Tile) -> None:
    """Pack a matrix; operands: b, packed, K, N, row stride, column stride of b."""
    name = f.use(pack_panel_kernel(tile))
    b, packed = operand_address(f, 0), operand_address(f, 1)
    k, n, rb, cb = (operand(f, i) for i in range(2, 6))
    _pack_panels(f, tile, name, (b, packed, k, n, rb, cb))


def _pack_panels(f: Function, tile: Tile, kernel: str, operands: tuple[str, ...]) -> None:
    """Pack all columns of a matrix: itself, where to, its rows, its columns, and their strides."""
    b, packed, k, n, rb, cb = operands
    size = f.emit(f"mul i64 {k}, {tile.width}")
    loop = f.begin_loop(n, by=str(tile.width), carried=[Value(packed, POINTER, 1)])
    panel = loop.carried[0]
    first = f.pointer(b, f.emit(f"mul i64 {loop.index}, {cb}"), tile.dtype)
    left = f.emit(f"sub i64 {n}, {loop.index}")
    f.do(f"call void @{kernel}(ptr {first}, ptr {panel}, i64 {k}, i64 {left}, i64 {rb}, i64 {cb})")
    f.end_loop(loop, [Value(f.pointer(panel.text, size, tile.dtype), POINTER, 1)])


class _Part(NamedTuple):
    """A part of a product: some of K and some columns, which add to the result or do not."""

    start: str
    depth: str
    column: str
    columns: str
    adds: str


def _each_part(
    f: Function, tile: Tile, sizes: tuple[str, str], adds: str, write: Callable[[_Part], None]
) -> None:
    """The parts of a product of this K and N: K in about equal parts, and some panels at a time."""
    k, n = sizes
    # With no k at all there is one empty part, which writes the zeros.
    least = f.at_least(k, 1)
    before = f.emit(f"sub i64 {least}, 1")
    count = f.emit(f"udiv i64 {f.emit(f'add i64 {before}, {K_BLOCK}')}, {K_BLOCK}")
    each = f.emit(f"udiv i64 {f.emit(f'add i64 {before}, {count}')}, {count}")
    parts = f.begin_loop(least, by=each)
    start = parts.index.text
    depth = f.emit(f"sub i64 {k}, {start}")
    depth = f.at_most(depth, each)
    goes_on = f.emit(f"or i1 {f.emit(f'icmp ne i64 {start}, 0')}, {adds}")
    # Shallow panels are more at a time.
    most = f.emit(f"udiv i64 {K_BLOCK * _PANELS}, {f.at_least(depth, 1)}")
    most = f.emit(f"mul i64 {most}, {tile.width}")
    loop = f.begin_loop(n, by=most)
    columns = f.emit(f"sub i64 {n}, {loop.index}")
    columns = f.at_most(columns, most)
    write(_Part(start, depth, loop.index.text, columns, goes_on))
    f.end_loop(loop)
    f.end_loop(parts)


@dataclass(frozen=True)
class _Product:
    """A product that is being written: its rows, its operands but for the right one, strides."""

    f: Function
    tile: Tile
    kernel: str
    m: str
    a: str
    c: str
    ra: str
    ka: str
    ldc: str

    def multiply(self, part: _Part, panels: str, rb: str, size: str) -> None:
        """Multiply a part, by panels whose rows and that themselves are so far apart."""
        f, dtype = self.f, self.tile.dtype
        a = f.pointer(self.a, f.emit(f"mul i64 {part.start}, {self.ka}"), dtype)
        c = f.pointer(self.c, part.column, dtype)
        f.do(
            f"call void @{self.kernel}(i64 {self.m}, i64 {part.columns}, ptr {a}, ptr {panels}, "
            f"ptr {c}, i64 {part.depth}, i64 {self.ra}, i64 {self.ka}, i64 {rb}, i64 {size}, "
            f"i64 {self.ldc}, i1 {part.adds})"
        )


@frame_kernel
def packed_product_kernel(f: Function, tile: Tile) -> None:
    """``c (+)= a · b`` with b packed already.

    Operands: a, packed b, c, M, N, K, row and k stride of a, row stride of c, whether to add.
    """
    a, b, c = (operand_address(f, i) for i in range(3))
    m, n, k, ra, ka, ldc, adds = (operand(f, i) for i in range(3, 10))
    product = _Product(f, tile, f.use(panels_kernel(tile)), m, a, c, ra, ka, ldc)
    width = str(tile.width)
    size = f.emit(f"mul i64 {k}, {width}")

    def write(part: _Part) -> None:
        panel = f.emit(f"mul i64 {f.emit(f'udiv i64 {part.column}, {width}')}, {size}")
        row = f.emit(f"mul i64 {part.start}, {width}")
        panels = f.pointer(b, f.emit(f"add i64 {panel}, {row}"), tile.dtype)
        product.multiply(part, panels, width, size)

    _each_part(f, tile, (k, n), f.emit(f"icmp ne i64 {adds}, 0"), write)


@frame_kernel
def product_kernel(f: Function, tile: Tile) -> None:
    """``c (+)= a · b`` for matrices as they lie; packs a part of b at a time, if it pays.

    Operands: a, b, c, room for a part (see `room_for`), M, N, K, row and k stride of a, row and
    column stride of b, row stride of c, whether to add.
    """
    pack = f.use(pack_panel_kernel(tile))
    a, b, c, room = (operand_address(f, i) for i in range(4))
    m, n, k, ra, ka, rb, cb, ldc, adds = (operand(f, i) for i in range(4, 13))
    adds = f.emit(f"icmp ne i64 {adds}, 0")
    _write_few_rows(f, tile, (m, n, a, b, c, k, ra, ka, rb, cb, ldc, adds))
    product = _Product(f, tile, f.use(panels_kernel(tile)), m, a, c, ra, ka, ldc)
    width = str(tile.width)
    are_few = f.emit(f"icmp sle i64 {m}, {_UNPACKED_ROWS}")
    as_it_lies = f.emit(f"and i1 {are_few}, {f.emit(f'icmp eq i64 {cb}, 1')}")

    def write(part: _Part) -> None:
        lies = f.pointer(b, f.emit(f"mul i64 {part.start}, {rb}"), tile.dtype)
        lies = f.pointer(lies, f.emit(f"mul i64 {part.column}, {cb}"), tile.dtype)
        # A panel that is not whole is packed nevertheless: nothing is read past its columns.
        whole = f.emit(f"and i64 {part.columns}, -{width}")
        whole = f.emit(f"select i1 {as_it_lies}, i64 {whole}, i64 0")
        product.multiply(part._replace(columns=whole), lies, rb, width)
        rest = part._replace(
            column=f.emit(f"add i64 {part.column}, {whole}"),
            columns=f.emit(f"sub i64 {part.columns}, {whole}"),
        )
        lies = f.pointer(lies, f.emit(f"mul i64 {whole}, {cb}"), tile.dtype)
        _pack_panels(f, tile, pack, (lies, room, part.depth, rest.columns, rb, cb))
        product.multiply(rest, room, width, f.emit(f"mul i64 {part.depth}, {width}"))

    _each_part(f, tile, (k, n), adds, write)


def _write_few_rows(f: Function, tile: Tile, operands: tuple[str, ...]) -> None:
    """The products that are better off without panels, which are then done."""
    m, n, a, b, c, k, ra, ka, rb, cb, ldc, adds = operands
    is_one = f.emit(f"icmp eq i64 {m}, 1")
    dense = f.emit(f"icmp eq i64 {cb}, 1")
    f.branch(f.emit(f"and i1 {is_one}, {dense}"), "multiples", "transposed")
    f.start_block("multiples")
    name = f.use(row_kernel(tile))
    f.do(
        f"call void @{name}(i64 {n}, ptr {a}, ptr {b}, ptr {c}, i64 {k}, i64 {ka}, i64 {rb}, "
        f"i1 {adds})"
    )
    return_success(f)
    f.start_block("transposed")
    few = f.emit(f"icmp sle i64 {m}, {FEW_ROWS}")
    dense = f.emit(f"icmp eq i64 {rb}, 1")
    dense_left = f.emit(f"icmp eq i64 {ka}, 1")
    few = f.emit(f"and i1 {few}, {dense}")
    f.branch(f.emit(f"and i1 {few}, {dense_left}"), "dots", "many")
    f.start_block("dots")
    name = f.use(dot_products_kernel(tile))
    f.do(
        f"call void @{name}(i64 {m}, i64 {n}, ptr {a}, ptr {b}, ptr {c}, i64 {k}, i64 {ra}, "
        f"i64 {cb}, i64 {ldc}, i1 {adds})"
    )
    return_success(f)
    f.start_block("many")


def room_for(tile: Tile, n: Size, k: Size) -> Size:
    """How many elements `product_kernel` packs at a time."""
    most = K_BLOCK * _PANELS * tile.width
    if isinstance(n, int) and isinstance(k, int):
        return min(most, -(-n // tile.width) * max(k, 1) * tile.width)
    return most
