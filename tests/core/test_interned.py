"""Tables of interned objects: one object for a key while it lives, and nothing after."""

import gc
import sys
import threading

from symgraph.core.interned import Interned, InternTable


class Part(Interned):
    __slots__ = ("__weakref__",)


def test_the_first_object_of_a_key_stays():
    table = InternTable()
    first = Part()
    assert table.get("a") is None
    assert table.keep_first("a", first) is first
    assert table.keep_first("a", Part()) is first
    assert table.get("a") is first


def test_a_key_goes_with_its_object():
    table = InternTable()
    made = table.keep_first("a", Part())
    del made
    gc.collect()
    assert table.get("a") is None
    assert not table._references
    later = table.keep_first("a", Part())
    assert table.get("a") is later


def test_threads_that_make_and_drop_the_same_agree():
    table, barrier, wrong = InternTable(), threading.Barrier(4), []

    def work():
        barrier.wait()
        for i in range(3000):
            made = table.keep_first(i % 7, Part())
            if table.get(i % 7) is not made:
                wrong.append(i)

    threads = [threading.Thread(target=work) for _ in range(4)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert not wrong
    assert not table._references
