"""Machine code on disk: whatever is wrong with it costs a compilation, and no more."""

import os
import stat
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from native_kernels import call, write

from symgraph.backends.llvm.code import cache as cache_module
from symgraph.backends.llvm.code import folders
from symgraph.backends.llvm.code.cache import DiskCache, open_cache
from symgraph.backends.llvm.code.cpu import host
from symgraph.backends.llvm.code.engine import Engine, module_text

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
from symgraph.backends.llvm.code.cache import open_cache
from symgraph.backends.llvm.code.cpu import host
from symgraph.backends.llvm.code.engine import Engine
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


# --- where it lies ------------------------------------------------------------------------------


def test_a_chosen_folder_may_be_told_from_the_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SYMGRAPH_CACHE_DIR", "~/kept here")
    assert open_cache().folder == tmp_path / "home" / "kept here" / "objects"


@pytest.mark.parametrize("chosen", ["relative", "./relative", "../relative", "~nosuchuser/kept"])
def test_a_folder_that_moves_with_the_process_is_refused(tmp_path, monkeypatch, chosen):
    inside = tmp_path / "inside"
    inside.mkdir()
    monkeypatch.chdir(inside)
    monkeypatch.setenv("SYMGRAPH_CACHE_DIR", chosen)
    engine = Engine(host(), open_cache())
    with pytest.warns(RuntimeWarning, match="no absolute path"):
        loaded = run(engine, make_kernel())
    assert loaded.cache == "off"
    assert "no absolute path" in loaded.reason
    assert not list(inside.iterdir())
    assert list(tmp_path.iterdir()) == [inside]


def test_without_a_home_the_cache_is_off(monkeypatch, tmp_path):
    """As in a container whose user has a number and nothing else."""
    for name in ("SYMGRAPH_CACHE_DIR", "HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", lambda _: {}["no such user"])
    monkeypatch.chdir(tmp_path)
    engine = Engine(host(), open_cache())
    with pytest.warns(RuntimeWarning, match="no home"):
        assert run(engine, make_kernel()).cache == "off"
    assert not list(tmp_path.iterdir())


def test_a_warning_that_is_an_error_does_not_cost_the_code():
    engine = Engine(host(), DiskCache(Path("here"), obstacle="it is not wanted"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert run(engine, make_kernel()).cache == "off"


# --- who may write there ------------------------------------------------------------------------


def modes(folder):
    return {stat.S_IMODE(path.stat().st_mode) for path in folder.rglob("*") if path.is_dir()}


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077])
def test_folders_and_entries_are_the_users_alone(tmp_path, mask):
    before = os.umask(mask)
    try:
        DiskCache(tmp_path / "a" / "b" / "objects").write(KEY, b"content")
    finally:
        os.umask(before)
    assert modes(tmp_path) == {0o700}
    (entry,) = tmp_path.rglob("*.o")
    assert stat.S_IMODE(entry.stat().st_mode) == 0o600


def hostile(path, how, monkeypatch):
    """Let the path be one that somebody else can write, or has made."""
    if how == "mode":
        path.chmod(path.stat().st_mode | 0o022)
    elif how == "owner":
        real, inode = os.geteuid(), path.stat().st_ino
        monkeypatch.setattr(folders, "objection", _objection_by(folders.objection, inode))
        monkeypatch.setattr(cache_module, "objection", folders.objection)
        assert real == path.stat().st_uid


def _objection_by(objection, inode):
    """As `objection`, but what has the inode belongs to another user, which only root can make."""

    def asked(found):
        fields = list(found)
        fields[stat.ST_UID] += found.st_ino == inode
        return objection(os.stat_result(fields))

    return asked


@pytest.mark.parametrize("how", ["mode", "owner"])
@pytest.mark.parametrize("which", ["chosen", "objects"])
def test_a_folder_that_others_can_write_is_refused(tmp_path, monkeypatch, which, how):
    chosen = tmp_path / "chosen"
    monkeypatch.setenv("SYMGRAPH_CACHE_DIR", str(chosen))
    kernel = make_kernel()
    run(Engine(host(), open_cache()), kernel)
    before = sorted(chosen.rglob("*.o"))
    assert len(before) == 1
    hostile(chosen if which == "chosen" else chosen / "objects", how, monkeypatch)
    engine = Engine(host(), open_cache())
    with pytest.warns(RuntimeWarning, match="written by other users|belongs to user"):
        assert run(engine, kernel).cache == "off"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        engine.load([make_kernel(3.0)])
    assert sorted(chosen.rglob("*.o")) == before


@pytest.mark.parametrize("how", ["mode", "owner"])
@pytest.mark.parametrize("which", ["entry", "folder"])
def test_an_entry_that_others_can_write_is_compiled_again(tmp_path, monkeypatch, which, how):
    kernel = make_kernel()
    run(Engine(host(), DiskCache(tmp_path)), kernel)
    (entry,) = tmp_path.rglob("*.o")
    hostile(entry if which == "entry" else entry.parent, how, monkeypatch)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        loaded = run(Engine(host(), DiskCache(tmp_path)), kernel)
        assert loaded.cache == "miss"
        assert "by other users" in loaded.reason or "belongs to user" in loaded.reason
        # A fresh entry of our own takes the place of the other one; a folder is not replaced.
        again = run(Engine(host(), DiskCache(tmp_path)), kernel)
    assert again.cache == ("hit" if which == "entry" else "miss")


def test_an_entry_that_is_a_link_is_not_followed(tmp_path):
    cache = DiskCache(tmp_path / "cache")
    cache.write(KEY, b"content")
    (entry,) = tmp_path.rglob("*.o")
    entry.rename(tmp_path / "elsewhere")
    entry.symlink_to(tmp_path / "elsewhere")
    content, reason = cache.read(KEY)
    assert content is None
    assert "cannot be read" in reason
    cache.write(KEY, b"content")
    assert cache.read(KEY) == (b"content", "hit")
    assert not entry.is_symlink()


def test_a_folder_may_be_a_link_of_the_users_own(tmp_path):
    (tmp_path / "disk").mkdir(0o700)
    (tmp_path / "objects").symlink_to(tmp_path / "disk")
    cache = DiskCache(tmp_path / "objects")
    cache.write(KEY, b"content")
    assert cache.read(KEY) == (b"content", "hit")
    (tmp_path / "disk").chmod(0o777)
    with pytest.warns(RuntimeWarning, match="written by other users"):
        assert cache.read(KEY)[0] is None


# --- what is wrong with an entry ----------------------------------------------------------------


def test_any_byte_that_differs_is_a_miss(tmp_path):
    cache = DiskCache(tmp_path)
    cache.write(KEY, b"some content")
    (entry,) = tmp_path.rglob("*.o")
    data = entry.read_bytes()
    for i in range(len(data)):
        entry.write_bytes(data[:i] + bytes([data[i] ^ 0x55]) + data[i + 1 :])
        assert cache.read(KEY)[0] is None, i
    for length in range(len(data)):
        entry.write_bytes(data[:length])
        assert cache.read(KEY)[0] is None, length


# --- the bound ----------------------------------------------------------------------------------


def keys(count):
    return [f"{i:02x}{'0' * 14}" for i in range(count)]


def test_what_was_not_used_for_longest_goes_first(tmp_path):
    cache, content = DiskCache(tmp_path, bound=48_000), bytes(10_000)
    a, b, c, d, e = keys(5)
    for key in (a, b, c, d):
        cache.write(key, content)
    assert cache.read(a)[0] == content
    cache.write(e, content)
    assert [key for key in (a, b, c, d, e) if cache.read(key)[0]] == [a, c, d, e]


def test_the_bound_holds_whoever_writes(tmp_path):
    for i, key in enumerate(keys(200)):
        DiskCache(tmp_path, bound=100_000).write(key, bytes(1000 + 10 * i))
    left = [entry.path.name for entry in DiskCache(tmp_path).entries()]
    assert 70_000 < sum(entry.size for entry in DiskCache(tmp_path).entries()) <= 100_000
    assert len(left) < 60
    assert DiskCache(tmp_path).read(keys(200)[-1])[0] is not None


def test_entries_are_counted_only_when_many_were_written(tmp_path, monkeypatch):
    counted = []
    entries = DiskCache.entries
    monkeypatch.setattr(DiskCache, "entries", lambda self: (counted.append(1), entries(self))[1])
    cache = DiskCache(tmp_path, bound=160_000)
    for key in keys(150):
        cache.write(key, bytes(1000))
    assert len(counted) <= 8
    for key in keys(150):  # again and again the same, which the ledger counts as more
        cache.write(key, bytes(1000))
    assert len(list(entries(cache))) > 100


def test_what_a_killed_process_left_goes_with_time(tmp_path):
    cache = DiskCache(tmp_path)
    cache.write(KEY, b"content")
    old, new = (tmp_path / KEY[:2] / f".new-{name}" for name in ("old", "new"))
    for path in (old, new):
        path.write_bytes(b"half of an en")
    os.utime(old, (0, 0))
    (tmp_path / "written").unlink()
    cache.write(KEY, b"content")
    assert (old.exists(), new.exists()) == (False, True)


def test_clearing_leaves_nothing(tmp_path):
    cache = DiskCache(tmp_path)
    for key in keys(3):
        cache.write(key, b"content")
    assert cache.clear() == 3
    assert not list(tmp_path.iterdir())
    assert cache.clear() == 0
    assert cache.read(KEY) == (None, "not in the cache")


@pytest.mark.parametrize(
    ("text", "bound"),
    [
        ("", 1 << 30), ("1000", 1000), ("5MB", 5_000_000), ("2 GiB", 2 << 30), ("1.5k", 1500),
        ("64kib", 64 << 10), ("much", 1 << 30), ("-5", 1 << 30), ("5 i", 1 << 30),
    ],
)  # fmt: skip
def test_the_bound_is_told_by_the_environment(monkeypatch, text, bound):
    monkeypatch.setenv("SYMGRAPH_CACHE_SIZE", text)
    assert open_cache().bound == bound
