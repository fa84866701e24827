"""Two directions over one sequence."""

from __future__ import annotations

from typing import Any, Generic, Literal, TypeVar, overload

import symgraph as sg
from symgraph.errors import SymgraphTypeError, check_flags
from symgraph.typing import ArrayLike

from .module import Module
from .recurrent import Recurrent, altered
from .typing import Cell, StateLike, StateT

__all__ = ["Bidirectional"]

BackwardT = TypeVar("BackwardT")


class Bidirectional(Module, Generic[StateT, BackwardT]):
    """Two layers over one sequence, the second one in reverse; their features side by side.

    forward, backward
        Each a `Recurrent` (``nn.LSTM(…)``) or a bare cell, of as many features in; ``backward`` may
        be reversed already or not.
    truncate_gradient, checkpoint_every, memory
        As in `Recurrent`, for both layers; by default as each has it.

    Called as `Recurrent` is: ``x`` is [time, batch, features], ``y`` [time, batch, forward units +
    backward units], a mask [time, batch]. The state is a pair, of the forward and of the backward
    layer, another one a `SymgraphTypeError`.

    >>> layer = nn.Bidirectional(nn.LSTM(3, 5, rng=0), nn.GRU(3, 4, rng=1))
    >>> y, ((h, c), back) = layer(sg.zeros((7, 2, 3)), return_state=True)
    >>> y.shape, c.shape, back.shape
    ((7, 2, 9), (2, 5), (2, 4))
    """

    forward: Recurrent[StateT]
    backward: Recurrent[BackwardT]

    def __init__(
        self,
        forward: Recurrent[StateT] | Cell[StateT],
        backward: Recurrent[BackwardT] | Cell[BackwardT],
        *,
        truncate_gradient: int | None = None,
        checkpoint_every: int | Literal["auto"] | None = None,
        memory: int | str | None = None,
    ) -> None:
        given: dict[str, Any] = {}
        if truncate_gradient is not None:
            given["truncate_gradient"] = truncate_gradient
        if checkpoint_every is not None or memory is not None:
            given |= {"checkpoint_every": checkpoint_every, "memory": memory}
        ahead = forward if isinstance(forward, Recurrent) else Recurrent(forward)
        back = backward if isinstance(backward, Recurrent) else Recurrent(backward, reverse=True)
        self.forward = altered(ahead, **given) if given else ahead
        turned: dict[str, Any] = {} if back.reverse else {"reverse": True}
        self.backward = altered(back, **given, **turned) if given or turned else back

    @overload
    def __call__(
        self,
        x: ArrayLike,
        *,
        mask: ArrayLike | None = None,
        state: tuple[StateLike | None, StateLike | None] | None = None,
        return_state: Literal[False] = False,
        training: bool = False,
        constants: Any = None,
    ) -> sg.Variable: ...
    @overload
    def __call__(
        self,
        x: ArrayLike,
        *,
        mask: ArrayLike | None = None,
        state: tuple[StateLike | None, StateLike | None] | None = None,
        return_state: Literal[True],
        training: bool = False,
        constants: Any = None,
    ) -> tuple[sg.Variable, tuple[StateT, BackwardT]]: ...
    def __call__(
        self,
        x: ArrayLike,
        *,
        mask: ArrayLike | None = None,
        state: tuple[StateLike | None, StateLike | None] | None = None,
        return_state: bool = False,
        training: bool = False,
        constants: Any = None,
    ) -> sg.Variable | tuple[sg.Variable, tuple[StateT, BackwardT]]:
        """The outputs [time, batch, forward units + backward units], with the state if wanted."""
        check_flags(self, return_state=return_state)
        if state is None:
            state = (None, None)
        elif not isinstance(state, (tuple, list)) or len(state) != 2:
            raise SymgraphTypeError.here(
                f"{self}: the state is a pair (forward, backward), not {state!r}"
            )
        options: dict[str, Any] = {"mask": mask, "training": training, "constants": constants}
        ahead, ahead_state = self.forward(x, state=state[0], return_state=True, **options)
        back, back_state = self.backward(x, state=state[1], return_state=True, **options)
        y = sg.concatenate([ahead, back], axis=-1)
        return (y, (ahead_state, back_state)) if return_state else y

    def __repr__(self) -> str:
        return f"Bidirectional({self.forward!r}, {self.backward!r})"
