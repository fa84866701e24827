"""Weights as PyTorch and Keras keep them, read into arrays by name."""

from __future__ import annotations

import io
import json
import os
import re
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from symgraph.errors import SymgraphTypeError, SymgraphValueError

from .extras import load_package
from .files import as_path, naming
from .tensors import read_arrays
from .torch_files import read_torch
from .typing import Path as PathLike

__all__ = ["SUBLAYERS", "keras_weights", "order_of", "torch_weights"]


def torch_weights(source: Mapping[str, Any] | PathLike) -> dict[str, np.ndarray]:
    """The arrays of a state dict, of a safetensors file, or of what ``torch.save`` wrote.

    Of a training's checkpoint, those of the one dict in it that holds nothing else.
    """
    if not isinstance(source, Mapping):
        path = as_path(source)
        if path.suffix == ".safetensors":
            stored, _ = read_arrays(path)
            return {name: array.widened(_own_dtype(array.dtype)) for name, array in stored.items()}
        source = read_torch(path)
    weights = _weights_in(source)
    return {str(name): _as_array(value, str(name)) for name, value in weights.items()}


def _weights_in(content: Any) -> Mapping[str, Any]:
    """The state dict that this is, or the one that it has among other things."""
    if not isinstance(content, Mapping):
        raise SymgraphTypeError.here(
            f"load_torch: a state dict is expected, not {type(content).__name__}",
            remedy="Save model.state_dict(), not the model.",
        )
    inner = {name: value for name, value in content.items() if isinstance(value, Mapping)}
    if not inner:
        return content
    of_weights = [
        name for name, value in inner.items() if value and all(map(_is_array, value.values()))
    ]
    if len(of_weights) == 1 and not any(map(_is_array, content.values())):
        return inner[of_weights[0]]
    known = ", ".join(map(repr, content))
    raise SymgraphTypeError.here(
        f"load_torch: a state dict is expected; found a dict of {known}",
        remedy="Give the one of these that holds the weights.",
    )


def _is_array(value: Any) -> bool:
    return hasattr(value, "detach") or isinstance(value, np.ndarray)


def _own_dtype(stored: str) -> np.dtype:
    """A dtype of NumPy's for what a file holds."""
    return np.dtype("float32" if stored == "bfloat16" else stored)


def _as_array(value: Any, name: str) -> np.ndarray:
    """A tensor or an array as an array; what NumPy has no dtype for as float32."""
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        if str(value.dtype) == "torch.bfloat16":
            value = value.float()
        value = value.numpy()
    array = np.asarray(value)
    if array.dtype.kind not in "fiub":
        raise SymgraphTypeError.here(f"{name} is no array of numbers, but {type(value).__name__}")
    return array


def keras_weights(source: Any) -> dict[str, np.ndarray] | list[np.ndarray]:
    """The arrays of a Keras model, its ``weights`` or a file by name; those of a list in order.

    Names are ``layer/role``, such as ``lstm/recurrent_kernel`` or ``bidirectional/forward/bias``;
    in files the last part is the number of the weight in its layer.
    """
    if isinstance(source, (str, os.PathLike)):
        return _from_file(as_path(source))
    if isinstance(source, Mapping):
        items: Iterable[tuple[str, Any]] = source.items()
    else:
        variables = getattr(source, "weights", source)
        if not isinstance(variables, (list, tuple)):
            raise SymgraphTypeError.here(
                f"load_keras: a path, a model or a list of weights is expected, not {source!r}"
            )
        if not all(hasattr(v, "path") for v in variables):
            return [_as_array(v, f"weight {i}") for i, v in enumerate(variables)]
        items = [(v.path, v) for v in variables]
    kept = [item for item in items if not item[0].endswith("seed_generator_state")]
    names = _short_names([path for path, _ in kept])
    return {
        name: _as_array(value.numpy() if hasattr(value, "path") else value, name)
        for name, (_, value) in zip(names, kept, strict=True)
    }


SUBLAYERS = ("forward", "backward", "query", "key", "value", "attention_output")
_CELL = re.compile(r"(lstm|gru|simple_rnn)_cell(_\d+)?|cell")
_DIRECTION = re.compile(r"(forward|backward)_\w+")


def _short_names(paths: Sequence[str]) -> list[str]:
    """The variables' paths without cells, and without names of models where layers differ so."""
    split = [_split(path) for path in paths]
    layers: dict[str, set[str]] = {}
    for outer, layer, _ in split:
        layers.setdefault(layer, set()).add(outer)
    names = [
        "/".join([*([outer] if outer and len(layers[layer]) > 1 else []), layer, role]).lstrip("/")
        for outer, layer, role in split
    ]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise SymgraphValueError.here(
            f"load_keras: two weights have the name {twice}",
            remedy="Give model.get_weights(), which has the order of the layers.",
        )
    return names


def _split(path: str) -> tuple[str, str, str]:
    """The models that a variable is in, its layer, and its role."""
    *places, role = path.split("/")
    places = [_DIRECTION.sub(r"\1", place) for place in places if not _CELL.fullmatch(place)]
    n = 2 if places and places[-1] in SUBLAYERS else 1
    return "/".join(places[:-n]), "/".join(places[-n:]), role


# In a file of Keras the parts of a layer have names of their own, in the order of their weights.
_PARTS = {
    "vars": "", "cell/vars": "", "forward_layer/cell/vars": "forward/",
    "backward_layer/cell/vars": "backward/", "query_dense/vars": "query/",
    "key_dense/vars": "key/", "value_dense/vars": "value/",
    "output_dense/vars": "attention_output/", "layer/vars": "",
}  # fmt: skip


def _from_file(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a file, in the order of layers if it tells it."""
    h5py = load_package("h5py", None)
    with naming(path, "cannot be read"):
        content: Any = path
        order: list[str] = []
        if path.suffix == ".keras":
            with zipfile.ZipFile(path) as archive:
                content = io.BytesIO(archive.read("model.weights.h5"))
                config = json.loads(archive.read("config.json"))["config"]
                order = list(_listed(config))
        with h5py.File(content, "r") as file:
            if "layers" not in file:
                return _from_older_file(path, file)
            arrays = {name: _arrays_of(group) for name, group in _layers_in(file)}
    ordered = sorted(arrays, key=lambda name: order.index(name) if name in order else len(order))
    return {f"{name}/{role}": array for name in ordered for role, array in arrays[name].items()}


def _from_older_file(path: Path, file: Any) -> dict[str, np.ndarray]:
    """The arrays of an ``.h5`` file, as Keras 2 wrote them, which lists layers and weights."""
    model = file.get("model_weights", file)
    if "layer_names" not in model.attrs:
        raise SymgraphValueError.here(f"{path} holds no layers of Keras")
    arrays: dict[str, np.ndarray] = {}
    for layer in map(_as_text, model.attrs["layer_names"]):
        for name in map(_as_text, model[layer].attrs["weight_names"]):
            arrays[name.removesuffix(":0")] = np.asarray(model[layer][name])
    return dict(zip(_short_names(list(arrays)), arrays.values(), strict=True))


def _as_text(name: str | bytes) -> str:
    return name.decode() if isinstance(name, bytes) else str(name)


def _listed(config: Mapping[str, Any], within: str = "") -> Iterator[str]:
    """The names of a model's layers in order; in a model within it they follow on its name."""
    for layer in config.get("layers", []):
        name, inner = f"{within}{layer['config']['name']}", layer["config"]
        yield from _listed(inner, f"{name}/") if "layers" in inner else [name]


def _layers_in(model: Any, within: str = "") -> Iterator[tuple[str, Any]]:
    """The layers in a file by name, named as `_listed` does."""
    for key in sorted(model["layers"], key=_numbered):
        layer = model["layers"][key]
        name = f"{within}{_name_of(key, layer)}"
        yield from _layers_in(layer, f"{name}/") if "layers" in layer else [(name, layer)]


def order_of(source: Any) -> Literal["layers", "kinds", "names"]:
    """In what order the weights come: of all layers, of those of one kind, or of their names."""
    text = str(source) if isinstance(source, (str, os.PathLike)) else ""
    if text.endswith(".weights.h5"):
        return "kinds"
    return "names" if text.endswith(".safetensors") else "layers"


def _numbered(key: str) -> tuple[str, int]:
    """A layer's class and number: ``dense_10`` comes after ``dense_2``."""
    stem, _, number = key.rpartition("_")
    return (stem, int(number)) if number.isdigit() else (key, 0)


def _name_of(key: str, group: Any) -> str:
    """The user's name of a layer; the key in the file tells its class alone."""
    return str(group["vars"].attrs.get("name", key)) if "vars" in group else key


def _arrays_of(group: Any) -> dict[str, np.ndarray]:
    found: dict[str, np.ndarray] = {}
    for part, prefix in _PARTS.items():
        if part in group:
            numbered = sorted(group[part].items(), key=lambda item: int(item[0]))
            found |= {f"{prefix}{number}": np.asarray(array) for number, array in numbered}
    return found
