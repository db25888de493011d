"""Who models and judges are related to: as the YAML in conf/ says, and as runs recorded, which has the last word."""

from __future__ import annotations

import re
from collections.abc import Iterable

import msgspec

from evalkit.core.paths import shipped
from evalkit.evidence.evidence import Lineage
from evalkit.storage.run_records import Relative, RunRecord

FAMILIES = {
    "gpt-4": r"gpt-?4|chatgpt-?4",
    "gpt-3.5": r"gpt-?3\.?5|chatgpt|text-davinci",
    "o-series": r"(^|[^a-z])o[134](-|$)",
    "claude": r"claude",
    "gemini": r"gemini|bard|palm",
    "llama": r"llama|alpaca|vicuna|tulu",
    "mistral": r"mi[sx]tral|zephyr",
    "qwen": r"qwen",
}
"""What a name says of a family, the more exact first. YAML has the last word."""

TEACHERS = {"alpaca": ("gpt-3.5",), "vicuna": ("gpt-3.5", "gpt-4"), "zephyr": ("gpt-3.5", "gpt-4")}
"""Public models whose makers say whose outputs they were tuned on (Alpaca 2023, Vicuna 2023, Zephyr 2023)."""


def inferred_lineage(name: str) -> Lineage:
    """Family and teachers of a well-known model, from its name."""
    lower = name.lower()
    family = next((family for family, pattern in FAMILIES.items() if re.search(pattern, lower)), None)
    teachers = next((teachers for word, teachers in TEACHERS.items() if word in lower), ())
    return Lineage(family, teachers, family is not None or bool(teachers))


def relations(records: Iterable[RunRecord] = ()) -> dict[str, Lineage]:
    """Family and training by name, of every model and judge in conf/ or in a run's record that states one.

    Args:
        records: of runs, the oldest first.
    """
    found: dict[str, Lineage] = {}
    for group in ("model", "judge"):
        for path in sorted((shipped("conf") / group).glob("*.yaml")):
            try:
                members = msgspec.yaml.decode(path.read_bytes(), type=dict[str, Relative | None])
            except (OSError, ValueError):  # a file of another shape says nothing of relations
                continue
            for name, member in members.items():
                if member is not None and (member.family or member.trained_on):
                    found[name] = Lineage(member.family, member.trained_on)
    for record in records:
        found |= {name: Lineage(kin.family, kin.trained_on) for name, kin in record.kin.items()}
    return found
