"""Connectionist temporal classification (Graves et al. 2006): loss and decoding.

Frames are labelled with symbols and *blanks*; taking repeats together and then leaving out the
blanks gives the labels. The loss sums over all ways to do so, by the forward recursion over the
labels with blanks between them, in logarithms.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np

import symgraph as sg
from symgraph.errors import DtypeError, ShapeError, SymgraphValueError, check_flags, describe
from symgraph.typing import ArrayLike

from .checks import as_variable, check_axes, check_float, check_sizes

__all__ = ["ctc", "ctc_beam", "ctc_greedy"]

# The logarithm of nothing: a number, since differences of infinities are none.
_NEVER = -1e30
_REDUCTIONS = ("mean", "sum", "none")


def ctc(
    logits: ArrayLike,
    labels: ArrayLike,
    input_lengths: ArrayLike,
    label_lengths: ArrayLike,
    *,
    blank: int = 0,
    zero_infinity: bool = False,
    reduction: Literal["mean", "sum", "none"] = "mean",
) -> sg.Variable:
    """``-log P(labels | logits)``, summed over all alignments: a scalar, or [B] for ``"none"``.

    ``logits`` [T, B, C] are unnormalised. ``labels`` [B, U] are integers, each from 0 to below C
    as far as ``label_lengths`` [B] goes (another one is an `IndexRangeError` at the call); what is
    behind may be anything. ``input_lengths`` [B] are the frames that count. ``"mean"`` divides
    each row's loss by the number of its labels (at least 1) and averages over rows, as PyTorch
    does. A row with too few frames for its labels has the loss infinity, or with ``zero_infinity``
    0; its gradient is 0.

    >>> nn.ctc(np.zeros((3, 1, 2), "float32"), [[1]], [3], [1]).eval().round(4)  # log(8 / 6)
    np.float32(0.2877)
    """
    check_flags("ctc", zero_infinity=zero_infinity)
    x = as_variable(logits, "ctc")
    check_axes(x, 3, "ctc", "logits [time, batch, classes]")
    check_float(x, "ctc")
    _check_options(blank, reduction, x)
    steps, counts, symbols = _lengths_and_symbols(x, labels, input_lengths, label_lengths, blank)
    states = _with_blanks(symbols, blank)
    scores = sg.maximum(sg.log_softmax(x, axis=-1), _NEVER)
    emitted = sg.take_along_axis(scores, sg.expand_dims(states, 0), axis=2)
    total = _log_probability(emitted, states, steps, counts, blank)
    is_possible = total > _NEVER / 2
    losses = sg.where(is_possible, -total, 0.0 if zero_infinity else np.inf)
    if reduction == "none":
        return losses
    if reduction == "sum":
        return losses.sum()
    return sg.mean(losses / sg.maximum(counts, 1).astype(losses.dtype))


def _check_options(blank: Any, reduction: Any, logits: sg.Variable) -> None:
    n = logits.shape[2]
    is_index = isinstance(blank, (int, np.integer)) and not isinstance(blank, bool)
    if not is_index or blank < 0 or (isinstance(n, int) and blank >= n):
        raise SymgraphValueError.here(f"ctc: blank is a class, from 0 to below {n}; not {blank!r}")
    if reduction not in _REDUCTIONS:
        raise SymgraphValueError.here(
            f"ctc: reduction is {', '.join(map(repr, _REDUCTIONS))}; not {reduction!r}"
        )


def _lengths_and_symbols(
    logits: sg.Variable, labels: Any, input_lengths: Any, label_lengths: Any, blank: int
) -> tuple[sg.Variable, sg.Variable, sg.Variable]:
    """Both lengths [B], checked, and the labels [B, U] with blanks behind their ends."""
    n_frames, n_rows, n_classes = logits.shape
    symbols = _integers(labels, 2, "labels [batch, labels]")
    rows = sg.zeros((n_rows,))
    check_sizes("ctc: labels", symbols, rows, [0])
    steps = _integers(input_lengths, 1, "input_lengths [batch]")
    counts = _integers(label_lengths, 1, "label_lengths [batch]")
    for lengths in (steps, counts):
        check_sizes("ctc: lengths", lengths, rows, [0])
    steps = sg.in_range(steps, n_frames + 1, "ctc: input length")
    counts = sg.in_range(counts, symbols.shape[1] + 1, "ctc: label length")
    counted = sg.arange(symbols.shape[1]) < sg.expand_dims(counts, 1)
    chosen = sg.where(counted, symbols, blank)
    return steps, counts, sg.in_range(chosen, n_classes, "ctc: label")


def _integers(value: Any, n_axes: int, what: str) -> sg.Variable:
    x = as_variable(value, f"ctc: {what}")
    check_axes(x, n_axes, "ctc", what)
    if x.dtype.kind not in "iu":
        raise DtypeError.here(
            f"ctc: {what} are integers; found {describe(x)}",
            remedy="Convert them with .astype('int64').",
        )
    return x.astype("int64")


def _with_blanks(symbols: sg.Variable, blank: int) -> sg.Variable:
    """The labels [B, U] with a blank before, between and behind: [B, 2 U + 1]."""
    n_rows, n_labels = symbols.shape
    pairs = sg.stack([sg.full_like(symbols, blank), symbols], axis=2)
    last = sg.full((n_rows, 1), blank, dtype="int64")
    return sg.concatenate([sg.reshape(pairs, (n_rows, 2 * n_labels)), last], axis=1)


def _log_probability(
    emitted: sg.Variable, states: sg.Variable, steps: sg.Variable, counts: sg.Variable, blank: int
) -> sg.Variable:
    """The logarithm of the sum over all alignments, [B], from the scores [T, B, S] of states."""
    # A label may follow another one without a blank between, unless it is the same again.
    skips = sg.ne(states, blank) & sg.ne(states, _shifted(states, 2, blank))

    def step(t: sg.Variable, scores: sg.Variable, before: sg.Variable) -> sg.Variable:
        skipped = sg.where(skips, _shifted(before, 2, _NEVER), _NEVER)
        after = _log_add(before, _shifted(before, 1, _NEVER), skipped) + scores
        return sg.where(sg.expand_dims(t < steps, 1), sg.maximum(after, _NEVER), before)

    place = sg.arange(states.shape[1])
    first = sg.where(sg.eq(place, 0), 0.0, _NEVER).astype(emitted.dtype)
    first = sg.zeros_like(states).astype(emitted.dtype) + first
    frames = sg.arange(emitted.shape[0])
    end = sg.last_value(sg.scan(step, [frames, emitted], first, name="ctc"), first)
    last, last_label = 2 * counts, sg.maximum(2 * counts - 1, 0)
    in_blank = sg.take_along_axis(end, sg.expand_dims(last, 1), axis=1)
    in_label = sg.take_along_axis(end, sg.expand_dims(last_label, 1), axis=1)
    in_label = sg.where(sg.expand_dims(counts > 0, 1), in_label, _NEVER)
    return _log_add(in_blank, in_label)[:, 0]


def _shifted(x: sg.Variable, by: int, filler: float) -> sg.Variable:
    """The columns moved to the right, with the filler to their left."""
    return sg.concatenate([sg.full((x.shape[0], by), filler, dtype=x.dtype), x], axis=1)[:, :-by]


def _log_add(*terms: sg.Variable) -> sg.Variable:
    """The logarithm of the sum of exponentials."""
    largest = terms[0]
    for term in terms[1:]:
        largest = sg.maximum(largest, term)
    largest = sg.stop_gradient(largest)
    return largest + sg.log(sum(sg.exp(term - largest) for term in terms))


# --- decoding -----------------------------------------------------------------------------------


def ctc_greedy(
    logits: np.ndarray, input_lengths: Sequence[int] | np.ndarray, blank: int = 0
) -> list[list[int]]:
    """For each row the labels of its likeliest frames, repeats and blanks taken out.

    ``logits`` is an array [T, B, C], ``input_lengths`` [B].

    >>> nn.ctc_greedy(np.eye(3)[[[1], [1], [0], [2]]], [4])
    [[1, 2]]
    """
    scores, lengths = _arrays(logits, input_lengths, blank, "ctc_greedy")
    best = scores.argmax(axis=2)
    decoded: list[list[int]] = []
    for row, length in enumerate(lengths):
        symbols = best[:length, row]
        is_new = np.diff(symbols, prepend=-1) != 0
        decoded.append([int(s) for s in symbols[is_new & (symbols != blank)]])
    return decoded


def ctc_beam(
    logits: np.ndarray,
    input_lengths: Sequence[int] | np.ndarray,
    *,
    width: int,
    blank: int = 0,
    language_model: Callable[[list[int]], np.ndarray] | None = None,
    weight: float = 1.0,
) -> list[list[int]]:
    """For each row the likeliest labels, found among the ``width`` best beginnings at each frame.

    Probabilities of alignments with the same labels are added up (prefix search, Graves 2012,
    Hannun et al. 2014). ``language_model(prefix)`` gives log-probabilities [C] of the next label,
    which count ``weight`` times.

    >>> logits = np.log([[[0.6, 0.4]], [[0.6, 0.4]]])  # [0] is likelier frame by frame
    >>> nn.ctc_greedy(logits, [2]), nn.ctc_beam(logits, [2], width=4)
    ([[]], [[1]])
    """
    scores, lengths = _arrays(logits, input_lengths, blank, "ctc_beam")
    if isinstance(width, bool) or not isinstance(width, int) or width < 1:
        raise SymgraphValueError.here(f"ctc_beam: width is a whole number from 1 on, not {width!r}")
    scores = scores - np.logaddexp.reduce(scores, axis=2, keepdims=True)
    prior = _Prior(language_model, weight)
    return [
        _search(scores[:length, row], width, blank, prior) for row, length in enumerate(lengths)
    ]


def _arrays(
    logits: Any, input_lengths: Any, blank: int, owner: str
) -> tuple[np.ndarray, list[int]]:
    scores = np.asarray(logits, "float64")
    lengths = np.asarray(input_lengths)
    if scores.ndim != 3 or lengths.shape != scores.shape[1:2]:
        raise ShapeError.here(
            f"{owner}: logits [time, batch, classes] and input_lengths [batch] are expected; "
            f"found {scores.shape} and {lengths.shape}"
        )
    if lengths.dtype.kind not in "iu" or not ((lengths >= 0) & (lengths <= len(scores))).all():
        raise SymgraphValueError.here(
            f"{owner}: input lengths are whole numbers from 0 to {len(scores)}, not {lengths}"
        )
    if not 0 <= blank < max(scores.shape[2], 1):
        raise SymgraphValueError.here(
            f"{owner}: blank is a class, from 0 to below {scores.shape[2]}; not {blank!r}"
        )
    return scores, lengths.tolist()


class _Prior:
    """What a language model says of the next label, asked once for each prefix."""

    def __init__(self, model: Callable[[list[int]], np.ndarray] | None, weight: float) -> None:
        self._model, self._weight = model, weight
        self._known: dict[tuple[int, ...], np.ndarray] = {}

    def __call__(self, prefix: tuple[int, ...], n_classes: int) -> np.ndarray:
        """Log-probabilities [C], weighed; zeros without a model."""
        if self._model is None:
            return np.zeros(n_classes)
        if prefix not in self._known:
            answer = np.asarray(self._model(list(prefix)), "float64")
            if answer.shape != (n_classes,):
                raise ShapeError.here(
                    f"ctc_beam: language_model gives log-probabilities of shape ({n_classes},); "
                    f"found {answer.shape}"
                )
            self._known[prefix] = self._weight * answer
        return self._known[prefix]


def _search(scores: np.ndarray, width: int, blank: int, prior: _Prior) -> list[int]:
    """The best prefix; each has the log-probabilities to end in a blank and in its last label."""
    beams: dict[tuple[int, ...], np.ndarray] = {(): np.array([0.0, -np.inf])}
    for frame in scores:
        grown = defaultdict(lambda: np.full(2, -np.inf))
        for prefix, ends in beams.items():
            either = np.logaddexp(*ends)
            last = prefix[-1] if prefix else None
            stays = grown[prefix]
            stays[0] = np.logaddexp(stays[0], either + frame[blank])
            if last is not None:
                stays[1] = np.logaddexp(stays[1], ends[1] + frame[last])
            steps = frame + prior(prefix, len(frame))
            for symbol in range(len(frame)):
                if symbol != blank:
                    # The same label again needs a blank before it.
                    before = ends[0] if symbol == last else either
                    longer = grown[*prefix, symbol]
                    longer[1] = np.logaddexp(longer[1], before + steps[symbol])
        likeliest = sorted(grown, key=lambda prefix: -np.logaddexp(*grown[prefix]))
        beams = {prefix: grown[prefix] for prefix in likeliest[:width]}
    return list(next(iter(beams)))
