"""Where the folders that ship with evalkit are: inside an installed package, beside it in a checkout."""

from __future__ import annotations

from pathlib import Path


def shipped(folder: str) -> Path:
    """The shipped folder ``conf`` or ``benchmarks``."""
    package = Path(__file__).resolve().parents[1]
    inside = package / folder
    return inside if inside.is_dir() else package.parent / folder
