"""A program in C that runs an object file on a sample and prints the results."""

from __future__ import annotations

import numpy as np

from .interface import Array, Interface
from .sample import Sample

__all__ = ["main_text"]

_HEAD = """\
/* Runs {name} on a sample and prints the results. To build it:
 *
 *   cc -o {name} main.c {name}.o -lm
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "{name}.h"

"""
_MAIN = """
/* Room for so many elements. */
static void *room(int64_t count, size_t size) {{
  void *place = malloc(count > 0 ? (size_t)count * size : 1);
  if (place == NULL) {{
    fprintf(stderr, "out of memory\\n");
    exit(1);
  }}
  return place;
}}

int main(void) {{
{before}  void *workspace = malloc({name}_workspace({sizes}));  /* NULL would do */
  int32_t status = {name}({arguments});
  if (status != {upper}_OK) {{
    fprintf(stderr, "{name}: %s\\n", {name}_status(status));
    return 1;
  }}
{after}  free(workspace);
  return 0;
}}
"""
_PRINT = """\
  printf("{text}:");
  for (int64_t i = 0, n = {count}; i < n; i++) printf({form}, {element});
  printf("\\n");
  free({place});
"""
# What is larger is made up as the program runs.
_MOST_WRITTEN = 1 << 16
_PER_LINE = 10


def main_text(interface: Interface, sample: Sample) -> str:
    """The source of the program."""
    name = interface.name
    inputs = list(zip(interface.inputs, sample.inputs, strict=True))
    sizes = [f"size_{text}" for text in interface.sizes.values()]
    numbers = zip(sizes, sample.sizes, strict=True)
    counts = {y: f"{name}_count_{y.name}({', '.join(sizes)})" for y in interface.outputs}
    before = [
        *(f"  const int64_t {size} = {number};\n" for size, number in numbers),
        *(_fill(x) for x, array in inputs if array.size > _MOST_WRITTEN),
        *(
            f"  {y.c_type} *out_{y.name} = room({count}, sizeof *out_{y.name});\n"
            for y, count in counts.items()
        ),
    ]
    arguments = [
        *(f"in_{x.name}" for x in interface.inputs),
        *sizes,
        *(f"out_{y.name}" for y in interface.outputs),
        "workspace",
    ]
    main = _MAIN.format(
        name=name,
        upper=name.upper(),
        sizes=", ".join(sizes),
        arguments=", ".join(arguments),
        before="".join(before),
        after="".join(_print(y, count) for y, count in counts.items()),
    )
    return _HEAD.format(name=name) + "".join(_written(x, array) for x, array in inputs) + main


def _written(x: Array, array: np.ndarray) -> str:
    """An argument as an array in C."""
    if array.size > _MOST_WRITTEN:
        return f"static {x.c_type} in_{x.name}[{array.size}];\n"
    texts = [_number(value) for value in array.reshape(-1)] or ["0"]
    lines = [", ".join(texts[i : i + _PER_LINE]) for i in range(0, len(texts), _PER_LINE)]
    body = ",\n  ".join(lines)
    return f"static const {x.c_type} in_{x.name}[] = {{\n  {body}\n}};\n"


def _number(value: np.generic) -> str:
    """The number as a literal, exactly."""
    if isinstance(value, np.floating):
        if np.isfinite(value):
            return f"{value!s}{'f' if value.dtype.itemsize == 4 else ''}"
        return "NAN" if np.isnan(value) else "INFINITY" if value > 0 else "-INFINITY"
    if isinstance(value, np.unsignedinteger):
        return f"{value}u"
    # The least number of 64 bits is no literal: the minus is an operator.
    number = int(value)
    return f"{number + 1} - 1" if number == -(1 << 63) else str(number)


def _fill(x: Array) -> str:
    """Numbers for an argument that is too large to be written down."""
    value = "i % 2" if x.dtype.kind != "f" else "(double)(i * 7919 % 1009) / 1009 - 0.5"
    count = f"(int64_t)(sizeof in_{x.name} / sizeof *in_{x.name})"
    return f"  for (int64_t i = 0; i < {count}; i++) in_{x.name}[i] = {value};\n"


def _print(y: Array, count: str) -> str:
    element = f"out_{y.name}[i]"
    if y.dtype.kind == "f":
        form = '" %.9g"' if y.dtype.itemsize == 4 else '" %.17g"'
    elif y.dtype.kind == "u":
        form, element = '" %" PRIu64', f"(uint64_t){element}"
    else:
        form, element = '" %" PRId64', f"(int64_t){element}"
    return _PRINT.format(
        text=y.name, count=count, form=form, element=element, place=f"out_{y.name}"
    )
