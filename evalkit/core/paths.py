"""Where evalkit's folders are: those that ship with it, inside an installed package or beside it, and its cache."""

from __future__ import annotations

import os
from pathlib import Path


def shipped(folder: str) -> Path:
    """The shipped folder ``conf`` or ``benchmarks``."""
    package = Path(__file__).resolve().parents[1]
    inside = package / folder
    return inside if inside.is_dir() else package.parent / folder


def inside(folder: str) -> Path:
    """A folder of data files within the package itself."""
    return Path(__file__).resolve().parents[1] / folder


def cache_dir() -> Path:
    """The folder evalkit keeps files in: EVALKIT_CACHE_DIR, or the user's cache folder."""
    if named := os.environ.get("EVALKIT_CACHE_DIR"):
        return Path(named).expanduser().absolute()
    import platformdirs

    return Path(platformdirs.user_cache_dir("evalkit")).expanduser().absolute()
