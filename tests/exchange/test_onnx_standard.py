"""What is read of ONNX computes what the standard says: its own tests of every op.

``python tests/exchange/onnx_standard.py --backend native`` runs all of them on native code.
"""

from __future__ import annotations

import re
from collections import Counter
from functools import cache

import onnx
import onnx_standard
import pytest
from onnx_standard import Case, Outcome

# What is drawn at random, and what the standard has with rounding errors larger than its tolerance.
UNLIKE = {"test_bernoulli", "test_bernoulli_double", "test_bernoulli_seed"}
UNLIKE |= {"test_training_dropout", "test_training_dropout_mask"}
UNLIKE |= {"test_training_dropout_default", "test_training_dropout_default_mask"}
UNLIKE |= {"test_dft_inverse", "test_dft_inverse_opset19"}
# Ops that are not read, and how many tests each has.
UNREAD = {
    "DeformConv": 4,
    "Det": 2,
    "ImageDecoder": 9,
    "NonMaxSuppression": 10,
    "RoiAlign": 3,
    "TfIdfVectorizer": 7,
    "ai.onnx.ml.ArrayFeatureExtractor": 1,
    "ai.onnx.ml.Binarizer": 1,
    "ai.onnx.ml.TreeEnsemble": 2,
    "ai.onnx.preview.FlexAttention": 10,
}
# Why others are refused: other dtypes (8 and 16 bits of floats, 2 and 4 of integers, texts),
# sequences that are inputs or outputs, and what is left out of some ops.
REASONS = (
    "which symgraph does not compute with|symgraph does not compute with|inputs are tensors|"
    "where a tensor is expected|input 0 is missing|the bits of .* are not read|different rows"
)


# Every version of the standard has more of them, and some of the older ones' data were mended.
of_this_version = pytest.mark.skipif(
    not onnx.__version__.startswith("1.23."), reason="tests are counted for onnx 1.23"
)


@cache
def cases(kind: str) -> list[Case]:
    return [case for case in onnx_standard.cases(kind) if case.name not in UNLIKE]


@cache
def outcomes(kind: str) -> dict[str, Outcome]:
    return {case.name: onnx_standard.run(case) for case in cases(kind)}


def readable(*, every: int) -> list[Case]:
    """Some of the cases that come out right on the NumPy backend."""
    return [c for c in cases("node") if outcomes("node")[c.name].kind == "right"][::every]


def test_most_come_out_right_and_none_raises_another_error():
    found = Counter(outcome.kind for outcome in outcomes("node").values())
    assert found["right"] >= 790
    assert not {"failed", "raw"} & set(found)


@of_this_version
def test_tests_of_every_op_come_out_right():
    found = outcomes("node")
    assert Counter(outcome.kind for outcome in found.values()) == {"right": 1121, "refused": 274}


@of_this_version
def test_what_is_refused_is_known():
    reasons = [o.reason for o in outcomes("node").values() if o.kind == "refused"]
    ops = [re.search(r"ONNX (\S+) .*there is no such op", reason) for reason in reasons]
    assert Counter(op[1] for op in ops if op) == UNREAD
    rest = [r for r, op in zip(reasons, ops, strict=True) if not op and not re.search(REASONS, r)]
    assert not rest


def test_native_code_computes_the_same():
    for case in readable(every=8):
        assert onnx_standard.run(case, "native") == Outcome("right"), case.name


@of_this_version
def test_sizes_may_be_names():
    found = Counter(onnx_standard.run(with_names(case)).kind for case in readable(every=5))
    assert found["right"] >= 210
    assert set(found) <= {"right", "refused", "failed"}
    assert found["failed"] <= 2  # the largest element of nothing


def with_names(case: Case) -> Case:
    """The case with a name for each size of its inputs but 1: the same for equal ones."""
    model = onnx.ModelProto()
    model.CopyFrom(case.model)
    for info in model.graph.input:
        for size in info.type.tensor_type.shape.dim:
            if size.HasField("dim_value") and size.dim_value != 1:
                size.dim_param = f"size_{size.dim_value}"
    return Case(case.name, model, case.data, case.rtol, case.atol)


@pytest.mark.parametrize("backend", ["numpy", "native"])
@pytest.mark.parametrize(("kind", "number"), [("pytorch-operator", 35), ("pytorch-converted", 82)])
def test_models_of_pytorch(kind: str, number: int, backend: str):
    found = [onnx_standard.run(case, backend).kind for case in cases(kind)]
    assert found == ["right"] * number
