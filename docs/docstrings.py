"""How docstrings become pages: for mkdocstrings, which reads the source and does not run it.

Examples become blocks of code, second names of functions say which is the first, and the methods
that are attached to `Variable` at run time get their docstrings, which their signatures lack.
"""

from __future__ import annotations

import inspect
import re
from typing import Any

import griffe

from symgraph import Variable

# An example: lines from ``>>>`` on, up to an empty one.
_EXAMPLE = re.compile(r"^>>> .*(?:\n.+)*", re.MULTILINE)
# A word, or several, with an indented text that says what it is.
_DEFINITION = re.compile(r"^([\w*`][\w*`, ]*)\n {4}(?=\S)", re.MULTILINE)
_METHODS = "symgraph.core.signatures.Signatures"


def as_markdown(docstring: str) -> str:
    """The docstring with its examples and formulas as blocks of code, arguments as definitions."""
    text = _DEFINITION.sub(r"\n\1\n:   ", docstring)
    text = re.sub("::$", ":", text, flags=re.MULTILINE)
    return _EXAMPLE.sub(r"```python\n\g<0>\n```", text)


class Docstrings(griffe.Extension):
    """Docstrings as Markdown."""

    def on_instance(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """Write an object's docstring as Markdown."""
        if obj.docstring is not None:
            obj.docstring.value = as_markdown(obj.docstring.value)

    def on_attribute_instance(self, *, attr: griffe.Attribute, **kwargs: Any) -> None:
        """Say of a second name of a function which is the first."""
        first, scope = str(attr.value), attr.parent
        if scope is not None and isinstance(scope.members.get(first), griffe.Function):
            attr.docstring = griffe.Docstring(f"The same as `{first}`.", parent=attr)

    def on_class_members(self, *, cls: griffe.Class, **kwargs: Any) -> None:
        """Give the methods of a variable the docstrings that they have at run time."""
        if cls.path != _METHODS:
            return
        for name, member in cls.members.items():
            attached = getattr(Variable, name, None)
            if name.startswith("_") or attached is None or member.is_alias:
                continue
            member.docstring = griffe.Docstring(inspect.getdoc(attached) or "", parent=member)
            self.on_instance(obj=member)
            what = "returns" if isinstance(member, griffe.Function) else "annotation"
            setattr(member, what, re.sub(r"\bV\b", "Variable", str(getattr(member, what))))
