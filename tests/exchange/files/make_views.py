"""Writes ``views.onnx``: what PyTorch's exporters make of views, indices and shapes.

    python tests/exchange/files/make_views.py

needs what `make` needs.
"""

from __future__ import annotations

import warnings

import numpy as np
import torch
import torch.nn.functional as F
from make import FOLDER, export
from torch import nn


class Views(nn.Module):
    """From [B, T, 4] to many results."""

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        batch, time, width = x.shape
        order = x[..., 0].argsort(1)
        places = order.unsqueeze(-1).expand(-1, -1, width)
        ordered = torch.gather(x, 1, places)
        mask = torch.triu(torch.full((time, time), float("-inf")), 1)
        shares = torch.softmax(x @ x.transpose(1, 2) / width**0.5 + mask, -1)
        top, chosen = torch.topk(x, 2, dim=-1)
        return (
            ordered,
            x.scatter(1, places, ordered),
            F.one_hot(chosen, width).float(),
            shares @ x,
            top,
            x.view(batch, time, 2, 2).permute(0, 2, 1, 3).reshape(batch * 2, time, 2),
            torch.roll(x, 1, 1),
            torch.flip(x, [1])[:, ::2],
            torch.stack([x, 2 * x]).flatten(0, 1),
            torch.chunk(x, 2, -1)[1].repeat(1, 2, 1),
            torch.arange(time).view(1, time, 1) * x,
            F.pad(x, (1, 2), mode="reflect"),
            x.masked_fill(order.unsqueeze(-1) > 2, -1e9),
            torch.where(x > 0, x.cumsum(1), -x).clamp(-1, 2),
            torch.einsum("btd,bsd->bts", x, x).tril(),
            F.normalize(x, dim=-1).logsumexp(-1),
            x.std(-1) + x.prod(-1) + x.norm(dim=-1) + x.amax(-1),
            F.interpolate(x.transpose(1, 2), scale_factor=2.0, mode="linear"),
            F.adaptive_avg_pool1d(x.transpose(1, 2), 1),
        )


def main() -> None:
    """Write all files."""
    warnings.simplefilter("ignore")
    torch.manual_seed(0)
    net = Views().eval()
    inputs = [torch.randn(shape) for shape in ((2, 5, 4), (3, 8, 4))]
    arrays = {f"x{k}": x.numpy() for k, x in enumerate(inputs)}
    for k, x in enumerate(inputs):
        arrays |= {f"y{k}_{i}": y.numpy() for i, y in enumerate(net(x))}
    np.savez_compressed(FOLDER / "views.npz", **arrays)
    export(net, inputs[0], {0: "B", 1: "T"}, "views")


if __name__ == "__main__":
    main()
