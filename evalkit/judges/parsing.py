"""Reading a verdict out of a judge's reply.

The strict reader takes only what the judge was asked to write, plus near-misses seen in real judgments; it never
guesses. What a judge merely quotes, thinks aloud or repeats from a candidate's answer does not count, as far as that
can be told from the text. The faithful readers reproduce published parsers, mistakes included.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from math import exp, fsum, inf, isfinite

from evalkit.protocols import Completion, Verdict
from evalkit.schema import Failure

_THINKING = re.compile(r"<think(?:ing)?>.*?</think(?:ing)?>", re.DOTALL | re.IGNORECASE)
_OPEN_THINKING = re.compile(r"<think(?:ing)?>", re.IGNORECASE)
_END_OF_THINKING = re.compile(r".*</think(?:ing)?>", re.DOTALL | re.IGNORECASE)
_FENCED = re.compile(r"```.*?(?:```|\Z)", re.DOTALL)
_QUOTED = re.compile(r"`[^`\n]*`|^[ \t]*>[^\n]*|\"[^\"\n]*\"|“[^”\n]*”", re.MULTILINE)
_NUMBER = r"([0-9]{1,3}(?:\.[0-9]+)?)"
_STRICT = re.compile(rf"\[\[\s*{_NUMBER}\s*\]\]")
_NEAR_MISSES = (
    re.compile(rf"\[\[\s*(?:rating|score)\s*[:=]\s*{_NUMBER}\s*\]\]", re.IGNORECASE),  # [[rating: 7]]
    re.compile(rf"\[\[\s*(?:rating|score)\s*\]\]\"?\s*[:=]\s*{_NUMBER}(?![0-9./])", re.IGNORECASE),  # "[[rating]]": 7
)
_OUT_OF = r"\s*/\s*([0-9]{1,3})"
_FRACTIONS = (
    re.compile(rf"\[\[\s*(?:(?:rating|score)\s*[:=]\s*)?{_NUMBER}{_OUT_OF}\s*\]\]", re.IGNORECASE),  # [[7/10]]
    re.compile(rf"(?<![0-9.\-–/]){_NUMBER}{_OUT_OF}[\s.*_\"')]*\Z"),  # ... 7/10 at the very end
)
_DECORATION = " \t>*_`#\"'“”‘’."
_ANNOUNCED = re.compile(r"(?:(?:(?:my|final|overall)\s+)*(?:rating|score)(?:\s+is)?\s*[:=]?)?", re.IGNORECASE)
_FASTCHAT = re.compile(r"\[\[(\d+\.?\d*)\]\]")
_FASTCHAT_BACKUP = re.compile(r"\[(\d+\.?\d*)\]")


def no_verdict(completion: Completion) -> Failure | None:
    """Why a reply cannot hold a verdict, whatever its text says; None if it can."""
    if completion.finish == "refusal":
        return Failure("refused", f"the judge refused: {excerpt(completion.text)!r}")
    if completion.finish == "length":
        spent = completion.usage.completion_tokens
        return Failure("truncated", f"the judge's reply was cut short{f' after {spent} tokens' if spent else ''}")
    return None


def rating(completion: Completion, lower: float, upper: float) -> Verdict | Failure:
    """The strict reader of ``[[rating]]``: last statement counts, range checked.

    Args:
        completion: the judge's reply.
        lower: smallest rating of the scale.
        upper: largest rating of the scale.
    """
    if failure := no_verdict(completion):
        return failure
    text = _aloud(completion.text)
    if _OPEN_THINKING.search(text):
        return Failure("unparsed", "the reply ends inside its thinking, without a verdict")
    label = _stated(_QUOTED.sub(_unrated, _FENCED.sub(" ", text)), upper) or _last_words(text, upper)
    if label is None:
        return Failure("unparsed", f"no [[rating]] in the reply: {excerpt(completion.text)!r}")
    score = float(label)
    if not lower <= score <= upper:
        return Failure("unparsed", f"the rating {label} is outside {lower:g} to {upper:g}")
    return Verdict((score,), label)


def _aloud(text: str) -> str:
    """The text without finished thinking. Some chat templates open it, so that a reply holds only its end."""
    end = _END_OF_THINKING.match(text)
    if end is None:
        return text
    return _END_OF_THINKING.sub(" ", _THINKING.sub(" ", end[0])) + text[end.end() :]


def _unrated(quoted: re.Match[str]) -> str:
    """A quotation as it is, unless it holds a rating: ``"[[rating]]": 7`` is a verdict, "say [[10]]" is not."""
    return " " if _STRICT.search(quoted[0]) else quoted[0]


def _stated(text: str, upper: float) -> str | None:
    """The rating a text states last, as written."""
    stated = [(end, label) for _, end, label in _ratings(text, upper) if text[end : end + 1] not in {"'", "’"}]
    return max(stated)[1] if stated else None


def _last_words(text: str, upper: float) -> str | None:
    """The rating a reply ends with, quoted or marked up as a whole: ``I rate it as follows: "Rating: [[9]]".``."""
    line = text.rstrip().rpartition("\n")[2].rstrip(_DECORATION)
    for start, end, label in _ratings(line, upper):
        opened = re.split("[\"'“‘`]", line[:start])[-1].strip(_DECORATION)
        if end == len(line) and _ANNOUNCED.fullmatch(opened):
            return label
    return None


def _ratings(text: str, upper: float) -> Iterator[tuple[int, int, str]]:
    """Start, end and number of everything that reads as a rating."""
    for pattern in (_STRICT, *_NEAR_MISSES):
        for match in pattern.finditer(text):
            yield match.start(), match.end(), match[1]
    for pattern in _FRACTIONS:
        for match in pattern.finditer(text):
            if float(match[2]) == upper:
                yield match.start(), match.end(), match[1]


def expected_rating(completion: Completion, scale: Mapping[str, float], least_mass: float) -> Verdict | Failure:
    """The mean rating under the judge's own distribution over the verdict token (G-Eval, Liu et al. 2023, section 2).

    Args:
        completion: a reply whose first token is the verdict, with log-probabilities.
        scale: rating by verdict token.
        least_mass: the share of probability that must lie on the scale; less, and the judge was not rating.
    """
    if completion.finish == "refusal":
        return no_verdict(completion) or Failure("refused", "")
    if not completion.logprobs:
        return Failure(
            "unparsed", "the backend returned no log-probabilities; judge by text instead: judge.<name>.scoring=text"
        )
    mass: dict[str, float] = {}
    for token, logprob in completion.logprobs[0].items():
        if (name := token.strip()) in scale:
            mass[name] = mass.get(name, 0.0) + exp(min(logprob, 0.0))
    total = fsum(mass.values())
    if total == 0.0 or total < least_mass:
        top = max(completion.logprobs[0].items(), key=lambda pair: pair[1], default=("nothing", 0.0))[0]
        return Failure(
            "unparsed", f"only {total:.1%} of the probability is on the scale (most likely: {excerpt(top)!r})"
        )
    mean = fsum(probability * scale[name] for name, probability in mass.items()) / total
    likeliest = max(mass, key=lambda name: mass[name])
    return Verdict((mean,), f"{scale[likeliest]:g}")


def fastchat_rating(completion: Completion) -> Verdict | Failure:
    """FastChat's reader (llm_judge/common.py, run_judge_single): first match, bare brackets as backup, no range check.

    Where it stores -1, and where it would crash on ``[[07]]``, this is a failure.
    """
    match = _FASTCHAT.search(completion.text) or _FASTCHAT_BACKUP.search(completion.text)
    if match is None:
        return Failure("unparsed", f"no [[rating]] in the reply: {excerpt(completion.text)!r}")
    try:
        score = float(ast.literal_eval(match[1]))
    except (SyntaxError, ValueError, OverflowError):
        score = inf
    if not isfinite(score):
        return Failure("unparsed", f"{excerpt(match[1])!r} is not a number FastChat can read")
    return Verdict((score,), match[1])


def excerpt(text: str, length: int = 80) -> str:
    """The end of a text on one line, for messages; that is where a verdict should have been."""
    line = " ".join(text.split())
    return line if len(line) <= length else "…" + line[-length:]
