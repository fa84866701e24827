"""``variable.eval({input: value})``: a quick look at a value, attached to Variable here."""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np

from ..backends.base import Backend, executable_of, load_backend
from ..core.annotations import ArrayLike
from ..core.errors import SymgraphError, SymgraphTypeError
from ..core.graph import Graph
from ..core.origins import call_within
from ..core.shared import SharedVariable
from ..core.variable import Variable
from .origins import origins_of
from .pipeline import rewrite
from .program import Program, make_program
from .rounding import Run
from .signature import Signature
from .sizes_of_steps import WithAgreeingSizes
from .state import SharedState

__all__ = ["evaluate"]


class _Evaluation:
    """A variable compiled for some inputs.

    It holds nothing that would keep the variable alive, unless errors are to tell names and lines.
    """

    def __init__(self, program: Program, backend: Backend, *, with_names: bool = False) -> None:
        built = program.graph if with_names else program.graph.canonical()
        self._origins = origins_of(built)
        prepare = partial(self._prepare, built, backend)
        self._run = prepare(of_steps=True)
        if built.inputs:  # else it may be the graph of the variable itself
            self._run = WithAgreeingSizes(built, self._run, partial(prepare, of_steps=False))
        self._origins.complete()
        self.backend = backend
        self._signature = Signature(program.parameters, "eval")
        # A shared variable may be what is evaluated.
        self._read = [weakref.ref(v) for v in program.shared]
        self._updated = [weakref.ref(v) for v in program.updates]

    def _prepare(self, built: Graph, backend: Backend, *, of_steps: bool) -> Run:
        def prepare() -> Run:
            return executable_of(backend, rewrite(built, backend, of_steps=of_steps)[0])

        return call_within(self._origins, prepare)

    def __call__(self, values: list[Any]) -> Any:
        arrays = self._signature.arrays(values, {})
        state = SharedState(_alive(self._read), _alive(self._updated))
        (result,) = call_within(self._origins, lambda: state.call(self._run, arrays))
        return result if result.ndim else result[()]


def _alive(references: list[weakref.ref[SharedVariable]]) -> list[SharedVariable]:
    return [v for v in (reference() for reference in references) if v is not None]


# For each variable the evaluations by the backend, which each keeps alive, and the serials of their
# inputs.
_evaluations: weakref.WeakKeyDictionary[Variable, dict[tuple[int, ...], _Evaluation]] = (
    weakref.WeakKeyDictionary()
)


def evaluate(
    self: Variable,
    inputs: Mapping[Variable, ArrayLike] | None = None,
    *,
    backend: str | Backend = "native",
) -> np.ndarray:
    """The variable's value for these values of its inputs: an array, or a NumPy scalar.

    It is compiled once for each backend (a name or an object, as `compile` takes it) and kept with
    the variable. What it reads of shared variables are their present values; random streams
    advance. An input that is missing or not needed is an `InputError`; values that do not fit are a
    `ShapeError` or a `DtypeError`.

    >>> x = sg.vector("x")
    >>> (2 * x).eval({x: [1.0, 2.0]})
    array([2., 4.], dtype=float32)
    """
    if inputs is None:
        inputs = {}
    if not isinstance(inputs, Mapping) or not all(isinstance(v, Variable) for v in inputs):
        raise SymgraphTypeError.here(
            f"eval takes a dict from variables to values, not {inputs!r}",
            remedy="Write y.eval({x: value}).",
        )
    runner = load_backend(backend)
    key = (id(runner), *(v.serial for v in inputs))
    evaluations = _evaluations.setdefault(self, {})
    evaluation = evaluations.get(key)
    if evaluation is None:
        evaluation = evaluations[key] = _Evaluation(make_program(list(inputs), self), runner)
    values = list(inputs.values())
    with contextlib.suppress(SymgraphError):
        return evaluation(values)
    # It failed, and has numbers in place of names: the same once more, for a better message.
    return _Evaluation(make_program(list(inputs), self), runner, with_names=True)(values)


Variable.eval = evaluate
