"""Results folders for tests of decisions."""

from __future__ import annotations

import msgspec

from evalkit.core.schema import Judgment, Ref
from evalkit.ratings.comparisons import HUMAN


def store(folder, rows):
    """Write judgments as a run stores them: one file a judge and protocol."""
    encode = msgspec.json.Encoder().encode
    for row in rows:
        assert isinstance(row, Judgment)
        path = folder / row.benchmark / "judgments" / f"{row.judge.name}.{row.protocol}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as out:
            out.write(encode(row) + b"\n")
    return folder


def person(row, name="ann"):
    """The same, said by a person."""
    return msgspec.structs.replace(row, judge=Ref(name, HUMAN), protocol="human_pair")
