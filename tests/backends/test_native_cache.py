"""Machine code on disk: whatever is wrong with it costs a compilation, and no more."""

import os
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from native_kernels import call, write

from symgraph.backends.llvm.cache import DiskCache, open_cache
from symgraph.backends.llvm.cpu import host
from symgraph.backends.llvm.engine import Engine, module_text

KEY = "0123456789abcdef"


def make_kernel(number=2.0):
    return write(lambda m, x: m.multiply(x, number), [np.dtype("float32")])[0]


def run(engine, kernel):
    loaded = engine.load([kernel])
    x, out = np.arange(5, dtype="float32"), np.empty(5, "float32")
    call(kernel, loaded, x, out, 5)
    np.testing.assert_array_equal(out, x * 2)
    return loaded


def test_what_is_written_is_read(tmp_path):
    cache = DiskCache(tmp_path)
    assert cache.read(KEY) == (None, "not in the cache")
    cache.write(KEY, b"content")
    assert cache.read(KEY) == (b"content", "hit")
    assert not list(tmp_path.rglob(".new-*"))


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda data: data[:10], "cut short"),
        (lambda data: data[:-1], "cut short"),
        (lambda data: data[:-1] + b"?", "damaged"),
        (lambda data: b"something else" * 10, "another format"),
        (lambda data: b"", "cut short"),
        (lambda data: data + b"more", "cut short"),
    ],
)
def test_damaged_entries_are_compiled_again(tmp_path, damage, reason):
    kernel = make_kernel()
    first = run(Engine(host(), DiskCache(tmp_path)), kernel)
    assert (first.cache, first.compiled) == ("miss", 1)
    (entry,) = tmp_path.rglob("*.o")
    entry.write_bytes(damage(entry.read_bytes()))
    second = run(Engine(host(), DiskCache(tmp_path)), kernel)
    assert second.cache == "miss"
    assert reason in second.reason
    assert run(Engine(host(), DiskCache(tmp_path)), kernel).cache == "hit"


@pytest.mark.parametrize("which", ["no object", "an object of other kernels"])
def test_entries_that_are_no_code_for_the_kernel_are_compiled_again(tmp_path, which):
    """Intact by their checksums, as those of a faulty writer would be."""
    kernel, cache = make_kernel(), DiskCache(tmp_path / "cache")
    other = Engine(host(), DiskCache(tmp_path / "other")).emit(module_text([make_kernel(3.0)]))
    run(Engine(host(), cache), kernel)
    (entry,) = cache.folder.rglob("*.o")
    key = entry.parent.name + entry.stem
    cache.write(key, b"no object code" if which == "no object" else other)
    second = run(Engine(host(), cache), kernel)
    assert (second.cache, second.reason) == ("miss", "the entry is no machine code")
    assert run(Engine(host(), cache), kernel).cache == "hit"


def test_a_folder_that_cannot_be_written_is_one_warning(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    engine = Engine(host(), DiskCache(blocked / "objects"))
    with pytest.warns(RuntimeWarning, match="SYMGRAPH_CACHE_DIR"):
        run(engine, make_kernel())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        engine.load([make_kernel(3.0)])


def test_equal_kernels_are_one_and_are_in_the_process_once(tmp_path):
    engine = Engine(host(), DiskCache(tmp_path))
    assert make_kernel().name == make_kernel().name != make_kernel(3.0).name
    first = run(engine, make_kernel())
    again = engine.load([make_kernel()])
    assert again.compiled == 0
    assert again.addresses == first.addresses


_PROCESS = """
import sys; sys.path[:0] = {path!r}
import numpy as np
from test_native_cache import make_kernel, run
from symgraph.backends.llvm.cache import open_cache
from symgraph.backends.llvm.cpu import host
from symgraph.backends.llvm.engine import Engine
for _ in range(3):
    run(Engine(host(), open_cache()), make_kernel())
"""


def test_eight_processes_at_once(tmp_path):
    environment = {**os.environ, "SYMGRAPH_CACHE_DIR": str(tmp_path)}
    path = [str(Path(__file__).parent), *sys.path]
    processes = [
        subprocess.Popen([sys.executable, "-c", _PROCESS.format(path=path)], env=environment)
        for _ in range(8)
    ]
    assert [process.wait() for process in processes] == [0] * 8
    assert len(list(tmp_path.rglob("*.o"))) == 1


def test_an_entry_under_another_key_is_not_taken(tmp_path):
    cache = DiskCache(tmp_path)
    cache.write(KEY, b"content")
    other = KEY[:-1] + "0"
    (entry,) = tmp_path.rglob("*.o")
    entry.rename(entry.with_name(f"{other[2:]}.o"))
    assert cache.read(other) == (None, "the entry is damaged")


def test_a_chosen_folder_is_one_place_wherever_the_process_goes(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SYMGRAPH_CACHE_DIR", "~/kept here")
    assert open_cache().folder == tmp_path / "home" / "kept here" / "objects"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SYMGRAPH_CACHE_DIR", "relative")
    assert open_cache().folder == tmp_path / "relative" / "objects"
