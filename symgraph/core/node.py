"""A node of the graph, for those below `symgraph.core.variable`: every node is a `Variable`."""

from __future__ import annotations

from typing import Any

__all__ = ["Node"]


class Node:
    """An op applied to nodes."""

    __slots__ = (
        "__weakref__",
        "given_name",
        "inputs",
        "is_derived",
        "op",
        "params",
        "places",
        "serial",
        "type",
    )

    # Told exactly by Variable; an op's record speaks of nodes itself.
    op: Any
    inputs: tuple[Any, ...]
    params: tuple[Any, ...]
    type: Any  # TensorType, or TupleType for ops with several results
    serial: int
    # No part of what a node is: `symgraph.core.origins` reads and writes them.
    given_name: str | None
    places: tuple[Any, ...]
    is_derived: bool
