"""What is written down of a variable goes along where the variable is built again."""

from __future__ import annotations

import copy
import gc
import pickle
import weakref

import numpy as np

import symgraph as sg


def noted():
    x, w = sg.vector("x"), sg.shared(np.ones(2, "float32"), "w")
    y = sg.exp(x * w)
    y.note("unit", "mV")
    return x, w, y


def test_a_variable_without_notes_has_none():
    assert dict(sg.vector("x").notes) == {}


def test_notes_go_along_with_substitute_and_calls_of_graphs():
    x, w, y = noted()
    z = sg.vector("z")
    replaced = sg.substitute(2 * y, {x: z + 1})
    graph = sg.Graph([x, w], [y])
    (called,) = graph(z, w)
    (again,) = graph.canonical()(z, w)
    for found in (replaced.inputs[1], called, again):
        assert found is not y
        assert found.notes["unit"] == "mV"


def test_notes_of_its_own_count_for_a_variable_that_is_there_already():
    x, _, y = noted()
    z = sg.vector("z")
    own = sg.substitute(y, {x: z})
    own.note("unit", "V")
    assert sg.substitute(y, {x: z}).notes["unit"] == "V"
    assert y.notes["unit"] == "mV"


def test_notes_go_along_with_copies_and_the_variables_in_them():
    _, w, y = noted()
    y.note("scale", w)
    copied, copied_w = copy.deepcopy([y, w])
    assert copied is not y
    assert copied.notes["unit"] == "mV"
    assert copied.notes["scale"] is copied_w
    assert y.notes["scale"] is w


def test_notes_go_along_with_pickles():
    _, w, y = noted()
    y.note("scale", w)
    loaded, loaded_w = pickle.loads(pickle.dumps((y, w)))
    assert loaded.notes["unit"] == "mV"
    assert loaded.notes["scale"] is loaded_w


def test_notes_of_shared_variables_go_along_too():
    _, w, y = noted()
    w.note("unit", "nS")
    w.note("scale", scale := sg.shared(2.0, "scale"))
    for copies in (copy.deepcopy, lambda whole: pickle.loads(pickle.dumps(whole))):
        (alone,) = copies([w])
        (copied_y, copied_w, copied_scale) = copies([y, w, scale])
        assert alone.notes["unit"] == copied_w.notes["unit"] == "nS"
        assert copied_w.notes["scale"] is copied_scale
        assert copied_w in sg.ancestors(copied_y)
        assert copied_scale is not scale
    assert w.notes["scale"] is scale


def test_notes_keep_no_variable_alive():
    _, _, y = noted()
    alive = weakref.ref(y)
    del y
    gc.collect()
    assert alive() is None


def test_a_pickle_from_before_there_were_notes_is_read():
    _, _, y = noted()
    load, (records, lines, positions, _) = y.__reduce__()
    assert load(records, lines, positions) is y
    w = sg.shared(1.5, "w")
    load_shared, (value, name, _), _ = w.__reduce__()
    assert load_shared(value, name).name == "w"
