"""Loops. Importing the package gives the op ``scan`` its rules."""

from . import build, checkpoint, expansions, zero_paths

__all__ = ["build", "checkpoint", "expansions", "zero_paths"]
