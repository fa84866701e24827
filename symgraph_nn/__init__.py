"""Neural networks on symgraph: modules, recurrent layers, losses, update rules and training."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from . import init, schedules
from .adaptive_rules import (
    adabelief,
    adadelta,
    adagrad,
    adam,
    adamax,
    adamw,
    amsgrad,
    lion,
    rmsprop,
)
from .attention import MultiHeadAttention
from .bidirectional import Bidirectional
from .buckets import buckets
from .buffers import Buffer, buffer_updates
from .callbacks import LowerOnPlateau, Run
from .cells import GRUCell, LSTMCell, RNNCell
from .conv import Conv1D, Conv2D, MaxPool1D, MaxPool2D
from .conv_cells import ConvGRUCell, ConvLSTMCell
from .conv_transpose import ConvTranspose1D, ConvTranspose2D
from .ctc import ctc, ctc_beam, ctc_greedy
from .decoding import beam_search, edit_distance
from .depth_to_space import DepthToSpace
from .distances import cosine_distance, huber, squared_error
from .files import FileError
from .gradients import clip_norm, clip_value, weight_decay
from .history import History
from .layers import Dense, Dropout, Embedding
from .losses import accuracy, binary_cross_entropy, cross_entropy, focal, kl_divergence
from .modifiers import accumulate, apply_ema, apply_lookahead, apply_rates
from .module import Module
from .norms import BatchNorm, GroupNorm, LayerNorm
from .pooling import AveragePool1D, AveragePool2D, GlobalAveragePool, GlobalMaxPool
from .prediction import evaluate, predict
from .recurrent import Recurrent
from .residual import Residual
from .rules import apply_momentum, apply_nesterov, momentum, nesterov, sgd
from .sequential import Sequential
from .serialise import LoadReport, load, save
from .shorthands import GRU, LSTM, RNN
from .stateful import stateful
from .training import TrainingError, fit
from .updates import Updates, iterate

if TYPE_CHECKING:
    from . import datasets
    from .foreign import load_keras, load_torch

__all__ = [
    # modules
    "Buffer",
    "FileError",
    "LoadReport",
    "Module",
    "buffer_updates",
    "load",
    "load_keras",
    "load_torch",
    "save",
    # cells and loops
    "Bidirectional",
    "ConvGRUCell",
    "ConvLSTMCell",
    "GRU",
    "GRUCell",
    "LSTM",
    "LSTMCell",
    "RNN",
    "RNNCell",
    "Recurrent",
    # layers
    "AveragePool1D",
    "AveragePool2D",
    "BatchNorm",
    "Conv1D",
    "Conv2D",
    "ConvTranspose1D",
    "ConvTranspose2D",
    "Dense",
    "DepthToSpace",
    "Dropout",
    "Embedding",
    "GlobalAveragePool",
    "GlobalMaxPool",
    "GroupNorm",
    "LayerNorm",
    "MaxPool1D",
    "MaxPool2D",
    "MultiHeadAttention",
    "Residual",
    "Sequential",
    # losses
    "accuracy",
    "binary_cross_entropy",
    "cosine_distance",
    "cross_entropy",
    "ctc",
    "ctc_beam",
    "ctc_greedy",
    "focal",
    "huber",
    "kl_divergence",
    "squared_error",
    # decoding
    "beam_search",
    "edit_distance",
    # updates
    "Updates",
    "accumulate",
    "adabelief",
    "adadelta",
    "adagrad",
    "adam",
    "adamax",
    "adamw",
    "amsgrad",
    "apply_ema",
    "apply_lookahead",
    "apply_momentum",
    "apply_nesterov",
    "apply_rates",
    "clip_norm",
    "clip_value",
    "iterate",
    "lion",
    "momentum",
    "nesterov",
    "rmsprop",
    "sgd",
    "weight_decay",
    # training
    "History",
    "LowerOnPlateau",
    "Run",
    "TrainingError",
    "buckets",
    "evaluate",
    "fit",
    "predict",
    "stateful",
    # collections
    "datasets",
    "init",
    "schedules",
]


def __getattr__(name: str) -> Any:
    """What is slow to import and not always used: data sets, and the weights of other libraries."""
    if name == "datasets":
        return importlib.import_module(".datasets", __name__)
    if name in ("load_keras", "load_torch"):
        return getattr(importlib.import_module(".foreign", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """The public names."""
    return sorted(__all__)
