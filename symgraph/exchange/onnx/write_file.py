"""Models checked, and written to files: those too large for one file with their tensors beside."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ...core.errors import ExchangeError
from . import library

if TYPE_CHECKING:
    from onnx import ModelProto

__all__ = ["check_model", "is_large", "save_model"]

LARGEST_FILE = 2**31 - 1
"""How many bytes a message of Protocol Buffers may have."""


def is_large(proto: ModelProto) -> bool:
    """Whether a model is too large for one file."""
    return proto.ByteSize() > LARGEST_FILE


def check_model(model: ModelProto | Path) -> None:
    """Raise `ExchangeError` unless onnx's checker and shape inference find the model right."""
    checker, shapes = library.onnx.checker, library.onnx.shape_inference
    try:
        checker.check_model(str(model) if isinstance(model, Path) else model, full_check=True)
    except (checker.ValidationError, shapes.InferenceError) as error:
        raise ExchangeError.here(
            f"the model is not what ONNX allows: {error}",
            remedy="check=False leaves this out; please report it.",
        ) from None


def save_model(proto: ModelProto, path: Path) -> None:
    """Write a model; what does not fit into one file has its tensors beside it, in NAME.data."""
    try:
        if is_large(proto):
            _save_in_parts(proto, path)
        else:
            library.onnx.save(proto, path)
    except OSError as error:
        raise ExchangeError.here(f"{path} cannot be written: {error}") from None


def _save_in_parts(proto: ModelProto, path: Path) -> None:
    """Write the tensors into a file of their own, and give the model what it had."""
    data = path.with_name(f"{path.name}.data")
    data.unlink(missing_ok=True)  # onnx adds to what is there
    library.onnx.save(proto, path, save_as_external_data=True, location=data.name)
    library.onnx.load_external_data_for_model(proto, str(path.parent))
