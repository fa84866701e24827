"""Values of graphs without any rewriting, and checks of what was inferred for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, overload

import numpy as np

from ..backends.base import load_backend
from ..core.annotations import ArrayLike
from ..core.graph import Graph
from ..core.shared import SharedVariable
from ..core.variable import Variable, ancestors
from ..core.verify import verify
from ..ops.inputs import tensor

__all__ = ["REFERENCE", "check_op", "evaluate", "prepared"]

REFERENCE = "numpy"


@overload
def evaluate(
    outputs: Variable, values: Mapping[Variable, ArrayLike], *, backend: str = REFERENCE
) -> np.ndarray: ...
@overload
def evaluate(
    outputs: Sequence[Variable], values: Mapping[Variable, ArrayLike], *, backend: str = REFERENCE
) -> list[np.ndarray]: ...
def evaluate(
    outputs: Variable | Sequence[Variable],
    values: Mapping[Variable, ArrayLike],
    *,
    backend: str = REFERENCE,
) -> np.ndarray | list[np.ndarray]:
    """The values of outputs (one, or a list) for these inputs, without any rewriting.

    Arrays take the dtypes of their inputs; what a graph needs beside them is a `GraphError`.

    >>> x = sg.vector("x")
    >>> sg.testing.evaluate(sg.log(sg.exp(x)), {x: [1000.0]})
    array([inf], dtype=float32)
    """
    several = not isinstance(outputs, Variable)
    run = prepared(list(values), list(outputs) if several else [outputs], backend)
    results = run(*(np.asarray(a, v.dtype, order="C") for v, a in values.items()))
    return list(results) if several else results[0]


def prepared(
    inputs: Sequence[Variable], outputs: Sequence[Variable], backend: str = REFERENCE
) -> Callable[..., Sequence[np.ndarray]]:
    shared = [v for v in ancestors(outputs) if isinstance(v, SharedVariable)]
    graph = Graph([*inputs, *shared], outputs)
    verify(graph)
    run = load_backend(backend).prepare(graph)
    state = [v.get_value() for v in shared]
    return lambda *arrays: run(*arrays, *state)


def check_op(function: Callable[..., Any], *values: ArrayLike) -> list[np.ndarray]:
    """The results of ``function`` on arrays, after comparing what was inferred with what came out.

    Evaluated twice, with the sizes known and unknown when the graph is built; results must have the
    inferred dtypes and shapes, be the same in both, and no array given may have changed, else it is
    an AssertionError.

    >>> sg.testing.check_op(sg.cumsum, np.array([1, 2, 3]))
    [array([1, 3, 6])]
    """
    arrays = [np.asarray(value) for value in values]
    given = [array.copy() for array in arrays]
    results: list[list[np.ndarray]] = []
    for known in (True, False):
        # A size of 1 stays known: only such an axis is broadcast.
        shapes = [[n if known or n == 1 else None for n in array.shape] for array in arrays]
        inputs = [tensor(None, s, a.dtype) for s, a in zip(shapes, arrays, strict=True)]
        made = function(*inputs)
        outputs = list(made) if isinstance(made, (list, tuple)) else [made]
        found = list(prepared(inputs, outputs)(*arrays))
        for output, result in zip(outputs, found, strict=True):
            _check_type(output, result)
        results.append(found)
    for array, copy in zip(arrays, given, strict=True):
        np.testing.assert_array_equal(array, copy, "an argument was changed")
    for first, second in zip(*results, strict=True):
        np.testing.assert_array_equal(first, second, "unknown sizes give another result")
    return results[0]


def _check_type(variable: Variable, array: np.ndarray) -> None:
    """An AssertionError unless the array is what was inferred for the variable."""
    assert array.dtype == variable.dtype, f"{variable!r} came out as {array.dtype}"
    assert array.ndim == variable.ndim, f"{variable!r} came out with shape {array.shape}"
    for found, size in zip(array.shape, variable.type.shape, strict=True):
        assert not isinstance(size, int) or found == size, f"{variable!r}: shape {array.shape}"
