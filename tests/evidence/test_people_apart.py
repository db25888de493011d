"""Groups of people whose votes are counted apart: what is said of them."""

from dataclasses import dataclass

import msgspec

from evalkit.core.schema import Ref
from evalkit.evidence.gather import gather
from evalkit.ratings.comparisons import HUMAN
from tests.biases.simulated import Study


@dataclass(frozen=True, kw_only=True)
class Votes(Study):
    """A study whose voters are two authors and, on most questions, two experts."""

    def rows(self):
        for row in super().rows():
            if row.judge.fingerprint == HUMAN:
                group = "author" if row.item.endswith("7") else "expert"
                name = f"{group}_{1 + int(row.key[-1], 36) % 2}"
                yield msgspec.structs.replace(row, judge=Ref(name, HUMAN))
                continue
            yield row


def test_votes_of_other_people_are_counted_in_words():
    (note,) = [note for note in gather(Votes().rows())[0].notes if "counted apart" in note]
    assert note.endswith("votes of 2 people (author)")
    assert "(expert: " in note
