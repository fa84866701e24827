"""Object files under tools that watch memory: nothing beside arrays, nothing unwritten, no leak."""

from __future__ import annotations

import platform
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

import symgraph as sg
import symgraph_nn as nn

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")

# A function called on odd sizes, its arrays on the heap to the element; some calls fail.
MAIN = """
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "model.h"

static void *copy(const void *from, size_t size) {
  return memcpy(malloc(size ? size : 1), from, size);
}

int main(void) {
  float numbers[4096];
  for (int i = 0; i < 4096; i++) numbers[i] = (float)(i * 7919 % 1009) / 1009 - 0.5f;
  for (int64_t T = 1; T < 12; T += 5) {
    for (int64_t B = 1; B < 20; B = B * 2 + 1) {
      for (int kind = 0; kind < 3; kind++) {
        int64_t label[20];
        for (int i = 0; i < B; i++) label[i] = kind == 2 ? 9 : i % 3;
        float *x = copy(numbers, (size_t)(T * B * 5) * sizeof *x);
        int64_t *digit = copy(label, (size_t)B * sizeof *digit);
        PARAMETERS
        float *loss = malloc(sizeof *loss);
        void *workspace = kind == 0 ? NULL : malloc(model_workspace(T, B));
        int32_t status = model(x, digit, ARGUMENTS T, B, loss, RESULTS workspace);
        if ((status != 0) != (kind == 2)) return 1;
        if (status == 0) printf("%.9g ", *loss);
        free(x); free(digit); free(loss); free(workspace);
        FREE
      }
    }
  }
  return 0;
}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training step, its parameters updated in their place, and a program that calls it."""
    x, label = sg.tensor("x", ("T", "B", 5)), sg.tensor("label", ("B",), "int64")
    net = nn.Sequential(nn.LSTM(5, 9, rng=0), nn.Dense(9, 3, rng=1))
    loss = nn.cross_entropy(net(x)[-1], label)
    updates = nn.nesterov(loss, net.params, 0.1)
    # A loop that allocates as it goes.
    steps = sg.scan(lambda v: (v * 2, sg.until(v > 99)), outputs_info=sg.exp(loss), n_steps=99)
    f = sg.compile([x, label], loss + 0 * steps.sum(), updates=updates)
    folder = tmp_path_factory.mktemp("memory")
    is_x86 = platform.machine() in ("x86_64", "AMD64")
    # Valgrind knows no AVX-512.
    sg.export_native(f, folder, cpu="x86-64-v3" if is_x86 else None)
    states = [v for v in f.program.shared if v in f.program.updates]
    assert list(f.program.updates) == states or len(states) == len(f.program.updates)
    order = {v: i for i, v in enumerate(states)}
    made = [f"float *p{i} = copy(numbers, {v.get_value().nbytes});" for i, v in enumerate(states)]
    text = MAIN.replace("PARAMETERS", " ".join(made))
    text = text.replace("ARGUMENTS", "".join(f"p{i}, " for i in range(len(states))))
    text = text.replace("RESULTS", "".join(f"p{order[v]}, " for v in f.program.updates))
    text = text.replace("FREE", " ".join(f"free(p{i});" for i in range(len(states))))
    (folder / "main.c").write_text(text)
    return folder


def test_valgrind_has_no_complaint(folder: Path) -> None:
    if shutil.which("valgrind") is None:
        pytest.skip("no valgrind")
    subprocess.run(["cc", "-g", "main.c", "model.o", "-o", "plain", "-lm"], cwd=folder, check=True)
    command = ["valgrind", "-q", "--leak-check=full", "--error-exitcode=9", folder / "plain"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert np.isfinite([float(v) for v in done.stdout.split()]).all()


def test_sanitizers_have_no_complaint(folder: Path) -> None:
    command = ["cc", "-g", "-fsanitize=address,undefined", "main.c", "model.o", "-o", "watched"]
    built = subprocess.run([*command, "-lm"], cwd=folder, capture_output=True, check=False)
    if built.returncode:
        pytest.skip("no sanitizers")
    done = subprocess.run([folder / "watched"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
