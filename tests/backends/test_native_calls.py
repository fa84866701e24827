"""The built-in call path: what it takes, what it leaves to the slow path, and threads."""

import os
import random
import signal
import threading

import numpy as np
import pytest

import symgraph as sg


def entry(inputs, outputs, slow=lambda *_: "slow"):
    f = sg.compile(inputs, outputs, backend="native")
    made = f._executable.entry(slow, "list" if isinstance(outputs, list) else "one")
    assert made is not None
    return f, made[0], made[1]


def test_usual_arguments_are_computed_at_once():
    x, y = sg.vector("x"), sg.tensor("y", ("B", 3))
    outputs = [sg.tanh(x) * 2, y @ y.T, y.sum(), y.sum(axis=0)]
    f, fast, keep = entry([x, y], outputs)
    a, b = np.linspace(-1, 1, 10, dtype="float32"), np.ones((4, 3), "float32")
    for found, wanted in zip(fast(a, b), f(a, b), strict=True):
        assert type(found) is type(wanted)
        np.testing.assert_array_equal(found, wanted)
    assert keep is not None


@pytest.mark.parametrize(
    "arguments",
    [
        (), (1,), ([1.0, 2.0],), (np.ones(3),), (np.ones((3, 1), "float32"),),
        (np.ones(6, "float32")[::2],), (np.float32(1),), (np.ones(3, ">f4"),),
        (np.ones(3, "float32"), np.ones(3, "float32")), (np.ones(4, "float32"),),
        (np.frombuffer(b"x" * 13, "float32", 3, 1),),
    ],
)  # fmt: skip
def test_unusual_arguments_go_the_slow_way(arguments):
    x = sg.tensor("x", (3,))
    _, fast, _keep = entry([x], sg.exp(x))
    assert fast(*arguments) == "slow"
    assert fast(np.zeros(3, "float32")).tolist() == [1, 1, 1]


def test_a_failure_starts_again_on_the_slow_way():
    x, i = sg.tensor("x", ("N", 2)), sg.tensor("i", ("M",), "int64")
    _, fast, _keep = entry([x, i], x[i].sum())
    ones = np.ones((3, 2), "float32")
    assert fast(ones, np.array([0, 2, -1])) == 6
    assert fast(ones, np.array([0, 3])) == "slow"


def test_eight_threads_get_right_answers():
    x = sg.tensor("x", ("T", "B", 4))
    w = sg.tensor("w", (4, 4))
    total = sg.scan(lambda x_t, h: sg.tanh(x_t + h @ w), [x], [sg.zeros((x.shape[1], 4))])
    f, fast, _keep = entry([x, w], [total, total.sum()])
    random = np.random.default_rng(0)
    cases = [
        (
            random.normal(size=(t, b, 4)).astype("float32"),
            random.normal(size=(4, 4)).astype("float32"),
        )
        for t, b in ((1, 1), (5, 3), (20, 7), (3, 17))
    ]
    wanted = [[np.array(r) for r in f(*case)] for case in cases]
    wrong = []

    def work(seed):
        for i in range(300):
            k = (seed + i) % len(cases)
            results = fast(*cases[k]) if i % 3 else f(*cases[k])
            if not all(map(np.array_equal, results, wanted[k])):
                wrong.append(k)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no forks")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_child_compiles_although_a_thread_did_when_it_was_forked():
    x = sg.vector("x")
    f = sg.compile([x], sg.tanh(x).sum())
    stop = threading.Event()

    def work():
        while not stop.is_set():
            sg.compile([x], sg.exp(x) + random.random())

    thread = threading.Thread(target=work)
    thread.start()
    statuses = []
    for _ in range(3):
        child = os.fork()
        if not child:
            signal.alarm(20)  # which ends a child that waits for ever
            f(np.ones(3, "float32"))
            made = sg.compile([x], sg.cos(x) * (1.0 + random.random()))
            os._exit(0 if made(np.zeros(2, "float32"))[0] > 1 else 1)
        statuses.append(os.waitpid(child, 0)[1])
    stop.set()
    thread.join()
    assert statuses == [0, 0, 0]
