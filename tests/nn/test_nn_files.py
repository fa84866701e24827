"""Files read and written: every fault names the file, and none changes a value."""

from __future__ import annotations

import errno
import json
import os
import signal
import stat
import subprocess
import sys

import numpy as np
import pytest
from safetensors.numpy import save_file

import symgraph as sg
import symgraph_nn as nn


class Net(nn.Module):
    def __init__(self, value=0.0):
        self.a = sg.shared(np.full((2, 3), value, "float32"))
        self.b = sg.shared(np.full(4, value, "float64"))


def values(net):
    return {name: value.tolist() for name, value in net.state().items()}


def write(path, entries, data=b"", metadata=None):
    """A safetensors file with this header, sound or not."""
    header = {name: dict(zip(("dtype", "shape", "data_offsets"), e)) for name, e in entries.items()}  # noqa: B905
    if metadata is not None:
        header["__metadata__"] = metadata
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)


def as_bfloat16(array):
    return (array.astype("<f4").view("<u4") >> 16).astype("<u2").tobytes()


A, B = np.array([[1, -2.5, 3], [0.125, np.inf, 1e3]]), np.array([0.5, -1, 2, 1e-20])
SHORT = {
    "F16": lambda array: array.astype("<f2").tobytes(),
    "BF16": as_bfloat16,
}


@pytest.mark.parametrize("stored", SHORT)
def test_short_floats_widen_exactly(tmp_path, stored):
    path, net = tmp_path / "f.safetensors", Net()
    a, b = SHORT[stored](A), SHORT[stored](B)
    write(path, {"a": (stored, [2, 3], [0, 12]), "b": (stored, [4], [12, 20])}, a + b)
    nn.load(net, path)
    if stored == "F16":
        wanted = [x.astype("float16") for x in (A, B)]
    else:  # the upper half of a float32
        wanted = [
            (x.astype("float32").view("uint32") & np.uint32(0xFFFF0000)).view("float32")
            for x in (A, B)
        ]
    for found, exact in zip((net.a, net.b), wanted, strict=True):
        np.testing.assert_array_equal(found.get_value(), exact)
        assert found.get_value().dtype == found.dtype


GOOD = {"a": ("F32", [2, 3], [0, 24]), "b": ("F64", [4], [24, 56])}
MISFITS = {
    "float8": ({"a": ("F8_E4M3", [2, 3], [0, 6]), "b": ("F64", [4], [6, 38])}, 38, "F8_E4M3"),
    "narrower": ({"a": ("F32", [2, 3], [0, 24]), "b": ("F32", [4], [24, 40])}, 40, "b has dtype"),
    "wider": ({"a": ("F64", [2, 3], [0, 48]), "b": ("F64", [4], [48, 80])}, 80, "a has dtype"),
    "integers": ({"a": ("I32", [2, 3], [0, 24]), "b": ("F64", [4], [24, 56])}, 56, "int32"),
    "huge": ({"a": ("F32", [2**62, 0], [0, 0]), "b": ("F64", [4], [0, 32])}, 32, "a has shape"),
    "flat": ({"a": ("F32", [6], [0, 24]), "b": ("F64", [4], [24, 56])}, 56, "a has shape"),
    "missing": ({"a": ("F32", [2, 3], [0, 24])}, 24, "b is missing"),
    "unknown": (GOOD | {"c": ("F32", [], [56, 60])}, 60, "c is not known"),
}  # fmt: skip
BROKEN = {
    "of other bytes": (GOOD, 55),
    "with bytes behind": (GOOD, 57),
    "of another length": (GOOD | {"a": ("F32", [2, 3], [0, 20]), "b": ("F64", [4], [20, 52])}, 52),
    "beyond its end": (GOOD | {"b": ("F64", [4], [24, 2**70])}, 56),
    "backwards": (GOOD | {"b": ("F64", [4], [56, 24])}, 56),
    "overlapping": (GOOD | {"b": ("F64", [4], [0, 32])}, 32),
    "of negative size": (GOOD | {"a": ("F32", [-2, -3], [0, 24])}, 56),
    "of no shape": (GOOD | {"a": ("F32", None, [0, 24])}, 56),
    "of half a size": (GOOD | {"a": ("F32", [2.0, 3], [0, 24])}, 56),
    "of no dtype": (GOOD | {"a": (7, [2, 3], [0, 24])}, 56),
    "of no place": (GOOD | {"a": ("F32", [2, 3])}, 56),
    "of huge size": (GOOD | {"a": ("F32", [2**62, 2**62], [0, 24])}, 56),
}


@pytest.mark.parametrize("name", [*MISFITS, *BROKEN])
def test_what_does_not_fit_changes_nothing(tmp_path, name):
    path, net = tmp_path / "f.safetensors", Net(7)
    before = values(net)
    entries, n_bytes, *text = MISFITS.get(name) or BROKEN[name]
    write(path, entries, bytes(n_bytes))
    with pytest.raises(sg.SymgraphValueError, match=text[0] if text else "no whole") as caught:
        nn.load(net, path)
    assert str(path) in str(caught.value)
    assert __file__ in str(caught.value)
    assert values(net) == before


HEADERS = [
    b"", b"\0", b"[]", b"7", b"{", b'{"a": 1}', b'{"a": [1, 2]}', b"\xff\xfe", b"[" * 100_000,
    b'{"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}, "a": 1}',
    b'{"__metadata__": 3}', b'{"__metadata__": {"fit": 3}}', b'{"a": {"dtype": "F32", "shape": ['
    + b"9" * 5000 + b'], "data_offsets": [0, 4]}}',
]  # fmt: skip


@pytest.mark.parametrize("header", HEADERS, ids=range(len(HEADERS)))
def test_headers_of_nonsense(tmp_path, header):
    path = tmp_path / "f"
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(4))
    with pytest.raises(sg.SymgraphValueError, match="no whole safetensors file"):
        nn.load(Net(), path)
    with pytest.raises(sg.SymgraphValueError, match="no whole safetensors file"):
        train(1, resume=path)


def test_every_cut_of_a_file_is_found(tmp_path):
    path, net = tmp_path / "f", Net(1)
    nn.save(net, path)
    content = path.read_bytes()
    for n in range(len(content)):
        path.write_bytes(content[:n])
        with pytest.raises(sg.SymgraphValueError, match="no whole safetensors file"):
            nn.load(net, path)


def test_what_fits_is_loaded_where_that_is_asked_for(tmp_path):
    path, net = tmp_path / "f", Net(7)
    save_file({"a": np.ones((2, 3), "float32"), "b": np.ones(5), "c": np.ones(2)}, path)
    report = nn.load(net, path, strict=False)
    assert isinstance(report, nn.LoadReport)
    assert report.loaded == ["a"]
    assert report.different == ["b"]
    assert report.surplus == ["c"]
    assert report.missing == []
    assert values(net) == {"a": [[1.0] * 3] * 2, "b": [7.0] * 4}
    assert "1 loaded" in str(report)
    assert "b has shape (4,), the new value has (5,)" in str(report)
    save_file({"b": np.zeros(4)}, path)
    report = nn.load(net, path, strict=False)
    assert (report.loaded, report.missing) == (["b"], ["a"])
    assert values(net) == {"a": [[1.0] * 3] * 2, "b": [0.0] * 4}
    with pytest.raises(sg.SymgraphTypeError, match="strict"):
        nn.load(net, path, strict="no")


def test_sizes_of_zero_and_one(tmp_path):
    for shape in ((0,), (0, 3), (1,), (), (3, 0, 2)):
        net, other = [sg.shared(np.ones(shape))], [sg.shared(np.zeros(shape))]
        nn.save(net, tmp_path / "f")
        nn.load(other, tmp_path / "f")
        np.testing.assert_array_equal(other[0].get_value(), net[0].get_value())


# --- the file system ----------------------------------------------------------------------------


def test_errors_of_the_system_name_the_file(tmp_path):
    net, folder = Net(), tmp_path / "folder"
    folder.mkdir()
    nowhere = tmp_path / "none" / "f"
    for call, kind, path in [
        (lambda: nn.load(net, nowhere), FileNotFoundError, nowhere),
        (lambda: nn.load(net, folder), IsADirectoryError, folder),
        (lambda: nn.save(net, nowhere), FileNotFoundError, nowhere),
        (lambda: nn.save(net, folder), IsADirectoryError, folder),
        (lambda: nn.save(net, tmp_path / ("x" * 300)), OSError, "x" * 300),
        (lambda: train(1, resume=folder), IsADirectoryError, folder),
        (lambda: train(1, checkpoint=nowhere), FileNotFoundError, nowhere),
    ]:
        with pytest.raises(kind, match="cannot be") as caught:
            call()
        assert isinstance(caught.value, nn.FileError)
        assert isinstance(caught.value, sg.SymgraphError)
        assert str(path) in str(caught.value)
        assert __file__ in str(caught.value)
    assert os.listdir(tmp_path) == ["folder"]
    for wrong in (None, 3, "", "a\0b", b"bytes"):
        for call in (nn.save, nn.load):
            with pytest.raises((TypeError, ValueError)) as caught:
                call(net, wrong)
            assert isinstance(caught.value, sg.SymgraphError)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names")
def test_what_is_no_regular_file_stays(tmp_path):
    pipe, link = tmp_path / "pipe", tmp_path / "link"
    os.mkfifo(pipe)
    link.symlink_to(pipe)
    for path in (pipe, link):
        for call in (
            lambda path=path: nn.save(Net(), path),
            lambda path=path: train(1, checkpoint=path),
        ):
            with pytest.raises(nn.FileError, match="cannot be written: it is a device, a pipe"):
                call()
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert link.is_symlink()
    assert sorted(os.listdir(tmp_path)) == ["link", "pipe"]


@pytest.mark.parametrize("call", ["write", "fsync", "replace"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EACCES, errno.EIO])
def test_a_full_disk_leaves_the_old_file(tmp_path, monkeypatch, call, code):
    path = tmp_path / "f"
    nn.save(Net(1), path)
    content = path.read_bytes()

    def fail(*_args):
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patch:
        if call == "write":
            patch.setattr("pathlib.Path.open", lambda *_a, **_k: fail())
        else:
            patch.setattr(os, call, fail)
        with pytest.raises(nn.FileError, match=os.strerror(code)) as caught:
            nn.save(Net(2), path)
    assert caught.value.errno == code
    assert isinstance(caught.value, PermissionError) == (code == errno.EACCES)
    assert path.read_bytes() == content
    assert os.listdir(tmp_path) == ["f"]


@pytest.mark.parametrize("suffix", [".npz", ".NPZ", ".npy", ".pt", ".pth", ".pkl", ".h5", ".onnx"])
def test_names_of_other_formats_are_refused(tmp_path, suffix):
    path = tmp_path / f"net.v1{suffix}"
    for call in (
        lambda: nn.save(Net(), path),
        lambda: train(1, checkpoint=path),
        lambda: train(1, resume=str(path)),
    ):
        with pytest.raises(sg.SymgraphValueError, match=r"Call it 'net.v1.safetensors'") as caught:
            call()
        assert __file__ in str(caught.value)
    assert os.listdir(tmp_path) == []
    nn.save(Net(), tmp_path / "net.v1")


def test_a_link_is_written_through(tmp_path):
    (tmp_path / "disk").mkdir()
    os.symlink(tmp_path / "disk" / "f", tmp_path / "link")
    nn.save(Net(3), tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    net = Net()
    nn.load(net, tmp_path / "disk" / "f")
    assert values(net) == values(Net(3))


KILLED = """
import os, signal, sys
import numpy as np
import symgraph as sg, symgraph_nn as nn

os.fsync = lambda file: os.kill(os.getpid(), signal.SIGKILL)
nn.save([sg.shared(np.ones(3))], sys.argv[1])
"""


def test_what_a_killed_process_left_goes_at_the_next_save(tmp_path):
    path = tmp_path / "f.safetensors"
    done = subprocess.run([sys.executable, "-c", KILLED, str(path)], check=False)
    assert done.returncode == -signal.SIGKILL
    (left,) = os.listdir(tmp_path)
    assert left.startswith(".f.safetensors.")
    others = [".f.safetensors.notes.tmp", ".g.0123456789ab.tmp", "f.safetensors.tmp"]
    for name in others:
        (tmp_path / name).write_text("mine")
    nn.save(Net(), path)
    assert sorted(os.listdir(tmp_path)) == sorted([*others, "f.safetensors"])


def test_what_is_being_written_is_left_alone(tmp_path, monkeypatch):
    path = tmp_path / "f"
    replace, seen = os.replace, []

    def meanwhile(source, target):
        monkeypatch.setattr(os, "replace", replace)
        nn.save(Net(2), path)  # another writer, who looks for stale files
        seen.append(os.path.exists(source))
        replace(source, target)

    monkeypatch.setattr(os, "replace", meanwhile)
    nn.save(Net(1), path)
    assert seen == [True]
    net = Net()
    nn.load(net, path)
    assert values(net) == values(Net(1))
    assert os.listdir(tmp_path) == ["f"]


# --- trainings that go on -----------------------------------------------------------------------

X = np.random.default_rng(0).normal(size=(20, 3)).astype("float32")


def train(epochs, net=None, **options):
    """A net whose dropout has a chance of its own, trained; its values and the losses."""
    net = net or nn.Sequential(
        nn.Dense(3, 6, sg.tanh, rng=0), nn.Dropout(0.4), nn.Dense(6, 1, rng=1)
    )
    x = sg.tensor("x", ("B", 3))
    loss = sg.mean(sg.square(net(x, training=True) - 1))
    history = nn.fit(
        net, [x], loss, nn.adam(loss, net.params, 0.01), [X], epochs=epochs, batch_size=7, rng=0,
        progress=False, **options,
    )  # fmt: skip
    return values(net), history["loss"]


@pytest.mark.parametrize("backend", ["native", "numpy"])
def test_dropout_without_a_seed_goes_on_bitwise(tmp_path, backend):
    first, losses = train(2, resume=tmp_path / "half", backend=backend)
    half = (tmp_path / "half").read_bytes()
    whole = train(4, resume=tmp_path / "half", backend=backend)
    (tmp_path / "half").write_bytes(half)
    assert train(4, resume=tmp_path / "half", backend=backend) == whole
    assert whole[1][:2] == losses
    assert train(2, backend=backend)[0] != first  # it is chance


@pytest.mark.parametrize("rng", [None, 5, np.random.default_rng(1)])
def test_saved_updates_hold_the_counters_of_streams(tmp_path, rng):
    x = sg.tensor("x", ("B", 3))

    def make():
        dropout = nn.Dropout(0.5, rng=rng)
        net = nn.Sequential(nn.Dense(3, 8, rng=0), dropout, nn.Dropout(0.5, rng=rng))
        loss = sg.mean(sg.square(net(x, training=True) - 1))
        updates = nn.sgd(loss, net.params, 0.1)
        return net, updates, sg.compile([x], loss, updates=updates)

    net, updates, step = make()
    for _ in range(3):
        step(X)
    nn.save(net, tmp_path / "f", updates=updates)
    expected = [float(step(X)) for _ in range(3)]
    net, updates, step = make()
    nn.load(net, tmp_path / "f", updates=updates)
    assert [float(step(X)) for _ in range(3)] == expected


@pytest.mark.parametrize(
    "progress",
    [
        None, "", "{", "[]", '{"epochs": []}', '{"epochs": 3, "best_epoch": null, "seed": 0}',
        '{"epochs": [{"epoch": 1}], "best_epoch": 1, "seed": 0}',
        '{"epochs": [{"loss": 1, "epoch": 1}], "best_epoch": 7, "seed": 0}',
        '{"epochs": [{"loss": "1", "epoch": 1}], "best_epoch": 1, "seed": 0}',
        '{"epochs": [{"loss": 1, "epoch": 1}], "best_epoch": 1, "seed": -1}',
        '{"epochs": [{"loss": 1, "epoch": 1}, {"loss": 1}], "best_epoch": 1, "seed": 1}',
        '{"epochs": [], "best_epoch": null, "seed": "7", "more": 1}',
    ],
)  # fmt: skip
def test_a_resumed_file_is_read_whole_before_anything_is_set(tmp_path, progress):
    path = tmp_path / "last"
    train(1, resume=path)
    content = path.read_bytes()
    n = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + n])
    header["__metadata__"] = {} if progress is None else {"fit": progress}
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + content[8 + n :])
    net = nn.Sequential(nn.Dense(3, 6, sg.tanh, rng=4), nn.Dropout(0.4), nn.Dense(6, 1, rng=5))
    before = values(net)
    with pytest.raises(sg.SymgraphValueError) as caught:
        train(2, net, resume=path)
    assert str(path) in str(caught.value)
    assert values(net) == before
