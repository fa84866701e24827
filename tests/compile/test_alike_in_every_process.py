"""What is drawn, listed and lowered is the same in each process, whatever hashes it has."""

from __future__ import annotations

import os
import subprocess
import sys

SCRIPT = """
import gc
import symgraph as sg
from symgraph.backends.base import load_backend
from symgraph.backends.llvm.lowering.image import lower
from symgraph.compile.pipeline import rewrite
from symgraph.compile.program import make_program
from symgraph.core.errors import SymgraphError
from symgraph.core.variable import ancestors
from symgraph.testing import random_programs
from symgraph.testing.program import run_symbolically

for program in [*random_programs(11, 6, loops=True), *random_programs(12, 4)]:
    print(program.source())
    gc.collect()  # what is left of other programs may be older than what is made next
    names = run_symbolically(program, sg)
    outputs = [names[name] for name in program.outputs]
    updates = {names[shared]: names[new] for shared, new in program.updates}
    below = set(ancestors([*outputs, *updates.values()]))
    inputs = [names[x.name] for x in program.inputs if not x.is_shared and names[x.name] in below]
    for name in ("numpy", "native"):
        try:
            graph, passes = rewrite(
                make_program(inputs, outputs, updates).graph, load_backend(name)
            )
        except SymgraphError as error:
            print(error)
            continue
        print(sg.listing(graph), sg.to_dot(graph).source, [row.rules for row in passes])
    image = lower(graph, threads=2).image
    print(image.template, image.axes, image.outputs, image.kernels, image.distinct_kernels)
    for stream in (image.prologue, image.main):
        print(stream.words, [(at, kernel.name) for at, kernel in stream.kernels])
"""


def test_programs_are_drawn_listed_and_lowered_alike() -> None:
    texts = []
    for seed in ("0", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        run = subprocess.run(
            [sys.executable, "-c", SCRIPT],
            env=environment, capture_output=True, text=True, check=True,
        )  # fmt: skip
        texts.append(run.stdout)
    assert texts[0] == texts[1]
    assert texts[0].count("check_backends(") == 10
