"""Forward mode: derivatives along a direction.

The cotangents that reverse mode computes are linear in those it starts from, and the transposed of
that linear map is forward mode. So a ``vjp`` rule for each op is enough, loops included.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import overload

from ..core.annotations import ArrayLike
from ..core.graph import replace
from ..core.variable import Variable, ancestors, make_input
from ..ops.elementwise import add
from .arguments import Arrays, Variables, fit_all, float_variables
from .reverse import grad, pull_back, zeros_for

__all__ = ["hessian_vector_product", "jvp"]


@overload
def jvp(
    outputs: Variable,
    inputs: Variables,
    tangents: Arrays,
) -> Variable: ...
@overload
def jvp(
    outputs: Sequence[Variable],
    inputs: Variables,
    tangents: Arrays,
) -> list[Variable]: ...
def jvp(
    outputs: Variables,
    inputs: Variables,
    tangents: Arrays,
) -> Variable | list[Variable]:
    """The tangents of the outputs for those of the inputs (the Jacobian times them).

    One variable or a list, on either side; a tangent has the shape of its input, else it is a
    `ShapeError`. Outputs that depend on no input get zeros; integers are a `GradientError`.

    >>> x = sg.vector("x", dtype="float64")
    >>> sg.jvp(x.sum() ** 2, x, np.array([1.0, 0.0])).eval({x: [1.0, 3.0]})
    np.float64(8.0)
    """
    ends, several = float_variables(outputs, "jvp", "outputs")
    starts, _ = float_variables(inputs, "jvp", "inputs")
    given = fit_all(tangents, starts, "jvp", "tangent")
    # The map from cotangents of the outputs to cotangents of the inputs, and its transposed.
    probes = {v: make_input(v.type) for v in ends}
    seeds: dict[Variable, Variable] = {}
    for pulled, tangent in zip(pull_back(probes, starts), given, strict=True):
        if pulled is not None:
            seeds[pulled] = add(seeds[pulled], tangent) if pulled in seeds else tangent
    found = dict(zip(probes, pull_back(seeds, list(probes.values())), strict=True))
    results = [zeros_for(v) if (t := found[v]) is None else t for v in ends]
    results = _without_probes(results, probes)
    return results if several else results[0]


def _without_probes(
    results: Sequence[Variable], probes: dict[Variable, Variable]
) -> list[Variable]:
    """The results with zeros for the probes: being linear in them, a derivative holds none."""
    left = set(probes.values()).intersection(ancestors(results))
    zeros = {probe: zeros_for(v) for v, probe in probes.items() if probe in left}
    return replace(results, zeros, keep_lines=True) if zeros else list(results)


@overload
def hessian_vector_product(cost: Variable, x: Variable, v: ArrayLike) -> Variable: ...
@overload
def hessian_vector_product(
    cost: Variable, x: Sequence[Variable], v: Sequence[ArrayLike]
) -> list[Variable]: ...
def hessian_vector_product(cost: Variable, x: Variables, v: Arrays) -> Variable | list[Variable]:
    """The second derivative of a float scalar by ``x``, times ``v``, without the matrix.

    For a list ``x``, a list ``v`` of as many directions, each of its variable's shape; the result
    counts the mixed derivatives. Raises what `grad` and `vjp` do.

    >>> x = sg.vector("x", dtype="float64")
    >>> direction = np.array([1.0, 0.0])
    >>> sg.hessian_vector_product((x**3).sum(), x, direction).eval({x: [1.0, 3.0]})
    array([6., 0.])
    """
    wanted, several = float_variables(x, "hessian_vector_product", "x")
    directions = fit_all(v, wanted, "hessian_vector_product", "direction")
    seeds: dict[Variable, Variable] = {}
    # The Hessian is symmetric: the cotangents of the gradient are the product.
    for gradient, direction in zip(grad(cost, wanted), directions, strict=True):
        seeds[gradient] = add(seeds[gradient], direction) if gradient in seeds else direction
    found = pull_back(seeds, wanted)
    results = [zeros_for(x) if p is None else p for x, p in zip(wanted, found, strict=True)]
    return results if several else results[0]
