"""What of a program may run at once: loops and large products of which none needs another."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from heapq import heapify, heappop, heappush

from ....core.dims import Size, product, size_atoms
from ....core.graph import Graph
from ....core.variable import Variable
from ....ops.linalg import MATMUL
from ....ops.sizes import size_of
from ....scan.op import SCAN, Loop
from ..machine.threads import LEAST_WORK
from .cluster import Group

__all__ = ["is_large", "is_lopsided", "stages", "work_of"]

# An elementwise operation on one element takes as long as so many multiply-adds of a product.
_ELEMENT = 16
# And calling a kernel as long as so many elements.
_CALL = 32
# What a size that only calls know is taken for, where works are compared.
_USUAL_SIZE = 64


def work_of(v: Variable, known: dict[Graph, Size]) -> Size:
    """About how many multiply-adds of a product a node takes; ``known`` is of loop bodies."""
    if v.op is SCAN:
        loop = Loop(v)
        found = known.get(loop.body)
        if found is None:
            found = known[loop.body] = _work_of_body(loop.body, known)
        return size_of(loop.n_steps) * found
    if v.op is MATMUL:
        return product(v.type.shape) * v.inputs[0].type.shape[-1]
    return 0


def _work_of_body(body: Graph, known: dict[Graph, Size]) -> Size:
    total: Size = sum((work_of(v, known) for v in body.nodes), 0)
    shapes = Counter(v.type.shape for v in body.nodes if v.op.formula is not None)
    for shape, count in shapes.items():
        total = total + (product(shape) + _CALL) * (_ELEMENT * count)
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
