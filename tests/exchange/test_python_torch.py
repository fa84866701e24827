"""Programs for PyTorch: the same values, and gradients by its autograd."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from python_programs import check, load

import symgraph as sg
import symgraph_nn as nn


def _net() -> tuple[Any, list[sg.Variable], sg.Variable]:
    x, mask = sg.tensor("x", ("T", "B", 3)), sg.tensor("mask", ("T", "B"))
    layer = nn.Bidirectional(nn.LSTM(3, 4, rng=0), nn.GRU(3, 4, rng=1))
    head = nn.Sequential(layer, nn.LayerNorm(8), nn.Dense(8, 2, rng=2))
    y = head[2](head[1](layer(x, mask=mask)))
    return head, [x, mask], y


def test_a_program_for_torch_needs_no_torch_to_be_written(tmp_path: Path) -> None:
    _, inputs, y = _net()
    text = check(sg.export_python(y, tmp_path, inputs=inputs, framework="torch"))
    assert "import torch" in text
    assert "np." not in text.replace("np.load", "")


def test_values_and_gradients_in_torch(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    head, inputs, y = _net()
    loss = (y**2).mean()
    params = head.params
    f = sg.compile(inputs, [loss, *sg.grad(loss, params)], backend="numpy")
    g = load(sg.export_python(loss, tmp_path, inputs=inputs, framework="torch"))
    rng = np.random.default_rng(0)
    for shape in ((5, 2), (1, 1)):
        x, mask = rng.normal(size=(*shape, 3)).astype("float32"), rng.random(shape) > 0.3
        expected = f(x, mask.astype("float32"))
        values = {p.name: torch.from_numpy(p.get_value()).requires_grad_() for p in params}
        got = g(torch.from_numpy(x), torch.from_numpy(mask), params=values)
        np.testing.assert_allclose(got.detach().numpy(), expected[0], rtol=1e-5)
        got.backward()
        for p, gradient in zip(params, expected[1:], strict=True):
            np.testing.assert_allclose(
                values[p.name].grad.numpy(), gradient, rtol=1e-4, atol=1e-6, err_msg=p.name
            )


def test_what_torch_lacks_is_refused_with_its_line(tmp_path: Path) -> None:
    x = sg.tensor("x", (3,), "uint64")
    with pytest.raises(sg.ExchangeError, match=r"uint64, which PyTorch lacks\n.*test_python_torch"):
        sg.export_python(x + x, tmp_path, inputs=[x], framework="torch")
    y = sg.vector("y")
    with pytest.raises(sg.ExchangeError, match="set_slice in steps backwards"):
        sg.export_python(y.set(slice(None, None, -2), 0.0), tmp_path, inputs=[y], framework="torch")
