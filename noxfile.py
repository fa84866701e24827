"""The suite on the oldest and the newest Python of the machine, with the oldest and newest of all
that symgraph needs: `make versions`, or `nox -s oldest -- -m fast` for the fast part of one."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import nox
from uv import find_uv_bin

nox.options.default_venv_backend = "none"
nox.options.sessions = ["oldest", "newest"]

PROJECT = tomllib.loads(Path("pyproject.toml").read_text("utf-8"))["project"]
DECLARED = [
    found[1]
    for line in PROJECT["classifiers"]
    if (found := re.fullmatch(r"Programming Language :: Python :: (3\.\d+)", line))
]


def version_of(python: str) -> str | None:
    """The version of an interpreter; None for one that does not run, as shims of pyenv may."""
    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    try:
        done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def find_python(version: str) -> str | None:
    """An interpreter of this version: by its name on the path, or among those of pyenv."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    installed = sorted(pyenv.glob(f"versions/{version}.*/bin/python"), reverse=True)
    named = shutil.which(f"python{version}")
    candidates = [named] if named else []
    candidates += [*map(str, installed), shutil.which("python3") or "python3"]
    return next((python for python in candidates if version_of(python) == version), None)


def pythons(session: nox.Session) -> dict[str, str]:
    """The declared versions that the machine has, oldest first; says which it has not."""
    found = {version: find_python(version) for version in DECLARED}
    missing = [version for version, python in found.items() if python is None]
    if missing:
        session.warn(f"Python {', '.join(missing)} not found: not tested")
    present = {version: python for version, python in found.items() if python}
    if not present:
        session.error(f"none of Python {', '.join(DECLARED)} was found")
    return present


def run_suite(session: nox.Session, version: str, python: str, resolution: str) -> None:
    session.log(f"Python {version}, {resolution} versions")
    environment = Path(session.create_tmp()).resolve() / f"python{version}"
    uv, env = find_uv_bin(), {"UV_PYTHON_DOWNLOADS": "never", "OMP_NUM_THREADS": "1"}
    session.run(uv, "venv", "-q", "--clear", "-p", python, str(environment), env=env)
    inside = environment / ("Scripts" if os.name == "nt" else "bin") / "python"
    session.run(
        uv, "pip", "install", "-q", "-p", str(inside), "--resolution", resolution,
        "--editable", ".[cli,plot,sklearn,image,onnx,test]", env=env,
    )  # fmt: skip
    options = session.posargs or ["-n", "2"]
    session.run(str(inside), "-m", "pytest", "-p", "no:cacheprovider", *options, env=env)


@nox.session
def oldest(session: nox.Session) -> None:
    """The oldest Python, with the lowest declared version of every dependency."""
    version, python = next(iter(pythons(session).items()))
    run_suite(session, version, python, "lowest-direct")


@nox.session
def newest(session: nox.Session) -> None:
    """The newest Python, with the newest version of every dependency."""
    version, python = list(pythons(session).items())[-1]
    run_suite(session, version, python, "highest")
