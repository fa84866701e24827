"""Functions that are copied, pickled, forked or given other shared variables."""

from __future__ import annotations

import copy
import os
import pickle
import subprocess
import sys
import threading

import numpy as np
import pytest

import symgraph as sg


def _trainer():
    """A function with state: w moves towards x, and a default for the rate."""
    x = sg.tensor("x", (3,))
    rate = sg.scalar("rate")
    w = sg.shared(np.zeros(3, "float32"), "w")
    loss = ((w - x) ** 2).sum()
    step = sg.compile(
        [x, sg.In(rate, value=0.25)],
        {"loss": loss},
        updates={w: w - rate * 2 * (w - x)},
        name="step",
    )
    return w, step


def test_pickling_keeps_meaning_signature_and_state():
    w, step = _trainer()
    step([2, 4, 6])
    loaded = pickle.loads(pickle.dumps(step))
    assert (loaded.name, loaded.backend, repr(loaded)) == (step.name, step.backend, repr(step))
    (copied,) = loaded.updates
    assert copied is not w
    assert copied.name == "w"
    np.testing.assert_array_equal(copied.get_value(), w.get_value())
    assert loaded(x=[2, 4, 6]) == step([2, 4, 6])
    loaded([2, 4, 6])
    assert not np.array_equal(copied.get_value(), w.get_value())


def test_a_function_loads_in_another_process(tmp_path):
    _, step = _trainer()
    path = tmp_path / "step.pickle"
    path.write_bytes(pickle.dumps(step))
    code = (
        "import pickle, sys; f = pickle.load(open(sys.argv[1], 'rb'));"
        "print(f([1, 1, 1])['loss'], f([1, 1, 1], rate=0)['loss'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["3.0", "0.75"]


def test_functions_pickled_together_share_their_variables():
    w = sg.shared(0.0, "w")
    add, get = sg.compile([], None, updates={w: w + 1}), sg.compile([], w)
    add_, get_ = pickle.loads(pickle.dumps((add, get)))
    add_()
    assert (get_(), get()) == (1, 0)
    add_, get_, w_ = copy.deepcopy((add, get, w))
    add_()
    assert (get_(), w_.get_value(), get()) == (1, 1, 0)


def test_a_loaded_function_keeps_its_default_updates():
    counter = sg.shared(np.int64(0), "counter")
    counter.default_update = counter + 1
    f = pickle.loads(pickle.dumps(sg.compile([], counter)))
    assert [f(), f(), f()] == [0, 1, 2]
    loaded = pickle.loads(pickle.dumps(counter))
    g = sg.compile([], loaded)
    assert [g(), g()] == [0, 1]


def test_deepcopy_has_state_of_its_own_and_copy_has_not():
    w, step = _trainer()
    deep, shallow = copy.deepcopy(step), copy.copy(step)
    deep([1, 1, 1])
    assert not w.get_value().any()
    shallow([1, 1, 1])
    assert w.get_value().any()


def test_a_deep_function_pickles():
    x = sg.vector("x")
    y = x
    for _ in range(20_000):
        y = sg.tanh(y)
    f = sg.compile([x], y)
    assert pickle.loads(pickle.dumps(f))([1.0]) == f([1.0])


def test_swap_puts_other_shared_variables_in_place():
    w, step = _trainer()
    other = sg.shared(np.ones(3, "float32"), "other")
    swapped = step.copy(swap={w: other})
    swapped([5, 5, 5])
    assert list(swapped.updates) == [other]
    np.testing.assert_array_equal(other.get_value(), np.full(3, 3.0))
    assert not w.get_value().any()
    assert step.copy()([0, 0, 0]) == {"loss": 0}


def test_swap_refuses_what_does_not_fit():
    w, step = _trainer()
    with pytest.raises(sg.InputError, match="not a shared variable of the function"):
        step.copy(swap={sg.shared(1.0, "stranger"): w})
    with pytest.raises(sg.InputError, match="takes a shared variable"):
        step.copy(swap={w: np.ones(3)})
    with pytest.raises(sg.DtypeError):
        step.copy(swap={w: sg.shared(np.ones(3))})
    with pytest.raises(sg.SymgraphError):
        step.copy(swap={w: sg.shared(np.ones(4, "float32"))})


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_function_works_after_fork_though_a_thread_was_calling_it():
    n = sg.shared(np.int64(0), "n")
    f = sg.compile([], n, updates={n: n + 1})
    held, release = threading.Event(), threading.Event()

    def hold():
        with n._lock:
            held.set()
            release.wait(30)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(30)
    child = os.fork()
    if child == 0:
        f()
        os._exit(0 if n.get_value() == 1 else 1)
    release.set()
    thread.join()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert n.get_value() == 0


def test_swap_takes_a_dict():
    w, step = _trainer()
    with pytest.raises(sg.InputError, match="dict"):
        step.copy(swap=[(w, w)])
