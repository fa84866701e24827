"""A function or a module on all rows of some data, in batches: results, or means of figures."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain, islice
from typing import Any

import numpy as np

import symgraph as sg
from symgraph.errors import ShapeError, SymgraphTypeError, SymgraphValueError

from .axes import axes_of
from .batches import Batch, Place, as_array
from .checks import check_positive
from .iterables import is_ready, source_of, started
from .typing import BatchAxis, Data
from .validation import Mean
from .walk import params_of

__all__ = ["evaluate", "predict"]


def predict(
    what: sg.Function | Callable[..., Any],
    data: Data,
    *,
    batch_size: int = 32,
    batch_axis: BatchAxis | Sequence[BatchAxis | None] | None = None,
    backend: str = "native",
) -> Any:
    """The results for all rows of the data, computed in batches and put together.

    They come as the function gives them: an array, or a list, tuple or dict of arrays, each with
    all rows along its own batch axis: the one of the inputs' name ("B"), else the one that has as
    many elements as each batch has rows.

    what
        A compiled function; or a module, or function of variables, which is called on symbols made
        from the data (by name, where these are a dict; with ``training=False`` if it asks), and
        compiled. Their sizes are those of the arrays; floats have the dtype of the module's.
    data, batch_size, batch_axis
        An array for each input, or batches that come ready, as `fit` takes them, here in one pass
        and in their order. The last batch may be smaller. ``batch_axis`` has no default where an
        input leaves open which axis has the rows: for a module, where an array has more than two
        axes.
    backend
        For what is compiled here, ``"native"`` or ``"numpy"``.

    Raises a `ShapeError` for a result that has no rows, a mean say: `evaluate` gives these; and
    what `fit` raises for data that do not fit.

    >>> net = nn.Dense(3, 2, rng=0)
    >>> nn.predict(net, np.ones((100, 3))).shape
    (100, 2)
    >>> x = sg.tensor("x", ("T", "B", 4))
    >>> last = sg.compile([x], nn.LSTM(4, 8, rng=0)(x)[-1])
    >>> nn.predict(last, [np.ones((5, 100, 4))], batch_axis="B").shape
    (100, 8)
    """
    check_positive("predict", batch_size=batch_size)
    place = Place("predict", "data")
    if isinstance(what, sg.Function):
        function, model = what, None
    else:
        function, model, data, batch_axis = _compiled(what, data, batch_axis, place, backend)
    axes, batches = _batches(function, data, batch_size, batch_axis, place)
    n_rows, results = [], []
    for batch in batches:
        result = function(*batch.arrays)
        model = result if model is None else model
        n_rows.append(batch.rows)
        results.append(_leaves(result))
    whole = [
        np.concatenate(parts, _row_axis(parts, n_rows, known, axes))
        for parts, known in zip(
            zip(*results, strict=True), _known_axes(function, axes, len(results[0])), strict=True
        )
    ]
    return _rebuilt(model, iter(whole))


def evaluate(
    function: sg.Function,
    data: Data,
    *,
    batch_size: int = 32,
    batch_axis: BatchAxis | Sequence[BatchAxis | None] | None = None,
) -> Any:
    """The means of a compiled function's figures over all rows, computed in batches.

    They come as the function gives them: a number, or a list, tuple or dict of numbers. Each batch
    counts by its rows, so that means over rows are exact.

    function
        A compiled function whose results are scalars: a loss, an accuracy.
    data, batch_size, batch_axis
        As `predict` takes them.

    Raises a `ShapeError` for a result that is no scalar, and what `fit` raises for data that do not
    fit.

    >>> x = sg.vector("x")
    >>> mean = sg.compile([x], {"mean": x.mean()})
    >>> nn.evaluate(mean, [np.arange(100)])
    {'mean': 49.5}
    """
    check_positive("evaluate", batch_size=batch_size)
    if not isinstance(function, sg.Function):
        raise SymgraphTypeError.here(
            f"evaluate: a compiled function is expected, not {function!r}",
            remedy="Compile the figures: sg.compile(inputs, {'loss': loss}).",
        )
    place = Place("evaluate", "data")
    _, batches = _batches(function, data, batch_size, batch_axis, place)
    mean, result = Mean(), None
    for batch in batches:
        result = function(*batch.arrays)
        leaves = _leaves(result)
        if any(np.ndim(leaf) for leaf in leaves):
            shapes = ", ".join(str(np.shape(leaf)) for leaf in leaves)
            raise ShapeError.here(
                f"evaluate: the function's results are scalars; found shapes {shapes}",
                remedy="Take their means, or call nn.predict for the results of all rows.",
            )
        mean.add({str(i): leaf for i, leaf in enumerate(leaves)}, batch.weight)
    return _rebuilt(result, iter(mean.result().values()))


def _batches(
    function: sg.Function,
    data: Data,
    size: int,
    axis: BatchAxis | Sequence[BatchAxis | None] | None,
    place: Place,
) -> tuple[list[int | None], Iterator[Batch]]:
    """The batch axis of each input of the function, and the batches in their order."""
    axes = axes_of(function.inputs, axis, place.owner)
    return axes, source_of(function.inputs, data, size, axes, place).epoch(0, None)


# --- a function of a module -----------------------------------------------------------------------


def _compiled(
    what: Any, data: Data, axis: Any, place: Place, backend: str
) -> tuple[sg.Function, Any, Data, list[int | None]]:
    """What is called on symbols made from the data, compiled; its results, the data, the axes."""
    if not callable(what):
        raise SymgraphTypeError.here(
            f"predict: a compiled function or a module is expected, not {what!r}"
        )
    sample: Any = data
    has_batches = is_ready(data, 0)
    if has_batches:
        batches = iter(started(data, 0, place))
        first = list(islice(batches, 1))
        if not first:
            raise SymgraphValueError.here(f"{place} gave no batch")
        sample, data = first[0], chain(first, batches)
    if hasattr(sample, "ndim"):
        sample = [sample]
    symbols, axes = _symbols(what, sample, axis, place, is_whole=not has_batches)
    options = {"training": False} if _asks_for_training(what) else {}
    if isinstance(sample, Mapping):
        outputs = what(**dict(zip(sample, symbols, strict=True)), **options)
    else:
        outputs = what(*symbols, **options)
    function = sg.compile(symbols, _leaves(outputs), name="predict", backend=backend)
    return function, outputs, data, axes


def _symbols(
    what: Any, sample: Any, axis: Any, place: Place, *, is_whole: bool
) -> tuple[list[sg.Variable], list[int | None]]:
    """A symbol for each array, of its sizes where they hold for every batch; the batch axes."""
    if isinstance(sample, Mapping):
        named = {str(name): value for name, value in sample.items()}
    elif isinstance(sample, Sequence) and not isinstance(sample, (str, bytes)):
        named = {f"x{i}": value for i, value in enumerate(sample)}
    else:
        raise SymgraphTypeError.here(
            f"{place} are an array, a list or dict of arrays, or an iterable of such batches, "
            f"not {sample!r}"
        )
    arrays = [as_array(value, f"{place} {name}") for name, value in named.items()]
    floats = {v.dtype for v in params_of(what)}
    dtype = floats.pop() if len(floats) == 1 else None
    dtypes = [dtype if dtype and a.dtype.kind == "f" else a.dtype for a in arrays]
    axes = axes_of(
        [sg.tensor(n, (None,) * a.ndim, a.dtype) for n, a in zip(named, arrays, strict=True)],
        axis,
        place.owner,
    )
    shapes = [
        ["rows" if i == k else n if is_whole or k is None else None for i, n in enumerate(a.shape)]
        for a, k in zip(arrays, axes, strict=True)
    ]
    return [sg.tensor(*each) for each in zip(named, shapes, dtypes, strict=True)], axes


def _asks_for_training(what: Any) -> bool:
    """Whether a call needs to be told that it is no training."""
    try:
        parameter = inspect.signature(what).parameters.get("training")
    except (TypeError, ValueError):
        return False
    return parameter is not None and parameter.default is parameter.empty


# --- results --------------------------------------------------------------------------------------


def _known_axes(
    function: sg.Function, axes: Sequence[int | None], n_results: int
) -> list[int | None]:
    """The axis of each result that has the size of the inputs' batch axes; None if not just one."""
    pairs = zip(function.inputs, axes, strict=True)
    sizes = {x.type.shape[k] for x, k in pairs if k is not None}
    known: list[int | None] = []
    for variable in function.graph.outputs[:n_results]:
        shape = variable.type.shape
        fitting = [i for i, n in enumerate(shape) if not isinstance(n, int) and n in sizes]
        known.append(fitting[0] if len(fitting) == 1 else None)
    return known


def _row_axis(
    parts: Sequence[Any], rows: Sequence[int | None], known: int | None, axes: Sequence[int | None]
) -> int:
    """The axis along which a result's parts, one for each batch, have the rows."""
    shapes = [np.shape(part) for part in parts]
    every = set.intersection(
        *({i for i, n in enumerate(s) if n == r} for s, r in zip(shapes, rows, strict=True))
    )
    if known is not None and known in every:
        return known
    likely = every if len(every) == 1 else every.intersection(axes)
    if len(likely) == 1:
        return likely.pop()
    raise ShapeError.here(
        f"predict: a result has shape {shapes[0]} for a batch of {rows[0]} rows, and "
        + ("several axes could have them" if every else "no axis has as many elements"),
        remedy="Name the batch's size in the inputs' shapes (\"B\")."
        if every
        else "Results for all rows together, such as a mean, come from nn.evaluate.",
    )


def _leaves(value: Any) -> list[Any]:
    """The members of nested lists, tuples and dicts, in order."""
    if isinstance(value, Mapping):
        value = list(value.values())
    if not isinstance(value, (list, tuple)):
        return [value]
    return [leaf for member in value for leaf in _leaves(member)]


def _rebuilt(model: Any, leaves: Iterator[Any]) -> Any:
    """The leaves in the form of the model."""
    if isinstance(model, Mapping):
        return {key: _rebuilt(member, leaves) for key, member in model.items()}
    if not isinstance(model, (list, tuple)):
        return next(leaves)
    members = [_rebuilt(member, leaves) for member in model]
    return members if isinstance(model, list) else tuple(members)
