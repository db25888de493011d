"""Probes: what an experiment on a live judge changes, and beside what it is measured. Plans cases; asks nothing.

Two answers of one model to the same question are nearly equally good, so that a judge has little else to go by than
what a probe adds. One of the two, drawn by the question, is the target. The judge sees the pair as it is (``base``),
once more (``repeat``), with the target rewritten (``cue``), and with as much neutral text instead (``placebo``), each
in both orders. For scoring alone against ranking in pairs it also sees the rewritten target beside its original
(``duel``), and by itself the target (``alone``), the other answer (``alone_other``) and the rewritten one
(``alone_cue``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeVar

from msgspec.structs import replace

from evalkit.core.protocols import Case, UsageError
from evalkit.core.schema import Item, Ref, Response, digest
from evalkit.probes.library import PADDING, Probe
from evalkit.probes.text import filler, number

Arm = Literal["base", "repeat", "cue", "placebo", "duel", "alone", "alone_other", "alone_cue", "plain"]
Turns = Literal["first", "both"]
"""Which turns are judged."""
Pair = tuple[Response, Response]


class Named(Protocol):
    """Whatever has a name."""

    @property
    def name(self) -> str:
        """The name it is chosen by."""


Known = TypeVar("Known", bound=Named)


def chosen(names: Sequence[str], probes: Sequence[Known]) -> list[Known]:
    """Probes by name, in the order they are reported; without names all of them.

    Args:
        names: of those that are wanted.
        probes: that there are.

    Raises:
        UsageError: there is no such probe.
    """
    known = [probe.name for probe in probes]
    for name in names:
        if name not in known:
            raise UsageError(f"no probe {name!r}; there are: {', '.join(known)}")
    return [probe for probe in probes if probe.name in names or not names]


def placebo(probe: Probe, text: str, seed: str) -> str:
    """The text with neutral words in place of the cue, as long as with the cue."""
    length = len(probe.rewrite(text, seed))
    if probe.preserves == "nothing":
        return filler(length, seed)
    if length <= len(text):
        return text[:length]
    extra = filler(length - len(text), seed, prepends=probe.prepends)
    return extra + text if probe.prepends else text + extra


def rewritten(answer: Response, probe: Probe, arm: Arm, turn: int = 1) -> Response:
    """The row of an answer that a probe, or its placebo, has changed: what the judge is shown is on disk like any.

    Only the judged turn is changed; the conversation up to there is as it was.
    """
    later = () if turn == 1 else (turn,)
    seed = digest(probe.name, answer.item, *later)
    change = probe.rewrite if arm == "cue" else lambda text, seed: placebo(probe, text, seed)
    turns = tuple(change(text, seed) if at == turn else text for at, text in enumerate(answer.turns, start=1))
    suffix = probe.name if arm == "cue" else f"{probe.name}-placebo"
    suffix += "".join(f"-turn{turn}" for turn in later)
    return changed_row(answer, suffix, turns)


def changed_row(answer: Response, suffix: str, turns: tuple[str, ...]) -> Response:
    """The row of an answer with other text, under its model's name and what was changed; it cost nothing."""
    return replace(
        answer,
        key=digest(answer.key, suffix, turns),
        model=Ref(f"{answer.model.name.removesuffix('+second')}+{suffix}", digest(answer.model.fingerprint, suffix)),
        turns=turns,
        usage=(),
        cost=0.0,
        latency=0.0,
    )


@dataclass(frozen=True)
class Trial:
    """One question put to the judge, and what it is for."""

    probe: str
    """Empty where the pair is shown as it is: that serves all probes."""
    arm: Arm
    order: int
    """0 or 1."""
    repeat: int
    slot: int
    """Where the target is shown: 0 first, 1 second."""
    variant: str
    """Under which form of the judge: empty for as it is, or the name of a probe, or that with ``-placebo``."""
    case: Case


def target(item: Item) -> int:
    """Which of the two answers is rewritten: either, by the question alone."""
    return int(number(digest("target", item.id)) * 2)


def trials(items: Sequence[Item], pairs: Mapping[str, Pair], tried: Sequence[Probe], repeats: int) -> Iterator[Trial]:
    """Yield every trial that the judge is shown."""
    for item in items:
        for turn in range(1, len(item.turns) + 1 if item.id in pairs else 1):
            yield from _about(_Shown(item, turn, pairs[item.id], target(item), repeats), tried)


@dataclass(frozen=True)
class _Shown:
    """One pair, and how it is put to the judge."""

    item: Item
    turn: int
    pair: Pair
    which: int
    repeats: int

    def rewritten(self, probe: Probe, arm: Arm) -> Response:
        return rewritten(self.pair[self.which], probe, arm, self.turn)

    def with_target(self, answer: Response) -> Pair:
        return (answer, self.pair[1]) if self.which == 0 else (self.pair[0], answer)

    def both_orders(
        self, probe: str, arm: Arm, *, pair: Pair | None = None, which: int | None = None, variant: str = ""
    ) -> Iterator[Trial]:
        pair, which = pair or self.pair, self.which if which is None else which
        start = self.repeats if arm == "repeat" else 0
        for order in (0, 1):
            shown = pair if order == 0 else (pair[1], pair[0])
            slot = which if order == 0 else 1 - which
            for draw in range(start, start + self.repeats):
                case = Case(self.item, self.turn, shown, draw)
                yield Trial(probe, arm, order, draw - start, slot, variant, case)

    def alone(self, probe: str, arm: Arm, answer: Response) -> Iterator[Trial]:
        for draw in range(self.repeats):
            yield Trial(probe, arm, 0, draw, 0, probe, Case(self.item, self.turn, (answer,), draw))


def _about(pair: _Shown, tried: Sequence[Probe]) -> Iterator[Trial]:
    yield from pair.both_orders("", "base")
    yield from pair.both_orders("", "repeat")
    arms: tuple[Arm, Arm] = ("cue", "placebo")
    original = pair.pair[pair.which]
    for probe in tried:
        match probe.rewrites:
            case "answer":
                if original.created and pair.rewritten(probe, "cue").turns == original.turns:
                    continue  # nothing to strip; a forecast's dummies, which are of no time, may have something
                for arm in arms:
                    shown = pair.with_target(pair.rewritten(probe, arm))
                    yield from pair.both_orders(probe.name, arm, pair=shown)
            case "instruction":
                for arm in arms:
                    variant = probe.name if arm == "cue" else f"{probe.name}-placebo"
                    yield from pair.both_orders(probe.name, arm, variant=variant)
            case "labels":
                yield from pair.both_orders(probe.name, "cue", variant=probe.name)
            case "alone":
                padded = pair.rewritten(PADDING, "cue")
                if all(other.name != PADDING.name for other in tried):
                    yield from pair.both_orders(PADDING.name, "cue", pair=pair.with_target(padded))
                yield from pair.both_orders(probe.name, "duel", pair=(padded, original), which=0)
                yield from pair.alone(probe.name, "alone", original)
                yield from pair.alone(probe.name, "alone_other", pair.pair[1 - pair.which])
                yield from pair.alone(probe.name, "alone_cue", padded)


def calls(tried: Sequence[Probe], repeats: int) -> int:
    """How many questions are put to a judge about one turn of one pair."""
    each = {"answer": 4, "instruction": 4, "order": 0, "labels": 2, "alone": 5}
    padded = any(one.name == PADDING.name for one in tried)
    return repeats * (4 + sum(each[one.rewrites] + 2 * (one.rewrites == "alone" and not padded) for one in tried))
