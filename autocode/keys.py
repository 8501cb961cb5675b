"""Secrets that a desk makes for itself, and keys for one purpose each that are made from the one secret key."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import tempfile
from pathlib import Path


def kept_secret(path: Path, *, random_bytes: int = 48) -> str:
    """Return the text kept at ``path``, after making it from ``random_bytes`` random bytes if there is none.

    Safe when several processes start at once: they all return the text of whichever came first.
    """
    try:
        return path.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
    # Written beside and linked into place: link() refuses an existing name and never shows a half-written file.
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # mode 0600
    draft = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(secrets.token_urlsafe(random_bytes) + "\n")
        try:
            os.link(draft, path)
        except FileExistsError:
            pass
    finally:
        draft.unlink(missing_ok=True)
    return path.read_text(encoding="ascii").strip()


def derived_key(secret: str, purpose: str) -> str:
    """Return a key of 256 bits, as hexadecimal digits, for one ``purpose``: what it signs is good for nothing else."""
    return hmac.new(secret.encode(), f"autocode.{purpose}".encode(), hashlib.sha256).hexdigest()
