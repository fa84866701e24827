"""What ``dir`` shows of the packages: public names only, and all of them are there."""

from __future__ import annotations

from types import ModuleType

import pytest

import symgraph as sg
import symgraph_nn as nn

MODULES = {sg: {"errors", "random", "testing"}, nn: {"datasets", "init", "schedules"}}


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_dir_shows_public_names_only(module):
    names = dir(module)
    assert names == sorted(set(names))
    assert set(module.__all__) <= set(names)
    values = {name: getattr(module, name) for name in names}
    modules = {name for name, value in values.items() if isinstance(value, ModuleType)}
    assert modules == MODULES[module]
    assert [name for name in names if name.startswith("_")] == (
        ["__version__"] if module is sg else []
    )
