"""The prompt that a judge was sent, made again from its protocol: it is not stored.

A prompt counts as exact when it leads to the very key that the judgment has, which is a hash of the judge model, the
prompt and what was shown. Otherwise it is said to be what the protocol would ask now. Only protocols that ship with
evalkit are built; nothing that results hold ever is, and nothing is downloaded.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from evalkit.core.paths import shipped
from evalkit.core.protocols import Case, JudgeProtocol, Message, Request, Sampling, UsageError
from evalkit.core.schema import Item, Judgment, Response, digest
from evalkit.datasets.artifacts import cached
from evalkit.settings import members
from evalkit.settings.targets import build
from evalkit.storage.run_records import run_records

NOT_IDENTITY: Final = ("fingerprint", "protocol", "parser", "prompts", "references")
"""What a manifest says of a judge beside its model."""


@dataclass(frozen=True)
class RebuiltPrompt:
    """What a judge was sent, or would be."""

    messages: tuple[Message, ...]
    sure: Literal["exact", "same protocol", "now"]

    @property
    def sentence(self) -> str:
        """How far this is what was sent."""
        return {
            "exact": "This is what was sent: it gives the key that is stored.",
            "same protocol": "The protocol is the one that was used, word for word; the judge's settings or the "
            "question have changed since, or cannot be told.",
            "now": "This is how the protocol asks now; whether it asked so then is not known.",
        }[self.sure]


@dataclass(frozen=True)
class PromptRebuilder:
    """Makes prompts again.

    Args:
        paths: results, for what runs recorded of their judges.
    """

    paths: tuple[Path, ...]
    _found: dict[str, list[JudgeProtocol]] = field(default_factory=dict)

    @cached_property
    def judges(self) -> dict[str, Mapping[str, Any]]:
        """What runs recorded of each judge, by fingerprint."""
        return {str(said.get("fingerprint")): said for run in run_records(self.paths) for said in run.judges.values()}

    def prompt(self, row: Judgment, item: Item, shown: Iterable[Response]) -> RebuiltPrompt | None:
        """The prompt of a judgment; None where its protocol cannot be had here."""
        said = self.judges.get(row.judge.fingerprint)
        answers = tuple(shown)
        best: RebuiltPrompt | None = None
        for protocol in self.protocols(row.protocol):
            try:
                case = Case(item, row.turn, answers, row.repeat)
                request = protocol.request(case)
            except (UsageError, IndexError, KeyError):  # the question is another one now
                continue
            if said is None:
                best = best or RebuiltPrompt(request.messages, "now")
                continue
            full = _as_sent(request, said)
            if row.key == _key(full, said, protocol.name, case):
                return RebuiltPrompt(full.messages, "exact")
            same = said.get("prompts") == digest(protocol.identity())
            if same or best is None:
                best = RebuiltPrompt(full.messages, "same protocol" if same else "now")
        return best

    def protocols(self, name: str) -> list[JudgeProtocol]:
        """Every form in which a shipped protocol of that name can ask, as judges that ship set it."""
        if name not in self._found:
            self._found[name] = [protocol for protocol in _shipped(name)]
        return self._found[name]


def _shipped(name: str) -> Iterator[JudgeProtocol]:
    overrides: list[dict[str, Any]] = [{}]
    for file in sorted((shipped("conf") / "judge").glob("*.yaml")):
        for node in members.read(file).values():
            own = node.get("protocols", {}).get(name) if isinstance(node, dict) else None
            if isinstance(own, dict):
                overrides.append(own)
    for file in sorted((shipped("conf") / "protocol").glob("*.yaml")):
        fields = _with_files(members.read(file))
        if fields is None:
            continue
        for own in overrides:
            try:
                protocol = build({**fields, **own}, f"protocol {file.stem}", JudgeProtocol)
            except UsageError:
                continue
            if protocol.name == name:
                yield protocol


def _with_files(node: Mapping[str, Any]) -> dict[str, Any] | None:
    """A protocol's fields with the text of pinned files; None where one is not on this machine."""
    fields = dict(node)
    for key, value in node.items():
        if isinstance(value, dict) and set(value) == {"artifact"}:
            path = cached(str(value["artifact"]))
            if path is None:
                return None
            fields[key] = path.read_text(encoding="utf-8")
        elif isinstance(value, dict) and set(value) == {"path"}:
            return None
    return fields


def _as_sent(request: Request, said: Mapping[str, Any]) -> Request:
    """A request with what the judge model adds to it."""
    messages = request.messages
    if system := said.get("system_prompt"):
        messages = (Message("system", str(system)), *messages)
    own = msgspec.convert(said.get("sampling", {}), Sampling)
    sampling = request.sampling.over(own).without(tuple(said.get("unsupported", ())))
    return msgspec.structs.replace(request, messages=messages, sampling=sampling)


def _key(request: Request, said: Mapping[str, Any], protocol: str, case: Case) -> str:
    """The key that this prompt leads to."""
    identity = {name: value for name, value in said.items() if name not in NOT_IDENTITY}
    shown = [(response.model.name, text) for response, text in zip(case.shown, case.shown_ids, strict=True)]
    return digest(digest(identity, protocol), request, shown, case.repeat)
