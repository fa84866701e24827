"""Modules and optimisers in safetensors files."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

import symgraph as sg
from symgraph.errors import SymgraphTypeError, SymgraphValueError, check_flags

from .extras import load_package
from .files import as_path, check_target, write_whole
from .graphs import shared_variables
from .tensors import StoredArray, read_arrays
from .typing import ModuleLike, Path, UpdatesLike
from .updates import Updates, is_slot
from .walk import variables_of

__all__ = ["LoadReport", "fitting_arrays", "load", "optimiser_variables", "save", "write_arrays"]

_OPTIMISER = "optimiser/"


@dataclass(frozen=True)
class LoadReport:
    """What `load` did with each name, of the module and of the file.

    >>> nn.save(nn.Dense(3, 4, bias=None), "dense.safetensors")
    >>> report = nn.load(nn.Dense(3, 4), "dense.safetensors", strict=False)
    >>> report.loaded, report.missing
    (['W'], ['b'])
    """

    loaded: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    """Of the module, but not in the file."""
    surplus: list[str] = field(default_factory=list)
    """In the file, but not of the module."""
    different: list[str] = field(default_factory=list)
    """In both, with another shape or dtype."""
    faults: list[str] = field(default_factory=list, repr=False)
    """A line for each that was not loaded."""

    def __str__(self) -> str:
        return "\n    ".join([f"{len(self.loaded)} loaded", *self.faults])


def save(module: ModuleLike, path: Path, updates: UpdatesLike | None = None) -> None:
    """Write the module's values, and with ``updates`` the optimiser's state, to a file.

    module
        A module, another object with ``params``, or a list, tuple, dict or dataclass of these.
        Parameters and buffers are written, each under its attribute path.
    path
        A safetensors file. It is complete or not there: it is written aside, forced to disk and
        renamed. What a process that was killed began to write goes at the next save.
    updates
        What a rule returned: what it moves besides the module is written too, and the counters of
        the random streams that it draws from.

    Raises a `FileError` (an `OSError`) where the file cannot be written, a `SymgraphValueError` for
    the name of another format, and a `SymgraphTypeError` for what is no module.

    >>> net = nn.Dense(3, 4, rng=0)
    >>> nn.save(net, "net.safetensors")
    >>> nn.load(net, "net.safetensors").loaded
    ['W', 'b']
    """
    variables = {**variables_of(module), **optimiser_variables(module, updates)}
    write_arrays(path, {name: v.get_value() for name, v in variables.items()})


def load(
    module: ModuleLike,
    path: Path,
    updates: UpdatesLike | None = None,
    *,
    strict: bool = True,
) -> LoadReport:
    """Set the module's values, and with ``updates`` the optimiser's state, from a file of `save`.

    Names, shapes and dtypes are checked first; if any is wrong, a `SymgraphValueError` lists all
    that is, and nothing is changed. Values of bfloat16 and float16 widen to the parameter's dtype,
    no others change theirs.

    module
        What was saved, or another one built alike.
    path
        The file; a `FileError` (an `OSError`) where it cannot be read.
    updates
        The rule's result, if its state is to be loaded; without it a state in the file is passed
        over.
    strict
        With ``strict=False`` what fits is loaded, and the report tells the rest.

    >>> net, other = nn.Dense(3, 4, rng=0), nn.Dense(3, 4, rng=1)
    >>> nn.save(net, "net.safetensors")
    >>> print(nn.load(other, "net.safetensors"))
    2 loaded
    """
    check_flags("load", strict=strict)
    variables = {**variables_of(module), **optimiser_variables(module, updates)}
    stored, _ = read_arrays(path)
    if updates is None:
        stored = {
            name: array
            for name, array in stored.items()
            if name in variables or not name.startswith(_OPTIMISER)
        }
    owner = f"{module!r} from {os.fspath(as_path(path))}"
    arrays, report = fitting_arrays(variables, stored, owner, strict=strict)
    sg.set_values({variables[name]: array for name, array in arrays.items()})
    return report


def fitting_arrays(
    variables: Mapping[str, sg.SharedVariable],
    stored: Mapping[str, StoredArray],
    owner: str,
    *,
    strict: bool = True,
) -> tuple[dict[str, np.ndarray], LoadReport]:
    """The arrays that fit the variables of their names, and a report; an error if strict."""
    report, arrays = LoadReport(), {}
    for name, variable in variables.items():
        if name not in stored:
            report.missing.append(name)
            report.faults.append(f"{name} is missing")
            continue
        misfit = stored[name].misfit(variable.dtype, variable.get_value().shape)
        if misfit is None:
            report.loaded.append(name)
            arrays[name] = stored[name].widened(variable.dtype)
        else:
            report.different.append(name)
            report.faults.append(f"{name} {misfit}")
    report.surplus.extend(name for name in stored if name not in variables)
    report.faults.extend(f"{name} is not known" for name in report.surplus)
    if strict and report.faults:
        raise SymgraphValueError.here(
            f"the state does not fit {owner}; nothing was changed:\n    "
            + "\n    ".join(report.faults),
            remedy="Build the module with the sizes, cells and dtype it was saved with, or "
            "load what fits with strict=False.",
        )
    return arrays, report


def write_arrays(
    path: Path,
    arrays: Mapping[str, np.ndarray],
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write arrays to a safetensors file, whole or not at all."""
    target = check_target(path)
    safetensors = load_package("safetensors.numpy", None)
    content = safetensors.save(dict(arrays), metadata=dict(metadata) if metadata else None)
    write_whole(target, content)


# --- the optimiser's variables ------------------------------------------------------------------


def optimiser_variables(
    module: ModuleLike, updates: UpdatesLike | None
) -> dict[str, sg.SharedVariable]:
    """The variables of the updates that are none of the module's, by names that stay the same.

    What they move, what rules keep for themselves, and what advances by itself in them.
    """
    if updates is None:
        return {}
    if not isinstance(updates, Mapping):
        raise SymgraphTypeError.here(f"updates are the dict of a rule, not {updates!r}")
    paths = {v: path for path, v in variables_of(module).items()}
    named = _slots_by_name(updates, paths) if isinstance(updates, Updates) else {}
    read = shared_variables(list(updates.values()))
    others = [*updates, *(v for v in read if is_slot(v))]
    for kind, variables in (
        ("other", others),
        ("stream", [v for v in read if v.default_update is not None]),
    ):
        known = {*paths, *named.values()}
        unnamed = [v for v in dict.fromkeys(variables) if v not in known]
        named |= {f"{_OPTIMISER}{kind}/{i}": v for i, v in enumerate(unnamed)}
    return named


def _slots_by_name(
    updates: Updates, paths: Mapping[sg.SharedVariable, str]
) -> dict[str, sg.SharedVariable]:
    """The optimiser's own variables, by what they are for: in whatever order rules were joined."""
    records = updates.records
    params = updates.params
    shared_by: dict[str, set[tuple[sg.SharedVariable, ...]]] = {}
    for record in records.values():
        if record.param is None:
            shared_by.setdefault(record.kind, set()).add(record.served)
    named: dict[str, sg.SharedVariable] = {}
    for slot, record in records.items():
        # Where several rules have one for all of theirs, the first parameter tells which.
        owner = record.param
        if owner is None and len(shared_by[record.kind]) > 1:
            owner = record.served[0]
        suffix = "" if owner is None else f"/{_label(owner, paths, params)}"
        number, name = 1, f"{_OPTIMISER}{record.kind}{suffix}"
        while name in named:
            number += 1
            name = f"{_OPTIMISER}{record.kind}{number}{suffix}"
        named[name] = slot
    return named


def _label(
    param: sg.SharedVariable,
    paths: Mapping[sg.SharedVariable, str],
    params: Sequence[sg.SharedVariable],
) -> str:
    """What a parameter is called in a file."""
    if param in paths:
        return paths[param]
    return str(params.index(param)) if param in params else param.name or "unnamed"
