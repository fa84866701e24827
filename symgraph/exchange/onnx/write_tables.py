"""All modules that write ops: importing this one fills the table of rules in `writer`."""

from __future__ import annotations

from . import (
    write_changes,
    write_composites,
    write_elementwise,
    write_index,
    write_loops,
    write_movement,
    write_products,
    write_recurrent,
    write_reduce,
    write_sizes,
    write_slices,
    write_whole,
)

__all__ = [
    "write_composites",
    "write_changes",
    "write_elementwise",
    "write_index",
    "write_loops",
    "write_movement",
    "write_products",
    "write_recurrent",
    "write_reduce",
    "write_sizes",
    "write_slices",
    "write_whole",
]
