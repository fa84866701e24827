"""The workloads in PyTorch: fused layers where they exist, a Python loop for the custom cell."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch.nn import functional
from workloads import (
    ADAM,
    NESTEROV,
    NORM_EPSILON,
    SGD_RATE,
    Arrays,
    Program,
    Workload,
    twelve_operations,
)

Tensors = list[torch.Tensor]


def prepare(workload: Workload, parameters: Arrays, data: Arrays) -> Program:
    """The workload; eager, so that there is nothing to compile."""
    given = [torch.from_numpy(array) for array in data]
    if workload.kind == "call":
        return Program(partial(torch.tanh, *given))
    if workload.kind == "elementwise":
        return _prepare_elementwise(given[0])
    if workload.kind == "leaky":
        params = _trainable(parameters)
        loss = partial(_leaky_loss, params, *given)
    else:
        net = Net(workload, _trainable(parameters))
        params = [p for p in net.parameters() if p.requires_grad]
        loss = partial(net, *given)
    rule = {"frames": _nesterov, "characters": _adam, "leaky": _sgd}[workload.kind](params)

    def step() -> torch.Tensor:
        rule.zero_grad()
        value = loss()
        value.backward()
        rule.step()
        return value.detach()

    return Program(step, torch.no_grad()(loss))


def compile_trivial() -> None:
    """Take one step, which loads what is loaded at the first."""
    x = torch.nn.Parameter(torch.ones(1))
    (x + 1).backward()
    _sgd([x]).step()


def _trainable(parameters: Arrays) -> Tensors:
    return [torch.nn.Parameter(torch.from_numpy(array.copy())) for array in parameters]


def _prepare_elementwise(x: torch.Tensor) -> Program:
    x.requires_grad_()

    def call() -> Any:
        value = twelve_operations(torch, x).mean()
        return value.detach(), torch.autograd.grad(value, x)[0]

    return Program(call)


class Net(torch.nn.Module):
    """Recurrent layers and a readout, on frames or on symbols."""

    def __init__(self, workload: Workload, params: Tensors) -> None:
        super().__init__()
        is_frames = workload.kind == "frames"
        make = torch.nn.LSTM if workload.cell == "lstm" else torch.nn.RNN
        self.layers = make(
            workload.n_in, workload.n_units, workload.layers, bidirectional=is_frames
        )
        self.embedding = None if is_frames else params[0]
        self.weights, self.bias = params[-2:]
        own = params[:-2] if is_frames else params[1:-2]
        suffixes = [
            f"l{k}{end}"
            for k in range(workload.layers)
            for end in ("", "_reverse")[: 1 + is_frames]
        ]
        for k, suffix in enumerate(suffixes):
            w, u, b = own[3 * k : 3 * k + 3]
            layers: Any = self.layers
            getattr(layers, f"weight_ih_{suffix}").data = w.data.T.contiguous()
            getattr(layers, f"weight_hh_{suffix}").data = u.data.T.contiguous()
            getattr(layers, f"bias_ih_{suffix}").data = b.data
            # The second bias would learn the same again, at twice the rate.
            getattr(layers, f"bias_hh_{suffix}").requires_grad_(False).zero_()
        self.layers.flatten_parameters()

    def forward(self, x: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        y = x if self.embedding is None else functional.embedding(x, self.embedding)
        return _cross_entropy(self.layers(y)[0], self.weights, self.bias, labels)


def _leaky_loss(params: Tensors, x: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    w, u, gain, bias, leak, weights, readout_bias = params
    share = torch.sigmoid(leak)
    h = torch.zeros(x.shape[1], u.shape[0])
    outputs = []
    for z in (x @ w).unbind():
        normal = functional.layer_norm(torch.addmm(z, h, u), gain.shape, gain, bias, NORM_EPSILON)
        h = h + share * (torch.tanh(normal) - h)
        outputs.append(h)
    return _cross_entropy(torch.stack(outputs), weights, readout_bias, labels)


def _cross_entropy(y: Any, weights: Any, bias: Any, labels: Any) -> torch.Tensor:
    logits = torch.addmm(bias, y.flatten(0, 1), weights)
    return functional.cross_entropy(logits, labels.flatten())


def _nesterov(params: Tensors) -> Any:
    return torch.optim.SGD(
        params, NESTEROV.rate, momentum=NESTEROV.momentum, nesterov=True, fused=True
    )


def _adam(params: Tensors) -> Any:
    return torch.optim.Adam(
        params, ADAM.rate, betas=(ADAM.beta1, ADAM.beta2), eps=ADAM.epsilon, fused=True
    )


def _sgd(params: Tensors) -> Any:
    return torch.optim.SGD(params, SGD_RATE, fused=True)
