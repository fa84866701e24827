"""What the command `symgraph export` does: the kind of file says what is written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ..core.errors import ExchangeError
from .onnx.write import export_onnx

__all__ = ["export_to"]


def _export_onnx(
    what: Any, path: Path, *, inputs: Sequence[Any] | None, opset: int
) -> Sequence[Path]:
    export_onnx(what, path, inputs=inputs, opset=opset)
    return [path]


# By the ending of the target's name; each returns the paths of what it wrote.
_EXPORTERS: dict[str, Callable[..., Sequence[Path]]] = {
    ".onnx": _export_onnx,
}


def export_to(what: Any, target: Path, **options: Any) -> Sequence[Path]:
    """The paths of what was written for a target: a model of ONNX for a name ending in .onnx.

    Raises `ExchangeError` for a target of another kind, and for what cannot go out.
    """
    exporter = _EXPORTERS.get(target.suffix)
    if exporter is None:
        raise ExchangeError.here(
            f"export writes files ending in {', '.join(_EXPORTERS)}; found {str(target)!r}"
        )
    return exporter(what, target, **options)
