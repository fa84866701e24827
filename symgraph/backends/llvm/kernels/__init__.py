"""What does the work: loop nests, matrix products, and reading and writing by index.

They are written with `maths`, and are called as `machine` calls kernels; they know sizes and
strides, but no graph.
"""
