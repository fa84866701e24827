"""The examples in public docstrings run, and every public function, class and method has one.

A docstring's examples see ``sg``, ``nn`` and ``np``, in an empty folder; ``...`` stands for
anything, and all white space is alike. What is attached to a class from a function counts once.
"""

from __future__ import annotations

import doctest
import inspect
import io
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import symgraph as sg
import symgraph.testing
import symgraph_nn as nn
from symgraph.backends.profile import Profile
from symgraph.compile.report import Report
from symgraph.exchange.onnx.read import Imported

OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
MODULES = {
    "sg": sg,
    "sg.random": sg.random,
    "sg.testing": symgraph.testing,
    "nn": nn,
    "nn.datasets": nn.datasets,
    "nn.init": nn.init,
    "nn.schedules": nn.schedules,
}
# What public names lead to.
REACHED = {
    "sg.Function.report": Report,
    "sg.Function.profile": Profile,
    "sg.import_onnx": Imported,
}
_OWN = ("symgraph.", "symgraph_nn.")


def _is_own(value: Any) -> bool:
    return (getattr(value, "__module__", None) or "").startswith(_OWN)


def _function_of(member: Any) -> Any:
    """The function behind an attribute of a class: what of ours has the docstring; or None."""
    for kind, name in ((property, "fget"), (cached_property, "func")):
        if isinstance(member, kind):
            member = getattr(member, name)
    member = getattr(member, "__func__", member)
    # What NamedTuple and dataclass write by themselves lies in no file of ours.
    return member if inspect.isfunction(member) and _is_own(member) else None


def _members(name: str, cls: type) -> Iterator[tuple[str, Any, bool]]:
    """The class's public methods and properties, and whether each has to have an example."""
    for base in cls.__mro__:
        if not _is_own(base):
            continue
        for attribute, member in vars(base).items():
            function = _function_of(member)
            if function is not None and (attribute == "__call__" or attribute[0] != "_"):
                is_method = inspect.isfunction(member) and attribute != "__call__"
                yield f"{name}.{attribute}", function, is_method


def _public() -> Iterator[tuple[str, Any, bool]]:
    """Every public object, and whether it has to have an example."""
    classes: list[tuple[str, type]] = []
    for prefix, module in MODULES.items():
        yield prefix, module, False
        for name in module.__all__:
            value = getattr(module, name)
            if isinstance(value, type) and _is_own(value):
                classes.append((f"{prefix}.{name}", value))
                yield f"{prefix}.{name}", value, not issubclass(value, BaseException)
            elif inspect.isfunction(value) and _is_own(value):
                yield f"{prefix}.{name}", value, True
    classes += REACHED.items()
    yield from ((name, cls, True) for name, cls in REACHED.items())
    for name, cls in sorted(classes, key=lambda pair: len(pair[1].__mro__)):  # bases first
        yield from _members(name, cls)


def _once() -> dict[str, tuple[Any, bool]]:
    """Those, each once: under the first of its names."""
    names: dict[int, str] = {}
    objects: dict[str, tuple[Any, bool]] = {}
    for name, value, needed in _public():
        if names.setdefault(id(value), name) == name:
            objects.setdefault(name, (value, needed))
    return objects


OBJECTS = _once()


def _own_docstring(value: Any) -> str:
    return inspect.cleandoc(value.__doc__ or "")


@pytest.mark.parametrize(
    "name", [name for name, (value, _) in OBJECTS.items() if ">>>" in _own_docstring(value)]
)
def test_the_examples_of_a_docstring_run(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    namespace = {"sg": sg, "nn": nn, "np": np, "__name__": "__main__"}
    docstring = _own_docstring(OBJECTS[name][0])
    examples = doctest.DocTestParser().get_doctest(docstring, namespace, name, name, 0)
    report = io.StringIO()
    runner = doctest.DocTestRunner(optionflags=OPTIONS)
    runner.run(examples, out=report.write)
    assert not runner.failures, report.getvalue()


def test_every_public_name_has_an_example() -> None:
    without = [
        name
        for name, (value, needed) in OBJECTS.items()
        if needed and ">>>" not in _own_docstring(value)
    ]
    assert not without, f"no example: {sorted(without)}"
