"""How much of a model is read: what a file from somewhere may cost in time and memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from ...core.errors import ExchangeError
from ...core.variable import next_serial

__all__ = ["Budget", "count_elements"]

MAX_DEPTH = 64
"""How deep messages nest in a file; a graph in a graph takes three levels."""
MAX_FIELDS = 1_000_000
"""How many fields a file has, its messages' included."""
MAX_NODES = 50_000
"""How many nodes a model has, each call of a local function counted with its body."""
MAX_VARIABLES = 100_000
"""How many variables are made while a model is read."""
MAX_TEXT_BYTES = 1 << 26
"""How many bytes a file has beside the raw data of tensors."""
MAX_PACKED_BYTES = 1 << 24
"""How many bytes of integers with as many bytes as they need, which grow by 8 when parsed."""
MAX_DATA_BYTES = 1 << 31
"""How many bytes the tensors of a model declare, those in other files included."""
MAX_COMPUTED_BYTES = 1 << 26
"""How many bytes values have in all that are computed while a model is read."""
MAX_AXES = 32


@dataclass
class Budget:
    """What may still be spent while one model is read; each method raises `ExchangeError`."""

    nodes: int = MAX_NODES
    last_serial: int = field(default_factory=lambda: next_serial() + MAX_VARIABLES)
    computed_bytes: int = MAX_COMPUTED_BYTES
    data_bytes: int = MAX_DATA_BYTES

    def read_nodes(self, number: int = 1) -> None:
        """Count nodes that are about to be read: those of a body each time that it is."""
        self.nodes -= number
        if next_serial() > self.last_serial:
            raise ExchangeError.here(
                f"reading the model makes more than {MAX_VARIABLES} variables of it"
            )
        if self.nodes < 0:
            raise ExchangeError.here(
                f"the model has more than {MAX_NODES} nodes, those of functions and bodies counted "
                "each time that they are read, and loops for several"
            )

    def compute(self, sizes: Sequence[int], itemsize: int = 8) -> None:
        """Count an array that is about to be computed from known values while reading."""
        self.computed_bytes -= count_elements(sizes) * itemsize
        if self.computed_bytes < 0:
            raise ExchangeError.here(
                f"values that can be computed while the model is read, the last one of sizes "
                f"{list(sizes)}, take more than {MAX_COMPUTED_BYTES >> 20} MiB"
            )

    def declare(self, sizes: Sequence[int], itemsize: int, name: str) -> None:
        """Count a tensor of the file."""
        self.data_bytes -= count_elements(sizes) * itemsize
        if self.data_bytes < 0:
            raise ExchangeError.here(
                f"tensor {name!r} of sizes {list(sizes)}, with those before it, takes more than "
                f"{MAX_DATA_BYTES >> 30} GiB"
            )


def count_elements(sizes: Sequence[int]) -> int:
    """How many elements sizes make, a 0 among them counted as 1: NumPy multiplies the others."""
    number = 1
    for size in sizes:
        number *= max(size, 1)
    return number
