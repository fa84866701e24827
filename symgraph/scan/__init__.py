"""Loops. Importing the package gives the op ``scan`` its rules."""

from . import build, steps, vjp

__all__ = ["build", "steps", "vjp"]
