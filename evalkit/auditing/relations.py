"""Who models and judges are related to: as the YAML in conf/ says, and as runs recorded, which has the last word."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from evalkit.auditing.evidence import Kin
from evalkit.auditing.run_records import Record, Relative
from evalkit.shipped import shipped


def relations(records: Iterable[Record] = ()) -> dict[str, Kin]:
    """Family and training by name, of every model and judge in conf/ or in a run's record that states one.

    Args:
        records: of runs, the oldest first.
    """
    found: dict[str, Kin] = {}
    for group in ("model", "judge"):
        for path in sorted((shipped("conf") / group).glob("*.yaml")):
            try:
                members = msgspec.yaml.decode(path.read_bytes(), type=dict[str, Relative | None])
            except (OSError, ValueError):  # a file of another shape says nothing of relations
                continue
            for name, member in members.items():
                if member is not None and (member.family or member.trained_on):
                    found[name] = Kin(member.family, member.trained_on)
    for record in records:
        found |= {name: Kin(kin.family, kin.trained_on) for name, kin in record.kin.items()}
    return found
