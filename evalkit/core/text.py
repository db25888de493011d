"""Text that is safe to print."""

from __future__ import annotations

import unicodedata


def plain(text: str) -> str:
    """Text that cannot move the cursor, recolour, reorder or break a line: model output is hostile input."""
    return "".join("�" if unicodedata.category(char) in ("Cc", "Cf", "Cs", "Zl", "Zp") else char for char in text)


def safe_cell(text: str) -> str:
    """Text that a spreadsheet will not run as a formula."""
    return "'" + text if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text
