"""Ctrl-C at any moment: no lock stays held, the collector stays on, updates are whole."""

from __future__ import annotations

import ctypes
import gc
import random
import signal
import sys
import threading
from _signal import signal as set_handler  # the one of signal.py can be interrupted itself

import numpy as np
import pytest

import symgraph as sg
from symgraph.core.interrupts import (
    call_apart,
    call_holding,
    call_undisturbed,
    call_without_collection,
)

pytestmark = [
    pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs timers that signal"),
    # Python drops what comes while a callback of its collector runs, and says so.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

# Sets the flag that Ctrl-C sets, and runs no Python: what follows comes at the next moment at
# which the traced function can be interrupted, and again at each one after it.
_interrupt = ctypes.pythonapi.PyErr_SetInterrupt
_interrupt.argtypes, _interrupt.restype = [ctypes.py_object] * 3, None


class _From:
    """A tracer that interrupts a function from its n-th instruction on."""

    def __init__(self, function, n):
        self.code, self.left, self.has_begun = function.__code__, n, False

    def __call__(self, frame, event, argument):
        if frame.f_code is not self.code:
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        return self.count

    def count(self, frame, event, argument):
        if event == "opcode":
            self.left -= 1
            if self.left < 0:
                self.has_begun = True
                frame.f_trace = _interrupt
                return None
        return self.count


def interrupted_at_each_instruction(function, call, check):
    """Interrupt a function from each of its instructions on, and check what is left each time."""
    before = sys.gettrace()
    for n in (10_000, *range(10_000)):  # Python 3.13 tells instructions from the second time on
        tracer = _From(function, n)
        try:
            try:
                sys.settrace(tracer)
                call()
            finally:
                sys.settrace(before)
        except KeyboardInterrupt:
            pass
        check()
        if not tracer.has_begun and n < 10_000:
            return n
    raise AssertionError("the function has no end")


def is_free(lock):
    """Whether another thread can take the lock."""
    found = []

    def take():
        found.append(lock.acquire(blocking=False))
        if found[0]:
            lock.release()

    thread = threading.Thread(target=take)
    thread.start()
    thread.join()
    return found[0]


def test_locks_are_free_wherever_the_interrupt_comes():
    locks = [threading.RLock() for _ in range(3)]
    runs = []

    def run():
        runs.append([is_free(lock) for lock in locks])

    def check():
        assert all(map(is_free, locks))

    n = interrupted_at_each_instruction(call_holding, lambda: call_holding(locks, run), check)
    assert n > 10
    assert runs[-1] == [False] * 3


def test_locks_are_free_when_an_interrupt_ends_the_waiting_for_one():
    locks = [threading.RLock() for _ in range(3)]
    held, done = threading.Event(), threading.Event()

    def hold():
        with locks[1]:
            held.set()
            done.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    ctrl_c = [threading.main_thread().ident, signal.SIGINT]
    threading.Timer(0.05, signal.pthread_kill, ctrl_c).start()
    with pytest.raises(KeyboardInterrupt):
        call_holding(locks, lambda: pytest.fail("the lock was held by another thread"))
    assert [is_free(lock) for lock in locks] == [True, False, True]
    done.set()
    thread.join()
    assert call_holding(locks, lambda: 7) == 7
    assert all(map(is_free, locks))


@pytest.mark.parametrize("was_enabled", [True, False])
def test_the_collector_is_as_it_was(was_enabled):
    found = []

    def check():
        assert gc.isenabled() == was_enabled

    (gc.enable if was_enabled else gc.disable)()
    try:
        n = interrupted_at_each_instruction(
            call_without_collection,
            lambda: call_without_collection(lambda: found.append(gc.isenabled())),
            check,
        )
    finally:
        gc.enable()
    assert n > 5
    assert not any(found)


def test_an_interrupt_waits_for_what_must_not_be_disturbed():
    handler, finished = signal.getsignal(signal.SIGINT), []

    def run():
        signal.raise_signal(signal.SIGINT)
        finished.append(len(finished))

    with pytest.raises(KeyboardInterrupt):
        call_undisturbed(run)
    assert finished == [0]
    assert signal.getsignal(signal.SIGINT) is handler

    def check():
        assert signal.getsignal(signal.SIGINT) is handler

    interrupted_at_each_instruction(call_undisturbed, lambda: call_undisturbed(list), check)
    assert call_undisturbed(lambda: 3) == 3
    with pytest.raises(ZeroDivisionError):
        call_undisturbed(lambda: 1 // 0)


def test_in_other_threads_and_without_a_handler_nothing_changes():
    results = []
    thread = threading.Thread(target=lambda: results.append(call_undisturbed(lambda: 4)))
    thread.start()
    thread.join()
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        results.append(call_undisturbed(lambda: signal.getsignal(signal.SIGINT)))
    finally:
        signal.signal(signal.SIGINT, before)
    assert results == [4, signal.SIG_IGN]


def test_a_call_apart_returns_raises_and_is_left_at_once():
    assert call_apart(lambda: 5) == 5
    with pytest.raises(ZeroDivisionError):
        call_apart(lambda: 1 // 0)
    end = threading.Event()
    threading.Timer(0.05, signal.raise_signal, [signal.SIGINT]).start()
    with pytest.raises(KeyboardInterrupt):
        call_apart(end.wait)
    end.set()


# --- whole functions, interrupted at random -----------------------------------------------------


def is_struck(call, rng, most):
    """Whether an interrupt after a random time, of so many seconds at most, ended the call."""

    def strike(number, frame):
        signal.getsignal(signal.SIGINT)(signal.SIGINT, frame)  # as Ctrl-C does

    before = set_handler(signal.SIGALRM, strike)
    try:
        signal.setitimer(signal.ITIMER_REAL, rng.uniform(1e-6, most))
        call()
        signal.setitimer(signal.ITIMER_REAL, 0)
        return False
    except KeyboardInterrupt:
        return True
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        set_handler(signal.SIGALRM, before)


def counters(n=3):
    """A function that counts three shared variables up together, and the variables."""
    x = sg.vector("x")
    held = [sg.shared(np.zeros(4, "float32"), f"count{i}") for i in range(n)]
    return x, held, {v: v + sg.ones(4) for v in held}


@pytest.mark.parametrize("backend", ["native", "numpy"])
@pytest.mark.parametrize("is_sorted", [True, False])
def test_updates_are_whole_and_locks_free_after_interrupts(backend, is_sorted):
    """With a sort some of the program runs in Python, which an interrupt reaches as well."""
    x, held, updates = counters()
    result = sg.sort(x).sum() if is_sorted else sg.exp(x).sum()
    f = sg.compile([x], result, updates=updates, backend=backend)
    values, rng = np.zeros(5, "float32"), random.Random(0)
    expected = f(values)

    def call_often():
        for _ in range(200):
            assert f(values) == expected

    struck = 0
    for _ in range(300):
        struck += is_struck(call_often, rng, 1e-3)
        found = {float(number) for v in held for number in v.get_value()}
        assert len(found) == 1
        assert is_free(held[0]._lock)
    assert struck > 100
    assert found.pop() > 50
    assert all(is_free(v._lock) for v in held)


def test_compiling_survives_interrupts():
    rng, x = random.Random(1), sg.vector("x")
    for i in range(40):
        outputs = sg.tanh(x * float(i)).sum() + sg.cumsum(x)[-1]
        is_struck(lambda y=outputs: sg.compile([x], y), rng, 0.02)
        assert gc.isenabled()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    f = sg.compile([x], sg.tanh(x * 3.0).sum() + sg.cumsum(x)[-1])
    np.testing.assert_allclose(f([1, 2]), np.tanh(3) + np.tanh(6) + 3, rtol=1e-6)


# --- long work of NumPy -------------------------------------------------------------------------


@pytest.mark.parametrize("backend", ["native", "numpy"])
@pytest.mark.parametrize("function", [sg.sort, sg.argsort])
def test_ctrl_c_ends_a_long_sort(backend, function, monkeypatch):
    waiting, end = threading.Event(), threading.Event()

    def wait(*arguments, **options):
        waiting.set()
        end.wait()
        return arguments[0]

    x = sg.vector("x", "int64")
    f = sg.compile([x], function(x), backend=backend)
    few = np.array([3, 1, 2])
    np.testing.assert_array_equal(f(few), getattr(np, function.__name__)(few))
    many = np.arange(1 << 20)[::-1].copy()
    np.testing.assert_array_equal(f(many), getattr(np, function.__name__)(many, kind="stable"))
    monkeypatch.setattr(np, function.__name__, wait)
    threading.Thread(target=lambda: (waiting.wait(), signal.raise_signal(signal.SIGINT))).start()
    with pytest.raises(KeyboardInterrupt):
        f(many)
    end.set()
    monkeypatch.undo()
    np.testing.assert_array_equal(f(few), getattr(np, function.__name__)(few))
