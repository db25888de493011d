"""Text that is safe to print."""

from __future__ import annotations

import unicodedata


def plain(text: str) -> str:
    """Text that cannot move the cursor, recolour, reorder or break a line: model output is hostile input."""
    return "".join("�" if unicodedata.category(char) in ("Cc", "Cf", "Cs", "Zl", "Zp") else char for char in text)


def limit_digits(lower: float, upper: float, neutral: float, digits: int) -> tuple[int, int]:
    """Decimals of an interval's limits: further ones, up to three, where a limit would round to what it leaves out.

    Args:
        lower: limit.
        upper: limit.
        neutral: the value that words beside the interval are about, as 0 of a difference.
        digits: decimals otherwise.
    """
    if lower <= neutral <= upper:
        return digits, digits

    def enough(limit: float) -> int:
        further = (more for more in range(digits, digits + 4) if round(limit, more) != round(neutral, more))
        return next(further, digits)

    return enough(lower), enough(upper)


def safe_cell(text: str) -> str:
    """Text that a spreadsheet will not run as a formula."""
    return "'" + text if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text
