"""From a graph to a program: each node becomes instructions, of kernels or of the runtime.

It uses what `analysis` knows, and appends to the assembler of `machine`; it calls nothing.
"""
