"""What of a program may run at once: loops and large products of which none needs another."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from heapq import heapify, heappop, heappush

from ....core.dims import Size, product, size_atoms
from ....core.graph import Graph
from ....core.op import Op
from ....core.variable import Variable
from ..machine.threads import LEAST_WORK
from .cluster import Group
from .values import NO_FACTS, Facts

__all__ = ["Works", "is_large", "is_lopsided", "stages"]

# An elementwise operation on one element takes as long as so many multiply-adds of a product.
_ELEMENT = 16
# And calling a kernel as long as so many elements; where a loop is in its kernel, as long as these
# wait for the step before.
_CALL, _WAIT = 32, 4
# What a size that only calls know is taken for, where works are compared.
_USUAL_SIZE = 64


class Works:
    """About how many multiply-adds of a product nodes take, and steps of loops."""

    def __init__(self, facts: Mapping[Op, Facts]) -> None:
        self._facts = facts
        self._of_bodies: dict[Graph, Size] = {}
        """By the body: interned, with the types of all its values."""

    def of(self, nodes: Iterable[Variable]) -> Size:
        """The work of these nodes."""
        total: Size = 0
        for v in nodes:
            work = self._facts.get(v.op, NO_FACTS).work
            if work is not None:
                total = total + work(v, self.of_body)
        return total

    def of_body(self, body: Graph) -> Size:
        """The work of a step that computes this graph."""
        known = self._of_bodies.get(body)
        if known is not None:
            return known
        total = self.of(body.nodes)
        shapes = Counter(v.type.shape for v in body.nodes if v.op.formula is not None)
        is_elementwise = shapes.total() == sum(bool(v.inputs) for v in body.nodes)
        for shape, count in shapes.items():
            each = product(shape) + (_WAIT if is_elementwise else _CALL)
            total = total + each * (_ELEMENT * count)
        self._of_bodies[body] = total
        return total


def is_large(work: Size) -> bool:
    """Whether the work may be worth a thread; what only sizes can tell, each call looks at."""
    return not isinstance(work, int) or work >= LEAST_WORK


def is_lopsided(works: Sequence[Size], threads: int) -> bool:
    """Whether one part is so large that the threads wait for it, as far as names of sizes tell."""
    numbers = [
        work
        if isinstance(work, int)
        else work.evaluate(dict.fromkeys(size_atoms(work), _USUAL_SIZE)) or 0
        for work in works
    ]
    return max(numbers) * threads > 1.25 * sum(numbers)


def stages(
    groups: Sequence[Group],
    root_of: Mapping[Variable, Variable],
    may_share: Callable[[Group], bool],
) -> Iterator[list[Group]]:
    """The groups in an order in which they can be computed: one at a time, or several of which
    none needs another, after everything else that needs none of them."""
    number = {v: i for i, group in enumerate(groups) for v in group.nodes}
    users: list[list[int]] = [[] for _ in groups]
    missing = [0] * len(groups)
    for i, group in enumerate(groups):
        sources = {number.get(root_of[x], i) for v in group.nodes for x in v.inputs}
        for source in sources - {i}:
            users[source].append(i)
            missing[i] += 1
    ready = [i for i, count in enumerate(missing) if not count]
    heapify(ready)
    waiting: list[int] = []
    while ready or waiting:
        done = [heappop(ready)] if ready else waiting
        if done is waiting:
            waiting = []
        elif may_share(groups[done[0]]):
            waiting += done
            continue
        yield [groups[i] for i in done]
        for i in done:
            for user in users[i]:
                missing[user] -= 1
                if not missing[user]:
                    heappush(ready, user)
