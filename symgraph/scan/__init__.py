"""Loops. Importing the package gives the op ``scan`` its rules."""

from . import build, expansions, steps, vjp

__all__ = ["build", "expansions", "steps", "vjp"]
