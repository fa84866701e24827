"""`fit`: train a module on batches, with validation, early stopping and checkpoints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

import symgraph as sg
from symgraph.errors import (
    InputError,
    SymgraphTypeError,
    SymgraphValueError,
    check_flags,
    describe,
)

from .batches import Batches, Place
from .callbacks import check_callbacks
from .calls import check_kept, check_trained, trainable
from .carried import Step, state_pairs
from .checks import check_positive
from .epochs import Training, TrainingError
from .files import check_target
from .graphs import leaves
from .history import History
from .init import generator
from .iterables import Source, source_of
from .session import Session, streams_of
from .typing import BatchAxis, Data, ModuleLike, Path, Rng, StateMap, UpdatesLike
from .validation import Validation
from .walk import variables_of

__all__ = ["TrainingError", "fit"]


def fit(
    module: ModuleLike,
    inputs: Sequence[sg.Variable],
    loss: sg.Variable,
    updates: UpdatesLike,
    data: Data,
    *,
    epochs: int = 10,
    batch_size: int = 32,
    batch_axis: BatchAxis | Sequence[BatchAxis | None] | None = None,
    metrics: Mapping[str, sg.Variable] | None = None,
    validation: Data | float | None = None,
    evaluation: Mapping[str, sg.Variable] | None = None,
    monitor: str = "loss",
    higher_is_better: bool = False,
    patience: int | None = None,
    state: StateMap | None = None,
    reset_state: Literal["epoch", "never"] = "epoch",
    evaluation_state: StateMap | None = None,
    callbacks: Sequence[object] = (),
    checkpoint: Path | None = None,
    resume: Path | None = None,
    rng: Rng = None,
    progress: bool = True,
    backend: str = "native",
) -> History:
    """Train the module in place; the `History` of the epochs.

    module
        What is trained, kept where it is best and restored: a `Module`, another object with
        ``params``, or a list or dict of these.
    inputs, loss, updates
        The symbols that stand for the data, the loss built on them, and an update rule's result,
        ``nn.nesterov(loss, module.params, 0.1)``.
    data
        An array for each input, in their order, or by their names (for one input the array itself),
        memory-mapped ones too: no more than a batch is copied. All have as many rows along
        ``batch_axis``: an axis, the name of a size ("B") that each input has on some axis, or a
        list with one of these for each input, and None for an array that goes whole to every
        batch. It may be left out, for 0, where an input can have its rows nowhere else: not in a
        sequence [time, batch, …]. Each epoch takes the rows in a new order; the last batch may be
        smaller.

        Or batches that come ready, as tuples of arrays or dicts: a list, an object whose
        ``__iter__`` starts anew each epoch, or a generator function, which is called for each
        epoch, with its number from 0 if it takes an argument (``lambda: islice(endless, 100)`` for
        a generator without an end). ``batch_axis`` then only says which rows weigh in the means;
        where it is left open, all batches count alike. `buckets` makes such batches of sequences.
    epochs, batch_size
        How often all rows are seen, 10 by default, and how many at once, 32 by default.
    metrics
        Further expressions to report, by name, such as an accuracy, or the norm of the gradients:
        ``{"norm": sg.sqrt(sum(sg.sum(g**2) for g in sg.grad(loss, net.params)))}``.
    validation, evaluation
        Data like ``data``, or a share (0.2) of the arrays' rows, the last ones, which are not
        trained on; and what to compute on them after each epoch: expressions by name, the loss and
        the metrics if not given. Nets with dropout or batch normalisation give the expressions
        built with ``training=False`` here. Figures are means over batches, weighted by their rows.
    monitor, higher_is_better, patience
        The figure that decides which epoch is best: of the validation where there is one. With
        ``patience`` the training ends after so many epochs without a better one, and the module
        gets the values of the best epoch.
    state, reset_state, evaluation_state
        ``{h: h_last}`` (or tuples of both): symbols that are no data, and what the next batch gets
        for them. The first batch of an epoch gets zeros, with ``reset_state="never"`` that of the
        training alone. Sizes of ``h`` are numbers, or names that the data have ("B"). Rows stay in
        their order, and row i of a batch goes on with row i of the one before; long sequences
        [time, batch, …] are cut along time with ``batch_axis="T", batch_size=50``. A validation
        has a state of its own, from zeros each time; ``evaluation_state`` says which, where
        ``evaluation`` has expressions of its own.
    callbacks
        Objects with any of ``batch_end(run)``, ``epoch_end(run)`` and ``begin(run)``; `Run` says
        what they see. An error in one ends the training.
    checkpoint
        A file for the values of the best epoch so far; `load` reads it.
    resume
        A file for everything, written after each epoch. If it exists, the training goes on from
        it as if it had not been interrupted, whenever that was: to the bit, if the data are the
        same. What callbacks keep for themselves is not in it. Both files are complete at any time.
    rng
        A seed or Generator for the order of the rows; another one each time by default.
    progress
        Show a bar (where tqdm is installed, else a line for each epoch) on standard error, or in
        the notebook.
    backend
        ``"native"`` or ``"numpy"``.

    Ctrl-C ends the training after the batch under way, and the history comes back. The module then
    has the values that it had reached, with ``patience`` those of the best epoch; so it is after
    an error in data or callbacks.

    Raises a `ShapeError`, `SymgraphTypeError` or `SymgraphValueError` for arguments that are none
    of these or data that do not fit, before anything is trained (for batches that come ready: when
    they come); and a `TrainingError` when the loss, or what an epoch's last update stores, becomes
    infinite or no number. Module and optimiser then have the values from before that epoch again,
    with ``patience`` the module those of the best one; the error's ``history`` holds the epochs so
    far.

    >>> net, x, target = nn.Dense(1, 1, rng=0), sg.matrix("x"), sg.matrix("target")
    >>> loss = nn.squared_error(net(x), target)
    >>> data = [np.array([[0.0], [1], [2], [3]]), np.array([[1.0], [3], [5], [7]])]
    >>> updates = nn.nesterov(loss, net.params, 0.1)
    >>> history = nn.fit(net, [x, target], loss, updates, data, epochs=200, progress=False)
    >>> net.W.get_value().round(2), net.b.get_value().round(2)
    (array([[2.]], dtype=float32), array([1.], dtype=float32))

    A generator function, called for each epoch:

    >>> def batches(epoch):
    ...     for _ in range(3):
    ...         yield data
    >>> history = nn.fit(net, [x, target], loss, updates, batches, epochs=2, progress=False)

    A state that goes from batch to batch, here of ten steps each:

    >>> gru, x, h = nn.GRU(2, 4, rng=0), sg.tensor("x", ("T", "B", 2)), sg.tensor("h", ("B", 4))
    >>> y, last = gru(x, state=h, return_state=True)
    >>> loss = sg.mean(sg.square(y))
    >>> history = nn.fit(gru, [x], loss, nn.sgd(loss, gru.params, 0.1), [np.ones((50, 3, 2))],
    ...                  state={h: last}, batch_axis="T", batch_size=10, progress=False)
    """
    for path in (checkpoint, resume):
        if path is not None:
            check_target(path)
    check_flags("fit", higher_is_better=higher_is_better, progress=progress)
    check_positive("fit", epochs=epochs, batch_size=batch_size)
    if patience is not None:
        check_positive("fit", patience=patience)
    check_callbacks(callbacks)
    _check_symbols(inputs)
    figures = _figures("loss", {"loss": loss}) | _figures("metrics", metrics)
    measured = _figures("evaluation", evaluation) or figures
    _check_updates(module, loss, updates)
    rows, held_out = _sources(inputs, data, validation, batch_size, batch_axis)
    pairs = _state_pairs(state, reset_state, inputs)
    _check_inputs([*inputs, *(h for h, _ in pairs)], [*figures.values(), *updates.values()])
    train = Step(inputs, figures, pairs, updates=updates, name="train", backend=backend)
    _check_state(train, rows)
    own = state_pairs(evaluation_state, inputs, "evaluation_state") or pairs
    validate = None if held_out is None else Validation(measured, held_out, own, backend)
    session = Session(
        module,
        updates,
        streams_of([*figures.values(), *measured.values()]),
        int(generator(rng).integers(2**31)),
        History(_monitored(monitor, figures, validate), train.report),
        sign=-1.0 if higher_is_better else 1.0,
        carrier=train if reset_state == "never" and pairs else None,
    )
    training = Training(train, rows, validate, session, callbacks, patience, checkpoint, resume)
    training.run(epochs, shown=progress)
    return session.history


def _sources(
    inputs: Sequence[sg.Variable],
    data: Data,
    validation: Data | float | None,
    size: int,
    axis: BatchAxis | Sequence[BatchAxis | None] | None,
) -> tuple[Source, Source | None]:
    """The batches to train on, and the held-out ones."""
    rows = source_of(inputs, data, size, axis, Place("fit", "data"))
    if validation is None:
        return rows, None
    if not isinstance(validation, (int, float, np.floating)):
        return rows, source_of(inputs, validation, size, axis, Place("fit", "validation"))
    if not isinstance(rows, Batches):
        raise SymgraphTypeError.here(
            "fit: a share of the rows is held out of arrays, not of batches that come ready",
            remedy="Give the batches to validate on: validation=held_out.",
        )
    return rows.parted(float(validation))


def _state_pairs(
    state: StateMap | None, reset_state: str, inputs: Sequence[sg.Variable]
) -> list[tuple[sg.Variable, sg.Variable]]:
    if reset_state not in ("epoch", "never"):
        raise SymgraphValueError.here(
            f"fit: reset_state is 'epoch' or 'never', not {reset_state!r}"
        )
    return state_pairs(state, inputs)


def _check_inputs(inputs: Sequence[sg.Variable], outputs: Sequence[Any]) -> None:
    """Raise where the outputs need a symbol that neither the data nor a batch before gives."""
    for leaf in leaves(outputs):
        if leaf.op.name == "input" and leaf not in inputs:
            raise InputError.here(
                f"fit: {describe(leaf)} is needed, but it is not among the inputs",
                remedy="Add it to the inputs, with an array in the data; or say with state={h: …} "
                "what each batch gets from the one before.",
            )


def _check_state(step: Step, rows: Source) -> None:
    """Raise where arrays give a smaller last batch, which the state would not fit."""
    if step.is_stateful and isinstance(rows, Batches):
        step.check(rows.batch(0), rows.batch(rows.count - 1))


def _check_updates(module: Any, loss: sg.Variable, updates: Any) -> None:
    """Raise where the updates train nothing of the module, or leave out what it does not keep."""
    if not isinstance(updates, Mapping):
        raise SymgraphTypeError.here(f"fit: updates are the dict of a rule, not {updates!r}")
    moved = [v for v in trainable(updates) if updates[v] is not v]
    check_trained("fit", moved, [loss])
    if not set(moved) & set(variables_of(module).values()):
        raise SymgraphValueError.here(
            f"fit: the updates move {describe(moved[0])}, but nothing of {module!r}",
            remedy="Give the module whose params the rule trains, to be kept and restored.",
        )
    check_kept("fit", [loss], updates, module)


def _check_symbols(inputs: Any) -> None:
    """Raise unless the inputs are a list of symbols."""
    listed = inputs if isinstance(inputs, (list, tuple)) else [None]
    if not all(isinstance(x, sg.Variable) for x in listed):
        raise SymgraphTypeError.here(
            "fit: inputs are a list of symbols, one for each array of the data, not "
            + (describe(inputs) if isinstance(inputs, sg.Variable) else repr(inputs)),
            remedy="Write [x], also for one.",
        )


def _figures(what: str, figures: Any) -> dict[str, sg.Variable]:
    """Scalar expressions by name, none for None; an error where they are something else."""
    if figures is None:
        return {}
    if not isinstance(figures, Mapping):
        raise SymgraphTypeError.here(
            f"fit: {what} is a dict of scalar expressions by their names, not "
            + (describe(figures) if isinstance(figures, sg.Variable) else repr(figures)),
            remedy=f"Name them: {what}={{'accuracy': nn.accuracy(logits, labels)}}.",
        )
    for name, figure in figures.items():
        if not isinstance(name, str):
            raise SymgraphTypeError.here(f"fit: {what}: a name is a text, not {name!r}")
        if name in ("epoch", "seconds") or name.startswith("validation_"):
            raise SymgraphValueError.here(
                f"fit: {what}: the history has something else under the name {name!r}"
            )
        if what == "metrics" and name == "loss":
            raise SymgraphValueError.here("fit: a metric named 'loss' would hide the loss")
        if not isinstance(figure, sg.Variable) or figure.ndim:
            raise SymgraphTypeError.here(
                f"fit: {name} is a scalar expression, not "
                + (describe(figure) if isinstance(figure, sg.Variable) else repr(figure)),
                remedy="Take its mean." if isinstance(figure, sg.Variable) else None,
            )
    return dict(figures)


def _monitored(
    monitor: str, trained: Mapping[str, sg.Variable], validate: Validation | None
) -> str:
    """The name, in the history, of the figure that decides which epoch is best."""
    names = list(trained) if validate is None else validate.names
    if monitor not in names:
        raise SymgraphValueError.here(
            f"fit: there is no figure {monitor!r} to monitor, but {', '.join(names)}"
        )
    return monitor if validate is None else f"validation_{monitor}"
