"""Functions of symgraph that are no ops, found again in what they build: ``pad``, ``conv2d``, …"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from ...core.errors import SymgraphError
from ...core.variable import Variable
from ...ops.conv import conv1d, conv2d
from ...ops.join import CONCATENATE
from ...ops.linalg import MATMUL
from ...ops.windows import WINDOWS
from .arguments import as_written
from .chains import number_of, plain
from .instances import Pattern
from .text import public_function

__all__ = ["Call", "FindCall", "finder_of"]


class Call(NamedTuple):
    """A call of a function: its variables, in order, and its other arguments by name."""

    inputs: Sequence[Variable]
    arguments: Mapping[str, Any]

    def for_rule(self, rule: Callable[..., Any], function: Callable[..., Any]) -> Call:
        """The call without arguments that the rule does not take, where these are the defaults."""
        takes = _parameters_of(rule)
        defaults = {p.name: p.default for p in _parameters_of(function).values()}
        if any(p.kind is p.VAR_KEYWORD for p in takes.values()):
            return self
        kept = {
            name: value
            for name, value in self.arguments.items()
            if name in takes or value != defaults.get(name, inspect.Parameter.empty)
        }
        return Call(self.inputs, kept)


def _parameters_of(function: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    try:
        return inspect.signature(function).parameters
    except (TypeError, ValueError):  # a builtin that does not tell
        return {}


FindCall = Callable[[Variable], Call | None]
"""The call of a function that gives a variable; None where it is no result of the function."""


def finder_of(name: str) -> FindCall | None:
    """How calls of a public function are found; None where there is no such function of arrays."""
    if name in _FINDERS:
        return _FINDERS[name]
    function = public_function(name)
    if function is None:
        return None
    if name not in _patterns:
        _patterns[name] = _pattern_of(name, function)
    pattern = _patterns[name]

    def find(v: Variable) -> Call | None:
        found = pattern.find(v)
        return found and Call([found.variables[hole] for hole in pattern.holes], found.parameters)

    return find


_patterns: dict[str, Pattern] = {}


def _pattern_of(name: str, function: Callable[..., Any]) -> Pattern:
    parameters = inspect.signature(function).parameters.values()
    holes = tuple(p.name for p in parameters if p.default is p.empty)
    defaults = {p.name: p.default for p in parameters if p.default is not p.empty}
    return Pattern(name, function, holes, tuple(defaults), defaults=defaults)


# --- functions of arguments that shapes tell -----------------------------------------------------


def _find_pad(v: Variable) -> Call | None:
    """``pad`` with one number: an axis after the other has been joined with it."""
    widths = [(0, 0)] * (v.ndim if not _is_tuple(v) else 0)
    base, filler = v, None
    while base.op is CONCATENATE:
        (axis,) = base.params
        margins = _margins_of([plain(x) for x in base.inputs], axis)
        if margins is None or widths[axis] != (0, 0):
            break
        base_of, width, number = margins
        if filler is not None and number != filler:
            break
        base, filler, widths[axis] = base_of, number, width
    if filler is None:
        return None
    number = as_written(filler, v.dtype)
    return Call([base], {"widths": tuple(widths), "mode": "constant", "constant_values": number})


def _is_tuple(v: Variable) -> bool:
    return not hasattr(v.type, "shape")


def _margins_of(
    parts: Sequence[Variable], axis: int
) -> tuple[Variable, tuple[int, int], float] | None:
    """What is joined with a number on one side or both; how far; and the number."""
    numbers = [number_of(x) for x in parts]
    others = [i for i, number in enumerate(numbers) if number is None]
    if len(others) != 1 or not 2 <= len(parts) <= 3:
        return None
    (middle,) = others
    fillers = {number for number in numbers if number is not None}
    sides = [parts[:middle], parts[middle + 1 :]]
    if len(fillers) != 1 or any(len(side) > 1 for side in sides):
        return None
    sizes = [side[0].type.shape[axis] if side else 0 for side in sides]
    if not all(isinstance(size, int) for size in sizes):
        return None
    return parts[middle], (sizes[0], sizes[1]), fillers.pop()


def _find_convolution(v: Variable, n: int) -> Call | None:
    """``conv1d`` or ``conv2d``: what builds the very same variable."""
    product = _below(v, MATMUL)
    if product is None:
        return None
    windows: list[Variable] = []
    x = _below(product.inputs[0], WINDOWS)
    while x is not None and x.op is WINDOWS:
        windows.append(x)
        x = plain(x.inputs[0])
    if len(windows) != n or x is None:
        return None
    windows.reverse()
    arguments: dict[str, Any] = {
        "stride": _shortened([w.params[2] for w in windows]),
        "padding": "valid",
        "dilation": _shortened([w.params[3] for w in windows]),
    }
    for filters in _below_reshapes(product.inputs[1]):
        if filters.ndim == n + 2:
            valid = Call([x, filters], {**arguments, "groups": _groups(x, filters)})
            # What is padded in another way than by `pad` is an input like any other.
            for call in (_padded(valid), valid):
                if _builds(v, call, n):
                    return call
    return None


def _padded(call: Call) -> Call:
    """The call with its padding, where its first input is padded with zeros."""
    padded = _find_pad(call.inputs[0])
    if padded is None or padded.arguments["constant_values"] != 0:
        return call
    first, *widths, last = padded.arguments["widths"]
    if first != (0, 0) or last != (0, 0):
        return call
    inputs = [padded.inputs[0], call.inputs[1]]
    return Call(inputs, {**call.arguments, "padding": tuple(widths)})


def _builds(v: Variable, call: Call, n: int) -> bool:
    try:
        return (conv1d if n == 1 else conv2d)(*call.inputs, **call.arguments) is v
    except SymgraphError:
        return False


def _shortened(numbers: Sequence[int]) -> int | tuple[int, ...]:
    """One number where all are the same."""
    return numbers[0] if len(set(numbers)) == 1 else tuple(numbers)


def _groups(x: Variable, filters: Variable) -> int:
    channels, inner = x.type.shape[-1], filters.type.shape[-2]
    return (
        channels // inner if isinstance(channels, int) and isinstance(inner, int) and inner else 1
    )


def _below(v: Variable, op: Any) -> Variable | None:
    """The first variable of the op under what only moves elements."""
    v = plain(v)
    while v.op is not op and v.op.kind == "movement" and v.inputs:
        v = plain(v.inputs[0])
    return v if v.op is op else None


def _below_reshapes(v: Variable) -> Iterator[Variable]:
    """The variable, and whatever it is a reshaped form of: filters may be transposed ones."""
    yield (v := plain(v))
    while v.op.name in ("reshape", "rearrange"):
        yield (v := plain(v.inputs[0]))


_FINDERS: dict[str, FindCall] = {
    "pad": _find_pad,
    "conv1d": lambda v: _find_convolution(v, 1),
    "conv2d": lambda v: _find_convolution(v, 2),
}
