"""Results with loops held against the same without: values and derivatives of every order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..autodiff.forward import jvp
from ..autodiff.reverse import grad
from ..compile.function import compile
from ..core.annotations import ArrayLike
from ..core.errors import SymgraphValueError
from ..core.graph import graph_of
from ..core.types import is_float
from ..core.variable import Variable, ancestors
from ..ops.elementwise import add, multiply
from ..ops.gradient import STOP_GRADIENT
from ..ops.inputs import constant, tensor
from ..ops.promotion import cast_to
from ..ops.ranges import arange
from ..ops.reduce import sum as total_of
from ..ops.shape import reshape
from ..ops.sizes import shape_of
from ..ops.transcendental import sin
from ..scan.op import is_scan
from ..scan.paths import with_bodies
from .differences import derivative
from .unroll import unroll
from .values import evaluate

__all__ = ["Results", "assert_alike", "check_limits", "check_unrolled", "hold", "tolerance_of"]

BACKENDS = ("numpy", "native")
# How much of digits may go, relative to the largest number of an array: in float64, and where a
# float32 takes part.
_TOLERANCE, _SHORT_TOLERANCE = 1e-8, 2e-3


@dataclass(frozen=True)
class Results:
    """Variables, with values for what they are made of."""

    outputs: list[Variable]
    wrt: list[Variable]
    """What derivatives are by: float variables."""
    values: dict[Variable, np.ndarray]

    @property
    def needed(self) -> dict[Variable, np.ndarray]:
        """The values of those variables that the outputs are made of."""
        below = set(ancestors(self.outputs))
        return {v: array for v, array in self.values.items() if v in below}

    @property
    def floats(self) -> list[Variable]:
        return [v for v in self.outputs if is_float(v.dtype)]

    def cost(self, order: int) -> Results:
        """A scalar that depends on each element of each float output in a way of its own."""
        total: Variable = constant(np.float64(0))
        for output in self.floats:
            flat = cast_to(reshape(output, (-1,)), np.dtype("float64"))
            positions = cast_to(arange(shape_of(flat)[0]), np.dtype("float64"))
            weights = add(1.0, multiply(0.3, sin(add(multiply(positions, 1.7), float(order)))))
            total = add(total, total_of(multiply(flat, add(weights, multiply(flat, 0.1)))))
        return replace(self, outputs=[total])

    def gradients(self) -> Results:
        """The gradients of a cost."""
        return replace(
            self, outputs=grad(self.outputs[0], self.wrt, disconnected="zero") if self.wrt else []
        )

    def tangents(self) -> Results:
        """The derivatives of the float outputs along one direction."""
        directions = [constant(_direction(self.values[v])) for v in self.wrt]
        outputs = jvp(self.floats, self.wrt, directions) if self.wrt and self.floats else []
        return replace(self, outputs=outputs)


def check_unrolled(
    function: Callable[..., Any],
    *values: ArrayLike,
    orders: int = 3,
    tolerance: float | None = None,
) -> list[np.ndarray]:
    """The results of a function that loops, after holding them against its loops written out.

    ``function`` takes variables for the arrays and returns a variable or a list. Results and
    derivatives of orders 1 to ``orders`` by all float arrays, in reverse and in forward mode, on
    both backends, are compared with those of `unroll`; gradients also with finite differences,
    where all is float64 and nothing is cut off from differentiation. Raises AssertionError where
    anything is off by more than ``tolerance`` (1e-8 for float64, 2e-3 for float32), relative to
    the largest number of an array where that is above 1.

    >>> def total_of_squares(x):
    ...     return sg.reduce(lambda row, total: total + row * row, [x], 0.0)
    >>> sg.testing.check_unrolled(total_of_squares, np.array([1.0, 2.0]))
    [np.float64(5.0)]
    """
    check_limits("check_unrolled", orders, tolerance)
    arrays = [np.asarray(value) for value in values]
    given = {tensor(f"argument_{i}", a.shape, a.dtype): a for i, a in enumerate(arrays)}
    made = function(*given)
    outputs = list(made) if isinstance(made, (list, tuple)) else [made]
    found = Results(outputs, [v for v in given if is_float(v.dtype)], given)
    twin = replace(found, outputs=unroll(outputs, given=given))
    return hold(found, twin, orders, tolerance_of(twin.outputs) if tolerance is None else tolerance)


def check_limits(function: str, orders: Any, tolerance: Any) -> None:
    """Raise unless these are a number of orders and how much results may be off, or None."""
    if not isinstance(orders, (int, np.integer)) or isinstance(orders, bool) or orders < 0:
        raise SymgraphValueError.here(f"{function}: orders is a number from 0 on, not {orders!r}")
    is_number = isinstance(tolerance, (int, float, np.number)) and not isinstance(tolerance, bool)
    if tolerance is not None and not (is_number and tolerance >= 0):
        raise SymgraphValueError.here(
            f"{function}: tolerance is a number from 0 on, not {tolerance!r}",
            remedy="Leave it out for what rounding in the dtypes explains.",
        )


def hold(
    found: Results,
    twin: Results,
    orders: int,
    tolerance: float,
    *,
    differences: bool = True,
) -> list[np.ndarray]:
    """The outputs found on the reference, after holding them, and their derivatives, against the
    twin's; gradients against finite differences too, where those tell them."""
    (results,) = _compare({"the outputs": (found, twin)}, tolerance)
    differences = differences and _is_smooth(found.outputs)
    along, along_twin = found, twin
    for order in range(1, orders + 1):
        if not (found.wrt and found.floats):
            break
        costs = found.cost(order), twin.cost(order)
        found, twin = (cost.gradients() for cost in costs)
        along, along_twin = along.tangents(), along_twin.tangents()
        pairs = {
            f"the gradients of order {order}": (found, twin),
            f"the tangents of order {order}": (along, along_twin),
        }
        if order == 2:
            both = costs[0].tangents(), costs[1].tangents()
            pairs["the gradients of order 1 along a direction"] = both
        gradients, *_ = _compare(pairs, tolerance)
        if differences:
            _check_differences(costs[0], gradients, order)
    return results


def _compare(
    pairs: Mapping[str, tuple[Results, Results]], tolerance: float
) -> list[list[np.ndarray]]:
    """For each pair the values found on the reference, which the backend and the twin share.

    All of it is one program: its parts share loops, and a fault that sharing makes is one too.
    """
    found, twin = (_joined(results) for results in zip(*pairs.values(), strict=True))
    labels = [(what, i) for what, pair in pairs.items() for i in range(len(pair[0].outputs))]
    wanted = evaluate(twin.outputs, twin.needed)
    given, values = list(found.needed), found.needed.values()
    results = [compile(given, found.outputs, backend=name)(*values) for name in BACKENDS]
    for backend, arrays in zip(BACKENDS, results, strict=True):
        for (what, i), array, value in zip(labels, arrays, wanted, strict=True):
            assert_alike(f"{what}, {backend}: number {i}", array, value, tolerance)
    return [
        [x for x, label in zip(results[0], labels, strict=True) if label[0] == what]
        for what in pairs
    ]


def _joined(parts: Sequence[Results]) -> Results:
    """The outputs of all of them."""
    return replace(parts[0], outputs=[v for part in parts for v in part.outputs])


def assert_alike(what: str, found: Any, wanted: Any, tolerance: float) -> None:
    """An AssertionError where an array has another type or other values than that wanted."""
    array, value = np.asarray(found), np.asarray(wanted)
    if array.shape[:1] == value.shape[:1] == (0,) and array.ndim == value.ndim:
        # Without a step nothing tells how large a row would be that only a step could.
        array = array.reshape(value.shape)
    types = [f"{x.dtype} of shape {x.shape}" for x in (array, value)]
    assert types[0] == types[1], f"{what} is {types[0]}, not {types[1]}"
    part = tolerance if value.dtype.kind == "f" else 0.0
    with np.errstate(all="ignore"):
        size = np.max(np.abs(value), where=np.isfinite(value), initial=1.0)
    np.testing.assert_allclose(array, value, rtol=0.0, atol=part * size, err_msg=what)


def _direction(array: np.ndarray) -> np.ndarray:
    drawn = np.random.default_rng(0).uniform(-1.0, 1.0, array.shape)
    return np.asarray(drawn, array.dtype)


def _nodes(outputs: Sequence[Variable]) -> Iterator[Variable]:
    """All that outputs are made of, bodies of loops included."""
    for graph in with_bodies(graph_of(outputs)):
        yield from graph.nodes


def _is_short(v: Variable) -> bool:
    return getattr(v.type, "dtype", None) == np.float32


def tolerance_of(outputs: Sequence[Variable]) -> float:
    """How much results may be off by rounding, relative to their size."""
    return _SHORT_TOLERANCE if any(map(_is_short, _nodes(outputs))) else _TOLERANCE


def _is_smooth(outputs: Sequence[Variable]) -> bool:
    """Whether finite differences can tell the derivatives: all floats are float64, and nothing is
    cut off from differentiation, loops within loops included."""
    return not any(
        _is_short(v) or v.op is STOP_GRADIENT or (is_scan(v) and v.params[1].truncate is not None)
        for v in _nodes(outputs)
    )


def _check_differences(cost: Results, gradients: Sequence[np.ndarray], order: int) -> None:
    """An AssertionError where a gradient is no derivative along a direction."""
    needed = cost.needed
    function = compile(list(needed), cost.outputs[0], backend="numpy")
    for v, gradient in zip(cost.wrt, gradients, strict=True):
        if v not in needed:
            continue
        direction = _direction(gradient)

        def at(distance: float, v: Variable = v, direction: np.ndarray = direction) -> float:
            return float(function(*{**needed, v: needed[v] + distance * direction}.values()))

        expected, room = derivative(at)
        value = float(np.sum(gradient * direction))
        assert not abs(value - expected) > room, (
            f"the gradient of order {order} by {v.name} is {value!r} along a direction, "
            f"{expected!r} by differences"
        )
