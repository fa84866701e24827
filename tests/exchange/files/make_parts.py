"""Writes ``parts.onnx``: a net of small ops, in which larger ones are to be found.

    python tests/exchange/files/make_parts.py

needs what `make` needs. Slices are joined along the channels, as in the first layer of YOLOv5; a
layer normalisation and GELU, in both forms, are written out, in ways of their own.
"""

from __future__ import annotations

import math
import warnings

import numpy as np
import torch
from make import FOLDER, export
from torch import nn


class Parts(nn.Module):
    """From images [B, 3, H, W] to [B, 5]."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(12, 8)
        self.scale = nn.Parameter(torch.linspace(0.5, 2, 8))
        self.shift = nn.Parameter(torch.linspace(-1, 1, 8))
        self.second = nn.Linear(8, 8)
        self.third = nn.Linear(8, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.cat(
            [x[..., ::2, ::2], x[..., 1::2, ::2], x[..., ::2, 1::2], x[..., 1::2, 1::2]], 1
        )
        x = self.first(x.mean((2, 3)))
        centred = x - x.mean(-1, keepdim=True)
        variance = centred.pow(2).mean(-1, keepdim=True)
        x = self.scale * (centred * torch.rsqrt(variance + 1e-6)) + self.shift
        x = self.second(x * 0.5 * (1.0 + torch.erf(x / math.sqrt(2.0))))
        inner = math.sqrt(2.0 / math.pi) * (x + 0.044715 * torch.pow(x, 3.0))
        return self.third(0.5 * x * (1.0 + torch.tanh(inner)))


def main() -> None:
    """Write all files."""
    warnings.simplefilter("ignore")
    torch.manual_seed(0)
    net = Parts().eval()
    inputs = [torch.randn(shape) for shape in ((2, 3, 6, 4), (5, 3, 6, 4))]
    arrays = {f"x{k}": x.numpy() for k, x in enumerate(inputs)}
    arrays |= {f"y{k}": net(x).detach().numpy() for k, x in enumerate(inputs)}
    np.savez_compressed(FOLDER / "parts.npz", **arrays)
    export(net, inputs[0], {0: "B"}, "parts")


if __name__ == "__main__":
    main()
