"""What comes of a program: nothing to say, a refusal, or a failure."""

from __future__ import annotations

import re
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

import symgraph as sg

from ..backends.base import load_backend
from ..compile.rounding import reference
from ..core.errors import SymgraphError
from ..core.graph import Graph
from ..core.shared import SharedVariable
from ..core.variable import Variable, ancestors
from .compare import difference
from .differences import wrong_gradient
from .eager import nudged
from .program import Program, run_eagerly, run_symbolically

__all__ = ["Failure", "Outcome", "outcome_of"]

# What the checks of a graph say of faults of symgraph's own, not of the user's.
_INTERNAL = ("the body takes", "a state of type", "the graph needs")
_LOOPS = ("scan", "map", "reduce", "foldl", "foldr")
# A difference of at most so many such moves is one of rounding.
_EXPLAINED = 50


@dataclass(frozen=True)
class Failure:
    """Something that is wrong."""

    kind: str
    """What two failures of one kind have in common."""
    text: str


@dataclass
class Outcome:
    """What came of a program."""

    failure: Failure | None = None
    refusal: str | None = None
    """What both backends refuse alike."""


class _NoVariable(Exception):
    """An output is a number, or a list."""


class _Raised(Exception):
    """An exception of a stage of a program."""

    def __init__(self, stage: str, error: Exception) -> None:
        self.stage, self.error = stage, error

    @property
    def is_honest(self) -> bool:
        told = any(text in str(self.error) for text in _INTERNAL)
        return isinstance(self.error, SymgraphError) and not told

    @property
    def failure(self) -> Failure:
        name = type(self.error).__name__
        text = "".join(traceback.format_exception(self.error)[-4:])
        return Failure(f"raw error in {self.stage}: {name} {_place(self.error)}", text)


def _place(error: BaseException) -> str:
    """The function that raised, of the innermost file of the packages."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [f for f in frames if re.search(r"symgraph(_nn)?/(?!testing)", f.filename)]
    last = (ours or frames)[-1]
    return f"{last.filename.rsplit('/', 1)[-1]}:{last.name}"


def outcome_of(program: Program, *, backend: Any = "native") -> Outcome:
    """What comes of the program on the reference and on the backend, and by NumPy."""
    try:
        run = _Run(program, backend)
    except _NoVariable:
        return Outcome(refusal="an output that is no variable")
    except _Raised as raised:
        if raised.is_honest:
            return Outcome(refusal=f"{type(raised.error).__name__}: {raised.error}".split("\n")[0])
        return Outcome(raised.failure)
    return run.outcome()


def _staged(stage: str, work: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """What the work gives; a `_Raised` for what it raises."""
    try:
        return work(*arguments, **options)
    except Exception as error:
        raise _Raised(stage, error) from error


class _RoundingReference:
    """The reference, each of whose operations rounds at random."""

    def __init__(self, seed: int) -> None:
        self._inner: Any = load_backend("numpy")
        self._seed = seed

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def prepare(self, graph: Graph, **_options: Any) -> Any:
        """The graph on the reference, for one thread, rounded otherwise at each call."""
        return self._inner.prepare_rounding(graph, self._seed)


class _Run:
    """A program built, and run on both backends."""

    def __init__(self, program: Program, backend: Any) -> None:
        self.program, self.backend = program, backend
        self.costs: dict[str, tuple[list[str], Any]] = {}
        self.variables = _staged("building", run_symbolically, program, sg)
        self.updates = {self.variables[a]: self.variables[b] for a, b in program.updates}
        for rule in program.rules:
            self.updates |= dict(self.variables[rule])
        self.outputs = [self.variables[name] for name in program.outputs]
        if not all(isinstance(v, Variable) for v in (*self.outputs, *self.updates.values())):
            raise _NoVariable
        below = ancestors([*self.outputs, *self.updates.values()])
        inputs = {self.variables[x.name]: x.name for x in program.inputs}
        # A cost may read what its gradient does not.
        shared = [v for v in (*below, *self.updates, *inputs) if isinstance(v, SharedVariable)]
        self.shared = {
            inputs.get(v, f"{v.name} ({i})"): v for i, v in enumerate(dict.fromkeys(shared))
        }
        read = set(below)
        arguments = {x.name: self.variables[x.name] for x in program.inputs if not x.is_shared}
        self.arguments = {name: v for name, v in arguments.items() if v in read}

    def outcome(self) -> Outcome:
        """What came of it."""
        expected = self.results("numpy")
        found = self.results(self.backend)
        for label, results in (("numpy", expected), (str(self.backend), found)):
            if isinstance(results, _Raised) and not results.is_honest:
                failure = results.failure
                return Outcome(Failure(f"{label}: {failure.kind}", failure.text))
        if isinstance(expected, _Raised) or isinstance(found, _Raised):
            return self.refused(expected, found)
        return Outcome(self.wrong(expected, found))

    def results(self, backend: Any, nudge: int = 0) -> Any:
        """The results of each call with the values of shared variables before it; or the error."""
        inputs, calls = list(self.arguments.values()), []
        options = {"updates": self.updates or None, "threads": self.program.threads}
        try:
            with self.kept_state():
                function = _staged(
                    "compiling", sg.compile, inputs, self.outputs, backend=backend, **options
                )
                for sizes in self.program.calls:
                    arrays = self.arrays(sizes, nudge)
                    given = [arrays[name] for name in self.arguments]
                    calls.append((self.state(), _staged("a call", function, *given)))
                return [*calls, (self.state(), [])]
        except _Raised as raised:
            return raised

    @property
    def has_loops(self) -> bool:
        """Whether the program has loops."""
        return any(f"sg.{name}(" in i for i in self.program.instructions for name in _LOOPS)

    def state(self) -> dict[str, np.ndarray]:
        """The values of the shared variables by name."""
        return {name: v.get_value() for name, v in self.shared.items()}

    def arrays(self, sizes: Mapping[str, int], nudge: int = 0) -> dict[str, np.ndarray]:
        """The arguments by name, perhaps moved a little."""
        arrays = {x.name: x.array(sizes) for x in self.program.inputs if not x.is_shared}
        random = np.random.default_rng(nudge)
        return {name: nudged(a, random) for name, a in arrays.items()} if nudge else arrays

    def wrong(self, expected: Any, found: Any) -> Failure | None:
        """The first difference that rounding does not explain."""
        program = self.program
        untold = program.untold()
        for i, (call, other) in enumerate(zip(expected, found, strict=True)):
            for name in call[0]:
                text = difference(other[0][name], call[0][name], magnitude=10.0)
                if text and not self.is_explained(other[0][name], call[0][name], i, name):
                    return Failure("wrong: new value", f"call {i}, new {name}: {text} (reference)")
            if i == len(program.calls):
                break
            arrays = {x.name: x.array(program.calls[i]) for x in program.inputs} | call[0]
            try:
                values = run_eagerly(program, arrays, program.wanted)
            except Exception:  # what no result needs nobody computes, so nobody refuses it
                values = {}
            magnitude = largest_of([*values.values(), *call[1]])
            pairs = list(zip(program.outputs, call[1], other[1], strict=True))
            after = expected[i + 1][0], found[i + 1][0]
            pairs += [(new, after[0][name], after[1][name]) for name, new in program.updates]
            for name, e, f in pairs:
                told = values[name] if name not in untold and name in values else None
                failure = self.compare(i, name, e, f, told, magnitude)
                if failure:
                    return failure
            results = dict(zip(program.outputs, call[1], strict=True))
            text = wrong_gradient(program, arrays, results, self.value_of)
            if text:
                return Failure("wrong: gradient", text)
        return None

    def value_of(self, cost: str, arrays: Mapping[str, np.ndarray]) -> float | None:
        """The value of a cost: NumPy's, or the reference's where NumPy does not know it."""
        try:
            if cost not in self.program.untold():
                return float(run_eagerly(self.program, arrays, [cost])[cost])
            names, function = self.costs.get(cost) or self.costs.setdefault(cost, self.cost(cost))
            with self.kept_state():
                for name, v in self.shared.items():
                    v.set_value(arrays[name])
                return float(function(*(arrays[name] for name in names)))
        except Exception:  # NumPy refuses these sizes, or the cost reads what no result does
            return None

    def cost(self, name: str) -> tuple[list[str], Callable[..., Any]]:
        """The arguments that a cost needs, and the reference's function for it."""
        below = set(ancestors([self.variables[name]]))
        needed = {n: v for n, v in self.arguments.items() if v in below}
        function = sg.compile(list(needed.values()), self.variables[name], backend="numpy")
        return list(needed), function

    @contextmanager
    def kept_state(self) -> Iterator[None]:
        """The shared variables have the same values afterwards."""
        first = {v: v.get_value() for v in self.shared.values()}
        try:
            yield
        finally:
            for v, value in first.items():
                v.set_value(value)

    def compare(
        self, i: int, name: str, e: Any, f: Any, told: Any, magnitude: float
    ) -> Failure | None:
        """What is wrong with one output of one call."""
        text = difference(f, e, magnitude=magnitude)
        if text and not self.is_explained(f, e, i, name):
            other = "" if told is None else f", by NumPy {np.asarray(told)!r}"
            return Failure(
                f"wrong: backend and reference differ{_in_type(text)}",
                f"call {i}, {name}: {text} by the reference{other}",
            )
        if told is None or _has_no_rows(e, told):
            return None
        told = np.asarray(told)
        if told.size == np.size(e) == 0 and told.ndim == np.ndim(e) and self.has_loops:
            return None  # of what sizes no row was, only a step could tell
        text = difference(e, told, magnitude=magnitude, only_finite=True)
        if told.shape != np.shape(e) and self.is_refused_as_built(i, name):
            return None  # NumPy stretches the axis of a value that no result needs
        if text and not self.is_explained(e, told, i, name):
            return Failure(
                f"wrong: reference and NumPy differ{_in_type(text)}",
                f"call {i}, {name}: {text} by NumPy",
            )
        return None

    def refused(self, expected: Any, found: Any) -> Outcome:
        """A refusal where both refuse, each at what it computes first, or where rounding decides
        whether one does; else a failure."""
        errors = [r.error for r in (expected, found) if isinstance(r, _Raised)]
        name, text = type(errors[0]).__name__, str(errors[0])
        refuses = isinstance(expected, _Raised)
        if len(errors) == 2 or any(isinstance(r, _Raised) != refuses for r in self.moved()):
            return Outcome(refusal=f"{name}: {text}".split("\n")[0])
        who = "reference" if refuses else "backend"
        return Outcome(Failure(f"disagreement: only the {who} refuses: {name}", text))

    def moved(self) -> Iterator[Any]:
        """The results of the reference with arguments that are moved by about one rounding, and
        with operations that round at random."""
        for nudge in (1, 2, 3):
            yield self.results("numpy", nudge)
        for seed in range(4):
            yield self.results(_RoundingReference(seed))

    def is_explained(self, found: Any, expected: Any, i: int, name: str) -> bool:
        """Whether rounding makes such a difference, too.

        Told by arguments that are moved by about one rounding, by operations that round at random,
        by the program in float64, and by NumPy's values when each instruction's are moved.
        """
        plain = self.results("numpy")
        if isinstance(plain, _Raised) or np.asarray(found).dtype != np.asarray(expected).dtype:
            return False
        wide = self.program.in_float64()
        others = list(self.moved())
        if wide != self.program:
            others.append(_Run(wide, self.backend).results("numpy"))
        if any(isinstance(other, _Raised) for other in others):
            return True
        value = self.result(plain, i, name)
        if any(explains(self.result(o, i, name), value, found, expected) for o in others):
            return True
        if name in self.program.untold() or name in self.shared:
            return False
        arrays = {x.name: x.array(self.program.calls[i]) for x in self.program.inputs} | plain[i][0]
        told = [run_eagerly(self.program, arrays, [name], nudge=k)[name] for k in range(4)]
        first = np.asarray(told[0])
        return any(explains(np.asarray(t), first, found, expected) for t in told[1:])

    def is_refused_as_built(self, i: int, name: str) -> bool:
        """Whether the graph of an output is an error where all of it is computed."""
        state = self.results("numpy")[i][0]
        values = self.arrays(self.program.calls[i]) | state
        variables = self.arguments | self.shared
        graph = Graph(list(variables.values()), [self.variables[name]])
        try:
            reference(graph)(*[values[each] for each in variables])
        except SymgraphError:
            return True
        return False

    def result(self, results: Any, i: int, name: str) -> np.ndarray:
        """One value of one call."""
        if name in self.shared:
            return np.asarray(results[i][0][name])
        if name in self.program.outputs:
            return np.asarray(results[i][1][self.program.outputs.index(name)])
        shared = next(shared for shared, new in self.program.updates if new == name)
        return np.asarray(results[i + 1][0][shared])


def _has_no_rows(e: Any, told: Any) -> bool:
    """Whether both are over time and without a step: nothing tells how large a row would be."""
    shapes = np.shape(e), np.shape(told)
    return all(shape[:1] == (0,) for shape in shapes) and len(shapes[0]) == len(shapes[1])


def _in_type(text: str) -> str:
    """What a difference is in, where it is not in values."""
    return next((f" in {what}" for what in ("dtype", "shape") if text.startswith(what)), "")


def explains(moved: np.ndarray, plain: np.ndarray, found: Any, expected: Any) -> bool:
    """Whether a result moves, by rounding, about as much as what was found is off."""
    found, expected = np.asarray(found), np.asarray(expected)
    if moved.shape != plain.shape:
        return True
    if found.shape != expected.shape:
        return False
    if moved.dtype.kind != "f":
        return not np.array_equal(moved, plain)
    with np.errstate(all="ignore"):
        finite = np.isfinite(found) & np.isfinite(expected)
        off = np.max(np.abs(found - expected), where=finite, initial=0.0)
        if not np.array_equal(finite, np.isfinite(expected) | np.isfinite(found)):
            return not np.array_equal(np.isfinite(moved), np.isfinite(plain))
        move = np.max(np.abs(moved - plain), where=np.isfinite(moved - plain), initial=0.0)
    return bool(off <= _EXPLAINED * move)


def largest_of(values: Any) -> float:
    """The largest finite magnitude of all float arrays among the values."""
    result = 1.0
    for value in values:
        if isinstance(value, (np.ndarray, np.generic)) and value.dtype.kind == "f":
            array = np.asarray(value, np.float64)
            finite = np.abs(array[np.isfinite(array)])
            result = max(result, float(np.max(finite, initial=0.0)))
    return result
