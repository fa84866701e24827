"""Code that LLVM cannot take is an exception that asks for a report, and never an abort."""

import numpy as np
import pytest
from native_kernels import write

import symgraph as sg
from symgraph.backends.llvm.code.cpu import host
from symgraph.backends.llvm.code.engine import Engine, Kernel

FAULTS = {
    "no IR at all": "rubbish",
    "a type that does not fit": "define i32 @{name}(ptr %p) {{\n  ret ptr %p\n}}",
    "a form of an intrinsic that LLVM has not": (
        "declare <4 x float> @llvm.masked.load.v4f32.p0(ptr, i32)\n"
        "define <4 x float> @{name}(ptr %p) {{\n"
        "  %a = call <4 x float> @llvm.masked.load.v4f32.p0(ptr %p, i32 4)\n"
        "  ret <4 x float> %a\n}}"
    ),
    "a function that nobody has": (
        "declare void @nobody_has_this()\n"
        "define void @{name}() {{\n  call void @nobody_has_this()\n  ret void\n}}"
    ),
    "another name": "define void @something_else() {{\n  ret void\n}}",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_in_the_code_of_a_kernel_is_an_error_of_our_own(fault):
    engine = Engine(host(), None)
    with pytest.raises(sg.errors.InternalError, match="report it with the output of"):
        engine.load([Kernel("k0", FAULTS[fault].format(name="k0"))])
    good, _ = write(lambda m, x: m.multiply(x, 2.0), [np.dtype("float32")])
    assert engine.load([good]).addresses[good.name]


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "int32", "int8", "bool"])
def test_masked_loads_and_stores_are_in_the_form_that_every_llvm_reads(dtype):
    kernel, _ = write(lambda m, x: x, [np.dtype(dtype)])
    masked = [line for line in kernel.text.splitlines() if "@llvm.masked." in line]
    assert len(masked) == 2
    assert all(f", i32 {np.dtype(dtype).itemsize}, <" in line for line in masked)
