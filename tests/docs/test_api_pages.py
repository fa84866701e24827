"""Every public name stands on one page of docs/api, and every page in the contents."""

from __future__ import annotations

import importlib.util
import re
from collections import Counter
from pathlib import Path
from types import ModuleType

import pytest

import symgraph as sg
import symgraph.testing
import symgraph.typing
import symgraph_nn as nn
import symgraph_nn.typing

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs" / "api"
PAGES = sorted(set(FOLDER.glob("*.md")) - {FOLDER / "index.md"})
# Those whose members are public names as well.
MODULES: dict[str, ModuleType] = {
    "symgraph": sg,
    "symgraph.errors": sg.errors,
    "symgraph.random": sg.random,
    "symgraph.testing": symgraph.testing,
    "symgraph.testing.strategies": symgraph.testing.strategies,
    "symgraph.typing": symgraph.typing,
    "symgraph_nn": nn,
    "symgraph_nn.typing": symgraph_nn.typing,
    "symgraph_nn.datasets": nn.datasets,
    "symgraph_nn.init": nn.init,
    "symgraph_nn.schedules": nn.schedules,
}
# What functions have as attributes.
REACHED = {
    "symgraph.compile.report.Report",
    "symgraph.compile.advice.Advice",
    "symgraph.compile.stored.StoredLoop",
    "symgraph.compile.stored.StoredValue",
    "symgraph.backends.profile.Profile",
    "symgraph.exchange.onnx.read.Imported",
}


def documented(page: Path) -> list[str]:
    """The names that the page documents: what mkdocstrings is told to read, or its heading."""
    text = page.read_text("utf-8")
    blocks = re.findall(r"^::: (\S+)\n((?: .*\n)*)", text, re.MULTILINE)
    headings = (re.search(r"^ +heading: (\S+)$", options, re.MULTILINE) for _, options in blocks)
    return [
        heading[1] if heading else name for (name, _), heading in zip(blocks, headings, strict=True)
    ]


def public_names() -> set[str]:
    """Every public name; what two modules have, under the first of them."""
    names: set[str] = set()
    known: set[tuple[str, int]] = set()
    for prefix, module in MODULES.items():
        for name in module.__all__:
            value = getattr(module, name)
            if isinstance(value, ModuleType) or name == "__version__" or (name, id(value)) in known:
                continue
            known.add((name, id(value)))
            names.add(f"{prefix}.{name}")
    return names


def test_every_public_name_is_on_one_page() -> None:
    pages = Counter(name for page in PAGES for name in documented(page))
    public = public_names() | REACHED
    assert not public - set(pages), f"docs/api lacks {sorted(public - set(pages))}"
    assert not set(pages) - public, f"not public: {sorted(set(pages) - public)}"
    several = [name for name, times in pages.items() if times > 1]
    assert not several, f"more than once: {several}"


def test_pages_are_found() -> None:
    index, site = (path.read_text("utf-8") for path in (FOLDER / "index.md", ROOT / "mkdocs.yml"))
    for page in PAGES:
        assert f"]({page.name})" in index, page.name
        assert f"- api/{page.name}\n" in site, page.name


def test_every_page_of_the_manual_is_in_its_contents() -> None:
    site = (ROOT / "mkdocs.yml").read_text("utf-8")
    pages = [p.relative_to(ROOT / "docs").as_posix() for p in (ROOT / "docs").rglob("*.md")]
    missing = [page for page in pages if f"- {page}\n" not in site]
    assert not missing, f"mkdocs.yml lacks {missing}"


def test_docstrings_become_markdown() -> None:
    pytest.importorskip("griffe")
    spec = importlib.util.spec_from_file_location("docstrings", ROOT / "docs" / "docstrings.py")
    assert spec is not None
    assert spec.loader is not None
    docstrings = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(docstrings)
    docstring = "Twice.\n\nx, y\n    Numbers.\n\nFrom one on::\n\n    x + x\n\n>>> 1 + 1\n2\n\nSo."
    assert docstrings.as_markdown(docstring) == (
        "Twice.\n\n\nx, y\n:   Numbers.\n\nFrom one on:\n\n    x + x\n\n"
        "```python\n>>> 1 + 1\n2\n```\n\nSo."
    )
