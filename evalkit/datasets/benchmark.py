"""benchmark.yaml -> Items.

A benchmark is one folder: ``benchmark.yaml`` and, where the questions are our own, a JSONL file. The YAML says where
the questions come from, which of their fields mean what, how answers are drawn and which references a judge is shown.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from evalkit.core.paths import shipped
from evalkit.core.protocols import UsageError
from evalkit.core.refusal import EXPECTED, HARM, Expected
from evalkit.core.schema import Item, digest
from evalkit.datasets.artifacts import cached, fetch
from evalkit.datasets.data_files import columns, first, records, stem
from evalkit.datasets.question_fields import Fields, QuestionFields, assumption, find, reach


class Questions(Struct, frozen=True, forbid_unknown_fields=True):
    """Where the questions are: a pinned artifact, a JSONL file beside benchmark.yaml, or neither: the user says."""

    fields: Fields = Fields()
    artifact: str | None = None
    artifacts: Mapping[str, str] = {}
    """Several pinned files, by the category of their questions, in place of one."""
    path: str | None = None
    found: QuestionFields | None = None
    """The fields of a user's own file, found in it; what is named in ``fields`` otherwise."""


class Generation(Struct, frozen=True, forbid_unknown_fields=True):
    """How answers are drawn, unless a model says otherwise."""

    max_tokens: int
    """New tokens per turn."""
    temperature: float | Mapping[str, float] | None = None
    """One value, or one for each category; None leaves it to the model."""

    def temperature_of(self, category: str) -> float | None:
        """The temperature for a category."""
        if isinstance(self.temperature, Mapping):
            return self.temperature.get(category)
        return self.temperature


class ReferenceSet(Struct, frozen=True, forbid_unknown_fields=True):
    """One set of reference answers: the questions' own, or a FastChat reference_answer file."""

    artifact: str | None = None
    fallback: str | None = None
    """The set that fills in where this one has no text for a turn."""
    wrong: tuple[str, ...] = ()
    """Ids of items whose reference in this set is known to be wrong."""


class References(Struct, frozen=True, forbid_unknown_fields=True):
    """Which reference answers a judge is shown."""

    default: str
    sets: Mapping[str, ReferenceSet]
    categories: tuple[str, ...] = ()
    """Only items of these categories show a reference; empty: all that have one."""


class Published(Struct, frozen=True, forbid_unknown_fields=True):
    """Answers that were published with the benchmark, so that its baselines need not be asked again."""

    format: str
    """A format of evalkit/interop."""
    answers: Mapping[str, str]
    """Artifact by model."""


class Spec(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The contents of one benchmark.yaml."""

    name: str
    title: str
    description: str
    source: str
    licence: str
    questions: Questions
    categories: tuple[str, ...] = ()
    """In the order tables show them; empty: whatever the questions have."""
    protocol: str
    """The default judge protocol, a file of conf/protocol/."""
    generation: Generation
    baseline: str | Mapping[str, str] | None = None
    """The model a pairwise judge compares all others with, one or by category; None: all pairs meet."""
    published: Published | None = None
    faithful: Mapping[str, str] = {}
    """The settings that reproduce the published numbers; chosen all together by ``protocol=faithful``."""
    references: References | None = None
    expected: Expected | None = None
    """What all its prompts call for, where their fields do not say."""
    language: str | None = None
    """Of its questions, which answers should be in: an ISO 639-1 code."""
    harm: Mapping[str, str] = {}
    """Harm category by category, where prompts to be answered and to be declined have different ones."""
    repeated: bool = False
    """Whether its file holds questions without an id several times; each is asked once."""

    @property
    def has_questions(self) -> bool:
        """Whether it brings questions, or must be given some."""
        return bool(self.questions.artifact or self.questions.artifacts or self.questions.path)


class Benchmark(Struct, frozen=True, kw_only=True):
    """A loaded benchmark: its spec, its items with the chosen references, and what was read."""

    spec: Spec
    items: tuple[Item, ...]
    references: str
    """Name of the reference set, or ``none``."""
    hashes: Mapping[str, str]
    """SHA-256 by file that was read."""
    notes: tuple[str, ...] = ()
    """What a reader of the results should know about the data."""


def names() -> list[str]:
    """The benchmarks that ship with evalkit."""
    return sorted(path.parent.name for path in shipped("benchmarks").glob("*/benchmark.yaml"))


def spec(name: str) -> Spec:
    """Read benchmark.yaml of a shipped benchmark, or of the folder ``name``.

    Raises:
        UsageError: there is none, or it is malformed.
    """
    path = folder(name) / "benchmark.yaml"
    if not path.is_file() and path.with_suffix(".yml").is_file():
        path = path.with_suffix(".yml")
    try:
        written = msgspec.yaml.decode(path.read_bytes())
        if isinstance(written, dict):
            _check_keys(written, path)
        return msgspec.convert(written, Spec)
    except OSError as error:
        raise UsageError(f"cannot read {str(path)!r}: {error.strerror}") from error
    except msgspec.MsgspecError as error:
        raise UsageError(f"{str(path)!r}: {error}") from error


def _check_keys(written: Mapping[str, object], path: Path) -> None:
    """Name all keys that are missing or unknown at once."""
    fields = msgspec.structs.fields(Spec)
    missing = [field.name for field in fields if field.required and field.name not in written]
    known = {field.name for field in fields}
    unknown = [str(key) for key in written if key not in known]
    wrong = [f"missing are {', '.join(missing)}"] if missing else []
    wrong += [f"unknown are {', '.join(unknown)}"] if unknown else []
    if wrong:
        needs = ", ".join(field.name for field in fields if field.required)
        may = ", ".join(field.name for field in fields if not field.required)
        raise UsageError(f"{str(path)!r}: {' and '.join(wrong)}; it needs {needs}, and may have {may}")


def in_order(name: str, categories: Iterable[str]) -> list[str]:
    """Categories in the order of the benchmark, where it is one of ours; others by name."""
    found = set(categories)
    known = spec(name).categories if name in names() else ()
    return [category for category in known if category in found] + sorted(found - set(known))


def folder(name: str) -> Path:
    """The folder of a benchmark, by name or path."""
    known = names()
    if name in known:
        return shipped("benchmarks") / name
    if os.path.isdir(path := _path(name)):
        return path
    near = difflib.get_close_matches(name, known, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise UsageError(f"no benchmark {name!r}.{hint} There are: {', '.join(known)}; or give the path of a folder")


async def load(
    name: str,
    *,
    questions: str | None = None,
    fields: Fields | None = None,
    references: str | None = None,
    limit: int | None = None,
) -> Benchmark:
    """Fetch what a benchmark needs and build its items.

    Args:
        name: a shipped benchmark, or the path of a folder with a benchmark.yaml.
        questions: another benchmark, or a JSONL file, to take the questions from.
        fields: which field of that file holds what; those that are not given are looked for by common names.
        references: a reference set of the benchmark, the path of a FastChat reference_answer file, or None for the
            benchmark's default.
        limit: only the first so many items of each category.
    """
    about, home = spec(name), folder(name)
    told: tuple[str, ...] = ()
    if questions is not None:
        about, home, told = _with_questions(about, questions, fields)
    paths = await _questions_paths(about, home)
    path = next(iter(paths))
    items = tuple(_items(paths, about))
    hashes = {path.name: _sha256(path) for path in paths}
    known, chosen, notes = await _references(about, references, items, hashes)
    if not (about.references and about.references.categories):
        shown = {item.category for item in items} if about.references else set()
    else:
        shown = set(about.references.categories)
    taken = tuple(
        msgspec.structs.replace(item, reference=known.get(item.id, ()) if item.category in shown else ())
        for item in first_of_each(items, limit)
    )
    return Benchmark(
        spec=about, items=taken, references=chosen, hashes=hashes, notes=(*told, *notes, *_twice(items, path))
    )


def local_items(name: str) -> tuple[Item, ...]:
    """The items of a shipped benchmark whose questions are on this machine already; none otherwise. Never downloads."""
    if name not in names():
        return ()
    about = spec(name)
    pinned = {None: about.questions.artifact} if about.questions.artifact else about.questions.artifacts
    paths = {path: category for category, artifact in pinned.items() if (path := cached(artifact)) is not None}
    if about.questions.path:
        return tuple(_items({folder(name) / about.questions.path: None}, about))
    return tuple(_items(paths, about)) if paths and len(paths) == len(pinned) else ()


def _with_questions(about: Spec, questions: str, fields: Fields | None) -> tuple[Spec, Path, tuple[str, ...]]:
    """The benchmark on other questions, whose results go to a folder named after both; and what was assumed of them."""
    if questions in names() or os.path.isdir(_path(questions)):
        other = spec(questions)
        theirs = ("questions", "categories", "generation", "references", "expected", "harm", "repeated", "language")
        taken = {name: getattr(other, name) for name in theirs}
        return msgspec.structs.replace(about, name=f"{about.name}-{other.name}", **taken), folder(questions), ()
    path = _path(questions)
    if not os.path.isfile(path):
        raise UsageError(f"questions={questions!r} is neither a file nor one of: {', '.join(names())}")
    if not (there := columns(path)):
        raise UsageError(f"{str(path)!r} holds no questions")
    found, guessed, unused = find(there, path, fields, sample=first(path))
    how = "fields.turns=, .id=, .category=, .reference= or .context=NAME says otherwise"
    told = (assumption(path, guessed, unused, how),) if guessed or unused else ()
    source = Questions(path=str(path.resolve()), found=found)
    references = References(default="own", sets={"own": ReferenceSet()}) if found.reference else None
    changed = msgspec.structs.replace(
        about, name=f"{about.name}-{stem(path)}", questions=source, categories=(), references=references
    )
    return changed, Path(), told


def _twice(items: Sequence[Item], path: Path) -> tuple[str, ...]:
    """A line about questions that are there under several ids, if there are any."""
    by_text: dict[tuple[object, ...], list[str]] = {}
    for item in items:
        by_text.setdefault((item.system, item.messages, item.turns), []).append(item.id)
    twice = [ids for ids in by_text.values() if len(ids) > 1]
    if not twice:
        return ()
    return (
        f"{path.name}: {len(twice)} questions are there under several ids, with the same text (as "
        f"{', '.join(map(repr, twice[0][:3]))}); each counts as a question of its own, which narrows intervals",
    )


async def _questions_paths(about: Spec, home: Path) -> dict[Path, str | None]:
    """The files of questions, each with the category of all its questions where they do not say theirs."""
    if about.questions.artifact:
        return {await fetch(about.questions.artifact): None}
    if about.questions.artifacts:
        return {await fetch(name): category for category, name in about.questions.artifacts.items()}
    if about.questions.path:
        return {home / about.questions.path: None}
    raise UsageError(f"benchmark {about.name!r} has no questions of its own; give questions=NAME or questions=FILE")


def _items(paths: Mapping[Path, str | None], about: Spec) -> Iterator[Item]:
    fields = about.questions.found or QuestionFields.declared(about.questions.fields)
    seen: dict[str, str] = {}
    rows = ((*row, category) for path, category in paths.items() for row in _rows(path))
    for where, row, given in rows:
        said = fields.conversation_of(row, where)
        turns = said.turns
        parts = (turns,) if not (said.system or said.messages) else (turns, said.system, said.messages)
        known = reach(row, fields.id) if fields.id else None
        identity = str(known) if known is not None else digest(*parts)[:16]
        if identity in seen and about.repeated and known is None:
            continue
        if identity in seen:
            what = f"id {identity!r}" if known is not None else "the same question"
            raise UsageError(
                f"{where}: {what} occurs twice, as in record {seen[identity]}; ids must be unique: give each question "
                "one of its own (fields.id=NAME), or remove one of the two"
            )
        seen[identity] = where.rpartition(" ")[2]
        category = given or fields.category_of(row)
        if about.categories and category not in about.categories:
            raise UsageError(f"{where}: category {category!r} is not one of {', '.join(about.categories)}")
        yield Item(
            id=identity,
            benchmark=about.name,
            category=category,
            turns=turns,
            reference=fields.reference_of(row, len(turns), where) or said.reference,
            system=said.system,
            messages=said.messages,
            rubric=fields.rubric_of(row, where),
            meta={**_meta_of(about, category), **fields.meta_of(row, where)},
        )
    if not seen:
        raise UsageError(f"{', '.join(map(repr, map(str, paths)))} holds no questions")


def _meta_of(about: Spec, category: str) -> dict[str, str]:
    """What a benchmark says of all its prompts, or of those of a category."""
    expected = {EXPECTED: about.expected} if about.expected else {}
    return expected | ({HARM: about.harm[category]} if category in about.harm else {})


def _rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """The rows of a file of data, each with where it stands, for messages."""
    for where, row in records(path, lenient=False):
        yield f"{str(where.path)!r}, record {where.number}", row


async def _references(
    about: Spec, wanted: str | None, items: Sequence[Item], hashes: dict[str, str]
) -> tuple[dict[str, tuple[str | None, ...]], str, tuple[str, ...]]:
    """Reference texts by item id, the name of the set, and what is known to be wrong with it."""
    if about.references is None:
        if wanted not in (None, "none"):
            raise UsageError(f"references={wanted!r}: benchmark {about.name!r} has no reference answers")
        return {}, "none", ()
    name = wanted or about.references.default
    if name == "none":
        return {}, "none", ()
    if name not in about.references.sets:
        path = _path(name)
        if not os.path.isfile(path):
            allowed = ", ".join(about.references.sets)
            raise UsageError(f"references={name!r} is neither a file nor one of: {allowed}, none")
        hashes[path.name] = _sha256(path)
        return _reference_file(path), f"{path.name} {hashes[path.name][:12]}", ()
    texts = await _reference_set(about.references.sets, name, items, hashes)
    wrong = about.references.sets[name].wrong
    note = f"references={name}: {len(wrong)} are known to be wrong: items {', '.join(wrong)}"
    return texts, name, (note,) if wrong else ()


async def _reference_set(
    sets: Mapping[str, ReferenceSet], name: str, items: Sequence[Item], hashes: dict[str, str]
) -> dict[str, tuple[str | None, ...]]:
    chosen = sets[name]
    if chosen.artifact:
        path = await fetch(chosen.artifact)
        hashes[path.name] = _sha256(path)
        texts = _reference_file(path)
    else:
        texts = {item.id: item.reference for item in items}
    if chosen.fallback:
        spare = await _reference_set(sets, chosen.fallback, items, hashes)
        for item in items:
            ours, theirs = texts.get(item.id, ()), spare.get(item.id, ())
            texts[item.id] = tuple(_at(ours, turn) or _at(theirs, turn) for turn in range(len(item.turns)))
    return texts


def _reference_file(path: Path) -> dict[str, tuple[str | None, ...]]:
    """A FastChat reference_answer file: question_id, choices[0].turns."""
    texts: dict[str, tuple[str | None, ...]] = {}
    for where, row in _rows(path):
        try:
            texts[str(row["question_id"])] = tuple(row["choices"][0]["turns"])
        except (KeyError, IndexError, TypeError) as error:
            raise UsageError(f"{where}: a reference needs question_id and choices[0].turns") from error
    return texts


def _at(texts: Sequence[str | None], turn: int) -> str | None:
    return texts[turn] if turn < len(texts) else None


def first_of_each(items: Sequence[Item], limit: int | None) -> list[Item]:
    """The first so many items of each category; None: all. Raises UsageError for a limit below 1."""
    if limit is None:
        return list(items)
    if limit < 1:
        raise UsageError(f"limit={limit}: must be at least 1, the number of items of each category")
    taken: dict[str, int] = {}
    kept = []
    for item in items:
        taken[item.category] = taken.get(item.category, 0) + 1
        if taken[item.category] <= limit:
            kept.append(item)
    return kept


def _path(text: str) -> Path:
    """A path as typed. With os.path, what cannot be a path simply is not there; pathlib raises for some of it."""
    return Path(os.path.expanduser(text))


def _sha256(path: Path) -> str:
    import hashlib

    return hashlib.sha256(path.read_bytes()).hexdigest()
