"""Graphs with each loop replaced by its steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, overload

from ..core import provenance
from ..core.annotations import ArrayLike
from ..core.errors import ScanError, ShapeError, SymgraphTypeError
from ..core.graph import rebuild, replace
from ..core.size_differences import known_different
from ..core.values import array_for, brief
from ..core.variable import ITEM, Variable, ancestors, constant_value, node
from ..ops.create import zeros
from ..ops.gradient import stop_gradient
from ..ops.join import concatenate, stack
from ..ops.sizes import SIZE, shape_of, size_of
from ..scan.composites import open_composites
from ..scan.op import Loop, is_scan
from .values import evaluate

__all__ = ["unroll"]

Values = Mapping[Variable, ArrayLike]


@overload
def unroll(results: Variable, *, given: Values | None = None) -> Variable: ...
@overload
def unroll(results: Sequence[Variable], *, given: Values | None = None) -> list[Variable]: ...
def unroll(
    results: Variable | Sequence[Variable], *, given: Values | None = None
) -> Variable | list[Variable]:
    """The same results without loops: each step of each loop written out, those within steps too.

    ``results`` is a variable or a list. Where only data tell a number of steps, as with ``until``
    or a length that is an input's, the steps are those that are taken for the values ``given`` for
    the inputs; without them it is a `ScanError`. Gradients of what comes out are a reference for
    gradients of loops: none passes through a loop's.

    >>> x = sg.vector("x")
    >>> loop = sg.scan(lambda x_t, total: total + x_t, [x], [0.0])
    >>> sg.testing.unroll(loop, given={x: [1.0, 2.0]}).eval({x: [3.0, 4.0]})
    array([3., 7.], dtype=float32)
    """
    several = not isinstance(results, Variable)
    outputs = open_composites(_checked(results))
    _check_given({} if given is None else given)
    while any(is_scan(v) for v in ancestors(outputs)):
        outputs = _without_outer_loops(outputs, given)
    return outputs if several else outputs[0]


def _checked(results: object) -> list[Variable]:
    outputs: list[Any] = list(results) if isinstance(results, (list, tuple)) else [results]
    for each in outputs:
        if not isinstance(each, Variable):
            raise SymgraphTypeError.here(
                f"unroll takes a variable or a list of variables, not {brief(each)}"
            )
    return outputs


def _check_given(given: object) -> None:
    """Raise unless these are values for variables, of their axes and the sizes that are known."""
    if not isinstance(given, Mapping):
        raise SymgraphTypeError.here(
            f"unroll: the values given are a dict, not {brief(given)}",
            remedy="Write given={x: value}.",
        )
    for v, value in given.items():
        if not isinstance(v, Variable):
            raise SymgraphTypeError.here(
                f"unroll: values are given for variables, not for {brief(v)}",
                remedy="Write given={x: value}, with the variable x itself.",
            )
        what = f"unroll: the value given for {provenance.describe(v)}"
        shape = array_for(value, v.dtype, what).shape
        if len(shape) != v.ndim or any(map(known_different, shape, v.type.shape)):
            raise ShapeError.here(
                f"unroll: {provenance.describe(v)} is given an array of shape {shape}",
                remedy=f"Its type is {v.type}.",
            )


def _without_outer_loops(outputs: Sequence[Variable], given: Values | None) -> list[Variable]:
    """The outputs with the loops of the graph written out; steps may have loops of their own."""
    new: dict[Variable, Variable] = {}
    loops: dict[Variable, list[Variable]] = {}
    order = sorted(ancestors(outputs), key=lambda v: v.serial)
    items = [v for v in order if v.op is ITEM and is_scan(v.inputs[0])]
    for v in order:
        if v.op is ITEM and v.inputs[0] in loops:
            new[v] = loops[v.inputs[0]][v.params[0]]
            continue
        inputs = [new.get(source, source) for source in v.inputs]
        if is_scan(v):
            keeps = _has_checkpoints([x for x in items if x.inputs[0] is v])
            loops[v] = _steps_of(v, inputs, given, keeps=keeps)
        else:
            new[v] = v if inputs == list(v.inputs) else rebuild(v, inputs)
    return [new[v] for v in outputs]


def _has_checkpoints(items: Sequence[Variable]) -> bool:
    """Whether these results of a loop are checkpoints, any of them."""
    return any(x.params[0] >= len(Loop(x.inputs[0]).results) for x in items)


def _steps_of(
    scan: Variable, inputs: Sequence[Variable], given: Values | None, *, keeps: bool
) -> list[Variable]:
    """The results of a loop with these inputs: buffers of states and traces of plain outputs.

    And checkpoints, where it ``keeps`` them.
    """
    loop, layout = Loop(scan), scan.params[1]
    initials = layout.parts(inputs).initials
    n = max(int(_known(scan, layout.parts(inputs).n_steps, given)), 0)
    if layout.until and n:
        conditions = _written_out(loop, inputs, n).conditions
        n = next((t for t, c in enumerate(conditions, 1) if _known(scan, c, given)), n)
    written = _written_out(loop, inputs, n)
    depths = [state.depth for state in loop.states]
    parts = list(zip(initials, written.states, depths, strict=True))
    buffers = [concatenate([x, stack(s[k:], axis=0)], axis=0) if n else x for x, s, k in parts]
    traces = [stack(values, axis=0)[:n] for values in written.plain]
    interval = layout.parts(inputs).interval
    if interval is None or not keeps:
        return [*buffers, *traces]
    every = int(_known(scan, node(SIZE, (interval,), (0,)), given))
    starts = range(0, n + 1 if layout.ends_at_checkpoint else max(n, 1), every)
    checkpoints = [
        stack([stack(s[t : t + k], axis=0) for t in starts], axis=0) for _, s, k in parts
    ]
    return [*buffers, *traces, *checkpoints]


class _Written(NamedTuple):
    """The values of a loop's steps."""

    states: list[list[Variable]]
    """For each state its initial values, then a new one for each step."""
    plain: list[list[Variable]]
    """For each plain output a value for each step; where there are no steps, one for its type."""
    conditions: list[Variable]


def _written_out(loop: Loop, inputs: Sequence[Variable], n: int) -> _Written:
    """The steps of a loop one after the other; the gradient goes back the last ones alone, where
    that is truncated."""
    layout = loop.layout
    _, sequences, initials, fixed, *_ = layout.parts(inputs)
    depths = [state.depth for state in loop.states]
    states = [[x[i] for i in range(k)] for x, k in zip(initials, depths, strict=True)]
    written = _Written(states, [[] for _ in loop.outputs], [])
    for t in range(max(n, 1)):
        rows = [
            x[t + offset] if n else zeros(shape_of(x)[1:], x.dtype)
            for x, reads in zip(sequences, loop.reads_by_sequence, strict=True)
            for _, offset, _ in reads
        ]
        past = [s[tap] for s, state in zip(states, loop.states, strict=True) for tap in state.taps]
        operands = dict(zip(loop.body.inputs, [*rows, *past, *fixed], strict=True))
        results = replace(loop.body.outputs, operands)
        if layout.until:
            written.conditions.append(results.pop())
        if layout.truncate is not None and t < n - layout.truncate:
            results = [stop_gradient(r) for r in results]
        for values, result in zip([*states, *written.plain], results, strict=True):
            values.append(result)
    return written


def _known(scan: Variable, v: Variable, given: Values | None) -> Any:
    """The value of a number of steps or of a condition; a ScanError where only data tell it."""
    value = constant_value(v)
    size = size_of(v) if value is None and v.dtype.kind == "i" else None
    if value is not None:
        return value
    if isinstance(size, int):
        return size
    if given is not None:
        below = set(ancestors([v]))
        return evaluate(v, {x: value for x, value in given.items() if x in below})
    raise ScanError.here(
        f"unroll: the number of steps of {provenance.describe(scan)} is not known "
        "when the graph is built",
        remedy="Say for what values of the inputs to write the steps out: given={x: array}. Or "
        "give its sequences fixed lengths or n_steps a number, and leave until out.",
    )
