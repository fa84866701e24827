"""All modules that read ops: importing this one fills the registry of `read_scope`."""

from __future__ import annotations

from . import (
    read_activation,
    read_arithmetic,
    read_cast,
    read_control,
    read_conv,
    read_elementwise,
    read_index,
    read_norm,
    read_pool,
    read_products,
    read_recurrent,
    read_reduce,
    read_shape,
    read_sizes,
    read_training,
)

__all__ = [
    "read_activation",
    "read_arithmetic",
    "read_cast",
    "read_control",
    "read_conv",
    "read_elementwise",
    "read_index",
    "read_norm",
    "read_pool",
    "read_products",
    "read_recurrent",
    "read_reduce",
    "read_shape",
    "read_sizes",
    "read_training",
]
