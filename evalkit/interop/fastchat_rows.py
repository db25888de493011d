"""FastChat's judgment rows (llm_judge/gen_judgment.py, fschat 0.2.36) and ours, both ways."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final, Literal

from msgspec import Struct

from evalkit.core.protocols import Completion
from evalkit.core.schema import Failure, Item, Judgment, Ref, Response
from evalkit.datasets.data_files import Record, Where
from evalkit.interop.records import (
    API_FAILED,
    NO_REASON,
    Imported,
    ImportLedger,
    JudgedTurn,
    difference,
    joined,
    judge_ref,
    model_ref,
)
from evalkit.judges.fastchat import published_rating
from evalkit.judges.replies import excerpt
from evalkit.ratings.comparisons import HUMAN

SINGLE: Final = "fastchat_single"
PAIR: Final = "fastchat_pair"
AGGREGATED: Final = "fastchat_pair_aggregated"
VOTE: Final = "human_pair"

OURS: Final = frozenset({"single", "pairwise", "arena_hard", "alpaca_eval_gpt4", "alpaca_eval_weighted"})
"""Protocols that are not FastChat's. A row we write has the name where FastChat's has that of its prompt."""

_SCORES: Final = {"first": (1.0, 0.0), "second": (0.0, 1.0), "tie": (0.5, 0.5)}
_LABELS: Final = {"first": "A", "second": "B", "tie": "tie"}
_Winner = Literal["model_1", "model_2", "tie", "error"]


class _About(Struct):
    question_id: int | str
    turn: int = 1


class _Single(Struct):
    model: str
    judgment: str
    score: float | None
    judge: tuple[str, ...] | str = ()
    judge_model: str = ""
    tstamp: float = 0.0


class _TwoGames(Struct):
    model_1: str
    model_2: str
    g1_winner: _Winner
    g2_winner: _Winner
    judge: tuple[str, ...] | str = ()
    judge_model: str = ""
    g1_judgment: str = ""
    g2_judgment: str = ""
    tstamp: float = 0.0


class _Vote(Struct):
    winner: str
    judge: tuple[str, ...] | str
    model_a: str
    model_b: str
    conversation_a: tuple[dict[str, Any], ...] = ()
    conversation_b: tuple[dict[str, Any], ...] = ()


def number(identity: str) -> int | str:
    """A question id as FastChat has it: a number where it reads like one."""
    return int(identity) if identity.isdecimal() and len(identity) < 16 and str(int(identity)) == identity else identity


def asked(
    where: Where,
    record: dict[str, Any],
    benchmark: str,
    ledger: ImportLedger,
    category: Callable[[str, int | str], str],
) -> JudgedTurn:
    """The question, the models and the turn that a row is about."""
    row = where.read(record, _About)
    if not 1 <= row.turn < 100:
        raise where.error(f"field `turn` is {row.turn}, which is not a turn")
    identity = str(row.question_id)
    known = ledger.categories.get((benchmark, identity)) or category(benchmark, row.question_id)
    return JudgedTurn(benchmark, identity, row.turn, known)


def single(source: Record, about: JudgedTurn, unnamed: str, ledger: ImportLedger) -> Iterator[Imported]:
    """A single rating. The parser is named FastChat's only where it reads from the text what the row says."""
    where, record = source
    row = where.read(record, _Single)
    model = model_ref(row.model)
    read = published_rating(Completion(row.judgment))
    failed = row.score is None or row.score == -1
    same = isinstance(read, Failure) == failed and (isinstance(read, Failure) or read.scores[0] == row.score)
    verdict: tuple[float, ...] | Failure
    if row.score is None or failed:
        verdict = _failure(row.judgment, "no rating was read from the reply")
    else:
        verdict = (row.score,)
    judge, protocol = _judge(row.judge, row.judge_model or unnamed), _protocol(row.judge, SINGLE)
    judged = ledger.judgment(
        where,
        about,
        judge_ref(judge, protocol),
        protocol,
        [(model, ledger.shown(about, model))],
        verdict,
        label=read.label if same and not isinstance(read, Failure) else f"{row.score}",
        raw=row.judgment,
        parser="fastchat-rating/1" if same else "imported/1",
        created=row.tstamp,
    )
    yield Imported(judged, difference(record, foreign([judged])[1]))


def pair(source: Record, about: JudgedTurn, unnamed: str, ledger: ImportLedger) -> Iterator[Imported]:
    """Two games: the second shows the models the other way round. Rows with only a ``winner`` are aggregated."""
    where, record = source
    if "g1_winner" not in record and "winner" in record:
        sides = {"model_a": record.get("model_1"), "model_b": record.get("model_2")}
        winner = {"model_1": "model_a", "model_2": "model_b"}.get(str(record["winner"]), record["winner"])
        named = {"judge": record.get("judge") or record.get("judge_model") or unnamed}
        yield from _vote(source, {**record, **sides, **named, "winner": winner}, about, unnamed, ledger)
        return
    row = where.read(record, _TwoGames)
    protocol = _protocol(row.judge, PAIR)
    judge = judge_ref(_judge(row.judge, row.judge_model or unnamed), protocol)
    names = ("model_1", "model_2")
    models = (model_ref(row.model_1), model_ref(row.model_2))
    games = []
    for order, winner, raw in ((1, row.g1_winner, row.g1_judgment), (-1, row.g2_winner, row.g2_judgment)):
        shown = [(model, ledger.shown(about, model)) for model in models[::order]]
        outcome = {names[::order][0]: "first", names[::order][1]: "second"}.get(winner, winner)
        verdict = _SCORES.get(outcome) or _failure(raw, "no verdict was read from the reply")
        label = _LABELS.get(outcome)
        games.append(
            ledger.judgment(where, about, judge, protocol, shown, verdict, label=label, raw=raw, created=row.tstamp)
        )
    yield from joined(games, difference(record, foreign(games)[1]))


def vote(source: Record, about: JudgedTurn, unnamed: str, ledger: ImportLedger) -> Iterator[Imported]:
    """A person's vote, or a verdict that was joined from two games."""
    yield from _vote(source, source[1], about, unnamed, ledger)


def _vote(
    source: Record, record: dict[str, Any], about: JudgedTurn, unnamed: str, ledger: ImportLedger
) -> Iterator[Imported]:
    where, original = source
    row = where.read(record, _Vote)
    name = _judge(row.judge, unnamed)
    joint = not isinstance(row.judge, str) or name == "gpt4_pair" or "inconsistent" in row.winner or original != record
    shown = []
    for model_name, conversation in ((row.model_a, row.conversation_a), (row.model_b, row.conversation_b)):
        model = model_ref(model_name)
        said = tuple(str(part.get("content")) for part in conversation if part.get("role") == "assistant")
        shown.append((model, ledger.shown(about, model, said or None)))
    kind = {"model_a": "first", "model_b": "second", "tie": "tie", "tie (inconsistent)": "tie"}.get(row.winner)
    if kind is None and row.winner not in ("error", "inconsistent"):
        raise where.error(
            f"field `winner` is {row.winner[:80]!r}; known are model_a, model_b, tie, tie (inconsistent), "
            "inconsistent, error"
        )
    verdict: tuple[float, ...] | Failure = _SCORES[kind or "tie"]
    if row.winner == "error":
        verdict = Failure("unparsed", "the source has an error for a verdict")
    judged = ledger.judgment(
        where,
        about,
        judge_ref(name, AGGREGATED) if joint else Ref(name, HUMAN),
        AGGREGATED if joint else VOTE,
        shown,
        verdict,
        label=row.winner,
    )
    yield Imported(judged, difference(original, foreign([judged])[1]))


def in_two_games(record: Item | Response | Judgment) -> bool:
    """Whether FastChat writes this judgment together with the one in the other order."""
    return isinstance(record, Judgment) and record.protocol not in (VOTE, AGGREGATED, "gold")


def foreign(parts: list[Judgment]) -> tuple[tuple[str, ...], dict[str, Any]]:
    """File and row that FastChat would write."""
    head = parts[0]
    head_row: dict[str, Any] = {"question_id": number(head.item)}
    tail = {"turn": head.turn, "tstamp": head.created}
    prompt = "single-v1" if len(head.shown) == 1 else "pair-v2"
    prompt = head.protocol if head.protocol in OURS else prompt if head.turn == 1 else f"{prompt}-multi-turn"
    if len(head.shown) == 1:
        row = head_row | {
            "model": head.models[0].name,
            "judge": [head.judge.name, prompt],
            "user_prompt": "",
            "judgment": head.raw,
            "score": -1 if head.scores is None else _plain(head.scores[0]),
        }
        return ("model_judgment", f"{head.judge.name}_single.jsonl"), row | tail
    first, second = (model.name for model in head.models[:2])
    if not in_two_games(head):
        people = head.judge.fingerprint == HUMAN
        winner = head.label if head.protocol in (VOTE, AGGREGATED) else _winner(head, "model_a", "model_b")
        row = {"judge": head.judge.name, "model_a": first, "model_b": second, **head_row}
        return ("votes", "human.jsonl" if people else f"{head.judge.name}.jsonl"), row | {
            "turn": head.turn,
            "winner": winner or "error",
        }
    row = head_row | {"model_1": first, "model_2": second}
    row |= {"g1_winner": _winner(head, "model_1", "model_2"), "g2_winner": _winner(parts[1], "model_2", "model_1")}
    row |= {"judge": [head.judge.name, prompt]}
    for name, part in (("g1", head), ("g2", parts[1])):
        row |= {f"{name}_user_prompt": "", f"{name}_judgment": part.raw}
    return ("model_judgment", f"{head.judge.name}_pair.jsonl"), row | tail


def _winner(judged: Judgment, first: str, second: str) -> str:
    if judged.scores is None:
        return "error"
    return "tie" if judged.scores[0] == judged.scores[1] else first if judged.scores[0] > judged.scores[1] else second


def _plain(score: float) -> float | int:
    return int(score) if score.is_integer() else score


def _failure(raw: str, why: str) -> Failure:
    if raw.strip() == API_FAILED:
        return Failure("transport", "the judge could not be reached")
    if not raw.strip():
        return Failure("unparsed", NO_REASON)
    return Failure("unparsed", f"{why}: {excerpt(raw)!r}")


def _judge(judge: tuple[str, ...] | str, otherwise: str) -> str:
    """The judge's name; FastChat writes [model, prompt]."""
    return judge if isinstance(judge, str) else judge[0] if judge else otherwise


def _protocol(judge: tuple[str, ...] | str, otherwise: str) -> str:
    """What it was judged by: FastChat's, whatever the prompt is called, or one of ours."""
    return judge[1] if not isinstance(judge, str) and len(judge) > 1 and judge[1] in OURS else otherwise
