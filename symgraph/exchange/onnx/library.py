"""The onnx package, which is optional and slow to import: `library.onnx`, when it is first used."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from ...core.errors import ExchangeError

if TYPE_CHECKING:
    import onnx
    import onnx.numpy_helper

__all__ = ["onnx"]


def __getattr__(name: str) -> Any:
    if name != "onnx":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        importlib.import_module("onnx.numpy_helper")
        return importlib.import_module("onnx")
    except ImportError:
        raise ExchangeError.here(
            "ONNX files are read and written by the onnx package, which is not installed",
            remedy="pip install 'symgraph[onnx]'",
        ) from None
