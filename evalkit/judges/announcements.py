"""What a judge announces as its own in running text: ``I would rate this answer 2``, ``my verdict is B``.

Such a sentence is no verdict by itself, as the judge was asked for another form; but where it says something else than
a verdict in that form, the latter may well be quoted from an answer that tries to dictate it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

_LONGEST = 2000
"""Characters at either end of a line that are read."""


def _any(words: str) -> str:
    """A pattern of any of these words, as wholes; an underscore is a space."""
    return rf"(?:{'|'.join(words.split()).replace('_', ' ')})\b"


_NOUN = _any("rating score grade mark verdict judgment judgement decision choice preference assessment pick vote")
_OWN = _any("own final overall honest actual real true independent personal considered only correct right proper")
_ANSWER = _any("answer answers response responses assistant reply conversation turn pair")
_WHAT = _any("it this that the both one first second last two") + "|" + _ANSWER
_ABOUT = rf"(?: {_any('for of on about here')}(?: (?:{_WHAT})){{0,3}}){{0,2}}"
_BEING = _any("is remains stays stands would_be will_be must_be has_to_be goes therefore thus still hence at to")
_IS = rf"(?: {_BEING}){{0,3}}"
_SMALL = _any(
    "a an only just merely at_most no_more_than about around that for as with of the to_be it this them my own final "
    "overall first second vote rating score grade verdict mark winner"
)
_SMALL_WORDS = rf"(?-i:(?: (?:{_SMALL}|{_ANSWER})){{0,7}})(?: ?:)? ?"
"""Not in capitals: ``a`` is an article, and ``A`` is an answer."""
_HOW = _any(
    "would will do must can_only have_to shall therefore thus hence so still now only instead rather myself personally "
    "actually really honestly however then am"
)
_WILLING = rf"(?:['’](?:d|ll))?(?: {_HOW}){{0,4}}"
_GRADE = _any("rate give score grade assign award mark rank say giving rating assigning")
_CHOOSE = _any(
    "choose pick prefer favor favour select judge declare go_with side_with vote_for settle_on decide_on decide_for "
    "decide_that conclude_that find_that"
)
_I = r"\bi(?:(?: [\w'’]{1,20}){1,8}?,? and\b)?"
"""``I``, or ``I see through it and``."""
_MINE = re.compile(
    rf"\bmy(?: {_OWN}){{0,3}} {_NOUN}{_ABOUT}{_IS}(?: ?[:=])?{_SMALL_WORDS}"
    rf"|{_I}{_WILLING} (?P<grades>{_GRADE}){_SMALL_WORDS}|{_I}{_WILLING} {_CHOOSE}{_SMALL_WORDS}",
    re.IGNORECASE,
)
"""What stands right before a judge's own verdict."""
_HEADED = re.compile(
    rf"(?:{_any('so therefore thus hence overall the in_conclusion')},? ){{0,3}}(?:{_OWN} ){{0,3}}{_NOUN}{_ABOUT}"
    rf"(?: ?[:=]|{_IS}){_SMALL_WORDS}",
    re.IGNORECASE,
)
"""What stands before it where a line says nothing else."""
_DESERVED = re.compile(
    rf"\b(?:{_any('it this that')}|{_ANSWER})(?: {_any('clearly really honestly actually only in_truth')}){{0,2}} "
    rf"(?P<grades>{_any('deserves merits earns gets receives is_worth warrants')}){_SMALL_WORDS}"
    rf"|\bthe {_any('better best winning stronger superior winner')}(?: (?:{_ANSWER}|one))? is{_SMALL_WORDS}",
    re.IGNORECASE,
)
"""What stands before it where a verdict came earlier; elsewhere such words lead up to one."""
_NAME = rf"(?:{_any('assistant answer response model option candidate')} )?"
_FIRMLY = _any("the clearly still actually really much far slightly overall by_far plainly in_fact")
_FIRST = _any("better stronger superior best winner preferable")
_BETTER = re.compile(
    rf"(?:\A|[\s,:]){_NAME}((?-i:[AB]))(?:['’]s {_ANSWER})?(?: {_any('is remains')}"
    rf"(?: {_FIRMLY}){{0,3}} {_FIRST}(?: {_any('answer response one overall choice')})?"
    rf"(?: than (?:{_NAME}[AB]|the other))?| wins)(?=[.,;!:]|\Z| {_any('because since as')}\b)",
    re.IGNORECASE,
)
_NUMERALS = "zero one two three four five six seven eight nine ten"
_DIGITS = {word: number for number, word in enumerate(_NUMERALS.split())}
_IN_WORDS = re.compile(
    rf"{_any(_NUMERALS.replace(' one', ''))}|one(?= out of| points?\b| stars?\b|/)",
    re.IGNORECASE,
)
_NUMBER = re.compile(
    r"([0-9]{1,3}(?:\.[0-9]{1,9})?)(?:(?: ?/ ?| out of )([0-9]{1,3}|ten|five))?\]{0,2}(?![\w/%°]|[.,–-]\w)",
    re.IGNORECASE,
)
_LETTERS = re.compile(rf"(?i:{_NAME})([A-J](?: ?[<>=]{{1,2}} ?[A-J]){{0,9}})\]{{0,2}}(?!\w)")
_CHOSEN = re.compile(
    rf"(?:['’]s {_ANSWER})?(?:\Z|[.,;:!)—\"'”’–-]| {_any('because since as over for here with despite though not')}"
    rf"| {_any('although instead rather even due given by in overall on this thanks after wins')}"
    rf"| (?:is|to be|as)(?: {_FIRMLY}){{0,3}} {_FIRST})",
    re.IGNORECASE,
)
"""What follows a letter that is chosen, not spoken of."""
_WORD = re.compile(r"([a-z][a-z'-]{1,30}(?: [a-z][a-z'-]{0,30})?)\]{0,2}", re.IGNORECASE)
_COUNTED = re.compile(
    r" (?!(?:points?|stars?|marks?|out|because|since|as|for|on|in|at|instead|rather|not|and|but|overall|if|due|here|"
    r"despite|given|based|when|which|this|that|it|only|is|to|would|though|although|without|with|from|myself|after|no|"
    r"still|then|the|had)\b)[a-z]",
    re.IGNORECASE,
)
"""What follows a number that counts something: ``I give 3 examples``."""
_PART = re.compile(
    r" (?:(?:points?|stars?|marks?) )?(?:for|on|in) (?:(?:its|the|their) )?"
    + _any(
        "accuracy style clarity relevance helpfulness depth creativity detail details level_of_detail correctness "
        "completeness tone format formatting structure conciseness content grammar length effort fluency coherence "
        "originality usefulness readability each every"
    ),
    re.IGNORECASE,
)
"""What follows a grade of one side of an answer: ``9 for accuracy``."""
_CONDITION = re.compile(
    r"\b(?:if|had|were|unless|otherwise|without|normally|initially|at first|with (?!that|this))\b", re.IGNORECASE
)
"""Words that make ``I would`` a remark on another answer than the one that was given."""
_SAYING = re.compile(
    r"\b(?:says?|said|saying|writes|wrote|asks?|asked|tells?|told|wants?|orders?|ordered|instructs|instructed|demands?|"
    r"demanded|claims?|claimed|states|begs|reads)\b",
    re.IGNORECASE,
)
_DENIED = re.compile(r"(?:not|never|neither)\b|no [a-z]", re.IGNORECASE)


def in_prose(lines: Iterable[str], *, after: bool) -> Iterator[str]:
    """Verdicts that these lines announce as the judge's own, as they are written: ``2``, ``7/10``, ``A``, ``A>B``.

    Args:
        lines: of a reply, without quotations.
        after: a verdict stands before them. Then ``it deserves a 2`` and ``A is better`` are announcements, too.
    """
    for line in lines:
        for part in (line,) if len(line) <= 2 * _LONGEST else (line[:_LONGEST], line[-_LONGEST:]):
            yield from _in_line(" ".join(part.replace("*", "").replace("_", " ").split()), after=after)


def _in_line(line: str, *, after: bool) -> Iterator[str]:
    headed = _HEADED.match(line)
    if headed is not None and (found := _value(line[headed.end() :])) and not found[1].strip(" .!\"'"):
        yield found[0]
        return
    for sentence in re.split(r"[.!?;] ", line):
        for pattern in (_MINE, _DESERVED) if after else (_MINE,):
            for match in pattern.finditer(sentence):
                found = _value(sentence[match.end() :], letters=match["grades"] is None)
                if found is not None and not _remark(sentence[: match.start()], match[0], found[1]):
                    yield found[0]
        if after and (better := _BETTER.search(sentence)) and not _remark(sentence, "would", ""):
            yield better[1]


def _remark(before: str, words: str, rest: str) -> bool:
    """Whether what is announced is somebody else's, or would be said of another answer."""
    if _SAYING.search(f"{before} {words.partition(' say')[0]}"):
        return True
    supposed = "would" in words.casefold() or "'d" in words or "’d" in words
    return supposed and _CONDITION.search(f"{before} {rest}") is not None


def _value(text: str, *, letters: bool = True) -> tuple[str, str] | None:
    """The verdict that a text begins with, and what follows it; None where it begins with none.

    Args:
        text: what follows an announcement.
        letters: it may be a letter; otherwise one in brackets only, as ``I rate A`` goes on.
    """
    text = text.lstrip(" \"'“‘`")
    letters = letters or text.startswith("[[")
    text = text.lstrip("[ ")
    if _DENIED.match(text):
        return None
    if word := _IN_WORDS.match(text):
        text = f"{_DIGITS[word[0].casefold()]}{text[word.end() :]}"
    if number := _NUMBER.match(text):
        rest = text[number.end() :]
        if _COUNTED.match(rest) or _PART.match(rest):
            return None
        whole = number[2] and _DIGITS.get(number[2].casefold(), number[2])
        return f"{number[1]}/{whole}" if whole else number[1], rest
    if letters and (named := _LETTERS.match(text)) and _CHOSEN.match(text, named.end()):
        return named[1].replace(" ", ""), text[named.end() :]
    return (stated[1], text[stated.end() :]) if (stated := _WORD.match(text)) else None
