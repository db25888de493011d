"""Reads a verdict out of a judge's reply: what the judge announces, never what it mentions.

A reply has one of four forms: a tag (``[[7]]``, ``[[A]]``), a bare label, a field of a JSON object, or the
log-probabilities of one token. docs/replies.md lists what is read and what is refused. Readers of published parsers,
mistakes included, are with the protocols that are read by them.

How a tag is read. A line that is nothing but the announced verdict ("**Final rating: [[7]]**") beats everything in
running text ("to earn a [[10]] it should ..."). Two announcements that differ make the reply ambiguous; so do, where
there is no such line, two statements that differ. Whatever is thought, quoted, or stands in a code block is not stated.
One that running text contradicts ("I would rate it 2") may be quoted from an answer that dictates it; it is none.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from math import exp, fsum, isnan
from typing import NamedTuple, Protocol

from msgspec import Struct

from evalkit.core import thinking
from evalkit.core.protocols import Completion, Verdict
from evalkit.core.schema import Failure
from evalkit.judges import announcements

_END_OF_TURN = re.compile(
    r"(?:<\|(?:im_end|eot_id|eot|endoftext|end_of_text|end|return|eom_id|end_of_turn|assistant_end|END_OF_TURN_TOKEN|"
    r"end▁of▁sentence)\|>|\[\|endofturn\|\]|<end_of_turn>|<turn\|>)(?=[ \t]*+(?:\n|<|\Z))"
    r"|</s>(?=[ \t]*+(?:\n[ \t]*+)?(?:<s>|\[INST\]|\Z))"
    r"|<\|(?:im_start|start_header_id)\|>(?=[a-z])|(?:<start_of_turn>|<\|turn>)(?=[a-z])|<\|(?:[Uu]ser|user_start)\|>"
)
"""Where a chat format ends the judge's turn: what follows is a dialogue it makes up."""

_STATEMENT = re.compile(r"\[\[([^\[\]\n]{1,40})\]\]")
_NAMED = re.compile(
    r"\[\[ {0,3}(?:rating|score) {0,3}\]\]\"? {0,3}[:=] {0,3}([0-9]{1,3}(?:\.[0-9]{1,9})?)(?![0-9./])", re.I
)
"""``"[[rating]]": 7``."""
_FRACTION = re.compile(r"(?<![0-9.,\-–/])([0-9]{1,3}(?:\.[0-9]{1,9})?) {0,2}(?:/|out of) {0,2}([0-9]{1,3})(?![0-9/])")
_SPEECH = re.compile(r"\"[^\"\n]{12,}+\"|“[^“”\n]{12,}+”|`[^`\n]{12,}+`")
"""Quotations that are longer than a verdict."""
_FENCE = re.compile(r"```[^\n`]{0,30}\n?+")
_QUOTED = re.compile(r"`[^`\n]*+`|\"[^\"\n]*+\"|“[^“”\n]*+”")
_LIST_ITEM = re.compile(r"(?:[-*•+]|[0-9]{1,2}[.)])[ \t]")
_OUT_OF = re.compile(r"(?:/|out of) ?[0-9]{1,3}\b")
_WORDS = re.compile(r"[^\W\d_]+")
_DECORATION = " \t\r>*_#`\"'“”‘’|~{}()-–—.!,;:="
_LEAST_LINE = 300
"""Characters of the longest line that can be nothing but a verdict."""

_NOUNS = frozenset(
    _WORDS.findall(
        "verdict rating score grade decision judgment judgement conclusion choice preference evaluation assessment "
        "winner result overall"
    )
)
_VERBS = frozenset(_WORDS.findall("rate give grade score assign choose pick judge prefer award decide"))
_FILLING = frozenset(
    _WORDS.findall(
        "my the a an i final total is it its this that as of for by on at in answer answers response assistant so "
        "therefore thus hence here follows would will am be better significantly slightly much tie b model one and s d "
        "ll to"
    )
)
_ANNOUNCING = _NOUNS | _VERBS
_BEFORE_A_VERDICT = _ANNOUNCING | _FILLING
_DENIALS = frozenset({"no", "not", "never"})
_QUOTING = frozenset(
    _WORDS.findall("says said writes wrote asks asked demands demanded claims claimed states ends begs")
)
_REMARK = re.compile(
    r"\b(?:not|no|never|cannot|without|unless|if|than|instead|rather|to (?:earn|get|reach|deserve|be)|"
    r"(?:could|should|might|would)(?! (?:rate|give|say|grade|score|assign|choose|pick|go)))\b|n't\b",
    re.IGNORECASE,
)
"""Words before a verdict which say that it is not the judge's."""


class Form(Struct, frozen=True):
    """Labels that a verdict about two answers can have: the first answer's score by label, and other spellings."""

    scores: Mapping[str, float]
    also: Mapping[str, str] = {}
    """Label by what may be written instead, lower case without spaces."""

    def label(self, stated: str) -> str | None:
        """The label that a text stands for; None if it is none."""
        bare = _PREFIX.sub("", _SPACE_OR_STARS.sub("", html.unescape(stated)).casefold())
        return self.also.get(bare) or {label.casefold(): label for label in self.scores}.get(bare)

    def attempted(self, stated: str) -> bool:
        """Whether a text looks like a label, allowed or not."""
        return len(stated) <= 12 and re.fullmatch(r"(?:[\sABCab<>=:0-9]|tie)++", stated) is not None

    def verdict(self, label: str) -> Verdict:
        """The verdict of a label."""
        score = self.scores[label]
        return Verdict((score, 1.0 - score), label)

    @property
    def allowed(self) -> str:
        """The labels, for messages."""
        return ", ".join(self.scores)


AB_TIE = Form({"A": 1.0, "B": 0.0, "tie": 0.5}, {"c": "tie"})

FIVE = Form(
    {"A>>B": 1.0, "A>B": 1.0, "A=B": 0.5, "B>A": 0.0, "B>>A": 0.0},
    {"b<<a": "A>>B", "b<a": "A>B", "b=a": "A=B", "a<b": "B>A", "a<<b": "B>>A"},
)
"""Arena-Hard's labels. The scores do not show how strong a preference is; the label does."""

SCALE8 = Form({str(step): (8 - step) / 7 for step in range(1, 9)})
"""Eight steps from 1, A strongly preferred, to 8, B strongly preferred; evenly spaced, without a tie."""

_STRENGTHS = ("significantly", "better", "slightly", "negligibly")
_MARGINS = [(f"A:{word}", f"B:{word}") for word in _STRENGTHS]
MARGIN = Form(
    {a: (7 - step) / 7 for step, (a, _) in enumerate(_MARGINS)} | {b: step / 7 for step, (_, b) in enumerate(_MARGINS)},
    {
        f"{side}{colon}{word}{better}": f"{side.upper()}:{word}"
        for side in "ab"
        for word in _STRENGTHS
        for colon in (":", "")
        for better in (("", "better") if word != "better" else ("",))
    },
)
"""Four steps for each side. Evenly spaced, like SCALE8: 1, 6/7, 5/7, 4/7 for A; even the weakest step takes a side."""


class RatingScale(Struct, frozen=True):
    """Ratings from ``lower`` to ``upper``, also written ``7/10`` or ``rating: 7``; labels are numbers in short form."""

    lower: float
    upper: float

    def label(self, stated: str) -> str | None:
        """The rating that a text stands for; None if it is none, or outside the scale."""
        match = _RATING.fullmatch(_PREFIX.sub("", _SPACE_OR_STARS.sub("", stated).casefold()))
        if match is None or (match[2] and float(match[2]) != self.upper):
            return None
        score = float(match[1])
        return _number(score) if self.lower <= score <= self.upper else None

    def attempted(self, stated: str) -> bool:
        """Whether a text looks like a rating, on the scale or not."""
        return re.fullmatch(r"[-+]?[0-9.\s/–-]+", stated) is not None

    def verdict(self, label: str) -> Verdict:
        """The verdict of a label."""
        return Verdict((float(label),), label)

    @property
    def allowed(self) -> str:
        """The scale, for messages."""
        return f"{self.lower:g} to {self.upper:g}"


class VerdictLabels(Protocol):
    """What a verdict may be: ``Form`` for two answers, ``RatingScale`` for one."""

    def label(self, stated: str) -> str | None:
        """The label that a text stands for; None if it is none."""
        ...

    def attempted(self, stated: str) -> bool:
        """Whether a text looks like a label, allowed or not."""
        ...

    def verdict(self, label: str) -> Verdict:
        """The verdict of a label."""
        ...

    @property
    def allowed(self) -> str:
        """The labels, for messages."""
        ...


_SPACE_OR_STARS = re.compile(r"[\s*]++")
_PREFIX = re.compile(r"\A(?:(?:final)?(?:verdict|rating|score)[:=]|(?:assistant|response|answer|model)(?=[ab]\Z))")
_RATING = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,30})?)(?:/([0-9]{1,3}))?")


def _number(score: float) -> str:
    short = f"{score:g}"
    return short if score == float(short) else repr(score)


def no_verdict(completion: Completion) -> Failure | None:
    """Why a reply cannot hold a verdict, whatever its text says; None if it can."""
    if completion.finish == "refusal":
        return Failure("refused", f"the judge refused: {excerpt(completion.text)!r}")
    if completion.finish == "length":
        spent = completion.usage.completion_tokens
        why = f" (the server says: {completion.reason!r})" if completion.reason else ""
        return Failure("truncated", f"the judge's reply was cut short{f' after {spent} tokens' if spent else ''}{why}")
    return None


def spoken(text: str) -> str | Failure:
    """What a judge says aloud, in plain characters: without its thinking, and without the dialogue it goes on with."""
    text = unicodedata.normalize("NFKC", text).replace("\\[", "[").replace("\\]", "]")
    parted = thinking.part(text, anywhere=True)
    if not parted.ended:
        return Failure("unparsed", "the reply ends inside its thinking, without a verdict")
    text = parted.answer
    if "<" not in text and "[|" not in text:
        return text
    begin = 0
    for end in _END_OF_TURN.finditer(text):
        if head := text[begin : end.start()].strip():
            return head
        begin = end.end()  # a reply that begins with the end of the prompt
    return text[begin:]


def tag(completion: Completion, labels: VerdictLabels) -> Verdict | Failure:
    """The verdict in double square brackets that a reply announces; a failure where there is none, or more than one."""
    if failure := no_verdict(completion):
        return failure
    text = spoken(completion.text)
    if isinstance(text, Failure):
        return text
    prose, blocks, unclosed = without_code(text)
    lines = lines_of(prose, labels)
    announced, stated, remarks = _statements(lines, labels)
    if not (announced or stated or remarks):
        announced = _fenced(blocks[-1:] if text.rstrip().endswith("```") else [], unclosed, labels)
    found = announced or (stated | remarks if stated else set())
    if not found:
        return Failure("unparsed", f"no [[verdict]] in the reply: {excerpt(completion.text)!r}")
    if len(found) > 1:
        return Failure("unparsed", f"two different verdicts in the reply: {excerpt(completion.text)!r}")
    if (label := found.pop()) is None:
        return Failure("unparsed", f"not one of the verdicts {labels.allowed}: {excerpt(completion.text)!r}")
    return contradiction(*running(lines), label, labels) or labels.verdict(label)


class Line(NamedTuple):
    """A line of a reply; its verdict is the label in a tuple if the line announces one and says nothing else."""

    text: str
    bare: str
    verdict: tuple[str | None] | None


def lines_of(prose: str, labels: VerdictLabels) -> list[Line]:
    """The lines of a text without code."""
    return [Line(line, bare := line.strip(), _alone(bare, labels)) for line in prose.split("\n")]


def running(reply: Iterable[Line]) -> tuple[list[str], list[str]]:
    """Lines of running text, neither quoted nor verdicts of their own: before the first verdict, and after it.

    Lines that name verdicts, or are items of a list, count among the former: what leads up to a verdict is in them.
    """
    before: list[str] = []
    after: list[str] = []
    seen = False
    for line, bare, verdict in reply:
        if bare and verdict is None and not bare.startswith(">"):
            closing = seen and "[[" not in bare and _LIST_ITEM.match(bare) is None
            (after if closing else before).append(_SPEECH.sub(" ", line))
        seen = seen or verdict is not None or "[[" in bare
    return before, after


def contradiction(before: list[str], after: list[str], label: str, labels: VerdictLabels) -> Failure | None:
    """A failure where running text announces another verdict than the label: one of the two may be quoted."""
    for lines, follows in ((before, False), (after, True)):
        for said in announcements.in_prose(lines, after=follows):
            if _differs(said, label, labels):
                return Failure("unparsed", f"the verdict {label!r} stands beside the announcement of {said!r}")
    return None


def _differs(said: str, label: str, labels: VerdictLabels) -> bool:
    """Whether a verdict in running text is another one than a label; of two answers, whether it takes another side."""
    if isinstance(labels, Form) and (side := _side(said)) is not None:
        score = labels.scores[label]
        return side != (score > 0.5) - (score < 0.5)
    if isinstance(labels, RatingScale) and not said[0].isdigit():
        return False
    if isinstance(labels, RatingScale) and "/" in said and float(said.partition("/")[2]) != labels.upper:
        return False  # on another scale, as of a single aspect
    read = labels.label(said) or labels.label(said.partition(" ")[0])
    return read != label if read is not None else isinstance(labels, RatingScale)


def _side(said: str) -> int | None:
    """1 for the first answer, -1 for the second, 0 for neither; None where nothing is said of answers."""
    word = said.casefold().partition(" ")[0]
    if word in ("tie", "draw", "equal") or said == "C":
        return 0
    relation = re.fullmatch(r"([AB])(?:([<>=])[<>=]?([AB]))?", said)
    if relation is None:
        return None
    if relation[2] == "=":
        return 0
    return 1 if (relation[1] == "A") != (relation[2] == "<") else -1


Found = set[str | None]


def _statements(reply: Sequence[Line], labels: VerdictLabels) -> tuple[Found, Found, Found]:
    """Labels that lines of their own announce (with what contradicts them), that are stated, and that are remarked on.

    None stands for a verdict that is not allowed.
    """
    lines = [line for line in reply if line.bare]
    if len(lines) == 1 and lines[0].verdict and lines[0].bare.startswith(">"):  # all there is cannot be a quotation
        lines = [lines[0]._replace(bare=lines[0].bare.lstrip(" \t>"))]
    own: Found = set()
    introduced: Found = set()
    inline: Found = set()
    stated: Found = set()
    remarks: Found = set()
    lead = ""
    seen: dict[str, list[tuple[str | None, str]]] = {}
    for number, (_, bare, verdict) in enumerate(lines, 1):
        if bare.startswith(">"):
            continue
        item = _LIST_ITEM.match(bare) is not None and not bare.startswith("**")
        last = verdict is None and number == len(lines)
        announced = _in_last_quotes(bare, labels) if last else verdict
        if announced is not None and not item:
            quoted = lead.endswith(":") and _ANNOUNCING.isdisjoint(_WORDS.findall(lead.casefold()))
            (introduced if quoted else own).add(announced[0])
        elif "[[" in bare:
            if bare not in seen:
                seen[bare] = _mentioned(bare, labels)
            for label, kind in seen[bare]:
                {"announced": inline, "stated": stated, "remark": remarks}[kind].add(label)
        lead = bare[-_LEAST_LINE:]
    if own:
        return own | introduced | inline, stated, remarks
    return set(), stated | introduced | inline, remarks


def _fenced(last: Sequence[str], unclosed: str, labels: VerdictLabels) -> Found:
    """The label of a verdict that is fenced as a whole.

    Args:
        last: the block of code that the reply ends with, if it ends with one.
        unclosed: what follows a fence that never closes.
        labels: what the verdict may be.
    """
    for block in last:
        if (verdict := _alone(block.strip(), labels)) is not None:
            return {verdict[0]}
    ending = unclosed.rstrip().rpartition("\n")[2].strip()
    verdict = _alone(ending, labels)
    return {verdict[0]} if verdict is not None and set(_WORDS.findall(ending.casefold())) & _NOUNS else set()


def without_code(text: str) -> tuple[str, list[str], str]:
    """The text without fenced code; what each finished block holds; and what follows a fence that never closes."""
    if "```" not in text:
        return text, [], ""
    prose, blocks = [], []
    position, opened = 0, None
    for fence in _FENCE.finditer(text):
        if opened is None:
            prose.append(text[position : fence.start()])
            opened = fence
        else:
            blocks.append(text[opened.end() : fence.start()])
            position, opened = fence.start() + 3, None
    if opened is not None:
        return "\n".join(prose), blocks, text[opened.end() :]
    return "\n".join([*prose, text[position:]]), blocks, ""


def _alone(line: str, labels: VerdictLabels) -> tuple[str | None] | None:  # noqa: PLR0911
    """The label of a line that announces a verdict and says nothing else, in a tuple; None for any other line."""
    if len(line) > _LEAST_LINE:
        return None
    line = line.strip(_DECORATION)
    if "[[" not in line:
        return _fraction(line, labels)
    if (named := _NAMED.search(line)) is not None and isinstance(labels, RatingScale):
        return (labels.label(named[1]),) if named.span() == (0, len(line)) else None
    found = list(_STATEMENT.finditer(line))
    if len(found) != 1:
        return None if found else _fraction(line, labels)
    before = line[: found[0].start()].strip(_DECORATION).casefold()
    after = line[found[0].end() :].strip(_DECORATION)
    if after and not (isinstance(labels, RatingScale) and _OUT_OF.fullmatch(line[found[0].end() :].strip(" *_.`"))):
        return None
    if any(map(str.isdigit, before)):
        return None
    words = _WORDS.findall(before)
    if words and words[0] in _DENIALS:
        return (None,) if set(words[1:]) & _NOUNS else None
    if not _announces(words):
        return None
    label = labels.label(found[0][1])
    if label is None and not labels.attempted(found[0][1]) and not set(words) & _NOUNS and words:
        return None
    return (label,)


def _announces(words: list[str]) -> bool:
    """Whether these words can stand before a verdict and add nothing to it."""
    if not _BEFORE_A_VERDICT.issuperset(words):
        return False
    return all(words[number - 1 : number] == ["i"] for number, word in enumerate(words) if word in ("would", "will"))


def _fraction(line: str, labels: VerdictLabels) -> tuple[str | None] | None:
    """``Overall: 8.5/10``, where the line says that it is a rating."""
    if not isinstance(labels, RatingScale) or not ("/" in line or "out of" in line):
        return None
    match = _FRACTION.search(line)
    if match is None or float(match[2]) != labels.upper or line[match.end() :].strip(_DECORATION):
        return None
    words = _WORDS.findall(line[: match.start()].casefold())
    if not _announces(words) or _ANNOUNCING.isdisjoint(words) or re.search(r"\d", line[: match.start()]):
        return None
    return (labels.label(match[1]),)


def _in_last_quotes(line: str, labels: VerdictLabels) -> tuple[str | None] | None:
    """The label of a last line in which the judge quotes itself: ``I would rate it as follows: "Rating: [[9]]".``."""
    bare = line[-2 * _LEAST_LINE :].rstrip(" .*")
    if not bare.endswith(('"', "”", "`")):
        return None
    begin = max(bare.rfind(mark, 0, len(bare) - 1) for mark in ('"', "“", "`"))
    words = set(_WORDS.findall(re.split(r"[.!?] ", bare[: max(begin, 0)])[-1].casefold()))
    own = any(word.startswith(("rat", "verdict", "scor", "judg", "grad", "decid")) for word in words)
    return _alone(bare[begin + 1 : -1], labels) if begin >= 0 and own and not words & _QUOTING else None


def _mentioned(line: str, labels: VerdictLabels) -> list[tuple[str | None, str]]:
    """Every verdict in running text outside quotation marks, and whether it is announced, stated or remarked on."""
    line = _QUOTED.sub(lambda quoted: " " if _STATEMENT.search(quoted[0]) else quoted[0], line)
    found: list[tuple[str | None, str]] = []
    for match in _STATEMENT.finditer(line):
        if line[match.end() : match.end() + 1] in ("'", "’") or _is_index(line, match.start()):
            continue
        before = line[max(0, match.start() - 120) : match.start()]
        clause = re.split(r"[.!?;]\s", before)[-1]
        words = _WORDS.findall(clause.casefold())
        announced = bool(words) and bool(set(words[-4:]) & _NOUNS) and _announces(words[-2:])
        announced = announced and clause.rstrip(" *_`").endswith((":", "=", *words[-1:]))
        label = labels.label(match[1])
        if label is None and isinstance(labels, RatingScale) and (named := _NAMED.match(line, match.start())):
            label = labels.label(named[1])
        if label is None and not (announced or labels.attempted(match[1])):
            continue
        kind = "announced" if announced else "remark" if _REMARK.search(clause) else "stated"
        found.append((label, kind))
    return found


def _is_index(line: str, start: int) -> bool:
    """Whether brackets follow a name, as in ``df[[10]]``."""
    before = line[max(0, start - 30) : start]
    word = re.search(r"(?<![A-Za-z0-9_)\]])[A-Za-z0-9_)\]]++\Z", before)
    return word is not None and word[0].casefold() not in _NOUNS


def bare_label(completion: Completion, labels: VerdictLabels) -> Verdict | Failure:
    """A reply that is a label and nothing else, marked up or not: ``A``, ``**7**``, ``Verdict: B``."""
    if failure := no_verdict(completion):
        return failure
    text = spoken(completion.text)
    if isinstance(text, Failure):
        return text
    label = labels.label(text.strip(_DECORATION + "\n[]")) if len(text) <= _LEAST_LINE else None
    if label is None:
        return Failure("unparsed", f"the reply is none of {labels.allowed}: {excerpt(completion.text)!r}")
    return labels.verdict(label)


def expected(
    completion: Completion, scores: Mapping[str, float], least_mass: float, *, pair: bool
) -> Verdict | Failure:
    """The mean score under the judge's own distribution over the verdict token (G-Eval, Liu et al. 2023, section 2).

    Args:
        completion: a reply whose first token is the verdict, with log-probabilities.
        scores: by verdict token, the rating, or the first answer's score.
        least_mass: the share of probability these tokens must have; less, and the judge was not judging.
        pair: two answers are compared, and the second one's score is the rest of 1.
    """
    if completion.finish == "refusal":
        return no_verdict(completion) or Failure("refused", "the judge refused")
    if not completion.logprobs:
        remedy = "judge by text: protocol.scoring=text, or judge.NAME.protocols.PROTOCOL.scoring=text"
        return Failure("unparsed", f"the backend returned no log-probabilities; {remedy}")
    mass: dict[str, float] = {}
    for token, logprob in completion.logprobs[0].items():
        if (name := token.strip()) in scores and not isnan(logprob):
            mass[name] = mass.get(name, 0.0) + exp(min(logprob, 0.0))
    total = fsum(mass.values())
    if total < least_mass or total <= 0.0:
        top = max(completion.logprobs[0].items(), key=lambda both: both[1], default=("nothing", 0.0))[0]
        return Failure(
            "unparsed", f"only {total:.1%} of the probability is on a verdict (most likely: {excerpt(top)!r})"
        )
    mean = fsum(probability * scores[name] for name, probability in mass.items()) / total
    likeliest = [name for name in mass if mass[name] == max(mass.values())]
    if not pair:
        return Verdict((mean,), _number(scores[likeliest[0]]))
    mean = min(1.0, mean)
    return Verdict((mean, 1.0 - mean), likeliest[0] if len(likeliest) == 1 else "tie")


def excerpt(text: str, length: int = 80) -> str:
    """The end of a text on one line, for messages; that is where a verdict should have been."""
    line = " ".join(text.split())
    return line if len(line) <= length else "…" + line[-length:]
