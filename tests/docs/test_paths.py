"""Files and folders that pages for contributors name are there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "CONTRIBUTING.md",
    ROOT / "docs" / "tour.md",
    ROOT / "docs" / "native.md",
    *sorted((ROOT / "docs").glob("how-to-*.md")),
    *sorted((ROOT / "docs" / "decisions").glob("*.md")),
]
# Where a path may begin; a bare name is that of a file anywhere below.
_STARTS = [ROOT, ROOT / "symgraph", ROOT / "symgraph" / "backends" / "llvm"]
_BARE = {
    path.name
    for start in ("symgraph", "symgraph_nn", "tests")
    for path in Path(ROOT, start).rglob("*.py")
}


def paths_of(page: str) -> Iterator[str]:
    """What stands in backticks and is written as the path of a file of Python or of a folder."""
    prose = re.sub(r"^```.*?^```", "", page, flags=re.MULTILINE | re.DOTALL)
    for text in re.findall(r"`([\w./]+)`", prose):
        if text.endswith((".py", "/")) or text.startswith(("symgraph/", "tests/", "docs/")):
            yield text


def is_there(path: str) -> bool:
    if "/" not in path:
        return path in _BARE
    return any((start / path).exists() for start in _STARTS)


@pytest.mark.parametrize("page", PAGES, ids=[str(p.relative_to(ROOT)) for p in PAGES])
def test_paths_lead_to_files(page: Path) -> None:
    missing = [path for path in paths_of(page.read_text("utf-8")) if not is_there(path)]
    assert not missing, f"{page.name} names {missing}"


def test_paths_are_seen() -> None:
    page = "Read `core/variable.py`, `gone.py` and `code/`, not `x / y`.\n```python\n`no.py`\n```\n"
    assert list(paths_of(page)) == ["core/variable.py", "gone.py", "code/"]
    assert is_there("code/")
    assert is_there("core/variable.py")
    assert not is_there("gone.py")
