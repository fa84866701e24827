"""Ctrl-C that ends a training between two batches, never within one."""

from __future__ import annotations

import signal
import threading
from typing import Any

__all__ = ["Interrupts"]


class Interrupts:
    """A context in which Ctrl-C waits while `held`, and is a KeyboardInterrupt elsewhere.

    Where it is another's already, or in another thread than the main one, it stays as it is.
    """

    def __init__(self) -> None:
        self.held = _Held()
        self._installed = False

    def __enter__(self) -> Interrupts:
        is_main = threading.current_thread() is threading.main_thread()
        if is_main and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, self.held.take)
            self._installed = True
        return self

    def __exit__(self, *error: object) -> None:
        if self._installed:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def ignore(self) -> None:
        """From now on Ctrl-C has no effect, to the end of the context."""
        self.held.is_active = True


class _Held:
    """A context at whose end a Ctrl-C that came so far is a KeyboardInterrupt."""

    is_active = False
    is_pending = False

    def take(self, number: int, frame: Any) -> None:
        """Handle the signal."""
        # It stays pending: Python swallows what is raised while it frees an object.
        self.is_pending = True
        if not self.is_active:
            raise KeyboardInterrupt

    def __enter__(self) -> None:
        self.is_active = True

    def __exit__(self, *error: object) -> None:
        self.is_active = False
        if self.is_pending:
            raise KeyboardInterrupt
