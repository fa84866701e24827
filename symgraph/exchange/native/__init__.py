"""Programs without Python: a compiled function as an object file, its header, a program in C.

`export.py` is the door. `targets.py` knows machines, `interface.py` the C function, `entry.py` its
code, `module.py` what it is put together from.
"""
