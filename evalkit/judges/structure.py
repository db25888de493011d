"""JSON schemas of replies: what our own protocols have in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

LONGEST_REASON = 600
"""Characters of a reason that a schema leaves room for; a small model held to JSON would write on for ever."""

REASON: Mapping[str, Any] = {"type": "string", "maxLength": LONGEST_REASON}


def closed(properties: Mapping[str, Any]) -> dict[str, Any]:
    """A schema of an object that has all of these properties and no other."""
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(properties),
        "additionalProperties": False,
    }
