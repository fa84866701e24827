"""Random programs run until something is wrong: ``python -m symgraph.testing.fuzz``.

The programs run in processes of their own, so that one that ends the process is a failure with a
number like any other. Each kind of failure is reported once, with a program as short as it gets.
"""

from __future__ import annotations

import argparse
import faulthandler
import importlib
import json
import os
import secrets
import selectors
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .outcome import outcome_of
from .program import Program
from .shrink import shrink

__all__ = ["main", "number"]

# What draws the programs of each kind; the nets stand above this package.
DRAWERS = {
    "programs": "symgraph.testing.draw.programs:draw_plain",
    "loops": "symgraph.testing.draw.programs:draw_looping",
    "nets": "symgraph_nn.testing:draw_net",
}
SHARES = {"programs": 0.6, "loops": 0.35, "nets": 0.05}
# A program that takes longer than this hangs.
_PATIENCE = 60.0
# Seconds between lines of progress.
_QUIET = 15.0
# A process starts afresh after so many programs, for the memory that compiled code takes.
_PROGRAMS_OF_A_PROCESS = 3000


def number(seed: int, i: int, shares: dict[str, float]) -> Program:
    """The program of this number in the run of this seed."""
    weights = np.array(list(shares.values()))
    kind = np.random.default_rng([seed, i]).choice(list(shares), p=weights / weights.sum())
    module, name = DRAWERS.get(str(kind), str(kind)).split(":")
    return getattr(importlib.import_module(module), name)([seed, i, 1])


# --- the process that runs programs -------------------------------------------------------------


def _work(options: argparse.Namespace) -> None:
    """Run every ``jobs``-th program; say on standard output which, and what came of it."""
    known: Counter[str] = Counter()
    last = options.first + options.jobs * _PROGRAMS_OF_A_PROCESS
    for i in range(options.first, min(last, options.count), options.jobs):
        _say(begin=i)
        program = number(options.seed, i, options.shares)
        outcome = outcome_of(program, backend=options.backend)
        failure = outcome.failure
        if failure is None:
            _say(end=i, kind="refused" if outcome.refusal else "ok", text=outcome.refusal)
            continue
        _say(end=i, kind=failure.kind, text=failure.text)
        known[failure.kind] += 1
        if known[failure.kind] <= options.examples:
            _say(begin=i, shrinking=True)
            short = shrink(program, _alike(failure.kind, options.backend))
            text = outcome_of(short, backend=options.backend).failure
            _say(short=i, kind=failure.kind, source=short.source(), text=text and text.text)


def _say(**what: Any) -> None:
    print(json.dumps(what), flush=True)


def _alike(kind: str, backend: str) -> Callable[[Program], bool]:
    """Whether a program fails in this way."""

    def fails_alike(program: Program) -> bool:
        try:
            failure = outcome_of(program, backend=backend).failure
        except Exception:  # a part of a program that NumPy cannot run
            return False
        return failure is not None and failure.kind == kind

    return fails_alike


# --- the process that looks on ------------------------------------------------------------------


@dataclass
class _Worker:
    """A process, and the program that it is at."""

    process: subprocess.Popen
    at: int
    since: float
    is_shrinking: bool = False
    rest: bytes = b""


@dataclass
class _Run:
    """A run: what was found so far."""

    options: argparse.Namespace
    counts: Counter = field(default_factory=Counter)
    refusals: Counter = field(default_factory=Counter)
    reported: Counter[str] = field(default_factory=Counter)
    start: float = field(default_factory=time.perf_counter)

    def launch(self, first: int) -> _Worker:
        """A process that runs the programs from this number on."""
        o = self.options
        command = [sys.executable, "-W", "ignore", "-m", "symgraph.testing.fuzz", "--worker"]
        command += ["--seed", str(o.seed), "--first", str(first), "--jobs", str(o.jobs)]
        command += ["--count", str(o.count), "--examples", str(o.examples), "--backend", o.backend]
        command += ["--shares", json.dumps(o.shares)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE)
        return _Worker(process, first, time.perf_counter())

    def go(self) -> None:
        """Look on until the time is over or the count reached."""
        workers = [self.launch(self.options.first + k) for k in range(self.options.jobs)]
        told = time.perf_counter()
        end = self.start + self.options.seconds
        try:
            while workers and (time.perf_counter() < end or any(w.is_shrinking for w in workers)):
                with selectors.DefaultSelector() as ready:
                    for w in workers:
                        assert w.process.stdout is not None
                        ready.register(w.process.stdout, selectors.EVENT_READ, w)
                    for key, _ in ready.select(timeout=1.0):
                        self.read(key.data)
                workers = [self.minded(w) for w in workers]
                workers = [w for w in workers if w.at >= 0]
                if time.perf_counter() - told > _QUIET:
                    told = time.perf_counter()
                    print(f"  {self.total} programs, {self.failures} failures", flush=True)
        finally:
            for w in workers:
                w.process.kill()
                w.process.wait()

    def read(self, worker: _Worker) -> None:
        """Take in what a process says."""
        assert worker.process.stdout is not None
        data = os.read(worker.process.stdout.fileno(), 1 << 16)
        *lines, worker.rest = (worker.rest + data).split(b"\n")
        for line in lines:
            self.take(worker, json.loads(line))

    def take(self, worker: _Worker, said: dict[str, Any]) -> None:
        worker.since = time.perf_counter()
        if "begin" in said:
            worker.at, worker.is_shrinking = said["begin"], "shrinking" in said
        elif "end" in said:
            self.counts[said["kind"]] += 1
            if said["kind"] == "refused":
                self.refusals[said["text"].split("(")[0][:100]] += 1
        else:
            worker.is_shrinking = False
            self.report(said["kind"], said["short"], said["source"], said["text"] or "")

    def minded(self, worker: _Worker) -> _Worker:
        """The worker, or another in its place where it has ended or hangs."""
        code = worker.process.poll()
        late = time.perf_counter() - worker.since > _PATIENCE
        if code is None and not late:
            return worker
        if code is None:
            worker.process.kill()
            worker.process.wait()
        self.drain(worker)
        if code == 0:
            following = worker.at + self.options.jobs
            if following >= self.options.count:
                worker.at = -1
                return worker
            return self.launch(following)
        kind = "hang" if code is None else f"crash: {_named(code)}"
        self.counts[kind] += 1
        if self.reported[kind] < self.options.examples:
            program = number(self.options.seed, worker.at, self.options.shares)
            short = program if code is None else shrink(program, _crashes_alike(code, self.options))
            self.report(kind, worker.at, short.source(), "")
        return self.launch(worker.at + self.options.jobs)

    def drain(self, worker: _Worker) -> None:
        """Take in what is left of what a process said."""
        assert worker.process.stdout is not None
        for line in (worker.rest + worker.process.stdout.read()).split(b"\n"):
            if line.endswith(b"}"):
                self.take(worker, json.loads(line))

    @property
    def total(self) -> int:
        return sum(self.counts.values())

    @property
    def failures(self) -> int:
        return self.total - self.counts["ok"] - self.counts["refused"]

    def report(self, kind: str, i: int, source: str, text: str) -> None:
        """Print a failure of a kind that was not printed yet."""
        self.reported[kind] += 1
        if self.reported[kind] > self.options.examples:
            return
        print(f"\n=== {kind}\n=== seed {self.options.seed}, number {i}\n\n{source}", flush=True)
        print("\n".join(f"# {line}" for line in text.strip().split("\n")) + "\n", flush=True)

    def summary(self) -> str:
        """The counts, in words."""
        seconds = time.perf_counter() - self.start
        lines = [
            f"{self.total} programs in {seconds:.0f} s ({self.total / seconds:.1f} a second), "
            f"seed {self.options.seed}: {self.counts['ok']} right, {self.counts['refused']} "
            f"refused alike, {self.failures} failures"
        ]
        lines += [f"  {n:5d} {kind}" for kind, n in self.counts.most_common() if kind not in _GOOD]
        if self.options.verbose:
            lines += [f"  {n:5d} refused {text}" for text, n in self.refusals.most_common(20)]
        return "\n".join(lines)


_GOOD = ("ok", "refused")


def _named(code: int) -> str:
    return signal.Signals(-code).name if code < 0 else f"exit {code}"


def _crashes_alike(code: int, options: argparse.Namespace) -> Callable[[Program], bool]:
    """Whether a program ends a process in this way."""

    def crashes(program: Program) -> bool:
        child = os.fork()
        if child == 0:
            faulthandler.disable()
            with open(os.devnull, "w") as nowhere:
                os.dup2(nowhere.fileno(), 1)
                os.dup2(nowhere.fileno(), 2)
            outcome_of(program, backend=options.backend)
            os._exit(0)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == code

    return crashes


# --- the command --------------------------------------------------------------------------------


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m symgraph.testing.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long to run")
    parser.add_argument("--seed", type=int, help="a run to repeat; default: a fresh one")
    parser.add_argument("--count", type=int, default=10**9, help="how many programs at most")
    parser.add_argument("--first", type=int, default=0, help="the number of the first program")
    parser.add_argument("--number", type=int, help="print this program and what comes of it")
    for kind, share in SHARES.items():
        parser.add_argument(f"--{kind}", type=float, default=share, help=f"the part of {kind}")
        parser.add_argument(f"--{kind}-only", action="store_true", help=f"no others than {kind}")
    parser.add_argument("--draw", help="module:function that draws a program from a seed")
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--examples", type=int, default=1, help="how many of a kind to report")
    parser.add_argument("--backend", default="native")
    parser.add_argument("--verbose", action="store_true", help="count refusals, too")
    parser.add_argument("--shares", type=json.loads, help=argparse.SUPPRESS)
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    shares = {kind: getattr(options, kind) for kind in SHARES}
    for kind in SHARES:
        if getattr(options, f"{kind}_only"):
            shares = {kind: 1.0}
    options.shares = options.shares or ({options.draw: 1.0} if options.draw else shares)
    if options.seed is None:
        options.seed = secrets.randbelow(2**32)
    return options


def main(arguments: list[str] | None = None) -> int:
    """0 where every program was right, else 1."""
    options = _options(arguments)
    if options.worker:
        _work(options)
        return 0
    if options.number is not None:
        program = number(options.seed, options.number, options.shares)
        print(program.source(), flush=True)
        print(outcome_of(program, backend=options.backend))
        return 0
    print(f"seed {options.seed}", flush=True)
    run = _Run(options)
    run.go()
    print(run.summary())
    return 1 if run.failures else 0


if __name__ == "__main__":
    sys.exit(main())
