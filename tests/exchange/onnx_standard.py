"""The ONNX standard's own tests, run on what symgraph reads: a module for tests, and a command.

    python tests/exchange/onnx_standard.py [--backend native] [--kind node] [name ...]

prints how many come out right, and why the others do not. A model is read as it is; only where the
refusal asks for the values of an input are these given, since a function would have them fixed.
"""

from __future__ import annotations

import argparse
import re
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper
from onnx.backend.test.loader import load_model_tests

import symgraph as sg


@dataclass(frozen=True)
class Case:
    """A model and what it is to compute."""

    name: str
    model: onnx.ModelProto
    data: list[Any]
    """Inputs and outputs, several times."""
    rtol: float
    atol: float


@dataclass(frozen=True)
class Outcome:
    """What became of a case: right, wrong, refused (by an ExchangeError), or raw: another error."""

    kind: str
    reason: str = ""


def cases(kind: str = "node") -> Iterator[Case]:
    """The standard's tests of a kind, but for those that say the same in terms of other ops."""
    with warnings.catch_warnings():  # some make infinities on the way
        warnings.simplefilter("ignore")
        tests = load_model_tests(kind=kind)
    for test in tests:
        if "_expanded" in test.name:
            continue
        if test.model is not None:
            sets = [tuple(list(map(_array, part)) for part in parts) for parts in test.data_sets]
            yield Case(test.name, test.model, sets, test.rtol, test.atol)
            continue
        folder = Path(test.model_dir)
        model = onnx.load(folder / "model.onnx")
        sets = [_load_set(path, model) for path in sorted(folder.glob("test_data_set_*"))]
        yield Case(test.name, model, sets, test.rtol, test.atol)


def _array(value: Any) -> Any:
    return numpy_helper.to_array(value) if isinstance(value, onnx.TensorProto) else value


def _load_set(folder: Path, model: onnx.ModelProto) -> tuple[list[Any], list[Any]]:
    return _load(folder, "input", model.graph.input), _load(folder, "output", model.graph.output)


def _load(folder: Path, what: str, declared: Any) -> list[Any]:
    """What is stored for the ends of a graph: arrays, and None for what is no tensor."""
    arrays: list[Any] = []
    for i, info in enumerate(declared):
        path = folder / f"{what}_{i}.pb"
        is_tensor = info.type.HasField("tensor_type") and path.exists()
        arrays.append(_array(onnx.TensorProto.FromString(path.read_bytes())) if is_tensor else None)
    return arrays


def run(case: Case, backend: str = "numpy") -> Outcome:
    """What becomes of a case on a backend."""
    try:
        for inputs, outputs in case.data:
            difference = _difference(case, inputs, outputs, backend)
            if difference:
                return Outcome("wrong", difference)
    except sg.ExchangeError as error:
        cause = error.__cause__
        if cause is not None and not isinstance(cause, sg.SymgraphError):
            return Outcome("raw", f"{error} from {type(cause).__name__}")
        return Outcome("refused", str(error))
    except sg.SymgraphError as error:
        return Outcome("failed", f"{type(error).__name__}: {error}")
    except Exception as error:
        return Outcome("raw", f"{type(error).__name__}: {error}")
    return Outcome("right")


def _difference(case: Case, inputs: list[Any], outputs: list[Any], backend: str) -> str:
    names = [info.name for info in case.model.graph.input]
    values = {k: v for k, v in zip(names, inputs, strict=False) if v is not None}
    imported = _read(case.model, values)
    wanted = {
        info.name: value for info, value in zip(case.model.graph.output, outputs, strict=False)
    }
    variables = list(imported.inputs.values())
    f = sg.compile(
        variables, [imported.outputs[k] for k in wanted], backend=backend, unused="ignore"
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        got = f(*(values[name] for name in imported.inputs))
    for (name, expected), found in zip(wanted.items(), got, strict=True):
        difference = _of_arrays(np.asarray(found), np.asarray(expected), case)
        if difference:
            return f"{name}: {difference}"
    return ""


def _of_arrays(found: np.ndarray, expected: np.ndarray, case: Case) -> str:
    if found.dtype != expected.dtype or found.shape != expected.shape:
        return f"{found.dtype}{found.shape} for {expected.dtype}{expected.shape}"
    try:
        np.testing.assert_allclose(found, expected, case.rtol, case.atol)
    except AssertionError as error:
        return str(error)
    return ""


def _read(model: onnx.ModelProto, values: dict[str, Any]) -> Any:
    """The model, with the values of those inputs known for which a refusal asks."""
    data, known = model.SerializeToString(), dict[str, Any]()
    while True:
        try:
            return sg.import_onnx(data, known=known)
        except sg.ExchangeError as error:
            asked = re.search(r"known={'([^']*)': array}", str(error))
            if asked is None or asked[1] in known or asked[1] not in values:
                raise
            known[asked[1]] = values[asked[1]]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--backend", default="numpy")
    parser.add_argument("--kind", default="node")
    parser.add_argument("--show", default="", help="print the cases that came out like this")
    parser.add_argument("names", nargs="*")
    arguments = parser.parse_args()
    start, counts = time.perf_counter(), Counter[str]()
    for case in cases(arguments.kind):
        if arguments.names and not any(name in case.name for name in arguments.names):
            continue
        outcome = run(case, arguments.backend)
        counts[outcome.kind] += 1
        if outcome.kind in arguments.show.split(",") or arguments.show == "all":
            print(f"{outcome.kind:8} {case.name}: {' '.join(outcome.reason.split())[:300]}")
    print(dict(counts), f"{time.perf_counter() - start:.1f} s")


if __name__ == "__main__":
    main()
