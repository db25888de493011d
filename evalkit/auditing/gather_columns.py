"""The columns gathered of one benchmark -> Evidence of each judge."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

from evalkit.auditing.evidence import Evidence, Kin, Votes
from evalkit.auditing.findings import counted
from evalkit.auditing.gather import GOLD, Columns, Gathered, Gathering, Group, groups
from evalkit.auditing.gather_grades import graded, grades_of
from evalkit.auditing.gather_pairs import (
    matched,
    no_votes,
    once,
    pairs_by_question,
    pairs_of_scores,
    pairs_of_showings,
    scores_of,
    votes_of,
)
from evalkit.comparisons import HUMAN

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

NAMELESS = (HUMAN, "unknown")
"""What imports and plain votes call a person who is not named: nobody knows how many they are."""

LEARNT = {"alpaca": ("gpt-3.5",), "vicuna": ("gpt-3.5", "gpt-4"), "zephyr": ("gpt-3.5", "gpt-4")}
"""Public models whose makers say whose outputs they were tuned on (Alpaca 2023, Vicuna 2023, Zephyr 2023)."""


def finish(gathering: Gathering, kin: Mapping[str, Kin]) -> Gathered:
    """Evidence of the newest configuration of every judge and protocol, and the groups of people."""
    newest: dict[tuple[str, str, int], Columns] = {}
    for (judge, protocol, shows), columns in gathering.columns.items():
        newest[judge.name, protocol, shows] = columns
    notes = []
    older = sum(columns.rows for columns in gathering.columns.values()) - sum(c.rows for c in newest.values())
    people, again = _people(gathering)
    main = people[0].votes if people else no_votes()
    gold = gathering.votes.get(GOLD)
    golden = votes_of(gathering, {GOLD: gold}) if gold else no_votes()
    grades = grades_of(gathering)
    evidence = []
    for (_, _, shows), columns in sorted(newest.items()):
        built, stale, strange = _evidence(gathering, columns, shows, people, golden, kin)
        if grades is not None and built.scores is not None:
            built = replace(built, grades=graded(grades, built.scores, built.responses, built.texts))
        evidence.append(built)
        older += stale
        if strange:
            notes.append(
                f"{gathering.benchmark}, {built.judge}: {counted(strange, 'vote is', 'votes are')} on "
                "other answers than those it judged and not compared with its verdicts"
            )
    if older:
        notes.append(
            f"{gathering.benchmark}: {older} judgments of earlier configurations (prompt, sampling, model) are left out"
        )
    if again:
        said = counted(again, "vote repeats", "votes repeat")
        notes.append(
            f"{gathering.benchmark}: {said} what the same person was asked before, the same pair on the same turn; "
            "only the last answer counts"
        )
    if len(people) > 1:
        told = ", ".join(
            f"{counted(len(group.votes), 'vote')} of {counted(len(group.voters), 'person', 'people')} "
            f"({group.name or 'unnamed'})"
            for group in people[1:]
        )
        notes.append(
            f"{gathering.benchmark}: `human` is the group with most votes ({people[0].name or 'unnamed'}: "
            f"{len(main):,} votes of {len(people[0].voters)} people); counted apart: {told}"
        )
    return Gathered(
        gathering.benchmark, tuple(evidence), tuple(people), tuple(notes), grades.grades if grades else None
    )


def _people(gathering: Gathering) -> tuple[list[Group], int]:
    """The groups, the one with most votes first, and how many votes were left out as given again."""
    import numpy as np

    found, again = [], 0
    for stem, names in groups(name for name in gathering.votes if name != GOLD):
        columns = {name: gathering.votes[name] for name in names}
        every = votes_of(gathering, columns)
        votes = once(every, np.array([name not in NAMELESS for name in names]))
        again += len(every) - len(votes)
        found.append(Group(stem, votes, tuple(columns)))
    return sorted(found, key=lambda group: -len(group.votes)), again


def _evidence(
    gathering: Gathering, columns: Columns, shows: int, people: list[Group], gold: Votes, kin: Mapping[str, Kin]
) -> tuple[Evidence, int, int]:
    """Evidence, how many rows are of replaced models, and how many votes are on other answers."""
    import numpy as np

    codes, numbers = columns.table(shows)
    latest = np.array([gathering.latest.get(code, -1) for code in range(len(gathering.models))], dtype=np.int64)
    current = np.ones(len(codes), dtype=bool)
    for side in range(shows):
        current &= codes[:, 5 + 3 * side] == latest[codes[:, 4 + 3 * side]]
    inconsistent = np.zeros(len(codes), dtype=bool)
    inconsistent[list(columns.inconsistent)] = True
    rows, numbers, inconsistent = codes[current].astype(np.int64), numbers[current], inconsistent[current]
    main = people[0].votes if people else no_votes()
    scores = None
    if shows == 2:
        pairs, keys = pairs_of_showings(len(gathering.models), rows, numbers, inconsistent)
        compared, comparable = pairs, len(pairs)
    else:
        scores = scores_of(rows, numbers)
        pairs, keys = pairs_of_scores(scores, (main, gold), len(gathering.models))
        compared, comparable = pairs_by_question(scores)
    known = np.array([name in gathering.texts for name in gathering.responses] + [False], dtype=bool)
    votes, strange = matched(main, keys, pairs, known)
    golden, _ = matched(gold, keys, pairs, known)
    failed: Counter[str] = Counter()
    by_category: dict[str, Counter[str]] = {}
    by_question: dict[str, Counter[int]] = {}
    for (kind, category, question), count in columns.failed.items():
        failed[kind] += count
        by_category.setdefault(category, Counter())[kind] += count
        by_question.setdefault(kind, Counter())[question] += count
    kinship = {name: kin.get(name) or guessed(name) for name in gathering.models}
    judge_name = re.sub(r"[_-](pair|single)(-v\d.*)?$", "", columns.judge.name)
    itself = frozenset(name for name in gathering.models if _plain(name) == _plain(judge_name))
    evidence = Evidence(
        benchmark=gathering.benchmark,
        judge=columns.judge.name,
        protocol=columns.protocol,
        shows=shows,
        joint=columns.joint,
        models=tuple(gathering.models),
        questions=tuple(gathering.questions),
        categories=tuple(gathering.categories),
        responses=tuple(gathering.responses),
        pairs=pairs,
        compared=compared,
        comparable=comparable,
        scores=scores,
        votes=votes,
        gold=golden,
        judgments=len(rows),
        other_votes={group.name or "others": matched(group.votes, keys, pairs, known)[0] for group in people[1:]},
        failed=dict(failed),
        failed_by_category=by_category,
        failed_by_question=by_question,
        voters=people[0].voters if people else (),
        people=people[0].name if people else "",
        judgments_by_category=dict(
            zip(
                gathering.categories, np.bincount(rows[:, 1], minlength=len(gathering.categories)).tolist(), strict=True
            )
        ),
        texts=gathering.texts,
        unanswered=dict(gathering.unanswered),
        kin=kinship,
        judge_kin=kin.get(columns.judge.name) or kin.get(judge_name) or guessed(judge_name),
        itself=itself,
    )
    return evidence, int((~current).sum()), strange


def guessed(name: str) -> Kin:
    """Family and teachers of a well-known model, from its name."""
    lower = name.lower()
    family = next((family for family, pattern in FAMILIES.items() if re.search(pattern, lower)), None)
    learnt = next((teachers for word, teachers in LEARNT.items() if word in lower), ())
    return Kin(family, learnt, family is not None or bool(learnt))


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())
