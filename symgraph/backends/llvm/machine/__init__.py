"""What a program runs on: the frame of a call, instructions of the runtime, and their assembler.

It runs kernels of `code` without knowing what they compute, and knows sizes but no graph.
"""
