"""All modules that write ops: importing this one fills the table of rules in `writer`."""

from __future__ import annotations

from . import (
    write_elementwise,
    write_index,
    write_movement,
    write_products,
    write_reduce,
    write_sizes,
    write_slices,
)

__all__ = [
    "write_elementwise",
    "write_index",
    "write_movement",
    "write_products",
    "write_reduce",
    "write_sizes",
    "write_slices",
]
