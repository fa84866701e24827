"""Values beside a program: a file that NumPy reads."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

__all__ = ["write_npz"]

# What stands in the file for the time at which a value was written: the same file each time.
_TIME = (1980, 1, 1, 0, 0, 0)


def write_npz(path: Path, values: Mapping[str, np.ndarray]) -> None:
    """Write values under their names, as ``np.savez`` does, but for names that that cannot take."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as file:
        for name, value in values.items():
            data = io.BytesIO()
            np.lib.format.write_array(data, np.asarray(value, order="C"), allow_pickle=False)
            file.writestr(zipfile.ZipInfo(f"{name}.npy", _TIME), data.getvalue())
