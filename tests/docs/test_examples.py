"""The Python blocks of the README and the manual run, and print what the manual says.

The blocks of a page share a namespace and a folder. A block with ``>>>`` is a doctest; any other
one is run, and where a ``text`` block follows at once, that is what it has to print: ``...`` stands
for anything, and all white space is alike. A block that begins with ``# name.py`` counts as that
file, which is written first, so that its line numbers start there and its source can be read.
"""

from __future__ import annotations

import contextlib
import doctest
import io
import linecache
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from symgraph.backends.llvm.code.cache import DiskCache
from symgraph.backends.llvm.code.engine import engine
from symgraph.core.op import OPS

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE

_FENCE = re.compile(r"^```(\w+)\n(.*?)^```\n?", re.MULTILINE | re.DOTALL)


class Block(NamedTuple):
    """A Python block, the line of the page before its first one, and the output that follows."""

    source: str
    line: int
    expected: str | None


def blocks_of(page: str) -> Iterator[Block]:
    """The Python blocks of a page."""
    fences = list(_FENCE.finditer(page))
    for fence, following in zip(fences, [*fences[1:], None], strict=False):
        if fence[1] != "python":
            continue
        shown = (
            following is not None
            and following[1] == "text"
            and not page[fence.end() : following.start()].strip()
        )
        line = page.count("\n", 0, fence.start()) + 1
        yield Block(fence[2], line, following[2] if shown and following else None)


def run_block(block: Block, page: str, namespace: dict[str, Any]) -> None:
    if ">>>" in block.source:
        parsed = doctest.DocTestParser().get_doctest(
            block.source, namespace, page, page, block.line
        )
        report = io.StringIO()
        runner = doctest.DocTestRunner(optionflags=OPTIONS)
        runner.run(parsed, out=report.write, clear_globs=False)
        namespace.update(parsed.globs)
        assert not runner.failures, report.getvalue()
        return
    named = re.match(r"# (\w+\.py)\n", block.source)
    if named:
        Path(named[1]).write_text(block.source, "utf-8")
        linecache.checkcache(named[1])
    source = block.source if named else "\n" * block.line + block.source
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(source, named[1] if named else page, "exec"), namespace)
    if block.expected is not None:
        example = doctest.Example(block.source, block.expected)
        checker = doctest.OutputChecker()
        if not checker.check_output(block.expected, printed.getvalue(), OPTIONS):
            difference = checker.output_difference(example, printed.getvalue(), OPTIONS)
            pytest.fail(f"{page}:{block.line}\n{difference}", pytrace=False)


@pytest.fixture(autouse=True)
def _empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a page compiles, no other page or test has compiled before."""
    monkeypatch.setattr(engine(), "cache", DiskCache(tmp_path / "cache"))


@pytest.fixture(autouse=True)
def _forget_new_ops() -> Iterator[None]:
    """Ops that a page adds are of that page alone."""
    known = set(OPS)
    yield
    for name in set(OPS) - known:
        del OPS[name]


@pytest.mark.parametrize("path", PAGES, ids=[str(p.relative_to(ROOT)) for p in PAGES])
def test_the_examples_of_a_page_run(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(str(folder))
    namespace: dict[str, Any] = {"__name__": "__main__"}
    for block in blocks_of(path.read_text("utf-8")):
        run_block(block, path.name, namespace)


def test_links_between_pages_lead_somewhere() -> None:
    for path in PAGES:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", path.read_text("utf-8")):
            assert (path.parent / target).exists(), f"{path.relative_to(ROOT)} links to {target}"
