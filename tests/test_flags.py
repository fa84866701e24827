"""Options that are True or False: anything else is an error that names the option."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import symgraph as sg
import symgraph_nn as nn

X = np.ones((3, 2, 4), "float32")
SIGNAL = np.ones((2, 6, 4), "float32")
ROWS = [[1, 2], [3]]
NET, INPUT = nn.Dense(4, 1, rng=0), sg.tensor("x", ("B", 4))

# For each function how it is called with options; arguments before them make no difference.
CALLS: dict[Any, Callable[..., Any]] = {
    sg.allclose: lambda **o: sg.allclose(X, X, **o),
    sg.average: lambda **o: sg.average(X, **o),
    sg.compile: lambda **o: sg.compile([], sg.ones(2), backend="numpy", **o),
    sg.export_onnx: lambda **o: sg.export_onnx(INPUT * 2, inputs=[INPUT], **o),
    sg.import_onnx: lambda **o: sg.import_onnx(
        sg.export_onnx(INPUT * 2, inputs=[INPUT]).SerializeToString(), **o
    ),
    sg.isclose: lambda **o: sg.isclose(X, X, **o),
    sg.linspace: lambda **o: sg.linspace(0, 1, 5, **o),
    sg.cumulative_prod: lambda **o: sg.cumulative_prod(X[:, 0, 0], **o),
    sg.cumulative_sum: lambda **o: sg.cumulative_sum(X[:, 0, 0], **o),
    sg.associative_scan: lambda **o: sg.associative_scan(sg.add, X, **o),
    sg.scan: lambda **o: sg.scan(lambda x: x + 1, [sg.constant(X)], **o),
    nn.buckets: lambda **o: nn.buckets([ROWS], batch_size=1, **o),
    nn.ctc: lambda **o: nn.ctc(X, [[1], [1]], [3, 3], [1, 1], **o),
    nn.fit: lambda **o: nn.fit(
        NET, [INPUT], NET(INPUT).sum(), {}, [X[:, 0]], epochs=1, batch_axis=0, **o
    ),
    nn.load: lambda **o: nn.load(NET, "nowhere", **o),
    nn.AveragePool1D: lambda **o: nn.AveragePool1D(2, **o),
    nn.BatchNorm.__call__: lambda **o: nn.BatchNorm(4)(X, **o),
    nn.Bidirectional.__call__: lambda **o: nn.Bidirectional(
        nn.GRUCell(4, 2, rng=0), nn.GRUCell(4, 2, rng=0)
    )(X, **o),
    nn.Conv1D: lambda **o: nn.Conv1D(4, 2, 3, **o),
    nn.ConvTranspose1D: lambda **o: nn.ConvTranspose1D(4, 2, 3, **o),
    nn.Dropout.__call__: lambda **o: nn.Dropout(0.5, rng=0)(X, **o),
    nn.GRUCell: lambda **o: nn.GRUCell(4, 2, **o),
    nn.GlobalAveragePool: nn.GlobalAveragePool,
    nn.GlobalMaxPool: nn.GlobalMaxPool,
    nn.GroupNorm: lambda **o: nn.GroupNorm(2, 4, **o),
    nn.LSTMCell: lambda **o: nn.LSTMCell(4, 2, **o),
    nn.LowerOnPlateau: lambda **o: nn.LowerOnPlateau(sg.shared(0.1), **o),
    nn.MaxPool1D: lambda **o: nn.MaxPool1D(2, **o),
    nn.MultiHeadAttention.__call__: lambda **o: nn.MultiHeadAttention(4, 2, rng=0)(X, **o),
    nn.Recurrent: lambda **o: nn.Recurrent(nn.GRUCell(4, 2, rng=0), **o),
    nn.Recurrent.__call__: lambda **o: nn.GRU(4, 2, rng=0)(X, **o),
    nn.Recurrent.step: lambda **o: nn.GRU(4, 2, rng=0).step(X[0], **o),
    nn.Residual.__call__: lambda **o: nn.Residual(nn.GRU(4, 4, rng=0))(X, **o),
    nn.Residual.step: lambda **o: nn.Residual(nn.GRU(4, 4, rng=0)).step(X[0], **o),
    nn.Sequential.__call__: lambda **o: nn.Sequential(nn.GRU(4, 4, rng=0))(X, **o),
    nn.Sequential.step: lambda **o: nn.Sequential(nn.GRU(4, 4, rng=0)).step(X[0], **o),
} | {
    reduction: lambda reduction=reduction, **o: reduction(X, **o)
    for reduction in (
        *(sg.all, sg.any, sg.argmax, sg.argmin, sg.count_nonzero, sg.logsumexp, sg.max, sg.mean),
        *(sg.min, sg.prod, sg.ptp, sg.std, sg.sum, sg.var),
    )
}


def public_flags() -> Iterator[tuple[Any, str]]:
    """Each public function, class or method that has an option of True and False, and its name."""
    for module in (sg, nn):
        for name in module.__all__:
            value = getattr(module, name)
            methods = [getattr(value, m, None) for m in ("__call__", "step")]
            for each in (value, *(methods if inspect.isclass(value) else ())):
                if not callable(each):
                    continue
                try:
                    parameters = inspect.signature(each).parameters.values()
                except (TypeError, ValueError):
                    continue
                for parameter in parameters:
                    if isinstance(parameter.default, bool):
                        yield each, parameter.name


FLAGS = list(dict.fromkeys(public_flags()))


@pytest.mark.parametrize(
    ("function", "flag"), FLAGS, ids=[f"{f.__qualname__}-{n}" for f, n in FLAGS]
)
@pytest.mark.parametrize("value", ["no", 2, 1.0, None])
def test_another_value_is_refused(function: Any, flag: str, value: object) -> None:
    error = sg.ScanError if function is sg.associative_scan else sg.SymgraphTypeError
    with pytest.raises(error, match=f"{flag} is True or False, not {value!r}") as caught:
        CALLS[function](**{flag: value})
    assert "test_flags.py:" in str(caught.value)


@pytest.mark.parametrize(("yes", "no"), [(np.True_, np.False_), (1, 0), (np.int64(1), np.int8(0))])
def test_bools_of_numpy_and_numbers_for_them_are_taken(yes: Any, no: Any) -> None:
    f = sg.compile([], sg.sum(X, keepdims=yes), debug=no, check_finite=no)
    assert f().shape == (1, 1, 1)
