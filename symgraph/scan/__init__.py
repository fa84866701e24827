"""Loops. Importing the package gives the op ``scan`` its rules."""

from . import build, vjp

__all__ = ["build", "vjp"]
