"""What the columns and the winner words of people's comparisons mean: one vocabulary for every verb that reads some.

Import, ``leaderboard FILE`` and ``audit --human FILE`` read the same files; what is understood here is understood by
all of them, and whatever had to be assumed is said in one line.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from math import isfinite
from pathlib import Path
from typing import Any, Final, NamedTuple

from evalkit.core.protocols import UsageError
from evalkit.datasets.data_files import Record, Where

PEOPLE: Final = (
    *("worker", "annotator", "voter", "rater", "user", "evaluator", "labeler", "labeller"),
    *("worker_id", "annotator_id", "voter_id", "rater_id", "user_id", "evaluator_id", "judge_hash"),
)
"""Columns that hold names of people."""

COLUMNS: Final[dict[str, tuple[str, ...]]] = {
    "model_a": ("model_a", "left", "model_1", "model_left", "assistant_a", "generator_1", "system_a"),
    "model_b": ("model_b", "right", "model_2", "model_right", "assistant_b", "generator_2", "system_b"),
    "winner": ("winner", "vote", "verdict", "preference", "label", "choice"),
    "question": (
        *("question_id", "item", "item_id", "prompt_id", "instruction_id", "instance_id"),
        *("prompt", "question", "instruction", "id"),
    ),
    "judge": ("judge", "judge_model", *PEOPLE),
    "category": ("category",),
    "turn": ("turn",),
}
"""By field, the columns it may stand in; the first one there counts. Capitals, spaces and hyphens do not matter."""

ANSWERS: Final[dict[str, tuple[str, ...]]] = {
    "model": ("model", "model_id", "model_name", "generator", "candidate"),
    "answer": (
        *("answer", "response", "output", "completion", "generation", "prediction", "model_output", "model_answer"),
        *("reply", "text"),
    ),
    "score": ("score", "rating", "grade", "points"),
    "answer_a": (
        "answer_a",
        "response_a",
        "output_a",
        "completion_a",
        "output_1",
        "answer_1",
        "response_1",
        "response1",
        "answer1",
    ),
    "answer_b": (
        "answer_b",
        "response_b",
        "output_b",
        "completion_b",
        "output_2",
        "answer_2",
        "response_2",
        "response2",
        "answer2",
    ),
}
"""Further fields of a table of answers, likewise."""

ITEM: Final = ("item", "question_id")
"""What else --map may call the field ``question``."""

MAP_HELP = f"where a table has a field: {', '.join(COLUMNS)}; may be given several times"
"""What the option --map says of itself."""

NEEDED: Final = ("model_a", "model_b", "winner")

ONE_HOT: Final = {
    "winner_model_a": "model_a",
    "winner_model_b": "model_b",
    "winner_tie": "tie",
    "winner_tie_(bothbad)": "tie (bothbad)",
}
"""Columns of which one is 1 in each row, as in LMSYS's competition, and the winner that says."""

_FIRST: Final = ("model a", "model 1", "left", "a", "first", "response a", "assistant a", "answer a")
_SECOND: Final = ("model b", "model 2", "right", "b", "second", "response b", "assistant b", "answer b")
_MUCH: Final = ("", "slightly ", "much ", "significantly ", "clearly ")
_STEPS: Final = {
    **{word: step for step, word in enumerate(("significantly", "better", "slightly", "negligibly"))},
    **{f"{word} better": step for step, word in ((0, "significantly"), (2, "slightly"), (3, "negligibly"))},
}
"""How far the steps of a margin are from the best, by word."""

WINNERS: Final[dict[str, float]] = {
    **dict.fromkeys(_FIRST, 1.0),
    **dict.fromkeys(_SECOND, 0.0),
    **dict.fromkeys(("tie", "draw", "both", "neither", "equal", "same", "a=b", "b=a", "c", "tie (inconsistent)"), 0.5),
    **dict.fromkeys(("bothbad", "both bad", "tie (bothbad)", "tie (both bad)", "both good", "bothgood"), 0.5),
    **dict.fromkeys(("a>b", "a>>b", "b<a", "b<<a"), 1.0),
    **dict.fromkeys(("b>a", "b>>a", "a<b", "a<<b"), 0.0),
    **{f"{side} is {much}better": 1.0 for side, much in product(_FIRST, _MUCH)},
    **{f"{side} is {much}better": 0.0 for side, much in product(_SECOND, _MUCH)},
    **{f"{side}:{word}": (7 - step) / 7 for side, (word, step) in product(_FIRST, _STEPS.items())},
    **{f"{side}:{word}": step / 7 for side, (word, step) in product(_SECOND, _STEPS.items())},
}
"""Points of model_a by winner, in lower case, hyphens and underscores as spaces. A stronger word takes the same side;
only the four steps of ``A:slightly`` are points between, as in judges' ``margin`` form."""

FAILED: Final = frozenset({"error"})
"""What stands for a verdict that failed."""

KNOWN: Final = (
    "model_a, model_b, tie (also a, b, left, right, model_1, draw, both, neither, bothbad, 'tie (bothbad)', A>>B, "
    "A:slightly, model_b:significantly, 'a is better', the name of one of the two models, or error for a verdict that "
    "failed)"
)

MOST_JUDGES: Final = 20
"""More names than that in one column of judges are those of people, unless most look like models."""

MODELS_COLUMN: Final = "judge_model"
"""The column whose names are never taken for those of people because there are many."""

_PERSON: Final = re.compile(r"(expert|author|human|worker|arena_user|user)_.+\Z", re.DOTALL)
_MODEL: Final = re.compile(
    r"gpt|claude|gemini|llama|qwen|mi[sx]tral|deepseek|gemma|command|prometheus|skywork|selene|grok|phi-|yi-|glm|"
    r"olmo|falcon|vicuna|judge|reward|(?<![a-z\d])\d{1,3}b(?![a-z\d])",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class BattleColumns:
    """Which columns of a file hold what."""

    fields: Mapping[str, str]
    """Column by field."""
    one_hot: Mapping[str, str]
    """Column by the winner it stands for; empty where one column holds the winner."""
    assumed: tuple[str, ...]

    def value(self, record: Mapping[str, Any], field: str, where: Where) -> str:
        """The text of a field, "" where there is none.

        Raises:
            UsageError: it is no text or number.
        """
        column = self.fields.get(field)
        found = None if column is None else record.get(column)
        if found is None:
            return ""
        if not isinstance(found, str | int | float):
            raise where.error(f"field `{column}` is {type(found).__name__}, where text is expected")
        return str(found)

    def winner(self, record: Mapping[str, Any], where: Where) -> str:
        """The winner's word as it stands, "" where there is none."""
        if not self.one_hot:
            return self.value(record, "winner", where)
        chosen = [word for word, column in self.one_hot.items() if truth(record.get(column))]
        if len(chosen) != 1:
            raise where.error(f"of {', '.join(map(repr, self.one_hot.values()))} one must be 1, not {len(chosen)}")
        return chosen[0]


def truth(value: object) -> bool:
    """Whether a cell of a one-hot column is set."""
    return str(value).strip().lower() in ("1", "1.0", "true")


def spelt(name: str) -> str:
    """A column's name as it is compared: capitals, spaces and hyphens do not matter."""
    return re.sub(r"[\s-]+", "_", name.strip().lower())


def by_spelling(names: Iterable[str]) -> dict[str, str]:
    """The columns of a file by how their names are compared; of several alike the first one."""
    return {spelt(name): name for name in reversed(list(names))}


def battle_columns(found: Iterable[str], path: Path, given: Mapping[str, str] | None = None) -> BattleColumns:
    """Find the columns of a table of comparisons.

    Args:
        found: the names of the file's columns.
        path: of the file, for messages.
        given: column by field, where the user says so.

    Raises:
        UsageError: a column that must be there is not.
    """
    there = list(found)
    given = {"question" if field in ITEM else field: column for field, column in (given or {}).items()}
    fields = columns_of(there, path, COLUMNS, given)
    one_hot = one_hot_columns(there) if fields["winner"] is None else {}
    if missing := [field for field in NEEDED if fields[field] is None and not (field == "winner" and one_hot)]:
        raise UsageError(
            f"{str(path)!r}: no column {', '.join(f'`{field}`' for field in missing)}. A table of "
            "comparisons has model_a, model_b and winner, and may have question_id, judge, category and turn; "
            f"--map FIELD=COLUMN names a column. This file has: {', '.join(map(repr, there[:12]))}"
        )
    told = [f"{field} is {column!r}" for field, column in fields.items() if column and _assumed(field, column, given)]
    assumed = (f"assumed: in {path.name}, {', '.join(told)}",) if told else ()
    return BattleColumns({field: column for field, column in fields.items() if column is not None}, one_hot, assumed)


def one_hot_columns(found: Iterable[str]) -> dict[str, str]:
    """The column of each winner, where winners have a column each; empty where they do not."""
    written = by_spelling(found)
    columns = {word: written[column] for column, word in ONE_HOT.items() if column in written}
    return columns if {"model_a", "model_b"} <= columns.keys() else {}


def columns_of(
    there: Iterable[str], path: Path, wanted: Mapping[str, tuple[str, ...]], given: Mapping[str, str]
) -> dict[str, str | None]:
    """The column of each field, None where there is none.

    Args:
        there: the names of the file's columns.
        path: of the file, for messages.
        wanted: names of columns by field.
        given: column by field, where the user says so.

    Raises:
        UsageError: a given field or column is not there.
    """
    names = list(there)
    for field, column in given.items():
        if field not in wanted:
            raise UsageError(f"--map {field}={column}: no field {field!r}; there are: {', '.join(wanted)}")
        if column not in names:
            near = difflib.get_close_matches(column, names, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else f"; there are: {', '.join(map(repr, names[:12]))}"
            raise UsageError(f"--map {field}={column}: {str(path)!r} has no such column{hint}")
    written = by_spelling(names)
    return {
        field: given.get(field) or next((written[alias] for alias in aliases if alias in written), None)
        for field, aliases in wanted.items()
    }


def _assumed(field: str, column: str, given: Mapping[str, str]) -> bool:
    return field not in given and column not in (field, COLUMNS[field][0])


def parse_map(given: Iterable[str] | None) -> dict[str, str]:
    """Columns by field, from ``FIELD=COLUMN`` texts.

    Raises:
        UsageError: one is not of that form.
    """
    result = {}
    for text in given or ():
        field, equals, column = text.partition("=")
        if not equals or not field or not column:
            raise UsageError(f"--map {text!r} is not FIELD=COLUMN; fields are: {', '.join(COLUMNS)}")
        result[field] = column
    return result


class Outcomes(NamedTuple):
    """What the winner words of one file mean."""

    points: Mapping[str, float | None]
    """Of model_a, by word; None: the verdict failed. A word that is not in it means nothing."""
    assumed: tuple[str, ...]


def outcome(word: str) -> float | None:
    """Points of model_a by a winner word that means the same in every file.

    Raises:
        KeyError: there is no such word.
    """
    bare = " ".join(re.sub(r"[\s_-]+", " ", word).lower().split())
    bare = re.sub(r" ?([:<>=]) ?", r"\1", bare)
    return None if bare in FAILED else WINNERS[bare]


def number(word: str) -> float | None:
    """The number that a winner word is, if it is one."""
    try:
        value = float(word)
    except ValueError:
        return None
    return value if isfinite(value) else None


def outcomes(words: Iterable[str], path: Path) -> Outcomes:
    """What the words of a file mean together: numbers are a share, a choice or a scale, as the whole of them shows.

    Raises:
        UsageError: its numbers can be read in several ways.
    """
    points: dict[str, float | None] = {}
    numbers: dict[str, float] = {}
    for word in words:
        value = number(word)
        if value is not None:
            numbers[word] = value
            continue
        try:
            points[word] = outcome(word)
        except KeyError:
            continue
    if not numbers:
        return Outcomes(points, ())
    said, rule = _scale(set(numbers.values()), path)
    points |= {word: rule(value) for word, value in numbers.items()}
    return Outcomes(points, (f"assumed: in {path.name}, {said}",))


def _scale(found: set[float], path: Path) -> tuple[str, Callable[[float], float]]:
    low, high = min(found), max(found)
    whole = all(value == int(value) for value in found if abs(value) < 100)
    if low >= 0 and high <= 1:
        return "winner 1 is model_a, 0 is model_b, and 0.5 a tie", lambda value: value
    if found <= {1.0, 1.5, 2.0}:
        return "winner 1 is model_a, 2 is model_b, and 1.5 a tie", lambda value: 2 - value
    if whole and 0 > low >= -3 and high <= 3 and max(-low, high) > 1:
        return "winner goes from -3 (model_a much better) over 0 (tie) to 3 (model_b)", lambda value: (3 - value) / 6
    if whole and low >= 1 and high in (3, 4, 6, 8):
        return "winner goes from 1 (model_a much better) to 8 (model_b)", lambda value: (8 - value) / 7
    shown = ", ".join(f"{value:g}" for value in sorted(found)[:9])
    raise UsageError(
        f"{str(path)!r}: winner is a number ({shown}), which can be read in several ways. Numbers may be 1, 0 and 0.5; "
        "1 and 2; a scale from -3 to 3; or one from 1 to 8. Write words instead: model_a, model_b, tie"
    )


def unknown(word: str, column: str) -> str:
    """What to say of a word that means nothing."""
    return f"field `{column}` is {word[:60]!r}; known are {KNOWN}" if word else f"field `{column}` is empty"


def people_among(names: Iterable[str], column: str) -> frozenset[str]:
    """Names of judges that are names of people: by the column, by themselves, or as there are so many of them.

    More than ``MOST_JUDGES`` names that look neither like people's nor like models' are people's, where those that look
    like models' are fewer; the latter stay judges.

    Args:
        names: of one column.
        column: what it is called.
    """
    listed = list(names)
    if spelt(column) in PEOPLE:
        return frozenset(listed)
    persons = [name for name in listed if is_person(name)]
    models = {name for name in listed if _MODEL.search(name) and not is_person(name)}
    others = [name for name in listed if name not in models]
    many = len(others) - len(persons) > MOST_JUDGES and len(models) < len(others)
    return frozenset(others if many and spelt(column) != MODELS_COLUMN else persons)


def is_person(name: str) -> bool:
    """Whether a judge is a person by its name, as public votes write it."""
    return name == "human" or bool(_PERSON.match(name))


def pooling(path: Path, column: str, people: Collection[str]) -> tuple[str, ...]:
    """The line that says whose names are taken for those of people, where that is a guess."""
    guessed = [name for name in people if not is_person(name)]
    if not guessed or spelt(column) in PEOPLE:
        return ()
    return (
        f"assumed: in {path.name}, the {len(people):,} names in {column!r} (as {min(guessed)[:24]!r}) are people's; if "
        f"they are models, call the column {MODELS_COLUMN!r}",
    )


class BattleRow(NamedTuple):
    """One comparison as a file has it."""

    model_a: str
    model_b: str
    winner: str
    """The word."""
    points: float | None
    """Of model_a; None: the verdict failed."""
    question: str
    """"" where the file names none, as with the next two."""
    judge: str
    category: str
    turn: int


class BattleFile:
    """The comparisons of one file, row by row. The file is read through once for its words, and again for its rows.

    Args:
        path: of the file, for messages.
        rows: reads the file, from its beginning each time.
        found: the names of its columns.
        given: column by field, where the user says so.

    Raises:
        UsageError: a column is missing, or a row cannot be understood.
    """

    def __init__(
        self,
        path: Path,
        rows: Callable[[], Iterable[Record]],
        found: Iterable[str],
        given: Mapping[str, str] | None = None,
    ) -> None:
        self.columns = battle_columns(found, path, given)
        self._rows = rows
        words: dict[str, None] = {}
        judges: dict[str, None] = {}
        for where, record in rows():
            words[self.columns.winner(record, where)] = None
            judges[self.columns.value(record, "judge", where)] = None
        meaning = outcomes(words, path)
        self._points = meaning.points
        column = self.columns.fields.get("judge", "")
        self.people = people_among((name for name in judges if name), column)
        """Names of judges who are people."""
        self.assumed = (*self.columns.assumed, *meaning.assumed, *pooling(path, column, self.people))

    def __iter__(self) -> Iterator[tuple[Where, dict[str, Any], BattleRow]]:
        """Each row with where it stands and the record it is."""
        for where, record in self._rows():
            yield where, record, self.row(where, record)

    def row(self, where: Where, record: dict[str, Any]) -> BattleRow:
        """One record as a comparison.

        Raises:
            UsageError: a name is empty, or the winner is none that is known.
        """
        model_a, model_b, question, judge, category, turn = (
            self.columns.value(record, field, where)
            for field in ("model_a", "model_b", "question", "judge", "category", "turn")
        )
        word = self.columns.winner(record, where)
        for field, name in (("model_a", model_a), ("model_b", model_b)):
            if not name.strip():
                raise where.error(f"field `{self.columns.fields[field]}` is empty")
        if word in (model_a, model_b) and model_a != model_b:
            points: float | None = float(word == model_a)
        elif word in self._points:
            points = self._points[word]
        else:
            raise where.error(unknown(word, self.columns.fields.get("winner", "winner")))
        return BattleRow(model_a, model_b, word, points, question, judge, category, turn_of(turn, where))


def turn_of(text: str, where: Where) -> int:
    """The turn that a cell names; 1 where it is empty.

    Raises:
        UsageError: it is none.
    """
    value = text.removesuffix(".0") or "1"
    if not value.isdecimal() or not 1 <= int(value[:4]) < 100:
        raise where.error(f"field `turn` is {text[:80]!r}, which is not a turn")
    return int(value)
