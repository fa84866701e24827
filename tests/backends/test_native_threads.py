"""Two threads for independent loops and large products: the same numbers, errors and interrupts."""

import copy
import os
import pickle
import signal
import threading
import time

import numpy as np
import pytest

import symgraph as sg
from symgraph.core.processes import n_processors, n_threads

# Enough for a loop to be worth a thread.
STEPS, BATCH, UNITS = 80, 8, 128


def numbers(seed, *shape, dtype="float32"):
    return (np.random.default_rng(seed).normal(size=shape) * 0.2).astype(dtype)


def layer(x, w, u, *, reverse):
    def step(x_t, h, c):
        z = x_t @ w + h @ u
        gate, new = sg.sigmoid(z[:, :UNITS]), sg.tanh(z[:, UNITS:])
        c = gate * c + (1 - gate) * new
        return [sg.tanh(c), c]

    zeros = sg.zeros((x.shape[1], UNITS), x.dtype)
    y = sg.scan(step, x, [zeros, zeros], go_backwards=reverse)[0]
    return y[::-1] if reverse else y


def recurrent(n_layers, steps="T", dtype="float32", directions=(False, True)):
    """The inputs of a net, its loss with all gradients, and values."""
    x = sg.tensor("x", (steps, "B", UNITS), dtype)
    inputs, values, y = [x], [numbers(0, STEPS, BATCH, UNITS, dtype=dtype)], x
    for k in range(n_layers):
        results = []
        for reverse in directions:
            n_in = UNITS if k == 0 else UNITS * len(directions)
            w = sg.tensor(f"w{k}{int(reverse)}", (n_in, 2 * UNITS), dtype)
            u = sg.tensor(f"u{k}{int(reverse)}", (UNITS, 2 * UNITS), dtype)
            inputs += [w, u]
            values += [
                numbers(len(values) + i, *v.type.shape, dtype=dtype) for i, v in enumerate((w, u))
            ]
            results.append(layer(y, w, u, reverse=reverse))
        y = sg.concatenate(results, axis=2)
    loss = sg.square(y).mean()
    return inputs, [loss, y, *sg.grad(loss, inputs)], values


def pair(threads=2, *, units=UNITS, **options):
    """Two loops that need nothing of each other, and values for a call of any length."""
    x = sg.tensor("x", ("T", "B", units))
    u, v = sg.tensor("u", (units, units)), sg.tensor("v", (units, units))
    zeros = sg.zeros((x.shape[1], units))
    outputs = [
        sg.scan(lambda x_t, h, w=w: sg.tanh(x_t + h @ w), x, zeros, go_backwards=back)[-1]
        for w, back in ((u, False), (v, True))
    ]
    f = sg.compile([x, u, v], outputs, threads=threads, **options)

    def arguments(seed=0, steps=STEPS, batch=BATCH):
        return (
            numbers(seed, steps, batch, units),
            numbers(1, units, units),
            numbers(2, units, units),
        )

    return f, arguments


def same(found, wanted):
    return all(map(np.array_equal, found, wanted))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("steps", ["T", STEPS])
@pytest.mark.parametrize("n_layers", [1, 2, 3])
def test_two_threads_give_the_numbers_of_one(n_layers, steps, dtype):
    inputs, outputs, values = recurrent(n_layers, steps, dtype)
    one, two = (sg.compile(inputs, outputs, threads=n) for n in (1, 2))
    assert (one.report.threads, two.report.threads) == (1, 2)
    wanted = one(*values)
    assert same(two(*values), wanted)
    if dtype == "float64":
        reference = sg.compile(inputs, outputs, backend="numpy")(*values)
        for a, b in zip(wanted, reference, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9)


def test_one_direction_shares_its_products():
    inputs, outputs, values = recurrent(2, directions=(True,))
    one, two = (sg.compile(inputs, outputs, threads=n) for n in (1, 2))
    assert two.report.threads == 2
    assert same(two(*values), one(*values))


def n_running():
    return len(os.listdir("/proc/self/task"))


@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="nothing tells the threads")
@pytest.mark.skipif(n_processors() == 1, reason="there is nothing to run another thread on")
def test_large_work_is_done_by_two_threads():
    f, arguments = pair()
    values = arguments(steps=20_000)
    time.sleep(0.1)  # threads of other tests end
    before = n_running()
    caller = threading.Thread(target=f, args=values)
    caller.start()
    most = 0
    while caller.is_alive():
        most = max(most, n_running())
        time.sleep(1e-3)
    assert most == before + 2
    deadline = time.monotonic() + 5
    while n_running() > before and time.monotonic() < deadline:
        time.sleep(1e-3)  # a thread says that it is done just before it ends
    assert n_running() == before


def test_fifty_runs_are_equal():
    inputs, outputs, values = recurrent(2)
    f = sg.compile(inputs, outputs, threads=3)
    wanted = f(*values)
    assert all(same(f(*values), wanted) for _ in range(50))


def test_small_work_stays_on_one_thread():
    assert pair(units=4)[0].report.threads == 2  # of symbolic lengths: each call decides
    x = sg.tensor("x", (5, 2, 4))
    outputs = [
        sg.scan(lambda x_t, h: sg.tanh(x_t + h), x, sg.zeros((2, 4)), go_backwards=back)[-1]
        for back in (False, True)
    ]
    assert sg.compile([x], outputs, threads=2).report.threads == 1


def test_eight_threads_call_one_function_of_two():
    f, arguments = pair()
    cases = [arguments(seed, steps, batch) for seed, (steps, batch) in enumerate(
        [(80, 8), (81, 9), (3, 2), (120, 7)]
    )]  # fmt: skip
    wanted = [[np.array(r) for r in pair(1)[0](*case)] for case in cases]
    wrong = []

    def work(seed):
        for i in range(200):
            k = (seed + i) % len(cases)
            if not same(f(*cases[k]), wanted[k]):
                wrong.append(k)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.parametrize("first_is_longer", [True, False])
def test_an_interrupt_reaches_the_caller(first_is_longer):
    units = 64
    x = sg.tensor("x", (units, units))
    n, m = sg.scalar("n", "int64"), sg.scalar("m", "int64")
    total = [
        sg.scan(lambda h: sg.tanh(h @ x), [], [sg.zeros((units, units))], n_steps=steps)[-1]
        for steps in (n, m)
    ]
    f = sg.compile([x, n, m], total, threads=2)
    assert f.report.threads == 2
    weights = numbers(0, units, units)
    wanted = f(weights, 300, 200)
    lengths = (10**11, 300) if first_is_longer else (300, 10**11)  # some hours
    timer = threading.Timer(0.3, signal.raise_signal, [signal.SIGINT])
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        f(weights, *lengths)
    timer.join()
    assert same(f(weights, 300, 200), wanted)


def failing(threads, *, long_steps=200_000):
    """Loops that look rows up, the second of them long after the first has failed."""
    x = sg.tensor("x", (16, 64))
    i, j = sg.vector("i", "int64"), sg.vector("j", "int64")
    w = sg.tensor("w", (64, 64))
    outputs = [
        sg.scan(lambda k, h: sg.tanh(x[k] + h @ w), rows, sg.zeros((64,)))[-1] for rows in (i, j)
    ]
    f = sg.compile([x, w, i, j], outputs, threads=threads)
    fine = np.zeros(2000, "int64")
    return f, lambda i, j: (numbers(0, 16, 64), numbers(1, 64, 64), i, j), fine


@pytest.mark.parametrize("which", ["first", "second", "both"])
def test_errors_are_those_of_one_thread(which):
    told = []
    for threads in (1, 2):
        f, arguments, fine = failing(threads)
        assert f.report.threads == threads
        early, late = fine.copy(), fine.copy()
        late[1500], early[2] = 16, -17
        i = fine if which == "second" else late
        j = fine if which == "first" else early
        with pytest.raises(IndexError) as caught:
            f(*arguments(i, j))
        told.append((type(caught.value), str(caught.value)))
        assert np.isfinite(f(*arguments(fine, fine))).all()
    assert told[0] == told[1]


def test_a_failure_of_the_first_loop_ends_the_second():
    f, arguments, fine = failing(2)
    wrong, long = fine.copy(), np.zeros(20_000_000, "int64")
    wrong[3] = 99
    started = time.perf_counter()
    with pytest.raises(IndexError, match="index 99"):
        f(*arguments(wrong, long))
    assert time.perf_counter() - started < 10  # it would take a minute


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no forks")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_child_can_call():
    f, arguments = pair()
    wanted = f(*arguments())
    for _ in range(3):
        child = os.fork()
        if not child:
            signal.alarm(20)  # which ends a child that waits for ever
            os._exit(0 if same(f(*arguments()), wanted) else 1)
        assert os.waitpid(child, 0)[1] == 0


def test_loops_that_end_by_themselves_run_beside_others():
    x = sg.tensor("x", (UNITS, UNITS))
    n = sg.scalar("n", "int64")

    def walk(limit):
        def step(h):
            new = sg.tanh(h @ x) + 1
            return [new], sg.until(new.sum() > limit)

        return sg.scan(step, [], [sg.zeros((UNITS, UNITS))], n_steps=n)

    def count(limit):
        def step(h):
            return [h + 1], sg.until(h[0, 0] >= limit)

        return sg.scan(step, [], [sg.zeros((UNITS, UNITS))], n_steps=n)

    outputs = [walk(1e9), count(150), count(90), walk(10.0)]
    results = [
        sg.compile([x, n], outputs, threads=t)(numbers(0, UNITS, UNITS), 200) for t in (1, 2)
    ]
    assert [r.shape[0] for r in results[0]] == [200, 151, 91, 1]
    assert same(*results)


def test_steps_in_python_follow_one_another():
    x = sg.tensor("x", (STEPS, BATCH, UNITS))
    w = sg.tensor("w", (UNITS, UNITS))
    outputs = [
        sg.scan(lambda x_t, h: sg.sort(x_t + h @ w, axis=1), x, sg.zeros((BATCH, UNITS)),
                go_backwards=back)
        for back in (False, True)
    ]  # fmt: skip
    one, two = (sg.compile([x, w], outputs, threads=t) for t in (1, 2))
    assert two.report.threads == 1
    values = numbers(0, STEPS, BATCH, UNITS), numbers(1, UNITS, UNITS)
    assert same(two(*values), one(*values))


def test_profiles_count_the_time_of_one_thread():
    f, arguments = pair(profile=True)
    f(*arguments())
    assert f.report.threads == 1
    assert any(row.is_loop for row in f.profile.rows)


def test_copies_keep_the_number_of_threads():
    f, arguments = pair()
    for other in (f.copy(), copy.copy(f), pickle.loads(pickle.dumps(f))):
        assert other.report.threads == 2
        assert same(other(*arguments()), f(*arguments()))


@pytest.mark.parametrize(("given", "wanted"), [("1", 1), (" 1, 4", 1), ("no", None), ("0", None)])
def test_the_default_follows_the_machine_and_the_environment(monkeypatch, given, wanted):
    monkeypatch.setenv("OMP_NUM_THREADS", given)
    assert n_threads() == (wanted or n_processors())
    assert pair(None)[0].report.threads == min(2, n_threads())
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert n_threads() == n_processors()


@pytest.mark.parametrize("threads", [2, 3, 12])
@pytest.mark.parametrize("transposed", [(False, False), (True, False), (False, True)])
@pytest.mark.parametrize(
    "sizes", [(300, 200, 300), (40, 700, 600), (17, 2000, 500), (3, 3000, 2000)]
)
def test_a_product_by_rows_is_the_product(sizes, transposed, threads):
    m, k, n = sizes
    a, b = numbers(0, m, k), numbers(1, k, n)
    x, y = sg.tensor("x", ("M", "K")), sg.tensor("y", ("K", "N"))
    left, right = x, y
    if transposed[0]:
        a, left = a.T.copy(), sg.tensor("x", ("K", "M")).T
    if transposed[1]:
        b, right = b.T.copy(), sg.tensor("y", ("N", "K")).T
    inputs = [
        left if not transposed[0] else left.inputs[0],
        right if not transposed[1] else right.inputs[0],
    ]
    one, many = (sg.compile(inputs, left @ right, threads=t) for t in (1, threads))
    assert many.report.threads == min(threads, 8)
    np.testing.assert_array_equal(many(a, b), one(a, b))


def test_stacks_and_shared_operands_are_multiplied_by_rows():
    x, y = sg.tensor("x", (3, 200, 150)), sg.tensor("y", (150, 300))
    z = sg.tensor("z", (3, 150, 300))
    values = numbers(0, 3, 200, 150), numbers(1, 150, 300), numbers(2, 3, 150, 300)
    for outputs in ([x @ y], [x @ z], [x @ y, (x * 2) @ y], [sg.tanh(x @ y) @ y.T]):
        one, two = (
            sg.compile([x, y, z], [*outputs, y.sum(), z.sum()], threads=t)(*values) for t in (1, 2)
        )
        assert same(two, one)
