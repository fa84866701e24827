"""Models that were damaged at random, for tests: bytes, or the parts of a model's graph."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import onnx

_NUMBERS = (0, 1, -1, 2, 7, -7, 255, 2**31 - 1, -(2**31), 2**62, -(2**63))
_OPS = ("Add", "MatMul", "Reshape", "LSTM", "Conv", "Gather", "Scan", "Loop", "If", "Einsum", "Pad")


def mutants(models: Sequence[bytes], count: int, seed: int) -> Iterator[bytes]:
    """So many damaged copies of the models."""
    draws = np.random.default_rng(seed)
    for _ in range(count):
        data = models[draws.integers(len(models))]
        if draws.random() < 0.4:
            yield _damaged_bytes(data, draws)
        else:
            yield _damaged_graph(data, draws)


def _damaged_bytes(data: bytes, draws: np.random.Generator) -> bytes:
    damaged = bytearray(data)
    for _ in range(draws.integers(1, 6)):
        place, kind = int(draws.integers(len(damaged))), draws.integers(5)
        if kind == 0:
            damaged[place] = int(draws.integers(256))
        elif kind == 1:
            damaged[place] ^= 1 << int(draws.integers(8))
        elif kind == 2:
            del damaged[place : place + int(draws.integers(1, 20))]
        elif kind == 3:
            damaged[place:place] = draws.bytes(int(draws.integers(1, 20)))
        else:
            end = place + int(draws.integers(1, 200))
            damaged[place:place] = damaged[place:end]
        if not damaged:
            break
    return bytes(damaged)


def _damaged_graph(data: bytes, draws: np.random.Generator) -> bytes:
    model = onnx.ModelProto.FromString(data)
    for _ in range(draws.integers(1, 5)):
        damage = _DAMAGES[draws.integers(len(_DAMAGES))]
        damage(_one(_graphs(model), draws), draws)
        if draws.random() < 0.1 and model.opset_import:
            _one(model.opset_import, draws).version = _one([1, 6, 9, 13, 24, *_NUMBERS], draws)
    return model.SerializeToString()


def _graphs(model: Any) -> list[Any]:
    """The model's graph, the graphs in it, and the bodies of its functions."""
    graphs: list[Any] = [model.graph, *model.functions]
    for graph in graphs:  # which grows on the way
        graphs += [a.g for node in graph.node for a in node.attribute if a.HasField("g")]
    return graphs


def _one(items: Any, draws: np.random.Generator) -> Any:
    return items[int(draws.integers(len(items)))] if len(items) else None


def _names(graph: Any) -> list[str]:
    names = [name for node in graph.node for name in (*node.input, *node.output)]
    return [*names, *(t.name for t in getattr(graph, "initializer", [])), "", "?"]


def _change_input(graph: Any, draws: np.random.Generator) -> None:
    node = _one(graph.node, draws)
    if node is not None and node.input:
        node.input[int(draws.integers(len(node.input)))] = _one(_names(graph), draws)


def _change_inputs(graph: Any, draws: np.random.Generator) -> None:
    node = _one(graph.node, draws)
    if node is None:
        return
    if draws.random() < 0.5 and node.input:
        del node.input[int(draws.integers(len(node.input)))]
    else:
        node.input.append(_one(_names(graph), draws))


def _change_output(graph: Any, draws: np.random.Generator) -> None:
    node = _one(graph.node, draws)
    if node is not None and node.output:
        node.output[int(draws.integers(len(node.output)))] = _one(_names(graph), draws)


def _change_op(graph: Any, draws: np.random.Generator) -> None:
    node, other = _one(graph.node, draws), _one(graph.node, draws)
    if node is not None:
        node.op_type = other.op_type if draws.random() < 0.5 else _one(_OPS, draws)


def _change_attribute(graph: Any, draws: np.random.Generator) -> None:
    nodes = [node for node in graph.node if node.attribute]
    node = _one(nodes, draws)
    if node is None:
        return
    attribute = _one(node.attribute, draws)
    number = _one(_NUMBERS, draws)
    kind = draws.integers(5)
    if kind == 0:
        node.attribute.remove(attribute)
    elif kind == 1 and attribute.ints:
        attribute.ints[int(draws.integers(len(attribute.ints)))] = number
    elif kind == 2:
        attribute.ints.append(number)
    elif kind == 3:
        attribute.type = int(draws.integers(1, 13))
    else:
        attribute.i, attribute.s, attribute.f = number, draws.bytes(3), float(draws.normal())


def _change_tensor(graph: Any, draws: np.random.Generator) -> None:
    tensors = [*getattr(graph, "initializer", [])]
    tensors += [a.t for node in graph.node for a in node.attribute if a.HasField("t")]
    tensor = _one(tensors, draws)
    if tensor is None:
        return
    kind = draws.integers(4)
    if kind == 0 and tensor.dims:
        tensor.dims[int(draws.integers(len(tensor.dims)))] = _one(_NUMBERS, draws)
    elif kind == 1:
        tensor.data_type = int(draws.integers(25))
    elif kind == 2 and tensor.data_type == onnx.TensorProto.INT64:
        n = max(len(tensor.raw_data) // 8, 1)
        tensor.raw_data = np.array([_one(_NUMBERS, draws) for _ in range(n)]).tobytes()
    else:
        tensor.data_location = onnx.TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value="../" * int(draws.integers(3)) + "files")


def _change_nodes(graph: Any, draws: np.random.Generator) -> None:
    nodes = list(graph.node)
    if not nodes:
        return
    k = int(draws.integers(len(nodes)))
    if draws.random() < 0.5:
        del nodes[k]
    else:
        nodes.insert(k, nodes[int(draws.integers(len(nodes)))])
    del graph.node[:]
    graph.node.extend(nodes)


def _change_type(graph: Any, draws: np.random.Generator) -> None:
    declared = _one(graph.input, draws)
    if declared is None or isinstance(declared, str):
        return
    tensor = declared.type.tensor_type
    if draws.random() < 0.3:
        tensor.elem_type = int(draws.integers(25))
    elif tensor.shape.dim and draws.random() < 0.5:
        _one(tensor.shape.dim, draws).dim_value = _one(_NUMBERS, draws)
    else:
        tensor.shape.dim.add().dim_param = _one(["T", "B", "a + b", "", "2*"], draws)


_DAMAGES: tuple[Callable[[Any, np.random.Generator], None], ...] = (
    _change_input,
    _change_inputs,
    _change_output,
    _change_op,
    _change_attribute,
    _change_attribute,
    _change_tensor,
    _change_tensor,
    _change_nodes,
    _change_type,
)
