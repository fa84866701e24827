"""What the host's CPU can do: its name, its features, and how many elements a vector holds."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import llvmlite.binding as llvm
import numpy as np

__all__ = ["Cpu", "host"]


@dataclass(frozen=True)
class Cpu:
    """A CPU as LLVM knows it."""

    name: str
    features: str
    """LLVM's feature string, sorted: ``+avx2,-avx512f,…``."""
    vector_bytes: int
    """The width of the widest register that is worth using."""
    has_fma: bool
    """Whether a fused multiply-add is one instruction."""

    def lanes(self, dtype: np.dtype) -> int:
        """How many elements of the dtype one vector holds."""
        return max(1, self.vector_bytes // dtype.itemsize)

    @property
    def registers(self) -> int:
        """How many vector registers there are."""
        return 32 if self.vector_bytes == 64 or "+neon" in self.features else 16

    @property
    def has_ldexp(self) -> bool:
        """Whether ``ldexp`` of a vector is one instruction (AVX-512)."""
        return self.vector_bytes == 64


@lru_cache(maxsize=1)
def host() -> Cpu:
    """The CPU that this process runs on."""
    features = llvm.get_host_cpu_features()
    enabled = {name for name, on in features.items() if on}
    if {"avx512f", "avx512dq", "avx512bw", "avx512vl"} <= enabled:
        width = 64
    elif "avx2" in enabled:
        width = 32
    else:
        width = 16
    return Cpu(
        name=llvm.get_host_cpu_name(),
        features=features.flatten(),
        vector_bytes=width,
        has_fma="fma" in enabled or "neon" in enabled,
    )
