"""Writes recurrent.npz: layers of PyTorch with their weights, and what they give for a batch.

Needs torch; run as ``python make_recurrent.py`` in this folder.
"""

import numpy as np
import torch

LAYERS = {
    "lstm": torch.nn.LSTM(3, 4),
    "lstm_both": torch.nn.LSTM(3, 4, bidirectional=True),
    "lstm_two": torch.nn.LSTM(3, 4, num_layers=2, bidirectional=True),
    "gru": torch.nn.GRU(3, 4),
    "gru_both": torch.nn.GRU(3, 4, bidirectional=True),
    "rnn": torch.nn.RNN(3, 4),
    "rnn_relu": torch.nn.RNN(3, 4, nonlinearity="relu"),
    "rnn_both": torch.nn.RNN(3, 4, bidirectional=True),
}


def main() -> None:
    torch.manual_seed(0)
    x = torch.randn(7, 2, 3)
    arrays = {"x": x.numpy()}
    for name, layer in LAYERS.items():
        for weight in layer.parameters():
            torch.nn.init.uniform_(weight, -0.8, 0.8)
        y, state = layer(x)
        states = state if isinstance(state, tuple) else (state,)
        arrays |= {f"{name}.weights.{k}": v.numpy() for k, v in layer.state_dict().items()}
        arrays[f"{name}.y"] = y.detach().numpy()
        for k, part in enumerate(states):
            arrays[f"{name}.state.{k}"] = part.detach().numpy()
    np.savez_compressed("recurrent.npz", **arrays)


if __name__ == "__main__":
    main()
