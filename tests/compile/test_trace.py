"""What a trace holds: passes and calls, and with a profile each operation in its step and loop.

The tests read the files as the format of Chrome's traces has it, and nest the bars by time alone.
"""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import symgraph as sg
from symgraph.backends import profile as profiles
from symgraph.backends.llvm.machine import timing
from symgraph.backends.llvm.machine.runtime import timed_kernel
from symgraph.compile.calls import tracks


@dataclass
class Bar:
    """A bar of a trace, with those inside it."""

    name: str
    kind: str
    begin: float
    end: float = 0.0
    bars: list[Bar] = field(default_factory=list)

    def within(self) -> Iterator[Bar]:
        """All bars inside, outer ones first."""
        for bar in self.bars:
            yield bar
            yield from bar.within()


def _tracks(path: Path, function: sg.Function) -> dict[str, list[Bar]]:
    """The outermost bars of each track by its name; the file is checked to be well formed."""
    sg.write_trace(path, function)
    trace = json.loads(path.read_text())
    assert set(trace) == {"traceEvents", "displayTimeUnit"}
    names: dict[int, str] = {}
    bars: dict[int, list[Bar]] = {}
    running: dict[int, list[Bar]] = {}
    latest: dict[int, int] = {}
    for event in trace["traceEvents"]:
        assert event["pid"] == 1
        track = event["tid"]
        if event["ph"] == "M":
            if event["name"] == "thread_name":
                names[track] = event["args"]["name"]
            continue
        assert isinstance(event["ts"], float)
        stack = running.setdefault(track, [])
        if event["ph"] in "BE":
            # Perfetto cuts times to nanoseconds, and pairs none that begin when they end.
            assert int(event["ts"] * 1000) > latest.get(track, 0)
            latest[track] = int(event["ts"] * 1000)
        # What is complete ends by itself: before whatever begins at that time or later.
        while stack and stack[-1].end and stack[-1].end <= event["ts"]:
            stack.pop()
        if event["ph"] == "E":
            assert set(event) == {"name", "ph", "pid", "tid", "ts"}
            assert event["name"] == stack[-1].name
            _close(stack.pop(), event["ts"])
            continue
        bar = Bar(event["name"], event.get("cat", ""), event["ts"])
        outer = stack[-1] if stack else None
        siblings = outer.bars if outer else bars.setdefault(track, [])
        assert bar.begin >= (siblings[-1].end if siblings else outer.begin if outer else 0)
        siblings.append(bar)
        stack.append(bar)
        if event["ph"] == "X":
            bar.end = event["ts"] + event["dur"]
            assert bar.end >= bar.begin
            assert outer is None or bar.end <= outer.end
        else:
            assert event["ph"] == "B"
    for stack in running.values():
        assert all(bar.end for bar in stack), "what begins ends"
    for outermost in bars.values():
        for bar in outermost:
            assert all(inner.end <= bar.end for inner in bar.within())
    return {names[track]: found for track, found in bars.items()}


def _close(bar: Bar, when: float) -> None:
    assert not bar.end, "an end belongs to a beginning"
    bar.end = when
    assert bar.begin <= when
    assert all(inner.end <= when for inner in bar.bars)
    # Times are multiples of a nanosecond, written in microseconds.
    assert sum(i.end - i.begin for i in bar.bars) <= when - bar.begin + 1e-3 * (len(bar.bars) + 1)


def _check_nesting(call: Bar) -> None:
    """Operations lie in the call or in steps, steps in loops, and are numbered from 0."""
    kinds = {"loop", "product", "elementwise", "reduction", "movement", "other"}
    for bar in [call, *call.within()]:
        if bar.kind == "loop":
            label = bar.name.partition(" at ")[0]
            expected = [(f"step {i} of {label}", "step") for i in range(len(bar.bars))]
            assert [(step.name, step.kind) for step in bar.bars] == expected
        elif bar.kind in {"", "step"}:
            assert {inner.kind for inner in bar.bars} <= kinds
        else:
            assert bar.bars == []


def _loops(call: Bar) -> dict[str, Bar]:
    return {bar.name.partition(" at ")[0]: bar for bar in call.within() if bar.kind == "loop"}


def _training(backend: str, **options: Any) -> sg.Function:
    x, w = sg.tensor("x", ("T", "B", 3)), sg.shared(np.eye(3, dtype="float32"), "w")
    h = sg.scan(
        lambda x_t, h: sg.tanh(x_t + h @ w), x, sg.zeros((x.shape[1], 3)), name="recurrence"
    )
    loss = sg.square(h[-1]).sum()
    updates = {w: w - 0.1 * sg.grad(loss, w)}
    return sg.compile(
        [x], loss, updates=updates, name="train", profile=True, backend=backend, **options
    )


@pytest.mark.parametrize("profile", [False, True])
def test_a_trace_has_passes_and_calls_on_one_clock(tmp_path, profile):
    x = sg.vector("x")
    f = sg.compile([x], sg.exp(x), profile=profile, name="exponential")
    f([1])
    f([2])
    path = tmp_path / "trace.json"
    sg.write_trace(path, f)
    events = json.loads(path.read_text())["traceEvents"]
    spans = {event["name"]: event for event in events if event["ph"] == "X"}
    whole = spans["compile exponential"]
    for row in f.report.passes:
        span = spans[row.name]
        assert whole["ts"] <= span["ts"]
        assert span["ts"] + span["dur"] <= whole["ts"] + whole["dur"]
    calls = [event for event in events if event["name"] == "call exponential"]
    assert len(calls) == 2
    assert all(call["ts"] >= whole["ts"] + whole["dur"] for call in calls)
    assert all({"name", "ph", "ts", "dur", "pid", "tid"} <= set(span) for span in spans.values())
    with pytest.raises(sg.SymgraphTypeError):
        sg.write_trace(f, path)


@pytest.mark.parametrize("backend", ["native", "numpy"])
@pytest.mark.parametrize("steps", [1, 2, 7])
def test_a_trace_shows_each_operation_in_its_step_in_its_loop_in_its_call(tmp_path, backend, steps):
    f = _training(backend)
    for _ in range(3):
        f(np.ones((steps, 2, 3)))
    calls = _tracks(tmp_path / "trace.json", f)["calls"]
    assert [call.name for call in calls] == ["call train"] * 3
    for call in calls:
        _check_nesting(call)
        loops = _loops(call)
        assert set(loops) == {"recurrence", "gradient of recurrence"}
        for label, loop in loops.items():
            assert loop in call.bars
            assert f"{label} at {Path(__file__).name}:" in loop.name
            assert len(loop.bars) == steps
            for step in loop.bars:
                assert {"product", "elementwise"} <= {bar.kind for bar in step.bars}
        gates = [bar for bar in loops["recurrence"].bars[0].bars if "tanh" in bar.name.split()]
        assert [bar.kind for bar in gates] == ["elementwise"]
        products = [bar for bar in loops["recurrence"].bars[0].bars if bar.kind == "product"]
        assert [bar.name.split()[0] for bar in products] == ["matmul"]
    runs = {row.label: row.runs for row in f.profile.rows if row.is_loop}
    assert runs == {"recurrence": 3, "gradient of recurrence": 3}


@pytest.mark.parametrize("backend", ["native", "numpy"])
def test_bars_are_as_many_and_as_long_as_the_profile_says(tmp_path, backend):
    f = _training(backend)
    for _ in range(2):
        f(np.ones((5, 2, 3)))
    calls = _tracks(tmp_path / "trace.json", f)["calls"]
    bars = [bar for call in calls for bar in call.within() if bar.kind != "step"]
    assert len(bars) == sum(row.runs for row in f.profile.rows)
    seconds = Counter[str]()
    for row in f.profile.rows:
        seconds[row.kind] += row.seconds
    for kind, total in seconds.items():
        length = 1e-6 * sum(bar.end - bar.begin for bar in bars if bar.kind == kind)
        # The reference reads its clock once more for each bar, and natively ends are rounded.
        assert length == pytest.approx(total, rel=0.5, abs=1e-3)


@pytest.mark.parametrize("backend", ["native", "numpy"])
def test_a_loop_without_steps_has_none_in_the_trace(tmp_path, backend):
    x = sg.matrix("x")
    h = sg.scan(lambda x_t, h: sg.tanh(x_t + h), x, sg.zeros((x.shape[1],)), name="loop")
    f = sg.compile([x], h.sum(), profile=True, backend=backend)
    f(np.ones((0, 3)))
    (call,) = _tracks(tmp_path / "trace.json", f)["calls"]
    _check_nesting(call)
    assert _loops(call)["loop"].bars == []


@pytest.mark.parametrize("backend", ["native", "numpy"])
def test_a_loop_that_ends_early_has_the_steps_that_it_took(tmp_path, backend):
    n = sg.scalar("n", dtype="int64")
    h = sg.scan(
        lambda h: (h * 2.0, sg.until(h > 10.0)), (), sg.constant(1.0), n_steps=n, name="doubling"
    )
    f = sg.compile([n], h, profile=True, backend=backend)
    taken = len(f(100))
    (call,) = _tracks(tmp_path / "trace.json", f)["calls"]
    _check_nesting(call)
    assert len(_loops(call)["doubling"].bars) == taken


@pytest.mark.parametrize("backend", ["native", "numpy"])
def test_loops_in_loops_have_their_own_steps(tmp_path, backend):
    x = sg.tensor3("x")

    def outer(x_t, total):
        inner = sg.scan(lambda row, h: sg.tanh(row + h), x_t, total, name="inner")
        return sg.exp(inner[-1])

    f = sg.compile([x], sg.scan(outer, x, sg.zeros((x.shape[2],)), name="outer")[-1],
                   profile=True, backend=backend)  # fmt: skip
    f(np.ones((3, 4, 2)))
    (call,) = _tracks(tmp_path / "trace.json", f)["calls"]
    _check_nesting(call)
    (loop,) = [bar for bar in call.bars if bar.kind == "loop"]
    assert len(loop.bars) == 3
    for step in loop.bars:
        (inner,) = [bar for bar in step.bars if bar.kind == "loop"]
        assert inner.name.startswith("inner")
        assert len(inner.bars) == 4


@pytest.mark.parametrize("backend", ["native", "numpy"])
def test_calls_of_other_threads_have_tracks_of_their_own(tmp_path, backend):
    f = _training(backend)
    x, n_threads, n_calls = np.ones((40, 2, 3)), 3, 5
    start = threading.Barrier(n_threads)

    def call() -> None:
        start.wait()
        for _ in range(n_calls):
            f(x)

    threads = [threading.Thread(target=call) for _ in range(n_threads)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = _tracks(tmp_path / "trace.json", f)
    assert set(found) == {"compile", "calls", "calls 2", "calls 3"}
    for name, calls in found.items():
        if name != "compile":
            assert len(calls) == n_calls
            for each in calls:
                _check_nesting(each)
                assert [len(loop.bars) for loop in _loops(each).values()] == [40, 40]


def test_calls_that_overlap_lie_on_different_tracks():
    calls = [(0.0, 2.0), (1.0, 3.0), (2.5, 1.0), (4.0, 1.0)]
    assert [track for track, _, _ in tracks(calls)] == [0, 1, 0, 0]
    assert list(tracks([])) == []


@pytest.mark.parametrize("backend", ["native", "numpy"])
def test_no_more_is_recorded_than_there_is_room_for(tmp_path, backend, monkeypatch):
    for module in (profiles, timing):
        monkeypatch.setattr(module, "MAX_MARKS", 41)
    f = _training(backend)
    f(np.ones((2, 2, 3)))
    whole = len(f.profile.recordings[-1].marks)
    f(np.ones((50, 2, 3)))
    (recording,) = f.profile.recordings
    assert len(recording.marks) == 40
    calls = _tracks(tmp_path / "trace.json", f)["calls"]
    assert [len(list(call.within())) for call in calls] == [0, 20]
    assert whole <= 41
    assert [row.runs for row in f.profile.rows if "tanh" in row.name.split()] == [52]


def test_old_calls_give_way_to_later_ones(monkeypatch):
    f = _training("native")
    for _ in range(5):
        f(np.ones((2, 2, 3)))
    size = len(f.profile.recordings[0].marks)
    monkeypatch.setattr(profiles, "MAX_MARKS", 3 * size)
    f(np.ones((2, 2, 3)))
    assert [len(each.marks) for each in f.profile.recordings] == [size] * 3


@pytest.mark.parametrize("backend", ["native", "numpy"])
def test_what_ran_in_a_call_that_failed_is_not_in_the_trace(tmp_path, backend):
    x, i = sg.vector("x"), sg.scalar("i", dtype="int64")
    f = sg.compile([x, i], sg.exp(sg.exp(x)[i]), profile=True, name="f", backend=backend)
    f([1, 2], 0)
    with pytest.raises(sg.IndexRangeError):
        f([1, 2], 2)
    f([1, 2], 1)
    calls = _tracks(tmp_path / "trace.json", f)["calls"]
    assert [len(call.bars) > 0 for call in calls] == [True, True]
    assert len(f.profile.recordings) == 2
    assert len(f.profile.calls) == 3
    assert f.profile.rows[0].runs == 3


def test_a_program_without_a_profile_logs_nothing():
    x = sg.vector("x")
    programs = [sg.compile([x], sg.exp(x), profile=profile) for profile in (False, True)]
    images = [f._executable.image for f in programs]
    assert [timed_kernel().name in image.needed for image in images] == [False, True]
