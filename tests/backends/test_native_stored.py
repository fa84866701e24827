"""Programs as bytes: what comes back is what was written, and nothing else can."""

import dataclasses
import json
import struct

import numpy as np
import pytest

import symgraph as sg
from symgraph.backends.llvm.calls.stored import decode, encode
from symgraph.backends.llvm.lowering.image import Image
from symgraph.compile.notes import as_plain, from_plain
from symgraph.compile.report import LoopRow, PassRow
from symgraph.core.provenance import Line

TABLE = np.random.default_rng(0).normal(size=(3, 4))


def images():
    """Programs with constants, loops, several results and sizes that are found on the way."""
    x, m = sg.vector("x"), sg.matrix("m", "float64")
    ids = sg.vector("ids", "int8")
    steps = sg.scan(lambda a, s: (s + a, sg.until(s > 3)), x, 0.0)
    return {
        "one result": ([x], sg.exp(x).sum()),
        "constants": ([m], [m @ sg.constant(TABLE), sg.constant(TABLE[:, 0]) + m.sum()]),
        "a loop that ends itself": ([x], [steps, sg.grad(steps.sum(), x)]),
        "integers and bools": ([ids], [ids * 3, ids > 2, sg.argmax(ids)]),
        "no operands": ([], [sg.arange(5) * 2]),
    }


@pytest.fixture(params=images())
def image(request):
    inputs, outputs = images()[request.param]
    return sg.compile(inputs, outputs)._executable.image


def same(a, b):
    """Whether two values are alike in kind, too; arrays in every bit."""
    if isinstance(a, np.ndarray):
        return (a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, b.tobytes())
    if isinstance(a, (tuple, list)):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and a == b


def test_an_image_comes_back_whole(image):
    found, notes = decode(encode(image, {"some": [1, None, "notes"]}))
    assert notes == {"some": [1, None, "notes"]}
    for field in dataclasses.fields(Image):
        assert same(getattr(image, field.name), getattr(found, field.name)), field.name


def test_arrays_that_come_back_are_aligned_and_own_their_memory(image):
    found, _ = decode(encode(image, None))
    for array in (found.template, *(array for _, array in found.constants)):
        assert array.flags.owndata
        assert array.flags.aligned
        assert array.flags.writeable


def test_what_is_cut_or_lengthened_is_refused(image):
    content = encode(image, None)
    for wrong in (content[:-1], content + b"?", content[:30], b""):
        with pytest.raises((ValueError, struct.error)):
            decode(wrong)


@pytest.mark.parametrize("dtype", ["O", "U5", "M8[s]", "V8", "c16"])
def test_no_other_dtype_comes_back(image, dtype):
    content = encode(image, None)
    size, *rest = struct.unpack_from("<QQQ", content)
    head = json.loads(content[24 : 24 + size])
    head["arrays"][0][0] = dtype
    text = json.dumps(head).encode()
    with pytest.raises((ValueError, TypeError)):
        decode(struct.pack("<QQQ", len(text), *rest) + text + content[24 + size :])


def test_rows_of_a_report_come_back():
    rows = (
        PassRow("simplify", 0.25, 7, 5, 1.5, {"log(exp(x))": 2}),
        LoopRow("adder", Line("net.py", 3, "main"), 0, 1, 5, 1, 1, 0),
        LoopRow(None, None, 1, 2, 5, 1, 1, 0),
    )
    assert from_plain(json.loads(json.dumps(as_plain(rows)))) == rows


def test_what_a_report_on_disk_has_no_place_for_is_refused():
    with pytest.raises(TypeError, match="no place"):
        as_plain((1, object()))
    with pytest.raises(KeyError):
        from_plain(["Popen", "true"])
