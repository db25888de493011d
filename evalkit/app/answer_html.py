"""Answers as HTML that can do nothing: Markdown is rendered without raw HTML, links or images, then sanitised.

Whatever steers a terminal or reorders text is shown by its code point. Formulas are shown as they were written.
"""

from __future__ import annotations

import itertools
import re
import unicodedata
from functools import cache
from html import unescape
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.rules_inline import StateInline
    from markupsafe import Markup

LONGEST: Final = 40_000
"""Characters of an answer that are rendered; a longer one is shown as it was written."""
TAGS: Final = frozenset(
    (
        *("p", "br", "hr", "h1", "h2", "h3", "h4", "h5", "h6", "em", "strong", "s", "code", "pre", "blockquote"),
        *("ul", "ol", "li", "table", "thead", "tbody", "tr", "th", "td"),
    )
)
KEPT: Final = frozenset("\n\t\u200d\u200c")
"""Controls that text needs: breaks, and the joiners of emoji and of scripts that use them."""
_MATH: Final = (("$$", "$$"), ("\\[", "\\]"), ("\\(", "\\)"), ("$", "$"))


def visible(text: str) -> str:
    """The text with every character that steers, hides or reorders shown by its code point, as in ``⟨U+202E⟩``."""
    if text.isascii() and text.replace("\n", "").replace("\t", "").isprintable():
        return text
    return _hidden().sub(lambda found: f"⟨U+{ord(found[0]):04X}⟩", text.replace("\r\n", "\n"))


_HIDDEN: Final = frozenset(("Cc", "Cf", "Cs", "Zl", "Zp", "Co"))
"""Categories of characters that are not to be seen as they are."""


@cache
def _hidden() -> re.Pattern[str]:
    """One such character. A pattern, as answers of a megabyte take seconds one character after another."""
    read = itertools.chain(range(0x20000), range(0xE0000, 0xE1000))  # between are ideographs, or nothing yet
    hidden = [code for code in read if unicodedata.category(chr(code)) in _HIDDEN and chr(code) not in KEPT]
    begins = [code for before, code in itertools.pairwise([-2, *hidden]) if code != before + 1]
    ends = [code for code, after in itertools.pairwise([*hidden, -2]) if after != code + 1]
    ranges = "".join(f"\\U{begin:08x}-\\U{end:08x}" for begin, end in zip(begins, ends, strict=True))
    return re.compile(rf"[{ranges}\U000f0000-\U0010ffff]")  # the last two planes are of private use


def rendered(text: str) -> Markup:
    """An answer as HTML: what Markdown says of emphasis, lists, code and tables, and nothing that acts."""
    import nh3
    from markupsafe import Markup

    shown = visible(text)
    if len(shown) > LONGEST:
        return as_written(shown)
    html = nh3.clean(_markdown().render(shown), tags=set(TAGS), attributes={"ol": {"start"}}, url_schemes=set[str]())
    if not _words(_FENCE.sub("", shown)) <= _words(unescape(_TAG.sub(" ", html))):
        return as_written(shown)  # nested deeper than is rendered: nothing may be hidden so
    return Markup(_reached_by_keys(_without_headings(html)))


def as_written(text: str) -> Markup:
    """A text without Markdown, its controls visible."""
    from markupsafe import Markup, escape

    return Markup('<p class="plain">{}</p>').format(escape(visible(text)))


_TAG: Final = re.compile(r"<[^<>]*>")
_FENCE: Final = re.compile(r"^[ >]*(```|~~~).*$", re.MULTILINE)


def _words(text: str) -> set[str]:
    return set(re.findall(r"[^\W\d_]{2,}", text))


def _without_headings(html: str) -> str:
    """Headings of an answer as paragraphs in bold: the page's own outline is its questions and judges."""
    return re.sub(r"</h[1-6]>", "</strong></p>", re.sub(r"<h[1-6]>", "<p><strong>", html))


def _reached_by_keys(html: str) -> str:
    """Code and tables, which may be wider than the page, so that keys can scroll them."""
    return re.sub(r"<(pre|table)>", r'<\1 tabindex="0">', html)


@cache
def _markdown() -> MarkdownIt:
    from markdown_it import MarkdownIt

    markdown = MarkdownIt("commonmark", {"html": False, "linkify": False}).enable(["table", "strikethrough"])
    # What an answer links to is read, not followed: it stays as it was written.
    markdown.disable(["link", "image", "autolink", "reference", "html_inline", "html_block", "entity"])
    markdown.inline.ruler.before("escape", "math", _math)
    return markdown


def _math(state: StateInline, silent: bool) -> bool:
    """Formulas, up to their closing mark, as text that Markdown does not read."""
    text, at = state.src, state.pos
    if text[at] not in "$\\":
        return False
    for begin, end in _MATH:
        if not text.startswith(begin, at):
            continue
        if begin == "$" and not _is_formula(text, at):
            continue
        close = _closing(state, end, at + len(begin))
        if close < 0:
            continue
        if not silent:
            token = state.push("code_inline", "code", 0)
            token.content = text[at : close + len(end)]
            token.markup = begin
        state.pos = close + len(end)
        return True
    return False


def _is_formula(text: str, at: int) -> bool:
    """Whether a single dollar begins a formula, and not an amount."""
    return at + 1 < len(text) and not text[at + 1].isspace() and not text[at + 1].isdigit()


def _closing(state: StateInline, end: str, start: int) -> int:
    """Where the closing mark is; -1 if nowhere. That there is none behind a place is known from then on."""
    none_from: dict[str, int] = state.env.setdefault("no_closing", {})
    key = f"{end} {hash(state.src)}"
    if start >= none_from.get(key, len(state.src) + 1):
        return -1
    found = state.src.find(end, start, state.posMax)
    if found < 0:
        none_from[key] = start
    return found
