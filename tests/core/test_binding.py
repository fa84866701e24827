"""Sizes bound to the numbers of actual shapes."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from symgraph.core.binding import bind_sizes, shape_numbers
from symgraph.core.dims import fresh_size, maximum_zero, named_size
from symgraph.core.types import tensor_type

B, T = named_size("B"), named_size("T")


def _type(*shape):
    return tensor_type(np.dtype("float32"), shape)


@given(st.integers(0, 9), st.integers(0, 9), st.integers(1, 3), st.integers(-2, 2))
def test_names_are_found_wherever_they_stand_alone(b, t, factor, offset):
    unknown = fresh_size()
    types = [_type(B * factor + offset, 3), _type(T, unknown)]
    values = bind_sizes(types, [(b * factor + offset, 3), (t, 7)])
    assert shape_numbers((B, T * B, unknown, 4), values) == (b, t * b, 7, 4)


def test_what_tells_nothing_is_left_open():
    types = [_type(B * T), _type(B + T), _type(maximum_zero(B - 1))]
    values = bind_sizes(types, [(6,), (5,), (3,)])
    assert values == {}
    assert shape_numbers((B, 2), values) == (None, 2)


def test_the_first_place_counts():
    values = bind_sizes([_type(B), _type(B)], [(2,), (3,)])
    assert B.evaluate(values) == 2
