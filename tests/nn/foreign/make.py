"""Writes the files of this folder: small models of PyTorch's and Keras's, inputs and outputs.

Needs torch, keras and safetensors; run as ``KERAS_BACKEND=torch python tests/nn/foreign/make.py``.
"""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import safetensors.torch
import torch

FOLDER = Path(__file__).parent
RNG = np.random.default_rng(0)


class Sequences(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.emb = torch.nn.Embedding(5, 3)
        self.rnn = torch.nn.LSTM(3, 4, num_layers=2, bidirectional=True)
        self.gru = torch.nn.GRU(8, 5)
        self.plain = torch.nn.RNN(5, 6)
        self.norm = torch.nn.LayerNorm(6)
        self.attention = torch.nn.MultiheadAttention(6, 2)
        self.out = torch.nn.Linear(6, 2, bias=False)

    def forward(self, symbols: torch.Tensor) -> torch.Tensor:
        y, _ = self.rnn(self.emb(symbols))
        y, _ = self.gru(y)
        y, _ = self.plain(y)
        y = self.norm(y)
        return self.out(self.attention(y, y, y)[0])


def images() -> torch.nn.Module:
    net = torch.nn.Sequential(
        torch.nn.Conv2d(2, 3, (2, 3), stride=2),
        torch.nn.BatchNorm2d(3),
        torch.nn.ConvTranspose2d(3, 4, 3, stride=2),
        torch.nn.GroupNorm(2, 4),
    )
    net(torch.randn(4, 2, 5, 6))  # the statistics
    return net.eval()


def write_torch() -> None:
    torch.manual_seed(0)
    sequences, symbols = Sequences(), RNG.integers(0, 5, (7, 2))
    pictures, x = images(), RNG.normal(size=(2, 5, 6, 2)).astype("float32")
    torch.save(sequences.state_dict(), FOLDER / "sequences.pt")
    weights = {
        "weight": torch.arange(12.0).reshape(3, 4).T[1:, :2],  # a view of other strides
        "bias": torch.tensor([1.0, 2.0, -0.5]).bfloat16(),
    }
    optimizer = {"state": {0: {"step": torch.tensor(3.0)}}, "param_groups": [{"lr": 0.1}]}
    checkpoint = {"epoch": 3, "best": 0.5, "model": weights, "optimizer": optimizer}
    torch.save(checkpoint, FOLDER / "checkpoint.pt")
    safetensors.torch.save_file(sequences.state_dict(), FOLDER / "sequences.safetensors")
    safetensors.torch.save_file(pictures.state_dict(), FOLDER / "images.safetensors")
    y = sequences(torch.tensor(symbols)).detach().numpy()
    z = pictures(torch.tensor(x).permute(0, 3, 1, 2)).permute(0, 2, 3, 1).detach().numpy()
    np.savez(FOLDER / "torch.npz", symbols=symbols, outputs=y, images=x, filtered=z)


def keras_model(*, reset_after: bool) -> keras.Model:
    layers = keras.layers
    model = keras.Sequential([
        keras.Input((None, 3)),
        layers.Bidirectional(layers.LSTM(4, return_sequences=True)),
        layers.GRU(5, return_sequences=True, name="reader", reset_after=reset_after),
        layers.Dropout(0.2),
        layers.SimpleRNN(6, return_sequences=True),
        layers.BatchNormalization(),
        layers.Conv1D(4, 3, padding="causal"),
        layers.LayerNormalization(epsilon=1e-5),
        layers.Dense(2, name="out"),
        layers.Dense(3),
    ])  # fmt: skip
    for weight in model.weights:
        if "seed" not in weight.path:
            shift = 2.0 if "variance" in weight.path else 0.0
            weight.assign(RNG.normal(size=weight.shape) * 0.5 + shift)
    return model


def wrapped() -> keras.Model:
    layers = keras.layers
    model = keras.Sequential([
        keras.Input((None, 5, 4, 2)),
        layers.TimeDistributed(layers.DepthwiseConv2D(3, depth_multiplier=2)),
        layers.TimeDistributed(layers.GlobalMaxPooling2D()),
        layers.Bidirectional(layers.GRU(3, return_sequences=True)),
        layers.TimeDistributed(layers.Dense(2)),
    ])  # fmt: skip
    for weight in model.weights:
        weight.assign(RNG.normal(size=weight.shape) * 0.5)
    return model


def write_wrapped() -> None:
    model, x = wrapped(), RNG.normal(size=(2, 3, 5, 4, 2)).astype("float32")
    for ending in ("keras", "weights.h5", "h5"):
        save = model.save_weights if ending == "weights.h5" else model.save
        save(FOLDER / f"wrapped.{ending}")
    np.savez(FOLDER / "wrapped.npz", x=x, outputs=np.asarray(model.predict(x, verbose=0)))


def write_frames() -> None:
    layer = keras.layers.ConvLSTM2D(2, (3, 1), padding="same", return_sequences=True)
    model = keras.Sequential([keras.Input((None, 4, 3, 1)), layer])
    for weight in model.weights:
        weight.assign(RNG.normal(size=weight.shape) * 0.5)
    x = RNG.normal(size=(2, 3, 4, 3, 1)).astype("float32")
    weights = dict(zip("WUb", model.get_weights(), strict=True))
    np.savez(FOLDER / "frames.npz", x=x, outputs=model.predict(x, verbose=0), **weights)


def write_keras() -> None:
    x = RNG.normal(size=(2, 7, 3)).astype("float32")
    found = {"x": x}
    for name, reset_after in (("after", True), ("before", False)):
        model = keras_model(reset_after=reset_after)
        model.save(FOLDER / f"{name}.keras")
        if reset_after:
            model.save_weights(FOLDER / f"{name}.weights.h5")
        found[name] = np.asarray(model.predict(x, verbose=0))
    inputs = keras.Input((7, 6))
    attention = keras.Model(inputs, keras.layers.MultiHeadAttention(2, 3)(inputs, inputs))
    for weight in attention.weights:
        weight.assign(RNG.normal(size=weight.shape) * 0.5)
    attention.save(FOLDER / "attention.keras")
    found["y"] = RNG.normal(size=(2, 7, 6)).astype("float32")
    found["attention"] = np.asarray(attention.predict(found["y"], verbose=0))
    np.savez(FOLDER / "keras.npz", **found)


if __name__ == "__main__":
    write_torch()
    write_keras()
    write_wrapped()
    write_frames()
