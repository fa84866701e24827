"""Updates of shared variables: types, order, failure, threads."""

from __future__ import annotations

import sys
import threading

import numpy as np
import pytest

import symgraph as sg


def test_updates_use_old_values_and_outputs_too():
    a, b = sg.shared(1.0, "a"), sg.shared(10.0, "b")
    f = sg.compile([], [a, b], updates={a: a + b, b: a})
    assert f() == [1, 10]
    assert (a.get_value(), b.get_value()) == (11, 1)
    assert f() == [11, 1]


def test_pairs_numbers_and_functions_report_their_updates():
    a, b = sg.shared(1.0, "a"), sg.shared(np.int64(3), "b")
    f = sg.compile([], None, updates=[(a, 0), (b, b + 1)])
    f()
    assert (a.get_value(), b.get_value()) == (0, 4)
    assert list(f.updates) == [a, b]
    assert all(expression in f.graph.outputs for expression in f.updates.values())


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        (lambda w: w.astype("float64"), "float64"),
        (lambda w: w.astype("int32"), "int32"),
        (lambda w: w[:2], r"\[2\]"),
        (lambda w: w.sum(), r"float32\[\]"),
        (lambda w: sg.expand_dims(w, 0), r"\[1, 3\]"),
        (lambda w: 1.0, r"\[\]"),
        (lambda w: np.ones(3), "float64"),
    ],
)
def test_updates_of_another_type_are_refused(expression, words):
    w = sg.shared(np.ones(3, "float32"), "weights")
    with pytest.raises(sg.UpdateError, match=rf"(?s)'weights' float32\[3\].*{words}"):
        sg.compile([], None, updates={w: expression(w)})


def test_an_integer_is_not_updated_by_a_float():
    n = sg.shared(np.int64(1), "n")
    with pytest.raises(sg.UpdateError, match="'n' int64"):
        sg.compile([], None, updates={n: 0.5})


def test_sizes_that_are_not_known_are_checked_at_the_call():
    w = sg.shared(np.ones(3, "float32"), "w")
    x = sg.vector("x")
    f = sg.compile([x], None, updates={w: x})
    f([1, 2, 3])
    np.testing.assert_array_equal(w.get_value(), [1, 2, 3])
    with pytest.raises(sg.CallError, match="update of 'w'"):
        f([1, 2])
    np.testing.assert_array_equal(w.get_value(), [1, 2, 3])


def test_duplicates_and_strangers_are_refused():
    w, x = sg.shared(1.0, "w"), sg.scalar("x")
    with pytest.raises(sg.UpdateError, match=r"'w' .*updated twice"):
        sg.compile([], None, updates=[(w, 1.0), (w, 2.0)])
    with pytest.raises(sg.UpdateError, match="only a shared variable"):
        sg.compile([x], None, updates={x: x})
    with pytest.raises(sg.SymgraphTypeError, match="updates are a dict"):
        sg.compile([], None, updates=[w])


def test_a_failed_call_changes_nothing():
    a, b = sg.shared(1.0, "a"), sg.shared(np.ones(2, "float32"), "b")
    x, i = sg.vector("x"), sg.scalar("i", dtype="int64")
    f = sg.compile([x, i], x.sum(), updates={a: a + 1, b: b * x[i]})
    f([1, 2], 1)
    before = a.get_value(), b.get_value()
    with pytest.raises(sg.IndexRangeError):
        f([1, 2], 9)
    with pytest.raises(sg.ShapeError):
        f([[1, 2]], 0)
    assert a.get_value() == before[0]
    np.testing.assert_array_equal(b.get_value(), before[1])


def test_an_update_of_what_is_not_read():
    w = sg.shared(np.zeros(2, "float32"), "w")
    x = sg.tensor("x", (2,))
    sg.compile([x], None, updates={w: x})([3, 4])
    np.testing.assert_array_equal(w.get_value(), [3, 4])


# --- updates that shared variables bring along --------------------------------------------------


def _counter():
    counter = sg.shared(np.int64(0), "counter")
    counter.default_update = counter + 1
    return counter


def test_a_default_update_is_made_where_the_variable_is_reached():
    counter, other = _counter(), _counter()
    f = sg.compile([], counter * 10)
    assert [f(), f(), f()] == [0, 10, 20]
    assert other.get_value() == 0
    assert list(f.updates) == [counter]
    assert "'counter'" in str(f.report)


def test_the_users_update_comes_first():
    counter = _counter()
    f = sg.compile([], counter, updates={counter: counter + 5})
    f()
    assert counter.get_value() == 5


def test_a_default_update_may_reach_another():
    a, b = _counter(), sg.shared(np.int64(0), "b")
    b.default_update = b + a
    f = sg.compile([], b)
    assert [f() for _ in range(4)] == [0, 0, 1, 3]
    assert a.get_value() == 4


def test_a_default_update_is_dropped_where_givens_replace_the_variable():
    counter = _counter()
    f = sg.compile([], counter, givens={counter: np.int64(7)})
    assert f() == f() == 7
    assert counter.get_value() == 0


# --- threads ------------------------------------------------------------------------------------


def _run_in_threads(work, n=8):
    errors = []

    def guarded():
        try:
            work()
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=guarded) for _ in range(n)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors


def test_no_update_is_lost_between_threads_and_functions():
    n = sg.shared(np.int64(0), "n")
    up = sg.compile([], n, updates={n: n + 1})
    down = sg.compile([], n, updates={n: n - 1})
    _run_in_threads(lambda: [up() for _ in range(100)], 4)
    assert n.get_value() == 400
    _run_in_threads(lambda: [(up(), down()) for _ in range(50)], 4)
    assert n.get_value() == 400


def test_variables_updated_together_are_seen_together():
    a, b = sg.shared(np.int64(0), "a"), sg.shared(np.int64(0), "b")
    step = sg.compile([], None, updates={a: a + 1, b: b + 1})
    read = sg.compile([], [a, b])
    torn = []

    def work():
        for _ in range(100):
            step()
            x, y = read()
            if x != y:
                torn.append((x, y))

    _run_in_threads(work, 4)
    assert not torn


def test_calls_from_many_threads_give_right_answers():
    x = sg.matrix("x")
    f = sg.compile([x], (x @ x.T).sum(axis=0) + x.sum())
    arguments = [np.random.default_rng(i).normal(size=(5, 3)).astype("float32") for i in range(8)]
    wanted = [f(a) for a in arguments]

    def work():
        for _ in range(30):
            for argument, result in zip(arguments, wanted, strict=True):
                np.testing.assert_array_equal(f(argument), result)

    _run_in_threads(work, 4)


# --- several values at once ---------------------------------------------------------------------


def test_values_are_set_together_or_not_at_all():
    a, b = sg.shared(np.zeros(2)), sg.shared(np.zeros((), "float32"))
    sg.set_values({a: [1, 2], b: 3.5})
    np.testing.assert_array_equal(a.get_value(), [1, 2])
    assert b.get_value() == np.float32(3.5)
    for wrong in ({a: np.ones(2), b: "x"}, {a: [4, 4], b: np.float64(1)}, {b: 0.0, a: np.ones(3)}):
        with pytest.raises(sg.UpdateError) as caught:
            sg.set_values(wrong)
        assert __file__ in str(caught.value)
        np.testing.assert_array_equal(a.get_value(), [1, 2])
        assert b.get_value() == np.float32(3.5)
    with pytest.raises(sg.UpdateError, match="shared variables to values"):
        sg.set_values({"a": 1})
    sg.set_values({})


def test_no_interrupt_comes_between_values():
    """Ctrl-C at each line that runs, in turn: all are new or none is."""
    variables = [sg.shared(np.zeros(2)) for _ in range(3)]
    seen = set()
    for n in range(1, 1000):
        left = n

        def trace(frame, event, _argument):
            nonlocal left
            if "symgraph" in frame.f_code.co_filename and event == "line":
                left -= 1
                if left == 0:
                    raise KeyboardInterrupt
            return trace

        before = sys.gettrace()
        sys.settrace(trace)
        try:
            sg.set_values({v: np.full(2, float(n)) for v in variables})
        except KeyboardInterrupt:
            pass
        else:
            break
        finally:
            sys.settrace(before)
        values = [v.get_value()[0] for v in variables]
        assert values in ([0, 0, 0], [n, n, n])
        seen.add(values[0] == n)
        sg.set_values(dict.fromkeys(variables, np.zeros(2)))
    assert n > 10
    assert seen == {True, False}
