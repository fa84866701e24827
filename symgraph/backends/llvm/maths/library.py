"""Functions that are left to a library (the C library's, SciPy's), element by element.

They are those that are rare in a loop: gammaln, digamma, arctan2, fmod, powers in float64.
"""

from __future__ import annotations

from ..code.emit import F32, F64, Function, Value, type_text
from .vectors import Vectors

__all__ = ["call_library", "call_scipy"]


def call_library(
    m: Vectors,
    name: str,
    *values: Value,
    instead_of: Value | None = None,
    where: Value | None = None,
) -> Value:
    """The library's function of each element; or only ``where`` a condition holds, if anywhere."""
    if values[0].dtype == F32:
        return m.cast(call_library(m, name, *(m.cast(v, F64) for v in values)), F32)
    lanes, kind = values[0].lanes, values[0].type
    arguments = ", ".join(f"{kind} %a{i}" for i in range(len(values)))
    full = f"each.{name}.x{lanes}{'' if where is None else '.where'}"
    if full not in m.function.parts:
        extra = "" if where is None else f", {kind} %else, {where.type} %where"
        inner = Function(f"{kind} ({arguments}{extra})", linkage="internal ")
        if where is not None:
            _return_unless_any(inner, kind, lanes)
        result = _each_element(inner, name, len(values), lanes)
        if where is not None:
            result = inner.emit(f"select {where.type} %where, {kind} {result}, {kind} %else")
        inner.do(f"ret {kind} {result}")
        m.function.add_part(full, inner)
    operands = ", ".join(f"{kind} {v}" for v in values)
    if where is not None:
        operands += f", {kind} {instead_of}, {where.type} {where}"
    return m.function.value(f"call {kind} @{full}({operands})", F64, lanes)


def _return_unless_any(inner: Function, kind: str, lanes: int) -> None:
    some = "%where"
    if lanes > 1:
        bits = inner.emit(f"bitcast <{lanes} x i1> %where to i{lanes}")
        some = inner.emit(f"icmp ne i{lanes} {bits}, 0")
    inner.branch(some, "some", "none")
    inner.start_block("none")
    inner.do(f"ret {kind} %else")
    inner.start_block("some")


def _each_element(inner: Function, name: str, n_values: int, lanes: int) -> str:
    """A vector made by scalar calls."""
    inner.declare(name, f"double ({', '.join(['double'] * n_values)})")
    if lanes == 1:
        arguments = ", ".join(f"double %a{i}" for i in range(n_values))
        return inner.emit(f"call double @{name}({arguments})")
    kind = type_text(F64, lanes)
    places = [inner.emit(f"alloca {kind}") for _ in range(n_values)]
    for i, place in enumerate(places):
        inner.do(f"store {kind} %a{i}, ptr {place}")
    loop = inner.begin_loop(str(lanes))
    elements = [inner.pointer(place, str(loop.index), F64) for place in places]
    arguments = ", ".join(f"double {inner.load(element, F64)}" for element in elements)
    result = inner.emit(f"call double @{name}({arguments})")
    inner.store(Value(result, F64, 1), elements[0])
    inner.end_loop(loop)
    return inner.emit(f"load {kind}, ptr {places[0]}")


def call_scipy(m: Vectors, name: str, x: Value) -> Value:
    """One of SciPy's functions; its second argument is Cython's and has no meaning."""
    lanes, kind = x.lanes, x.type
    wrapper = f"call.{name}"
    if wrapper not in m.function.parts:
        inner = Function("double (double %x)", linkage="internal ")
        inner.declare(name, "double (double, i32)")
        inner.do(f"%r = call double @{name}(double %x, i32 0)")
        inner.do("ret double %r")
        m.function.add_part(wrapper, inner)
    full = f"each.{name}.x{lanes}"
    if full not in m.function.parts:
        inner = Function(f"{kind} ({kind} %a0)", linkage="internal ")
        inner.parts[wrapper] = m.function.parts[wrapper]
        result = _each_element(inner, wrapper, 1, lanes)
        inner.do(f"ret {kind} {result}")
        m.function.parts[full] = inner.text(full)
    return m.function.value(f"call {kind} @{full}({kind} {x})", F64, lanes)
