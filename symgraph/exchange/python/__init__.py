"""Readable Python: programs as source that NumPy, or PyTorch, runs alone."""
