"""What a person types as ``key=value`` -> what Hydra's grammar takes.

Several models, judges and the like are separated by commas, without brackets that shells would expand; ids stand for
members that no YAML file describes; a member's setting may hold a name that is no word of that grammar.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from evalkit.core.protocols import UsageError
from evalkit.settings import ids

LISTS = frozenset({"ask_again", "unsupported", "trained_on"})
"""Last parts of the keys whose values are lists; one value will do for a list of one."""
TEXTS = frozenset({"system_prompt", "system", "task", "about_reference", "prefill", "description"})
"""Last parts of the keys whose values are text for people or models, commas included."""
SEVERAL = LISTS | {"probes", "base_url"}
"""Of those that take several values, whatever one value means."""

_STRUCTURED = ("[", "{", "'", '"', "$")
_WORD = re.compile(r"[\w./:@+-]*", re.ASCII)


def quoted(text: str) -> str:
    """A text as Hydra's grammar takes it; a plain word is left as it is, and is a number where it looks like one."""
    return text if re.fullmatch(r"[\w./~-]+", text, re.ASCII) else literal(text)


def literal(text: str) -> str:
    """A text between quotation marks, which Hydra's grammar takes for nothing else."""
    escaped = re.sub(r"(?<!\\)(\\*+)'", lambda match: match[1] * 2 + "\\'", text)
    escaped = re.sub(r"(?<!\\)\\++$", lambda match: match[0] * 2, escaped)
    return f"'{escaped}'"


def parts(value: str) -> list[str] | None:
    """A value split at its outermost commas; None if its brackets or quotation marks do not match."""
    found, begin, depth, mark = [], 0, 0, ""
    for place, letter in enumerate(value):
        if mark:
            mark = "" if letter == mark and value[place - 1] != "\\" else mark
        elif letter in "'\"" and not value[begin:place].strip(" ["):
            mark = letter
        elif letter in "[{(":
            depth += 1
        elif letter in "]})":
            depth -= 1
            if depth < 0:
                return None
        elif letter == "," and not depth:
            found.append(value[begin:place].strip())
            begin = place + 1
    return None if depth or mark else [*found, value[begin:].strip()]


class MemberNames:
    """The models and judges of a command line, by the names they go by, and the overrides that choose them.

    Args:
        overrides: ``key=value`` settings, as typed.
        folder: of the user's own YAML, which wins over ids.
        sweeping: several values are several jobs.

    Raises:
        UsageError: an id is incomplete, or two members of one run would go by one name.
    """

    def __init__(self, overrides: Iterable[str], folder: Path | None, *, sweeping: bool) -> None:
        self._folder = folder
        self._sweeping = sweeping
        self._names: dict[str, dict[str, str]] = {group: {} for group in ids.GROUPS}
        """By group: name by what a setting may call it."""
        self.overrides = [self._chosen(override) for override in overrides]

    def _chosen(self, override: str) -> str:
        """A choice of members in Hydra's words; any other override as it is."""
        group, written, value = override.partition("=")
        listed = parts(value) if written and group in ids.GROUPS and "(" not in value else None
        if written and group in ids.GROUPS and not value.strip("'\" "):
            raise UsageError(f"no {group} chosen; give {group}=NAME or {group}=NAME,NAME; see `evalkit list {group}s`")
        if listed is None or value == "null":
            return override
        jobs = [self._run(group, one, override) for one in (listed if self._sweeping else [",".join(listed)])]
        return f"{group}={','.join(jobs)}"

    def _run(self, group: str, value: str, override: str) -> str:
        """The members of one run: ``a``, ``[a,b]`` or ``a,b``."""
        inner = [part[1:-1] if part.startswith("[") and part.endswith("]") else part for part in parts(value) or ()]
        listed = [name for part in inner for name in parts(part) or () if name]
        names: dict[str, str] = {}
        chosen = []
        for text in (name[1:-1] if name[:1] in ("'", '"') and name[-1:] == name[:1] else name for name in listed):
            found = None if self._has(group, text) else ids.member(text, group)
            name = found.name if found else text
            if names.get(name) == text:
                raise UsageError(f"{override}: {text!r} is named twice; name each {group} once")
            if name in names:
                raise UsageError(
                    f"{names[name]!r} and {text!r} would both be called {name!r}; give one a name of its own: "
                    f"{group}={names[name]},OTHER@{text if found else names[name]}"
                )
            names[name] = text
            called = {name, text, found.last} if found else {name}
            self._names[group].update(dict.fromkeys(called, name))
            chosen.append(ids.packed(text) if found else quoted(text))
        return chosen[0] if len(chosen) == 1 and "[" not in value else f"[{','.join(chosen)}]"

    def _has(self, group: str, name: str) -> bool:
        """Whether a YAML file of the user's own has this name, which may look like an id."""
        return self._folder is not None and (self._folder / group / f"{name}.yaml").is_file()

    def key(self, key: str, fields: Mapping[str, Iterable[str]]) -> str:
        """A key as Hydra takes it, where it is of one member whose name may hold dots.

        Args:
            key: without ``+`` and the like.
            fields: of a member, by group.
        """
        group, _, rest = key.partition(".")
        if group not in ids.GROUPS:
            return key
        for called in sorted(self._names[group], key=len, reverse=True):
            if rest.startswith(f"{called}."):
                return f"{group}.{ids.key(self._names[group][called])}.{rest[len(called) + 1 :]}"
        words = rest.split(".")
        place = next((place for place, word in enumerate(words) if place and word in fields[group]), 1)
        if words[0] in fields[group] or len(words) <= place:  # of all members at once; or of none
            return key
        return f"{group}.{ids.key('.'.join(words[:place]))}.{'.'.join(words[place:])}"


def value_of(key: str, value: str, *, sweeping: bool) -> str:
    """A value with the brackets or quotation marks that its key calls for, and that nobody likes to type."""
    last = key.rpartition(".")[2]
    if sweeping or value.startswith(_STRUCTURED) or value in ("", "null", "all"):
        return value
    several = "," in value
    if last in TEXTS and several:
        return quoted(value)
    if last in LISTS or (last in SEVERAL and several):
        return f"[{','.join(quoted(part) if not _WORD.fullmatch(part) else part for part in parts(value) or [value])}]"
    return value


def budget(value: str) -> str:
    """The US dollars of ``budget=``.

    Raises:
        UsageError: the shell took ``$5`` for a variable, or there is a unit.
    """
    bare = value.strip("'\" ")
    if re.fullmatch(r"\$\s*[\d.]+|[\d.]+\s*(?:\$|usd|dollars?|eur|€)", bare, re.IGNORECASE) or not bare:
        number = (re.search(r"\d[\d.]*", bare) or ["5"])[0]
        why = "; a shell takes $5 for a variable of its own" if not bare else ""
        raise UsageError(f"budget={value}: write a number of US dollars without a sign, as in budget={number}{why}")
    return value


def structured(value: str) -> bool:
    """Whether a value is written in a form of Hydra's, so that it is not plain text."""
    return value.startswith(_STRUCTURED) or bool(re.match(r"\w+\(", value))


def words(values: Sequence[str]) -> str:
    """Several keys as a person would list them."""
    return " and ".join(filter(None, [", ".join(values[:-1]), values[-1]]))
