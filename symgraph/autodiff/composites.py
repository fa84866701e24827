"""Derivatives of composites: those of the expressions that they stand for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..core.variable import CONSTANT, Variable
from ..ops.composite import COMPOSITE, body_of, opened
from ..ops.elementwise import add
from .flow import find_path, is_differentiable
from .reverse import pull_back

__all__: list[str] = []


def _vjp_composite(composite: Variable, cotangent: Any) -> Sequence[Variable | None]:
    results = opened(composite)
    cotangents = [cotangent] if len(results) == 1 else cotangent
    seeds: dict[Variable, Variable] = {}
    for result, ct in zip(results, cotangents, strict=True):
        if ct is not None and is_differentiable(result.type):
            seeds[result] = add(seeds[result], ct) if result in seeds else ct
    wrt = [x for x in dict.fromkeys(composite.inputs) if _may_have_cotangent(x)]
    # An input may be made of another one: what it hands on is for the walk outside to say.
    found = dict(zip(wrt, pull_back(seeds, wrt, stop=composite.inputs), strict=True))
    return [found.pop(x, None) for x in composite.inputs]


def _may_have_cotangent(x: Variable) -> bool:
    return x.op is not CONSTANT and is_differentiable(x.type)


def _step_inputs(composite: Variable, result: int) -> set[Variable]:
    """The inputs from which a result is made without a path's being cut for good."""
    body = body_of(composite)
    paths = {
        x: find_path([body.outputs[result]], symbol)
        for x, symbol in zip(composite.inputs, body.inputs, strict=True)
    }
    return {x for x, path in paths.items() if path and (path.is_zero or not path.cuts)}


COMPOSITE.attach(vjp=_vjp_composite, step_inputs=_step_inputs)
