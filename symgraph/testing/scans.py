"""Loops of a user's own held against their steps written out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..autodiff.reverse import grad
from ..compile.function import compile
from ..core.types import is_float
from ..core.variable import Variable, ancestors
from ..ops.elementwise import add, multiply
from ..ops.inputs import constant, tensor
from ..ops.promotion import cast_to
from ..ops.ranges import arange
from ..ops.reduce import sum as total_of
from ..ops.shape import reshape
from ..ops.sizes import shape_of
from ..ops.transcendental import sin
from ..scan.build import scan
from ..scan.step import Until
from .compare import check_backends
from .differences import derivative
from .loops import unrolled
from .values import evaluate

__all__ = ["check_scan"]

# Options of scan that change how a loop runs, and no value.
_SILENT = ("checkpoint_every", "memory", "strict", "name")


def check_scan(
    step: Callable[..., Any],
    sequences: Any = (),
    outputs_info: Any = (),
    non_sequences: Any = (),
    *,
    orders: int = 3,
    tolerance: float = 1e-8,
    **options: Any,
) -> list[np.ndarray]:
    """The outputs of a loop, after holding them and their gradients against the steps written out.

    Takes what `scan` takes, with arrays where variables would be. Both backends run the loop, with
    lengths that are known and lengths that are not; the steps written out are evaluated node by
    node. Gradients by all float arrays, up to the order ``orders``, are of the sum of all outputs
    with weights; the first one is also held against finite differences, where it is not truncated.
    Raises AssertionError where anything is off by more than ``tolerance``, relative to the size of
    what is compared where that is above 1; take float64.

    >>> x, start = np.array([1.0, 2.0]), np.array(0.5)
    >>> sg.testing.check_scan(lambda x_t, h: sg.tanh(x_t) * h, [x], [start], orders=1)[0].shape
    (2,)
    """
    given = (as_list(sequences), as_list(outputs_info), as_list(non_sequences))
    results: list[np.ndarray] = []
    for known in (True, False):
        loop, twin = _Arguments(*given, known=known), _Arguments(*given, known=True)
        found = loop.call(scan, step, options)
        spoken = {k: v for k, v in options.items() if k not in _SILENT}
        spoken |= _steps_taken(step, twin, spoken)
        expected = twin.call(unrolled, _without_until(step), spoken)
        results = _compare("the outputs", loop, found, twin, expected, tolerance)
        for order in range(1, orders + 1):
            if not loop.floats:
                break
            costs = _cost(found, order), _cost(expected, order)
            found = grad(costs[0], loop.floats, disconnected="zero")
            expected = grad(costs[1], twin.floats, disconnected="zero")
            what = f"the gradients of order {order}"
            gradients = _compare(what, loop, found, twin, expected, tolerance)
            if order == 1 and options.get("truncate_gradient") is None:
                _check_differences(costs[0], loop, gradients)
    return results


def as_list(given: Any) -> list[Any]:
    """One argument of scan as a list."""
    if isinstance(given, (list, tuple)):
        return list(given)
    return [None] if given is None else [given]


class _Arguments:
    """The arguments of a loop with variables for arrays, of known lengths or not."""

    def __init__(
        self, sequences: list[Any], infos: list[Any], others: list[Any], *, known: bool
    ) -> None:
        self.values: dict[Variable, np.ndarray] = {}
        self._known = known
        self.sequences = [self._symbol(s, has_time=True) for s in sequences]
        self.infos = [self._symbol(i, has_time=isinstance(i, dict)) for i in infos]
        self.others = [self._symbol(x, has_time=False) for x in others]
        self.floats = [v for v in self.values if is_float(v.dtype)]

    def _symbol(self, given: Any, *, has_time: bool) -> Any:
        """The argument with variables for arrays."""
        if isinstance(given, dict):
            return {
                k: v if k == "taps" else self._symbol(v, has_time=True) for k, v in given.items()
            }
        if given is None or isinstance(given, Variable):
            return given
        array = np.asarray(given)
        shape: list[int | None] = list(array.shape)
        if has_time and not self._known:
            shape[0] = None
        symbol = tensor(f"argument_{len(self.values)}", shape, array.dtype)
        self.values[symbol] = array
        return symbol

    def call(self, function: Callable[..., Any], step: Any, options: dict[str, Any]) -> list[Any]:
        """The outputs in a list."""
        return as_list(function(step, self.sequences, self.infos, self.others, **options))


def _without_until(step: Callable[..., Any]) -> Callable[..., Any]:
    """The step, of which no condition ends the loop."""

    def plain(*arguments: Any) -> Any:
        results = step(*arguments)
        return results[0] if _ends(results) else results

    return plain


def _ends(results: Any) -> bool:
    return isinstance(results, tuple) and len(results) == 2 and isinstance(results[1], Until)


def _steps_taken(
    step: Callable[..., Any], twin: _Arguments, options: dict[str, Any]
) -> dict[str, int]:
    """The option with the number of steps after which `until` ends the loop, where it does."""
    conditions: list[Variable] = []

    def noted(*arguments: Any) -> Any:
        results = step(*arguments)
        if _ends(results):
            conditions.append(results[1].condition)
            return results[0]
        return results

    rows = twin.call(unrolled, noted, options)[0]
    if not conditions or rows.type.shape[0] == 0:
        return {}
    holds = [bool(c) for c in evaluate(conditions, _needed(conditions, twin))]
    return {"n_steps": holds.index(True) + 1 if True in holds else len(holds)}


def _needed(outputs: Sequence[Variable], arguments: _Arguments) -> dict[Variable, np.ndarray]:
    """The values of those variables that the outputs are made of."""
    below = set(ancestors(outputs))
    return {v: array for v, array in arguments.values.items() if v in below}


def _compare(
    what: str,
    loop: _Arguments,
    found: list[Variable],
    twin: _Arguments,
    expected: list[Variable],
    tolerance: float,
) -> list[np.ndarray]:
    """The values found on the reference, which the backend and the twin share."""
    results = check_backends(found, list(loop.values), list(loop.values.values()))[0]
    wanted = evaluate(expected, _needed(expected, twin))
    for i, (result, value) in enumerate(zip(results, wanted, strict=True)):
        np.testing.assert_allclose(
            result, value, rtol=tolerance, atol=tolerance, err_msg=f"{what}: number {i}"
        )
    return results


def _cost(outputs: Sequence[Variable], seed: int) -> Variable:
    """A scalar that depends on each element of each float output in a way of its own."""
    total: Variable = constant(np.float64(0))
    for output in outputs:
        if is_float(output.dtype):
            flat = cast_to(reshape(output, (-1,)), np.dtype("float64"))
            positions = cast_to(arange(shape_of(flat)[0]), np.dtype("float64"))
            weights = add(1.0, multiply(0.3, sin(add(multiply(positions, 1.7), float(seed)))))
            total = add(total, total_of(multiply(flat, add(weights, multiply(flat, 0.1)))))
    return total


def _check_differences(cost: Variable, loop: _Arguments, gradients: list[np.ndarray]) -> None:
    """An AssertionError where a gradient is no derivative along a random direction."""
    needed = _needed([cost], loop)
    function = compile(list(needed), cost, backend="numpy")
    for v, gradient in zip(loop.floats, gradients, strict=True):
        if v not in needed or v.dtype != np.float64:
            continue
        direction = np.random.default_rng(0).uniform(-1.0, 1.0, gradient.shape)

        def at(distance: float, v: Variable = v, direction: np.ndarray = direction) -> float:
            return float(function(*{**needed, v: needed[v] + distance * direction}.values()))

        expected, room = derivative(at)
        value = float(np.sum(gradient * direction))
        assert not abs(value - expected) > room, (
            f"the gradient by {v.name} is {value!r} along a direction, {expected!r} by differences"
        )
