"""`scan` and its kin: loops as the user writes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypeAlias, TypedDict, Unpack, overload

from ..core.annotations import ArrayLike, SizeLike
from ..core.errors import ScanError, SymgraphTypeError
from ..core.flags import check_flags, check_name
from ..core.variable import ITEM, Variable
from ..ops.broadcast import broadcast_to
from ..ops.join import concatenate
from ..ops.promotion import as_variable
from ..ops.sizes import shape_of
from ..ops.slices import SLICE
from .arguments import (
    as_list,
    is_int,
    number_of_steps,
    parse_fixed,
    parse_sequence,
    parse_state,
)
from .interval import check_interval, parse_memory
from .step import Step, Until, until
from .tracing import LoopBuilder

__all__ = ["Until", "foldl", "foldr", "last_value", "map", "reduce", "scan", "until"]

StepResult: TypeAlias = ArrayLike | Until | Sequence[ArrayLike | Until | Sequence[ArrayLike]]
"""What a step returns: an output or several, perhaps with `until` beside them."""

SequenceLike: TypeAlias = ArrayLike | Mapping[str, Any]
SequencesLike: TypeAlias = SequenceLike | Sequence[SequenceLike] | None
"""What a step reads row by row: variables, or ``{"input": x, "taps": [-1, 0]}``."""

StateLike: TypeAlias = ArrayLike | Mapping[str, Any] | None
StatesLike: TypeAlias = StateLike | Sequence[StateLike]
"""For each output its initial value, ``{"initial": v, "taps": [-2, -1]}``, or None."""

FixedLike: TypeAlias = (
    ArrayLike | Callable[..., Any] | Sequence[ArrayLike | Callable[..., Any]] | None
)
"""What a step gets as it is."""

OneResult: TypeAlias = Variable | tuple[Variable, Until]
Results: TypeAlias = (
    list[Variable] | tuple[Variable, ...] | tuple[list[Variable] | tuple[Variable, ...], Until]
)


class LoopOptions(TypedDict, total=False):
    """The options of `scan` that `foldr` has, too."""

    n_steps: SizeLike | None
    truncate_gradient: int | None
    checkpoint_every: int | Literal["auto"] | None
    memory: int | str | None
    strict: bool
    name: str | None


class ScanOptions(LoopOptions, total=False):
    """The options of `scan` that `map` and `reduce` have, too."""

    go_backwards: bool


@overload
def scan(
    step: Callable[..., OneResult],
    sequences: SequencesLike = (),
    outputs_info: StatesLike = (),
    non_sequences: FixedLike = (),
    n_steps: SizeLike | None = None,
    *,
    go_backwards: bool = False,
    truncate_gradient: int | None = None,
    checkpoint_every: int | Literal["auto"] | None = None,
    memory: int | str | None = None,
    strict: bool = False,
    name: str | None = None,
) -> Variable: ...
@overload
def scan(
    step: Callable[..., Results],
    sequences: SequencesLike = (),
    outputs_info: StatesLike = (),
    non_sequences: FixedLike = (),
    n_steps: SizeLike | None = None,
    *,
    go_backwards: bool = False,
    truncate_gradient: int | None = None,
    checkpoint_every: int | Literal["auto"] | None = None,
    memory: int | str | None = None,
    strict: bool = False,
    name: str | None = None,
) -> list[Variable]: ...
@overload
def scan(
    step: Callable[..., StepResult],
    sequences: SequencesLike = (),
    outputs_info: StatesLike = (),
    non_sequences: FixedLike = (),
    n_steps: SizeLike | None = None,
    *,
    go_backwards: bool = False,
    truncate_gradient: int | None = None,
    checkpoint_every: int | Literal["auto"] | None = None,
    memory: int | str | None = None,
    strict: bool = False,
    name: str | None = None,
) -> Any: ...
def scan(
    step: Callable[..., StepResult],
    sequences: SequencesLike = (),
    outputs_info: StatesLike = (),
    non_sequences: FixedLike = (),
    n_steps: SizeLike | None = None,
    *,
    go_backwards: bool = False,
    truncate_gradient: int | None = None,
    checkpoint_every: int | Literal["auto"] | None = None,
    memory: int | str | None = None,
    strict: bool = False,
    name: str | None = None,
) -> Any:
    """The outputs of ``step`` over time: one variable, or a list where it returns several.

    ``step(*slices, *past outputs, *non_sequences)`` is called once, with symbols, and returns its
    outputs, or ``(outputs, sg.until(condition))``. Each output is stacked along a new leading axis.

    sequences
        What a step reads one row of: a variable, or ``{"input": x, "taps": [-1, 0, 2]}``, of which
        step t reads x[t - 1], x[t] and x[t + 2]. The shortest decides the number of steps.
    outputs_info
        For each output the initial value that the first step gets as past output; None where
        past values are not read; ``{"initial": v, "taps": [-3, -1]}`` with one row of ``v`` for
        each step back to the oldest tap, the oldest first: for the tap -1 alone a leading axis of
        size 1.
    non_sequences
        Further arguments. Whatever else the step uses is found by itself; with ``strict`` all but
        shared variables and constants must be listed.
    n_steps
        The number of steps, an int or an integer scalar; with ``until`` the cap.
    go_backwards
        Run from the end of the sequences; outputs come in the order of iteration.
    truncate_gradient
        How many of the last steps the gradient goes back.
    checkpoint_every
        For the gradient keep the states of every so-many-th step only, and compute the others
        again, some steps at a time (of steps on numbers alone four times as many);
        ``"auto"`` for about the root of the number of steps. Where there is no gradient, the loop
        is as without.
    memory
        Instead of ``checkpoint_every``: how much of it the gradient may take, bytes or text such
        as ``"200MB"``. Each call takes, by its sizes, the interval that fits and lets the fewest
        steps be computed again; none are where the loop without checkpoints fits and of its outputs
        the last ones alone are read. The report tells the interval and how much is computed again.

    Raises `ScanError` where a state changes its type from one step to the next, where there is no
    way to know the number of steps, and where the step returns what cannot be an output.

    Of a loop that takes no steps there is no ``outputs[-1]``: an error where that is computed. A
    function that computes its gradient alone does not look: the gradient is that by the initial
    value, as of `last_value`.

    >>> x = sg.vector("x")
    >>> sg.scan(lambda x_t, total: total + x_t, [x], [0.0]).eval({x: [1.0, 2.0, 3.0]})
    array([1., 3., 6.], dtype=float32)
    """
    if not callable(step):
        raise ScanError.here(f"scan: the step is a function, not {step!r}")
    if truncate_gradient == -1:  # Theano's way to say: all the way
        truncate_gradient = None
    if truncate_gradient is not None and (not is_int(truncate_gradient) or truncate_gradient < 1):
        raise ScanError.here(
            "scan: truncate_gradient is a positive number of steps or None, not "
            f"{truncate_gradient!r}",
            remedy="Give the number of last steps that the gradient goes back; None is all.",
        )
    check_flags("scan", go_backwards=go_backwards, strict=strict)
    check_name(name, "a loop", 'Write name="encoder".')
    check_interval(checkpoint_every)
    if checkpoint_every is not None and memory is not None:
        raise ScanError.here(
            "scan: checkpoint_every and memory are two ways to say how far checkpoints are apart",
            remedy="Leave one of them out.",
        )
    loop = LoopBuilder(
        step=Step(step, name),
        sequences=[parse_sequence(s, go_backwards=go_backwards) for s in as_list(sequences)],
        states=[parse_state(i, s) for i, s in enumerate(as_list(outputs_info))],
        fixed=[parse_fixed(x) for x in as_list(non_sequences)],
        truncate=truncate_gradient,
        checkpoint_every=checkpoint_every,
        memory=parse_memory(memory),
    )
    loop.n_steps = number_of_steps(loop.sequences, n_steps)
    return loop.build(strict=strict)


def map(
    step: Callable[..., StepResult],
    sequences: SequencesLike,
    non_sequences: FixedLike = (),
    **options: Unpack[ScanOptions],
) -> Any:
    """``step(*rows, *non_sequences)`` for each row of the sequences, stacked, without a state.

    >>> sg.map(lambda row: row / row.sum(), [sg.constant([[1.0, 3.0], [2.0, 2.0]])]).eval()
    array([[0.25, 0.75],
           [0.5 , 0.5 ]], dtype=float32)
    """
    _check_options("map", options, ScanOptions)
    return scan(step, sequences, None, non_sequences, **options)


def reduce(
    step: Callable[..., StepResult],
    sequences: SequencesLike,
    initial: StatesLike,
    non_sequences: FixedLike = (),
    **options: Unpack[ScanOptions],
) -> Any:
    """The last value of ``accumulator = step(*rows, accumulator)`` from ``initial``.

    A list for a list of accumulators; ``initial`` itself where there are no rows. The other
    arguments, and errors, are those of `scan`.

    >>> sg.reduce(lambda x, product: product * x, [sg.constant([2, 3, 4])], 1).eval()
    np.int64(24)
    """
    _check_options("reduce", options, ScanOptions)
    infos = as_list(initial)
    results = scan(step, sequences, infos, non_sequences, **options)
    if isinstance(results, list):
        return [last_value(trace, info) for trace, info in zip(results, infos, strict=True)]
    return last_value(results, infos[0] if infos else None)


foldl = reduce


def foldr(
    step: Callable[..., StepResult],
    sequences: SequencesLike,
    initial: StatesLike,
    non_sequences: FixedLike = (),
    **options: Unpack[LoopOptions],
) -> Any:
    """The last value of ``accumulator = step(*rows, accumulator)``, the last row coming first.

    As `reduce` but for the order.

    >>> sg.foldr(lambda x, rest: x - rest, [sg.constant([2, 3, 4])], 0).eval()
    np.int64(3)
    """
    _check_options("foldr", options, LoopOptions)
    return reduce(step, sequences, initial, non_sequences, go_backwards=True, **options)


def _check_options(owner: str, given: Mapping[str, object], options: type) -> None:
    """Raise unless the function has all of these options."""
    known = options.__annotations__
    for name in given:
        if name not in known:
            raise SymgraphTypeError.here(
                f"{owner}() got an unexpected keyword argument {name!r}",
                remedy=f"Its options are {', '.join(known)}; sg.scan takes all there are.",
            )


def last_value(trace: ArrayLike, initial: StateLike) -> Variable:
    """The last value of an output of `scan`: the initial one, if there were no steps.

    ``initial`` is the output's entry of outputs_info. ``trace[-1]`` is an error without a step.

    >>> x = sg.vector("x")
    >>> totals = sg.scan(lambda x_t, total: total + x_t, [x], [0.0])
    >>> sg.last_value(totals, 0.0).eval({x: []})
    np.float32(0.0)
    """
    trace = as_variable(trace, "last_value")
    rows = parse_state(0, initial).rows_of(trace.dtype)
    if rows is None:
        return trace[-1]
    if trace.op is SLICE and trace.inputs[0].op is ITEM:
        return trace.inputs[0][-1]  # of the loop's buffer, which begins with the initial rows
    first = broadcast_to(rows[-1:], (1, *shape_of(trace)[1:]))
    return concatenate([first, trace], axis=0)[-1]
