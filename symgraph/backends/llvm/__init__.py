"""The native backend: graphs become machine code through LLVM.

Its rooms, each of which may use those after it: calls, lowering, {kernels, analysis},
{machine, maths}, code. `backend.py` is the door; `make lint` holds the order.
"""
