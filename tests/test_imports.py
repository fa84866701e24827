"""No module imports itself by way of others, imports for types alone included."""

from __future__ import annotations

import pytest

# It comes with import-linter, which holds the layers; environments for tests alone lack it.
grimp = pytest.importorskip("grimp")


def test_no_circle():
    graph = grimp.build_graph(
        "symgraph", "symgraph_nn", exclude_type_checking_imports=False, cache_dir=None
    )
    imports = {m: graph.find_modules_directly_imported_by(m) for m in graph.modules}
    assert {"symgraph.core.variable", "symgraph_nn.module"} <= imports.keys()
    assert not in_circles(imports)


def test_circles_are_seen():
    imports = {"a": {"b"}, "b": {"c"}, "c": {"b", "d"}, "d": set(), "above": {"a"}}
    assert in_circles(imports) == {"b", "c"}


def in_circles(imports: dict[str, set[str]]) -> set[str]:
    """The modules that are left once those are taken away, again and again, which import none of
    the others or are imported by none of them."""
    left = set(imports)
    while True:
        imported = {m for module in left for m in imports[module] & left}
        inside = {module for module in imported if imports[module] & left}
        if inside == left:
            return left
        left = inside
