"""From text to addresses: IR as text, the engine that compiles it, its cache, the CPU, libraries.

It knows kernels by name and text alone, and uses none of the other rooms.
"""
