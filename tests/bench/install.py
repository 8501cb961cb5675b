"""Installs the peers once, into ``.cache/`` beside this file: a venv and a ``node_modules`` of their own.

Nothing of theirs gets into AutoCode's environment. Deleting ``.cache/`` undoes it all.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import venv
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
CACHE = HERE / ".cache"
REQUIREMENTS = HERE / "requirements.txt"
NODE_SOURCES = HERE / "peers" / "node"
PYTHON = CACHE / "venv" / "bin" / "python"
NODE_MODULES = CACHE / "node" / "node_modules"

TIMEOUT_S = 600
"""A registry that hangs must not hang the benchmark."""


class InstallError(Exception):
    """A peer cannot be installed here; the benchmark goes on without it."""


def python_peers() -> None:
    """Make the venv hold exactly ``requirements.txt``. Raises ``InstallError``."""
    stamp = CACHE / "venv" / ".installed"
    wanted = _digest(REQUIREMENTS)
    if _read(stamp) == wanted and PYTHON.exists():
        return
    shutil.rmtree(CACHE / "venv", ignore_errors=True)
    venv.create(CACHE / "venv", with_pip=True, symlinks=True)
    uv = Path(sys.executable).with_name("uv")  # five times faster, where the project's venv has it
    pip = [str(uv), "pip", "install", "-q", "--python", str(PYTHON)] if uv.exists() else _pip()
    _run([*pip, "--require-hashes", "-r", str(REQUIREMENTS)])
    stamp.write_text(wanted)


def node_peers() -> None:
    """Make ``node_modules`` hold what ``package.json`` names. Raises ``InstallError``."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        raise InstallError("node and npm are not installed")
    package = NODE_SOURCES / "package.json"
    stamp = CACHE / "node" / ".installed"
    wanted = _digest(package)
    if _read(stamp) == wanted and NODE_MODULES.is_dir():
        return
    target = CACHE / "node"
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    shutil.copy(package, target)
    _run([npm, "install", "--no-package-lock", "--no-audit", "--no-fund", "--ignore-scripts", "--silent"], target)
    stamp.write_text(wanted)


def _pip() -> list[str]:
    return [str(PYTHON), "-m", "pip", "install", "-q", "--disable-pip-version-check"]


def _run(command: list[str], directory: Path | None = None) -> None:
    try:
        subprocess.run(command, cwd=directory, check=True, timeout=TIMEOUT_S, capture_output=True, text=True)
    except subprocess.CalledProcessError as error:
        raise InstallError(f"{Path(command[0]).name} failed:\n{error.stderr[-2000:]}") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise InstallError(str(error)) from error


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes() + sys.version.encode()).hexdigest()


def _read(path: Path) -> str:
    return path.read_text() if path.exists() else ""
