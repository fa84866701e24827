"""A program called: loaded, kept on disk, given arguments, and its failures told as errors.

It takes what `lowering` has made, and may use every other room.
"""
