"""`compile`, and the function that comes out of it: arguments in, results out, updates stored."""

from __future__ import annotations

import time
import weakref
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Literal, NamedTuple

import numpy as np

from ..backends.base import Backend, buffers_of, load_backend
from ..backends.profile import Profile
from ..core import provenance
from ..core.annotations import ArrayLike
from ..core.errors import SymgraphTypeError, SymgraphValueError
from ..core.flags import check_flags, check_name
from ..core.graph import Graph
from ..core.origins import Origins, call_within
from ..core.processes import n_threads
from ..core.shared import SharedVariable
from ..core.variable import Variable
from .calls import CallsOfThreads
from .compiled import compile_graph
from .finite import Checked
from .graphs import Graphs
from .pipeline import rewrite
from .program import In, OutputsLike, Program, make_program
from .report import Report
from .rounding import Run
from .signature import Signature
from .sizes_of_steps import WithAgreeingSizes
from .state import SharedState
from .updates import GivensLike, UpdatesLike
from .verify import Verified

__all__ = ["Function", "assert_compiled", "compile"]

# From how many seconds on the report tells what the import of a backend took.
_NOTICED = 1e-3
# Of how many calls a function remembers when they were: enough for a trace to look at.
_CALLS = 10_000
# What may become of inputs that nothing needs.
_UNUSED = ("raise", "ignore")


def compile(
    inputs: Sequence[Variable | In],
    outputs: OutputsLike = None,
    *,
    updates: UpdatesLike | None = None,
    givens: GivensLike | None = None,
    backend: str | Backend = "native",
    name: str | None = None,
    profile: bool = False,
    threads: int | None = None,
    unused: Literal["raise", "ignore"] = "raise",
    verify: bool = False,
    check_finite: bool = False,
    debug: bool = True,
) -> Function:
    """A function from arrays to arrays that computes the outputs.

    ``inputs``
        A list of variables, or of ``In(variable, value=default)``.
    ``outputs``
        A variable, which gives an array; a list, a tuple or a dict of variables, which give the
        same of arrays; or None. Results of no dimensions are NumPy scalars.
    ``updates``
        ``{shared: expression}``, or a list of such pairs: what each call stores afterwards. All
        expressions are computed with the old values, and are stored together or not at all.
    ``givens``
        ``{variable: replacement}``: put into outputs and updates before anything else.
    ``backend``
        ``"native"``, ``"numpy"``, the reference, or an object with the protocol `Backend`.
    ``name``
        What reports and messages call the function.
    ``profile``
        Whether calls note where their time goes, for ``function.profile``.
    ``threads``
        How many threads a call may use; None: as many as the process has processors, or
        ``OMP_NUM_THREADS`` if that is less. The native backend gives them loops that need nothing
        of each other and large products, where sizes make it worth while; results are the same.
    ``unused``
        What becomes of an input that neither an output nor an update is made of, as the graph is
        built; an input of which a size is used is used. ``"raise"`` is an error; with ``"ignore"``
        it is an argument like the others, of which dtype and shape are checked, and no more.
    ``verify``
        Whether each call runs the reference beside, on the graph as it was built, and compares: a
        value that differs by more than rounding is a `VerifyError`, which tells the first such
        value, its operation, loop, step and line; nothing is stored then. Calls take as long as
        the reference does, and longer where a difference has to be looked at.
    ``check_finite``
        Whether a float that is no finite number ends the call: the first one, in the order of
        execution, is a `FiniteError`, which tells its operation, loop, step, line and the values
        that it was computed from; nothing is stored then. Values that are only moved or chosen,
        such as an infinite constant of a mask, do not count.
    ``debug``
        Whether `debug_print` and `debug_assert` do what they say; False leaves them out.

    Raises `InputError` for inputs that are missing, unused or given twice, `UpdateError` for an
    update that does not fit, `BackendError` for a backend that is none.

    >>> x, total = sg.scalar("x"), sg.shared(0.0, "total")
    >>> f = sg.compile([x], {"square": x * x}, updates={total: total + x})
    >>> print(f(3.0)["square"], total.get_value())
    9.0 3.0
    """
    start = time.perf_counter()
    _check_options(name, threads, unused)
    check_flags("compile", profile=profile, verify=verify, check_finite=check_finite, debug=debug)
    load_backend(backend)  # an unknown one is said first
    imported = time.perf_counter() - start
    program = make_program(inputs, outputs, updates, givens, unused=unused, debug=debug)
    options = _Options(backend, name, profile, threads, verify, check_finite)
    function = Function(program, options, start=start)
    if imported > _NOTICED:
        function.report.stages["import"] = imported
    return function


def _check_options(name: object, threads: object, unused: object) -> None:
    check_name(name, "a function")
    if not isinstance(unused, str) or unused not in _UNUSED:
        raise SymgraphValueError.here(
            f"unused is {' or '.join(map(repr, _UNUSED))}, not {unused!r}"
        )
    if threads is None:
        return
    if not isinstance(threads, int) or isinstance(threads, bool):
        raise SymgraphTypeError.here(f"threads is a number or None, not {threads!r}")
    if threads < 1:
        raise SymgraphValueError.here(f"threads is at least 1, not {threads}")


class _Options(NamedTuple):
    """What a function was compiled with."""

    backend: str | Backend
    name: str | None
    profile: bool
    threads: int | None
    verify: bool
    check_finite: bool


class Function:
    """A compiled program. Call it with arrays, in the order of its inputs or by their names.

    Safe to call from several threads: calls that update shared variables follow one another, others
    run side by side. It pickles as its graph, and is compiled again when it is loaded.

    >>> x = sg.vector("x")
    >>> sg.compile([x], x.sum(), name="total")
    <Function total(x float32[?]) -> (float32[]), native>
    """

    name: str | None
    """What the user called it."""
    backend: str
    """The name of the backend that runs it."""
    report: Report
    """What `compile` built and did, as data; printable as tables."""
    program: Program
    """What it computes, as it was built."""
    calls: deque[tuple[float, float]]
    """When each of the latest calls began, on the clock of `time.perf_counter`, and its seconds."""

    def __init__(self, program: Program, options: _Options, *, start: float) -> None:
        self.name = options.name
        backend, threads = load_backend(options.backend), options.threads or n_threads()
        self.backend = backend.name
        self.program = program
        self._options = options
        compile_program = partial(
            compile_graph,
            program.graph,
            backend,
            threads=threads,
            check_finite=options.check_finite,
        )
        compiled = compile_program(profile=options.profile)
        self._graphs = Graphs(
            program,
            partial(_rewritten, program, backend),
            partial(buffers_of, backend, threads=threads),
            compiled.origins,
            compiled.graph,
            steps_are_cheap=backend.steps_are_cheap,
        )
        self._executable = compiled.executable
        self._run: Run = WithAgreeingSizes(
            program.graph,
            self._executable,
            lambda: (
                compile_program(profile=False, of_steps=False, origins=compiled.origins).executable
            ),
        )
        if options.check_finite:
            assert compiled.graph is not None
            checked = partial(Checked, compiled.graph, program.graph, self._run)
            self._run = checked(backend=self.backend, name=options.name)
        if options.verify:
            verified = partial(Verified, self._graphs.built, self._run, backend)
            names = {"name": options.name, "labels": _labels(program)}
            self._run = self._graphs.tell(lambda: verified(threads=threads, **names))
        self._signature = Signature(program.parameters, options.name)
        self._state = SharedState(program.shared, tuple(program.updates))
        self._pack = program.pack
        self.calls = (CallsOfThreads if options.profile else deque)(maxlen=_CALLS)
        self._fast, self._keep = self._make_fast()
        self.report = compiled.report_on(
            self._graphs,
            name=self.name,
            backend=self.backend,
            is_verified=options.verify,
            start=start,
        )
        # Of these loops the report tells how the sizes of the last call let them run.
        self._has_checkpoints = any(
            row.checkpoint_every is not None for row in self.report.loop_table
        )

    @property
    def graph(self) -> Graph:
        """The rewritten `Graph`: inputs and shared variables to outputs and updates."""
        return self._graphs.rewritten

    @property
    def origins(self) -> Origins:
        """What the program calls its nodes, and where they were written, for who shows it."""
        return self._graphs.origins

    @property
    def updates(self) -> dict[SharedVariable, Variable]:
        """What is stored after each call, as expressions of `graph`."""
        program = self.program
        return dict(zip(program.updates, self.graph.outputs[len(program.outputs) :], strict=True))

    @property
    def inputs(self) -> tuple[Variable, ...]:
        """The variables that arguments are given for."""
        return self.program.inputs

    @property
    def profile(self) -> Profile | None:
        """Where the time of the calls went; None unless compiled with ``profile=True``."""
        return self._executable.profile

    def __call__(self, /, *arguments: ArrayLike, **by_name: ArrayLike) -> Any:
        """The outputs for these arguments; fresh arrays, and NumPy scalars for no dimensions.

        Arguments are converted as NumPy does within a kind (float64 to float32, say), and never
        changed. What does not fit raises an `InputError` (how many, which names), a `DtypeError` or
        a `ShapeError`; what goes wrong on the way a `CallError` or an `IndexRangeError`, and no
        update is stored then.

        >>> x, y = sg.vector("x"), sg.vector("y")
        >>> f = sg.compile([x, y], x / y)
        >>> f([1.0, 2.0], y=[2.0, 8.0])
        array([0.5 , 0.25], dtype=float32)
        """
        run = self._call if self._fast is None or by_name else self._fast
        start = time.perf_counter()
        results = run(*arguments, **by_name)
        seconds = time.perf_counter() - start
        if self.report.first_call is None:
            self.report.first_call = seconds
        if self._has_checkpoints:
            given = self._signature.arranged(arguments, by_name)
            self.report.last_arguments = tuple(map(_outline, given))
        self.calls.append((start, seconds))
        return results

    def _make_fast(self) -> tuple[Callable[..., Any] | None, Any]:
        """The executable's short way for the usual arguments, and what must live as long."""
        container = self.program.container
        form = "one" if container == "one" else "list" if container is list else None
        is_checked = self._options.check_finite or self._options.verify
        is_plain = not (is_checked or self.program.shared or self.program.updates)
        if form is None or not is_plain:
            return None, None
        reference = weakref.ref(self)

        def call_slowly(*arguments: Any) -> Any:
            function = reference()
            assert function is not None
            return function._call(*arguments)

        return self._executable.entry(call_slowly, form) or (None, None)

    def _input_arrays(
        self, arguments: Sequence[ArrayLike], by_name: Mapping[str, ArrayLike]
    ) -> list[np.ndarray]:
        """What a call with these arguments gives to the program: the arguments as arrays, then the
        values of shared variables."""
        return [*self._signature.arrays(arguments, by_name), *self._state.values()]

    def _call(self, /, *arguments: Any, **by_name: Any) -> Any:
        arrays = self._signature.arrays(arguments, by_name)
        results = call_within(self.origins, lambda: self._state.call(self._run, arrays))
        return self._pack([result if result.ndim else result[()] for result in results])

    def copy(self, swap: Mapping[SharedVariable, SharedVariable] | None = None) -> Function:
        """The same function, with shared variables in place of others where ``swap`` says so.

        ``swap`` is ``{old: new}``, of one type each; what is no shared variable of the function is
        an `InputError`, and one of another type an error of where it is used.

        >>> w, other = sg.shared(2.0, "w"), sg.shared(3.0, "other")
        >>> f = sg.compile([], w * 10)
        >>> print(f(), f.copy(swap={w: other})())
        20.0 30.0
        """
        start = time.perf_counter()
        program = self.program.swapped(swap) if swap else self.program
        return _compile_again(program, self._options, start)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return _compile_again, (self.program, self._options)

    def __repr__(self) -> str:
        outputs = ", ".join(str(v.type) for v in self.program.outputs)
        return f"<Function {self.name or ''}({self._signature}) -> ({outputs}), {self.backend}>"


def _outline(argument: ArrayLike) -> np.ndarray:
    """An array of the argument's shape that takes no memory; a whole number as it is."""
    array = np.asarray(argument)
    return array if not array.ndim else np.broadcast_to(np.zeros((), np.int8), array.shape)


def _rewritten(program: Program, backend: Backend) -> Graph:
    return rewrite(program.graph, backend, of_steps=True)[0]


def _compile_again(program: Program, options: _Options, start: float | None = None) -> Function:
    return Function(program, options, start=time.perf_counter() if start is None else start)


def _labels(program: Program) -> list[str]:
    """What messages call the outputs and the updates."""
    container, n = program.container, len(program.outputs)
    if container == "one":
        outputs = ["the output"]
    elif isinstance(container, list):
        outputs = [f"output {key!r}" for key in container]
    else:
        outputs = [f"output {i}" for i in range(n)]
    names = [repr(v.name) if v.name else provenance.describe(v) for v in program.updates]
    return outputs + [f"the update of {name}" for name in names]


def assert_compiled(
    function: Function,
    *,
    bodies: int | None = None,
    loops: int | None = None,
    nodes: int | None = None,
    seconds: float | None = None,
) -> None:
    """Raise an AssertionError that shows the report where the function exceeds a bound.

    At least one bound is given, each a number of at least 0, for what ``function.report`` counts
    under the same name; for users' own tests.

    >>> x = sg.vector("x")
    >>> sg.assert_compiled(sg.compile([x], sg.exp(x)), loops=0, nodes=2)
    """
    if not isinstance(function, Function):
        raise SymgraphTypeError.here(f"assert_compiled takes a compiled function, not {function!r}")
    report = function.report
    limits = {"bodies": bodies, "loops": loops, "nodes": nodes, "seconds": seconds}
    bounds = {what: bound for what, bound in limits.items() if bound is not None}
    if not bounds:
        raise SymgraphTypeError.here(
            f"assert_compiled without a bound asserts nothing; give {', '.join(limits)}"
        )
    for what, bound in bounds.items():
        if not isinstance(bound, (int, float)) or isinstance(bound, bool) or not bound >= 0:
            raise SymgraphValueError.here(
                f"assert_compiled: {what} is a number of at least 0, not {bound!r}"
            )
    exceeded = [
        f"{getattr(report, what)} {what}; at most {bound} are allowed"
        for what, bound in bounds.items()
        if getattr(report, what) > bound
    ]
    if exceeded:
        raise AssertionError("\n".join([*exceeded, "", str(report)]))
