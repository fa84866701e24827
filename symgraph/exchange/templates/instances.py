"""Patterns as graphs. A pattern is a function of its holes, whose types a match has to tell.

So a pattern is built more than once. A *sketch* of it, for holes of a dtype and number of axes that
are guessed, is held against the graph first, and not too closely. What its holes turn out to be
tells their types; built for these, and for arguments such as axes that are found in the graph, the
pattern has to be the same as the graph.
"""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from ...core import provenance
from ...core.dims import fresh_size
from ...core.errors import ExchangeError, SymgraphError, SymgraphValueError
from ...core.op import Op
from ...core.size_differences import known_different
from ...core.types import TensorType, TupleType, tensor_type
from ...core.variable import CONSTANT, Variable, ancestors, make_input
from ...ops.promotion import CAST, as_variable
from ...ops.special_functions import ERF
from .arguments import values_between
from .chains import is_chain_op
from .matching import Form, Match, matches
from .text import parse_formula

__all__ = ["Found", "Pattern", "as_pattern"]

_FLOAT32 = np.dtype("float32")
_MOST_AXES = 5
# How many ways of a sketch are looked at more closely, and how many arguments are tried.
_SKETCHED, _TRIED = 16, 400
# How many graphs of one pattern are kept.
_KEPT = 2000
# What arguments are, where any will do.
_ANY: tuple[Any, ...] = (0, -1, 1, True, 2, 1.0, (0,), (0, 1), None)
_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
FindWays: TypeAlias = Callable[[Form], Iterator[Match]]


@dataclass(frozen=True)
class Found:
    """A place where a pattern is: what its holes and arguments are there, by name."""

    variables: Mapping[str, Variable]
    parameters: Mapping[str, Any]
    rest: Variable | None
    """What is added to the pattern there, or what it is multiplied by."""


@dataclass
class Pattern:
    """A function of holes, and its graphs for holes of several types."""

    text: str
    """How messages speak of it."""
    function: Callable[..., Any]
    holes: tuple[str, ...]
    parameters: tuple[str, ...]
    """The arguments that are no variables, and are found out."""
    types: Mapping[str, TensorType] = field(default_factory=dict)
    """Those of holes that are given."""
    defaults: Mapping[str, Any] = field(default_factory=dict)
    """What arguments may be, besides what is found in the graph."""
    _forms: dict[tuple[Any, ...], Form | SymgraphError] = field(default_factory=dict)
    _listed: dict[tuple[Any, ...], list[Form]] = field(default_factory=dict)

    def find(
        self, target: Variable, *, with_rest: bool = False, atoms: Collection[Variable] = ()
    ) -> Found | None:
        """The pattern as the target; None if it is not.

        ``with_rest``: as some of its terms or factors instead. ``atoms``: sums and products that
        are not to be taken apart.
        """
        if isinstance(target.type, TupleType):
            return None

        def find_ways(form: Form) -> Iterator[Match]:
            ways = matches(form, target, with_rest=with_rest, atoms=atoms)
            return itertools.islice(ways, _SKETCHED)

        finds = (self._find_by(sketch, target, find_ways) for sketch in self._sketches(target))
        return next((found for found in finds if found is not None), None)

    def check(self) -> None:
        """Raise an error where the pattern is for no holes at all."""
        failure: SymgraphError | None = None
        for dtype in ("float32", "int64", "bool"):
            for n_axes in range(_MOST_AXES):
                form = self._any_form(np.dtype(dtype), n_axes)
                if isinstance(form, Form):
                    return
                if failure is None or isinstance(form, ExchangeError):
                    failure = form
        if isinstance(failure, ExchangeError):
            raise failure
        raise ExchangeError.here(
            f"the template {self.text} cannot be built on holes of any number of axes: {failure}",
            remedy="A hole that has to be of some type gets it as its default: "
            'def pattern(x, filters=sg.tensor("filters", (3, 3, 8, 8))).',
        )

    # --- graphs of the pattern ------------------------------------------------------------------

    def needed_ops(self) -> frozenset[Op]:
        """The ops that are in every graph of which the pattern is a part."""
        forms = [
            f for n in range(_MOST_AXES + 1) if isinstance(f := self._any_form(_FLOAT32, n), Form)
        ]
        ops = [{v.op for v in ancestors([form.root]) if _is_telling(v)} for form in forms]
        return frozenset(set.intersection(*ops)) if ops else frozenset()

    def _sketches(self, target: Variable) -> list[Form]:
        """The pattern for holes of guessed types, the likeliest first."""
        key = (target.dtype, target.ndim)
        if key not in self._listed:
            self._listed[key] = list(self._guessed(*key))
        return self._listed[key]

    def _guessed(self, target: np.dtype, n_target: int) -> Iterator[Form]:
        dtype = target if target.kind == "f" else _FLOAT32
        dtypes = [dtype] if dtype == target else [target, dtype]
        axes = dict.fromkeys([n_target, n_target + 1, n_target + 2, *range(1, _MOST_AXES + 1), 0])
        seen: set[tuple[Any, ...]] = set()
        for each, n_axes in itertools.product(dtypes, axes):
            form = self._any_form(each, n_axes)
            if isinstance(form, Form):
                # Most patterns are made of the same ops, however many axes there are.
                shape = tuple(v.op for v in ancestors([form.root]))
                if shape not in seen:
                    seen.add(shape)
                    yield form

    def _any_form(self, dtype: np.dtype, n_axes: int) -> Form | SymgraphError:
        """The pattern for holes of this type and any arguments with which it can be built."""
        key = ("sketch", dtype, n_axes)
        if key not in self._forms:
            # Filters and the like have to be of known sizes; which ones makes no difference yet.
            unknown = tensor_type(dtype, [fresh_size() for _ in range(n_axes)])
            guesses = [
                [self.types[name]]
                if name in self.types
                else [unknown, unknown.with_shape((3,) * n_axes)]
                for name in self.holes
            ]
            forms = (
                self._build(types, dict(zip(self.parameters, values, strict=True)), is_sketch=True)
                for values in itertools.product(*self._choices(_ANY))
                for types in itertools.product(*guesses)
            )
            tried = list(itertools.islice(_until_form(forms), _TRIED))
            self._forms[key] = tried[-1]
        return self._forms[key]

    def _form(self, types: Sequence[TensorType], parameters: Mapping[str, Any]) -> Form | None:
        """The pattern for holes of these types; None where it cannot be built."""
        key = (*types, *((type(value), repr(value)) for value in parameters.values()))
        if key not in self._forms:
            if len(self._forms) > _KEPT:  # types with unknown sizes never come again
                self._forms.clear()
            self._forms[key] = self._build(types, parameters, is_sketch=False)
        form = self._forms[key]
        return form if isinstance(form, Form) else None

    def _build(
        self, types: Sequence[TensorType], parameters: Mapping[str, Any], *, is_sketch: bool
    ) -> Form | SymgraphError:
        holes = {name: make_input(t, name) for name, t in zip(self.holes, types, strict=True)}
        try:
            with provenance.without_lines():
                root = self.function(**holes, **parameters)
        except SymgraphError as error:
            return error
        except (TypeError, ValueError, IndexError) as error:
            return SymgraphValueError(str(error))  # it is for other holes, or other arguments
        if isinstance(root, (tuple, list)) and len(root) == 1:
            root = root[0]
        if isinstance(root, (tuple, list, dict)) or root is None:
            raise ExchangeError.here(
                f"the template {self.text} gives {root!r}",
                remedy="A pattern is one expression; several results are several templates.",
            )
        root = as_variable(root, "template")
        refusal = self._refusal(root, holes)
        return refusal or Form(root, tuple(holes.values()), is_sketch)

    def _refusal(self, root: Variable, holes: Mapping[str, Variable]) -> ExchangeError | None:
        """Why this is no pattern; None where it is one."""
        below = set(ancestors([root]))
        unused = [name for name, hole in holes.items() if hole not in below]
        if unused:
            return ExchangeError.here(
                f"the template {self.text} has holes that are not in its pattern: "
                f"{', '.join(unused)}"
            )
        if root in holes.values():
            return ExchangeError.here(f"the template {self.text} would match everything")
        if root.op is CONSTANT or not below.intersection(holes.values()):
            return ExchangeError.here(f"the template {self.text} has no hole")
        return None

    # --- the search -----------------------------------------------------------------------------

    def _find_by(self, sketch: Form, target: Variable, find_ways: FindWays) -> Found | None:
        tried: set[tuple[TensorType, ...]] = set()
        for sketched in find_ways(sketch):
            # A hole may turn out to be something else than the sketch took it for.
            bound: Match | None = sketched
            form = sketch
            while bound is not None:
                types = tuple(bound.bindings[hole].type for hole in form.holes)
                if types in tried or not self._are_given(types):
                    break
                tried.add(types)
                arguments = self._arguments(target, bound)
                found = self._find_exactly(types, arguments, target, find_ways)
                if isinstance(found, Found):
                    return found
                bound, form = found if found is not None else (None, form)
        return None

    def _are_given(self, types: Sequence[TensorType]) -> bool:
        """Whether holes whose types are given may have these."""
        return all(
            name not in self.types or _fits(found, self.types[name])
            for name, found in zip(self.holes, types, strict=True)
        )

    def _find_exactly(
        self,
        types: Sequence[TensorType],
        arguments: Iterable[Mapping[str, Any]],
        target: Variable,
        find_ways: FindWays,
    ) -> Found | tuple[Match, Form] | None:
        """The pattern for these types at the target; or a match for holes of other types."""
        other: tuple[Match, Form] | None = None
        for parameters in arguments:
            form = self._form(types, parameters)
            if form is None or not _is_alike(form.root.type, target.type):
                continue
            for match in find_ways(form):
                values = [match.bindings[hole] for hole in form.holes]
                if all(v.type is t for v, t in zip(values, types, strict=True)):
                    variables = dict(zip(self.holes, values, strict=True))
                    return Found(variables, parameters, match.rest)
                other = other or (match, form)
        return other

    def _arguments(self, target: Variable, match: Match) -> Iterator[dict[str, Any]]:
        """What the arguments may be: what ops and constants between target and holes have."""
        if not self.parameters:
            yield {}
            return
        values = values_between(target, set(match.bindings.values()))
        choices = itertools.product(*self._choices(values))
        for each in itertools.islice(choices, _TRIED):
            yield dict(zip(self.parameters, each, strict=True))

    def _choices(self, values: Sequence[Any]) -> list[list[Any]]:
        """For each argument what it may be."""
        return [
            [*([self.defaults[name]] if name in self.defaults else []), *values]
            for name in self.parameters
        ]


def _is_telling(v: Variable) -> bool:
    """Whether the op is none that may have been written in another way."""
    is_plain = "leaf" in v.op.traits or v.op.kind == "movement" or v.op in (CAST, ERF)
    return not is_plain and not is_chain_op(v.op) and isinstance(v.type, TensorType)


def _until_form(
    forms: Iterable[Form | SymgraphError],
) -> Iterator[Form | SymgraphError]:
    for form in forms:
        yield form
        if isinstance(form, Form):
            return


def _fits(found: TensorType, given: TensorType) -> bool:
    """Whether a type is one of those that a given one stands for: sizes by name are any."""
    if found.dtype != given.dtype or found.ndim != given.ndim:
        return False
    sizes = zip(found.shape, given.shape, strict=True)
    return all(not isinstance(wanted, int) or size == wanted for size, wanted in sizes)


def _is_alike(a: TensorType, b: TensorType) -> bool:
    """Whether values of both types may be one."""
    if a.dtype != b.dtype or a.ndim != b.ndim:
        return False
    return not any(known_different(m, n) for m, n in zip(a.shape, b.shape, strict=True))


def as_pattern(pattern: Any) -> Pattern:
    """The pattern that a user wrote, as text or as a function of holes."""
    if isinstance(pattern, str):
        formula = parse_formula(pattern)
        return Pattern(repr(pattern), formula, formula.holes, formula.parameters)
    if not callable(pattern) or isinstance(pattern, Variable):
        raise ExchangeError.here(
            f"a pattern is text or a function of holes, not {pattern!r}",
            remedy='Write sg.template("x * sigmoid(1.702 * x)", replacement), or a function whose '
            "parameters are the holes.",
        )
    return _of_function(pattern)


def _of_function(function: Callable[..., Any]) -> Pattern:
    name = getattr(function, "__name__", repr(function))
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        raise ExchangeError.here(
            f"the parameters of {name} cannot be told, which would be the holes"
        ) from None
    holes: dict[str, TensorType | None] = {}
    arguments: list[str] = []
    for p in parameters:
        if isinstance(p.default, Variable):
            holes[p.name] = p.default.type
        elif p.default is not inspect.Parameter.empty:
            continue
        elif p.kind in _POSITIONAL:
            holes[p.name] = None
        elif p.kind is inspect.Parameter.KEYWORD_ONLY:
            arguments.append(p.name)
        else:
            raise ExchangeError.here(
                f"the template {name} has a parameter *{p.name}",
                remedy="Holes have names: each is a parameter of its own.",
            )
    types = {hole: given for hole, given in holes.items() if given is not None}
    return Pattern(name, function, tuple(holes), tuple(arguments), types)
