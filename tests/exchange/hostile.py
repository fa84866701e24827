"""Reads models in processes of their own, and says what became of each: a module for tests.

``outcomes(sources)`` starts this file as a program, which forks a process for each source. In that
`sg.import_onnx` may take so many calls and so much memory, which is the peak of the process; half
a minute ends it.
"""

from __future__ import annotations

import cProfile
import json
import os
import pickle
import resource
import signal
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

CALLS, MEGABYTES = 15_000_000, 500


@dataclass(frozen=True)
class Outcome:
    """What became of one source."""

    kind: str
    """``"read"``, ``"refused"`` by an `ExchangeError`, another error's name, or ``"died"``."""
    text: str
    n_calls: int
    """How many calls reading it took, of functions in C among them."""
    megabytes: float

    @property
    def is_good(self) -> bool:
        """Whether it was read or refused within the bounds."""
        return self.kind in ("read", "refused") and self.is_cheap

    @property
    def is_cheap(self) -> bool:
        """Whether it took no more than it may."""
        return self.n_calls < CALLS and self.megabytes < MEGABYTES


def outcomes(sources: Iterable[bytes | Path]) -> list[Outcome]:
    """What becomes of each model, given as bytes or as a file."""
    program = [sys.executable, __file__]
    result = subprocess.run(program, input=pickle.dumps(list(sources)), capture_output=True)
    assert result.returncode == 0, result.stderr.decode()
    return [Outcome(**json.loads(line)) for line in result.stdout.splitlines()]


def main() -> None:
    """Print the outcome of each of the sources that are given as a pickle."""
    import onnx

    import symgraph as sg

    assert onnx.ModelProto  # once, before there are children
    for source in pickle.load(sys.stdin.buffer):
        print(_in_child(sg, source), flush=True)


def _in_child(sg: Any, source: bytes | Path) -> str:
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        signal.alarm(30)
        resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
        with os.fdopen(writing, "w") as pipe:
            json.dump(asdict(_read(sg, source)), pipe)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        text = pipe.read()
    _, status = os.waitpid(child, 0)
    return text or json.dumps(asdict(Outcome("died", f"status {status}", 0, 0.0)))


def _read(sg: Any, source: bytes | Path) -> Outcome:
    profile = cProfile.Profile()
    profile.enable()
    try:
        text = repr(sg.import_onnx(source))
        kind = "read"
    except sg.ExchangeError as error:
        kind, text = "refused", str(error)
    except BaseException as error:
        kind, text = type(error).__name__, str(error)
    profile.disable()
    n_calls = sum(entry.callcount for entry in profile.getstats())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return Outcome(kind, text[:2000], n_calls, peak)


if __name__ == "__main__":
    main()
