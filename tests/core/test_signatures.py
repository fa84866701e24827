"""What checkers are told of a variable's methods is what is attached at run time."""

from __future__ import annotations

import importlib.util
import inspect
import typing
from typing import Any

import pytest

import symgraph as sg
from symgraph.core import signatures


@pytest.fixture
def stubs(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The functions that a checker sees, by name."""
    monkeypatch.setattr(typing, "TYPE_CHECKING", True)
    spec = importlib.util.spec_from_file_location(signatures.__name__, signatures.__file__)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return {name: f for name, f in vars(module.Signatures).items() if inspect.isfunction(f)}


def _parameters(function: Any) -> list[tuple[str, Any, Any]]:
    """Each parameter but the variable itself: name, kind, default."""
    parameters = list(inspect.signature(function).parameters.values())[1:]
    return [(p.name, p.kind, p.default) for p in parameters]


def test_methods_take_what_checkers_are_told(stubs: dict[str, Any]) -> None:
    for name, stub in stubs.items():
        attached = getattr(sg.Variable, name)
        if not name.startswith("_"):  # Python calls the others, by position
            assert _parameters(attached) == _parameters(stub), name


def test_checkers_are_told_of_every_method(stubs: dict[str, Any]) -> None:
    members = vars(sg.Variable).items()
    methods = {name: member for name, member in members if inspect.isfunction(member)}
    attached = {name for name, f in methods.items() if f.__module__ != sg.Variable.__module__}
    assert {name for name in attached if not name.startswith("_")} == {
        name for name in stubs if not name.startswith("_")
    }
