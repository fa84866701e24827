"""Loops. Importing the package gives the op ``scan`` its rules."""

from . import build, expansions, vjp, zero_paths

__all__ = ["build", "expansions", "vjp", "zero_paths"]
