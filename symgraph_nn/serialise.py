"""Modules and optimisers in safetensors files, written so that a kill leaves no broken one."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

import symgraph as sg
from symgraph.errors import SymgraphValueError, explain, user_line

from .extras import load_package
from .module import checked_values, set_values, variables_of
from .updates import Updates

__all__ = ["load", "optimiser_variables", "read_arrays", "save", "write_arrays"]

_OPTIMISER = "optimiser/"


def save(module: Any, path: str | os.PathLike, updates: Mapping | None = None) -> None:
    """Write the module's values, and with ``updates`` the optimiser's state, to a file.

    The file is complete or not there: it is written aside, forced to disk and renamed.
    """
    variables = {**variables_of(module), **optimiser_variables(module, updates)}
    write_arrays(path, {name: v.get_value() for name, v in variables.items()})


def load(module: Any, path: str | os.PathLike, updates: Mapping | None = None) -> None:
    """Set the module's values, and with ``updates`` the optimiser's state, from a file of `save`.

    Names, shapes and dtypes are checked first; if any is wrong, the error lists all that is, and
    nothing is changed. Without ``updates`` an optimiser's state in the file is passed over.
    """
    arrays, _ = read_arrays(path)
    if updates is None:
        arrays = {k: v for k, v in arrays.items() if not k.startswith(_OPTIMISER)}
    variables = {**variables_of(module), **optimiser_variables(module, updates)}
    set_values(variables, checked_values(variables, arrays, f"{module!r} from {os.fspath(path)}"))


def optimiser_variables(module: Any, updates: Mapping | None) -> dict[str, sg.SharedVariable]:
    """The variables of the updates that are none of the module's, by names that stay the same."""
    if updates is None:
        return {}
    paths = {v: path for path, v in variables_of(module).items()}
    named: dict[str, sg.SharedVariable] = {}
    if isinstance(updates, Updates):
        for (kind, param), slot in updates.slots.items():
            owner = "" if param is None else "/" + _label(param, paths, updates.params)
            named[f"{_OPTIMISER}{kind}{owner}"] = slot
    known = {*paths, *named.values()}
    others = [v for v in updates if v not in known]
    named |= {f"{_OPTIMISER}other/{i}": v for i, v in enumerate(others)}
    return named


def _label(param: sg.SharedVariable, paths: Mapping, params: list[sg.SharedVariable]) -> str:
    return paths[param] if param in paths else str(params.index(param))


# --- files --------------------------------------------------------------------------------------


def write_arrays(
    path: str | os.PathLike,
    arrays: Mapping[str, np.ndarray],
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write arrays to a safetensors file, whole or not at all."""
    safetensors = load_package("safetensors.numpy", None)
    content = safetensors.save(dict(arrays), metadata=dict(metadata) if metadata else None)
    target = Path(path)
    aside = target.with_name(f".{target.name}.{secrets.token_hex(6)}.tmp")
    try:
        with aside.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(aside, target)
    except BaseException:
        with contextlib.suppress(OSError):
            aside.unlink(missing_ok=True)
        raise
    _sync_folder(target.parent)


def _sync_folder(folder: Path) -> None:
    """Force the new name to disk, where the system can."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def read_arrays(path: str | os.PathLike) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """The arrays and the metadata of a safetensors file."""
    safetensors = load_package("safetensors", None)
    try:
        with safetensors.safe_open(os.fspath(path), framework="numpy") as file:
            names = list(file.keys())
            return {name: file.get_tensor(name) for name in names}, file.metadata() or {}
    except safetensors.SafetensorError as error:
        raise SymgraphValueError(
            explain(f"{os.fspath(path)} is no whole safetensors file: {error}", line=user_line())
        ) from None
