"""Reverse mode: the derivatives of expressions, as expressions.

Cotangents flow from the outputs back to the inputs, by descending serial, and each op's ``vjp``
hands its own on to its inputs. The cotangent of a variable is the sum over *all* its users among
the outputs' ancestors, whichever variables were asked for: separate `grad` calls of one cost build
the same nodes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from operator import attrgetter
from typing import Any, Literal, overload

import numpy as np

from ..core import provenance
from ..core.annotations import ArrayLike
from ..core.errors import (
    DisconnectedError,
    GradientError,
    GraphError,
    ShapeError,
    SymgraphTypeError,
    SymgraphValueError,
    explain,
)
from ..core.graph import replace
from ..core.variable import CONSTANT, ITEM, Variable, make_constant, make_input
from ..ops.broadcast import broadcast_to
from ..ops.elementwise import add
from ..ops.promotion import cast_to
from ..ops.sizes import shape_of
from .arguments import Arrays, Variables, fit, fit_all, fit_sizes, float_variables, variables
from .explain import Explanation
from .flow import carries_gradient, is_differentiable
from .places import cotangents_at_place
from .rows import buffers_of, cotangent_of_rows

__all__ = ["check_policy", "grad", "pull_back", "refuse_disconnected", "vjp", "zeros_for"]

_POLICIES = ("raise", "zero")


@overload
def grad(
    cost: Variable | None,
    wrt: Variable,
    *,
    known_grads: Mapping[Variable, ArrayLike] | None = None,
    stop: Iterable[Variable] = (),
    disconnected: Literal["raise", "zero"] = "raise",
) -> Variable: ...
@overload
def grad(
    cost: Variable | None,
    wrt: Sequence[Variable],
    *,
    known_grads: Mapping[Variable, ArrayLike] | None = None,
    stop: Iterable[Variable] = (),
    disconnected: Literal["raise", "zero"] = "raise",
) -> list[Variable]: ...
def grad(
    cost: Variable | None,
    wrt: Variables,
    *,
    known_grads: Mapping[Variable, ArrayLike] | None = None,
    stop: Iterable[Variable] = (),
    disconnected: Literal["raise", "zero"] = "raise",
) -> Variable | list[Variable]:
    """The gradient of a float scalar by ``wrt``: a variable, or a list for a list.

    ``wrt`` may be any variables that the cost is made of; each gradient has its variable's dtype
    and shape. By a loop's states, or some rows of them, it is as in a loop of Python's: the later
    steps that read a state count, unless ``stop`` holds the states. ``known_grads`` maps variables
    to gradients that are known already: they take the place of what would come from the cost, which
    may then be None; that of a loop's states is what comes from outside of the loop, which goes on
    from it by itself: ``grad(cost, states, stop=[states])``. Nothing flows through the variables in
    ``stop`` to what they are made of; by themselves there is a gradient, as with Theano's
    ``consider_constant``. Where the cost does not depend on a variable the gradient is a
    `DisconnectedError`, or zeros with ``disconnected="zero"``. The gradient by an integer is a
    `GradientError`, a cost with axes a `ShapeError`.

    >>> x = sg.vector("x")
    >>> sg.grad((x**2).sum(), x).eval({x: [1.0, 3.0]})
    array([2., 6.], dtype=float32)
    """
    check_policy(disconnected, "grad")
    wanted, several = float_variables(wrt, "grad", "wrt")
    known = _known_gradients(known_grads)
    stopped = variables(stop, "grad", "stop")[0]
    seeds = _seeds(cost, known)
    found = pull_back(seeds, wanted, known=known, stop=stopped)
    sources = (*seeds, *known)
    gradients = []
    for v, gradient in zip(wanted, found, strict=True):
        if gradient is None:
            if disconnected == "raise":
                refuse_disconnected(sources, v, stopped)
            gradient = zeros_for(v)
        gradients.append(gradient)
    return gradients if several else gradients[0]


@overload
def vjp(
    outputs: Variables,
    inputs: Variable,
    cotangents: Arrays,
) -> Variable: ...
@overload
def vjp(
    outputs: Variables,
    inputs: Sequence[Variable],
    cotangents: Arrays,
) -> list[Variable]: ...
def vjp(
    outputs: Variables,
    inputs: Variables,
    cotangents: Arrays,
) -> Variable | list[Variable]:
    """The cotangents of the inputs for the outputs' (the transposed Jacobian times them).

    One variable or a list, on either side; a cotangent has the shape of its output, else it is a
    `ShapeError`. Inputs on which no output depends get zeros; integers are a `GradientError`.

    >>> x = sg.vector("x", dtype="float64")
    >>> sg.vjp(x**2, x, np.array([1.0, 10.0])).eval({x: [1.0, 3.0]})
    array([ 2., 60.])
    """
    ends, _ = float_variables(outputs, "vjp", "outputs")
    wanted, several = float_variables(inputs, "vjp", "inputs")
    seeds: dict[Variable, Variable] = {}
    given = fit_all(cotangents, ends, "vjp", "cotangent")
    for output, cotangent in zip(ends, given, strict=True):
        seeds[output] = add(seeds[output], cotangent) if output in seeds else cotangent
    found = pull_back(seeds, wanted)
    results = [zeros_for(v) if g is None else g for v, g in zip(wanted, found, strict=True)]
    return results if several else results[0]


def pull_back(
    seeds: Mapping[Variable, Variable],
    wrt: Sequence[Variable],
    *,
    known: Mapping[Variable, Variable] | None = None,
    stop: Iterable[Variable] = (),
) -> list[Variable | None]:
    """For each of ``wrt`` the cotangent that the seeds' amount to; None where there is none.

    ``seeds`` maps variables to cotangents of their exact types, which are added to what arrives
    from users; ``known`` ones replace it. Those in ``stop`` hand nothing on. The later steps of a
    loop are users of its states, where these are not stopped. Each result has exactly its
    variable's type.
    """
    known = known or {}
    if any(v.op is CONSTANT for v in wrt):
        return _pull_back_to_constants(seeds, wrt, known, tuple(stop))
    stopped = set(stop)
    cotangents: dict[Variable, Any] = {**seeds, **known}
    buffers = buffers_of(wrt, {*stopped, *known})
    ends = [*wrt, *(buffer.inputs[0] for buffer in buffers.values())]
    order = _between(cotangents, ends, stopped)
    relevant = set(order)
    hands_on_lines = provenance.hands_on_lines()
    for v in reversed(order):
        cotangent = cotangents.get(v)
        if cotangent is None or v in stopped or relevant.isdisjoint(v.inputs):
            continue
        if v.op is ITEM:
            _collect(cotangents, v, cotangent)
            continue
        if v.op.vjp is None:
            continue
        if hands_on_lines:
            provenance.derive_from(v)
        arriving = _arriving(v, cotangent, relevant)
        for source, ct in zip(v.inputs, arriving, strict=True):
            if ct is None or source not in relevant or source in known:
                continue
            if ct.type is not source.type:
                ct = _fit_cotangent(ct, source, v)
            present = cotangents.get(source)
            cotangents[source] = ct if present is None else add(present, ct)
    return [
        cotangent_of_rows(v, buffers[v], cotangents) if v in buffers else cotangents.get(v)
        for v in wrt
    ]


def _arriving(v: Variable, cotangent: Any, relevant: set[Variable]) -> Sequence[Variable | None]:
    """What the cotangent of an op, or those of its results, amounts to for its operands."""
    assert v.op.vjp is not None
    if type(cotangent) is list:
        return v.op.vjp(v, tuple(cotangent))
    at_place = cotangents_at_place(v, cotangent, relevant, pull_back)
    return v.op.vjp(v, cotangent) if at_place is None else at_place


def _pull_back_to_constants(
    seeds: Mapping[Variable, Variable],
    wrt: Sequence[Variable],
    known: Mapping[Variable, Variable],
    stop: Sequence[Variable],
) -> list[Variable | None]:
    """`pull_back` where ops give no cotangent: to constants, for which inputs stand in."""
    inputs = {v: make_input(v.type) for v in wrt if v.op is CONSTANT}
    variables = (*seeds, *known, *stop, *wrt)
    new = dict(zip(variables, replace(variables, inputs), strict=True))
    found = pull_back(
        {new[v]: ct for v, ct in seeds.items()},
        [new[v] for v in wrt],
        known={new[v]: ct for v, ct in known.items()},
        stop=[new[v] for v in stop],
    )
    present = [ct for ct in found if ct is not None]
    constants = {stand_in: v for v, stand_in in inputs.items()}
    results = iter(replace(present, constants))
    return [None if ct is None else next(results) for ct in found]


def zeros_for(variable: Variable) -> Variable:
    """Zeros of the variable's type."""
    zero = make_constant(np.zeros((), variable.dtype))
    return broadcast_to(zero, shape_of(variable))


def _between(
    starts: Iterable[Variable], ends: Iterable[Variable], stopped: set[Variable]
) -> list[Variable]:
    """The variables on differentiable paths from starts back to ends, inputs before users."""
    seen = set(starts)
    stack = list(seen)
    while stack:
        v = stack.pop()
        if v in stopped or not carries_gradient(v):
            continue
        for source in v.inputs:
            if source not in seen and is_differentiable(source.type):
                seen.add(source)
                stack.append(source)
    ends = set(ends)
    below: set[Variable] = set()
    order = []
    for v in sorted(seen, key=attrgetter("serial")):
        reaches = v not in stopped and not below.isdisjoint(v.inputs) and carries_gradient(v)
        if reaches or v in ends:
            below.add(v)
            order.append(v)
    return order


def _collect(cotangents: dict[Variable, Any], result: Variable, cotangent: Variable) -> None:
    """Note the cotangent of one result of an op with several."""
    (source,) = result.inputs
    gathered = cotangents.setdefault(source, [None] * len(source.type.items))
    gathered[result.params[0]] = cotangent


def _fit_cotangent(cotangent: Variable, source: Variable, user: Variable) -> Variable:
    """The cotangent with the exact type of the variable that it belongs to."""
    if cotangent.ndim != source.ndim:
        raise GraphError(
            f"the vjp of {user.op.name} gives {cotangent.type} for an input of type {source.type}"
        )
    context = f"the gradient of {user.op.name}"
    return fit_sizes(cast_to(cotangent, source.dtype), source, context)


# --- what the user gives ------------------------------------------------------------------------


def _seeds(cost: Variable | None, known: Mapping[Variable, Variable]) -> dict[Variable, Variable]:
    """The cotangent of the cost: one."""
    if cost is None:
        if known:
            return {}
        raise GradientError.here(
            "grad: there is neither a cost nor a known gradient",
            remedy="Give a scalar cost, or known_grads.",
        )
    float_variables([cost], "grad", "the cost")
    if cost.ndim:
        raise ShapeError.here(
            f"grad: the cost must be a scalar; found {provenance.describe(cost)}",
            remedy="Take its sum or mean; or use sg.vjp or sg.jacobian.",
        )
    return {cost: make_constant(np.ones((), cost.dtype))}


def _known_gradients(given: Mapping[Variable, Any] | None) -> dict[Variable, Variable]:
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise SymgraphTypeError.here(
            f"grad: known_grads maps variables to gradients; found {given!r}"
        )
    keys, _ = float_variables(list(given), "grad", "known_grads")
    return {v: fit(given[v], v, "grad", "known gradient") for v in keys}


def check_policy(disconnected: str, function: str) -> None:
    """Refuse a policy for disconnected variables that there is not."""
    if disconnected not in _POLICIES:
        raise SymgraphValueError.here(
            f"{function}: disconnected is 'raise' or 'zero', not {disconnected!r}"
        )


def refuse_disconnected(
    sources: Sequence[Variable],
    v: Variable,
    stop: Sequence[Variable] = (),
    function: str = "grad",
) -> None:
    """Raise the error that says where the gradient is cut; not where it is zero, not missing."""
    explanation = Explanation(sources, v, stop)
    if explanation.is_zero:
        return
    raise DisconnectedError(
        explain(
            f"{function}: no gradient reaches {provenance.describe(v)}: {explanation.reason}",
            line=(explanation.line if explanation.cut is not None else None)
            or provenance.user_line(),
            remedy='Leave it out of wrt, or use disconnected="zero"; sg.explain_grad shows more.',
        )
    )
