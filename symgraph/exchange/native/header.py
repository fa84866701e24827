"""The header of an object file: what C has to know of it."""

from __future__ import annotations

from collections.abc import Sequence

from ...core.dims import size_atoms
from .entry import GENERAL_TEXTS
from .interface import Array, Interface

__all__ = ["header_text"]

_HEAD = """\
/* {name}: a program that symgraph {version} made for {triple}, processor {cpu}.
 *
 * It needs the C library and its mathematics (-lm), keeps nothing between calls, and may be called
 * by several threads at once. Arrays lie in C order; an array need not be aligned to more than an
 * element. A result may stand where an argument of its type and sizes stands, so that states are
 * updated in their place; otherwise results share memory with nothing.
 *
{arrays}
 */
#ifndef SYMGRAPH_{upper}_H
#define SYMGRAPH_{upper}_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {{
#endif

"""
_CALL = """\
/* Computes; 0, or a status that says what is wrong, and then the results are undefined.
 *
 * workspace: {name}_workspace(...) bytes that no other call uses meanwhile, or NULL: then the call
 * allocates them. */
int32_t {name}({arguments});

/* The bytes of a workspace for these sizes; SIZE_MAX where a call of these sizes must fail. */
size_t {name}_workspace({sizes});

/* What a status says. */
const char *{name}_status(int32_t status);
"""
_FOOT = """
#ifdef __cplusplus
}
#endif

#endif
"""


def header_text(interface: Interface, version: str, triple: str, cpu: str) -> str:
    """The header of an object file for this machine."""
    name = interface.name
    arguments = [f"const {x.c_type} *{x.name}" for x in interface.inputs]
    arguments += [f"int64_t {size}" for size in interface.sizes.values()]
    arguments += [f"{y.c_type} *{y.name}" for y in interface.outputs]
    arguments.append("void *workspace")
    head = _HEAD.format(
        name=name, version=version, triple=triple, cpu=cpu, upper=name.upper(),
        arrays="\n".join(_described(interface)),
    )  # fmt: skip
    sizes = ", ".join(f"int64_t {size}" for size in interface.sizes.values()) or "void"
    call = _CALL.format(name=name, arguments=_wrapped(f"int32_t {name}(", arguments), sizes=sizes)
    return "".join([head, _statuses(name), call, *_counts(interface, sizes), _FOOT])


def _described(interface: Interface) -> list[str]:
    """What each array holds."""
    rows = [("in ", x) for x in interface.inputs] + [("out", y) for y in interface.outputs]
    width = max((len(array.name) for _, array in rows), default=0)
    return [
        f" * {kind} {array.name:{width}}  {array.c_type} {interface.shape_text(array)}"
        for kind, array in rows
    ]


def _statuses(name: str) -> str:
    lines = [
        f"#define {name.upper()}_{word} {-i if i == 0 else f'({-i})'}  /* {text} */\n"
        for i, (word, text) in enumerate(
            zip(("OK", "NO_MEMORY", "NEGATIVE_SIZE"), GENERAL_TEXTS, strict=True)
        )
    ]
    return "".join([*lines, "\n"])


def _counts(interface: Interface, sizes: str) -> list[str]:
    """Functions that say how many elements each array has."""
    name, texts = interface.name, []
    arrays = (*interface.inputs, *interface.outputs)
    expressions = [count_expression(interface, array) for array in arrays]
    if any(f"{name}_floor_div" in text for text in expressions):
        texts.append(
            f"\nstatic inline int64_t {name}_floor_div(int64_t a, int64_t b) {{\n"
            "  return b == 0 ? 0 : a / b - (a % b != 0 && (a < 0) != (b < 0));\n}\n"
        )
    texts.append("\n/* How many elements each array has. */\n")
    for array, expression in zip(arrays, expressions, strict=True):
        used = {atom for size in array.shape for atom in size_atoms(size)}
        unused = [text for atom, text in interface.sizes.items() if atom not in used]
        ignored = "".join(f"(void){text}; " for text in unused)
        texts.append(
            f"static inline int64_t {name}_count_{array.name}({sizes}) "
            f"{{ {ignored}return {expression}; }}\n"
        )
    return texts


def count_expression(interface: Interface, array: Array) -> str:
    """How many elements an array has, in C."""
    factors = [interface.c_expression(size) for size in array.shape]
    return " * ".join(f if f.isalnum() else f"({f})" for f in factors) or "1"


def _wrapped(head: str, arguments: Sequence[str], width: int = 100) -> str:
    """The arguments, in lines that are not too long."""
    text, column = "", len(head)
    for i, argument in enumerate(arguments):
        part = argument + ("" if i == len(arguments) - 1 else ", ")
        if column + len(part) > width and text:
            text = text.rstrip() + "\n    "
            column = 4
        text += part
        column += len(part)
    return text
