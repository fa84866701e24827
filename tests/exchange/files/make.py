"""Writes the files beside it: small nets as PyTorch's exporters write them, and what they compute.

    python tests/exchange/files/make.py

needs torch, onnx and onnxscript, which the tests do not. Each net goes out twice: by the old
exporter (``NAME.onnx``), for any sizes, and by the new one (``NAME_dynamo.onnx``), which writes
recurrent nets for the length of the example alone. ``NAME.npz`` has inputs ``x0``, ``x1`` and
outputs ``y0``, ``y1`` at two sizes, the example's first.
"""

from __future__ import annotations

import math
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from torch import nn

FOLDER = Path(__file__).parent


class OutputOnly(nn.Module):
    """A recurrent layer and a layer on its outputs."""

    def __init__(self, layer: nn.Module, n_units: int) -> None:
        super().__init__()
        self.layer = layer
        self.head = nn.Linear(n_units, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.layer(x)[0])


class Normalised(nn.Module):
    """Two dense layers, with layer normalisation and GELU written out."""

    def __init__(self, n_in: int, n_units: int) -> None:
        super().__init__()
        self.first = nn.Linear(n_in, n_units)
        self.scale = nn.Parameter(torch.ones(n_units))
        self.shift = nn.Parameter(torch.zeros(n_units))
        self.second = nn.Linear(n_units, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        z = self.first(x)
        centred = z - z.mean(-1, keepdim=True)
        variance = (centred * centred).mean(-1, keepdim=True)
        z = centred / torch.sqrt(variance + 1e-5) * self.scale + self.shift
        z = 0.5 * z * (1 + torch.erf(z / math.sqrt(2.0)))
        return self.second(z)


def small_cnn() -> nn.Module:
    """A net of convolutions for images [B, 1, H, W]."""
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(4, 6, 3, stride=2),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(6, 3),
    )


class Encoder(nn.Module):
    """One layer of a transformer's encoder, on [T, B, n_units]."""

    def __init__(self, n_units: int, n_heads: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList([nn.LayerNorm(n_units) for _ in range(2)])
        self.attention = nn.MultiheadAttention(n_units, n_heads)
        self.wide = nn.Linear(n_units, 2 * n_units)
        self.narrow = nn.Linear(2 * n_units, n_units)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        z = self.norms[0](x)
        x = x + self.attention(z, z, z, need_weights=False)[0]
        z = torch.nn.functional.gelu(self.wide(self.norms[1](x)))
        return x + self.narrow(z)


SEQUENCES = [(6, 3, 5), (11, 2, 5)]
NETS: dict[str, tuple[Any, list[tuple[int, ...]], dict[int, str]]] = {
    "lstm": (lambda: OutputOnly(nn.LSTM(5, 4), 4), SEQUENCES, {0: "T", 1: "B"}),
    "bilstm": (
        lambda: OutputOnly(nn.LSTM(5, 4, num_layers=2, bidirectional=True), 8),
        SEQUENCES,
        {0: "T", 1: "B"},
    ),
    "gru": (lambda: OutputOnly(nn.GRU(5, 4), 4), SEQUENCES, {0: "T", 1: "B"}),
    "rnn": (lambda: OutputOnly(nn.RNN(5, 4), 4), SEQUENCES, {0: "T", 1: "B"}),
    "cnn": (small_cnn, [(2, 1, 10, 10), (3, 1, 10, 10)], {0: "B"}),
    "encoder": (lambda: Encoder(8, 2), [(6, 3, 8), (11, 2, 8)], {0: "T", 1: "B"}),
    "normalised": (lambda: Normalised(5, 8), [(4, 5), (7, 5)], {0: "B"}),
}


def export(net: nn.Module, x: torch.Tensor, sizes: dict[int, str], name: str) -> None:
    """Write a net by both exporters."""
    options: dict[str, Any] = {"input_names": ["x"], "output_names": ["y"]}
    old, new = FOLDER / f"{name}.onnx", FOLDER / f"{name}_dynamo.onnx"
    axes = {"x": sizes, "y": sizes}
    torch.onnx.export(
        net, (x,), str(old), dynamo=False, opset_version=17, dynamic_axes=axes, **options
    )
    torch.onnx.export(
        net,
        (x,),
        str(new),
        dynamo=True,
        opset_version=18,
        dynamic_shapes=(dict.fromkeys(sizes, torch.export.Dim.AUTO),),
        external_data=False,
        verbose=False,
        **options,
    )
    for path in (old, new):
        model = onnx.load(path)
        forget_sources(model.graph)
        onnx.save(model, path)


def forget_sources(graph: onnx.GraphProto) -> None:
    """Remove what the exporter tells of the lines and folders that nodes come from."""
    del graph.value_info[:], graph.metadata_props[:]
    for part in (*graph.node, *graph.initializer, *graph.input, *graph.output):
        del part.metadata_props[:]
        part.doc_string = ""


def main() -> None:
    """Write all files."""
    warnings.simplefilter("ignore")
    for number, (name, (make, shapes, sizes)) in enumerate(NETS.items()):
        torch.manual_seed(number)
        net = make().eval()
        inputs = [torch.randn(shape) for shape in shapes]
        arrays = {f"x{k}": x.numpy() for k, x in enumerate(inputs)}
        arrays |= {f"y{k}": net(x).detach().numpy() for k, x in enumerate(inputs)}
        np.savez_compressed(FOLDER / f"{name}.npz", **arrays)
        export(net, inputs[0], sizes, name)


if __name__ == "__main__":
    main()
