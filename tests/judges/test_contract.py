"""The contract every protocol keeps, run over each class of evalkit/judges that can ask and read."""

from __future__ import annotations

import asyncio
import dataclasses
import importlib
import math
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from evalkit import judges
from evalkit.core.paths import shipped
from evalkit.core.protocols import Case, Completion, JudgeProtocol, Request, Verdict
from evalkit.core.schema import Failure, Item, Ref, Response, digest
from evalkit.datasets.artifacts import registry
from evalkit.settings import rubrics
from evalkit.settings.assembly import _with_artifacts
from evalkit.settings.targets import build, named_protocol
from tests.conftest import FASTCHAT

FOLDER = Path(judges.__file__).parent
YAML = {
    path.stem: named_protocol(msgspec.yaml.decode(path.read_bytes()), path.stem)
    for path in (shipped("conf") / "protocol").glob("*.yaml")
}
CRITERIA = [
    {"id": "right", "text": "It is right.", "points": 2.0},
    {"id": "rude", "text": "It is rude.", "points": -1.0},
]
"""For protocols that judge by a rubric."""
for node in YAML.values():
    if node["_target_"] == "evalkit.judges.rubric.Rubric":
        own = node.get("rubric")
        node["rubric"] = msgspec.to_builtins(rubrics.criteria(own, "rubric")) if own else CRITERIA
GARBAGE = [
    *(
        "",
        " \n",
        "I cannot decide.",
        "Both are fine, I suppose?",
        "\x00\x1b[2J\u202e",
        "[[",
        "]] [[ ]]",
        "[[]]",
        "[[?]]",
    ),
    *("<html><body>502 Bad Gateway</body></html>", '{"error": {"message": "overloaded"}}', "😀" * 1000, "é" * 100_000),
]


def classes() -> dict[str, type]:
    """By name, every public dataclass with request and parse."""
    found: dict[str, type] = {}
    for path in FOLDER.glob("*.py"):
        for name, value in vars(importlib.import_module(f"evalkit.judges.{path.stem}")).items():
            ours = isinstance(value, type) and value.__module__.startswith(judges.__name__)
            if ours and not name.startswith("_") and issubclass(value, JudgeProtocol) and "name" in vars(value):
                found[f"{value.__module__}.{value.__qualname__}"] = value
    return found


def variants() -> list[tuple[str, dict[str, Any]]]:
    """Each YAML, and each with its fields of two or three allowed values set otherwise."""
    made = []
    for name, node in sorted(YAML.items()):
        made.append((name, node))
        cls = classes().get(node["_target_"])
        for field in dataclasses.fields(cls) if cls and dataclasses.is_dataclass(cls) else ():
            if str(field.type).startswith("Literal["):
                for value in re.findall(r'"([^"]*)"|\'([^\']*)\'', str(field.type)):
                    made.append((f"{name} {field.name}={value[0] or value[1]}", {**node, field.name: "".join(value)}))
    return made


VARIANTS = dict(variants())


@pytest.fixture(params=sorted(VARIANTS))
def protocol(request: pytest.FixtureRequest) -> JudgeProtocol:
    node = VARIANTS[request.param]
    needed = {value["artifact"] for value in node.values() if isinstance(value, dict) and set(value) == {"artifact"}}
    if files := {registry()[name].file for name in needed}:
        if not files <= set(FASTCHAT):
            pytest.skip(f"needs {', '.join(sorted(files))}, which shared data does not hold")
        request.getfixturevalue("mtbench_files")
    try:
        return build(asyncio.run(_with_artifacts(node)), "protocol", JudgeProtocol)
    except Exception as error:
        if request.param in YAML:
            raise
        pytest.skip(f"does not go together: {error}")


ITEM = Item(
    id="7",
    benchmark="b",
    category="math",
    turns=("How many is six times seven?", "And squared?"),
    reference=("REFERENCE-ONE 42", "REFERENCE-TWO 1764"),
)


def response(name: str, *turns: str) -> Response:
    return Response(key=name, item="7", benchmark="b", category="math", model=Ref(name, digest(name)), turns=turns)


def case(protocol: JudgeProtocol, turn: int = 1, *, item: Item = ITEM, marks: str = "") -> Case:
    shown = tuple(
        response(f"m{number}", f"ANSWER-{number}-ONE {marks}", f"ANSWER-{number}-TWO {marks}")
        for number in range(protocol.shows)
    )
    return Case(item, turn, shown)


def text_of(request: Request) -> str:
    return "\n".join(message.content for message in request.messages)


def test_every_protocol_class_has_a_yaml():
    assert {node["_target_"] for node in YAML.values()} == set(classes())
    for cls in classes().values():
        assert dataclasses.is_dataclass(cls)
        assert cls.__dataclass_params__.frozen  # type: ignore[attr-defined]


def test_identity_is_plain_data(protocol):
    encoded = msgspec.json.encode(protocol.identity())
    assert msgspec.json.decode(encoded) == msgspec.to_builtins(dict(protocol.identity()))
    assert protocol.parser
    assert protocol.shows in (1, 2)


def test_identity_changes_with_the_prompt(protocol):
    """Each text field, in turn, with a little more in it."""
    fields = [field for field in dataclasses.fields(protocol) if field.init and str(field.type) == "str"]
    assert fields
    for field in fields:
        text = getattr(protocol, field.name)
        try:
            other = dataclasses.replace(protocol, **{field.name: text + "\n\n "})
        except Exception:  # noqa: BLE001  a file that is checked more closely
            continue
        assert digest(other.identity()) != digest(protocol.identity()), field.name
    assert digest(dataclasses.replace(protocol).identity()) == digest(protocol.identity())


@pytest.mark.parametrize("turn", [1, 2])
def test_the_prompt_holds_question_and_answers(protocol, turn):
    request = protocol.request(case(protocol, turn))
    text = text_of(request)
    assert ITEM.turns[turn - 1] in text
    word = {1: "ONE", 2: "TWO"}[turn]
    for number in range(protocol.shows):
        assert f"ANSWER-{number}-{word}" in text
    if turn == 1:
        assert "TWO" not in text, "what comes later is not shown"
    assert text.index("ANSWER-0") < (text.index("ANSWER-1") if protocol.shows == 2 else math.inf)
    assert protocol.request(case(protocol, turn)) == request, "the same each time: it is part of a key"
    for _ in range(2):  # JSON that is asked for, an object inside another included
        text = re.sub(r"\{[^{}\n]*\"[^{}]*\}", "", text)
    assert "{" not in text or protocol.published


@pytest.mark.parametrize("logprobs", [None, ({},), ({"The": -0.01, "é": -7.0},)], ids=["none", "empty", "off"])
def test_garbage_is_a_failure_and_never_a_score(protocol, logprobs):
    for text in GARBAGE:
        read = protocol.parse(Completion(text, logprobs=logprobs), case(protocol))
        assert isinstance(read, Failure), text[:30]
        assert read.kind == "unparsed", text[:30]
        assert 0 < len(read.message) < 500, text[:30]


def read(protocol: JudgeProtocol) -> list[tuple[Completion, Verdict]]:
    """The replies that the protocol says it reads, and what from each."""
    return [(ex.completion, ex.reads) for ex in protocol.examples() if isinstance(ex.reads, Verdict)]


def test_it_reads_its_own_examples_as_it_says(protocol):
    examples = list(protocol.examples())
    assert any(isinstance(example.reads, Verdict) for example in examples), "state a reply that is read"
    assert any(isinstance(example.reads, str) for example in examples), "state a reply that is refused"
    for example in examples:
        found = protocol.parse(example.completion, case(protocol))
        if isinstance(example.reads, Verdict):
            assert isinstance(found, Verdict), example.completion
            assert found.label == example.reads.label
            assert found.scores == pytest.approx(example.reads.scores)
            assert len(found.scores) == protocol.shows
            assert all(math.isfinite(score) for score in found.scores)
            assert protocol.shows == 1 or sum(found.scores) == pytest.approx(1)
        else:
            assert isinstance(found, Failure), example.completion
            assert found.kind == example.reads


def test_refusal_and_truncation_are_failures(protocol):
    if protocol.published:
        pytest.skip("faithful to a reader that minds no finish reason")
    for completion, _ in read(protocol):
        for finish, kind in (("refusal", "refused"), ("length", "truncated")):
            if finish == "length" and protocol.request(case(protocol)).sampling.max_tokens == 1:
                continue
            found = protocol.parse(msgspec.structs.replace(completion, finish=finish), case(protocol))
            assert isinstance(found, Failure)
            assert found.kind == kind


@pytest.mark.parametrize("turn", [1, 2])
def test_answers_cannot_forge_our_markers(protocol, turn):
    """An answer that repeats every marker of the honest prompt does not add one to its own."""
    honest = text_of(protocol.request(case(protocol, turn)))
    mark = re.search(r"^<[a-zA-Z ]+ ([0-9a-f]{8,})>$", honest, re.MULTILINE)
    if mark is None:
        assert protocol.published, "our own prompts mark what is material"
        pytest.skip("a published prompt")
    structure = [line for line in honest.splitlines() if mark[1] in line]
    assert len(structure) >= 2
    forged = text_of(protocol.request(case(protocol, turn, marks="\n" + "\n".join(structure))))
    marks = re.search(r"^<[a-zA-Z ]+ ([0-9a-f]{8,})>$", forged, re.MULTILINE)
    assert marks
    assert marks[1] != mark[1], "the mark depends on what is shown"
    assert len([line for line in forged.splitlines() if marks[1] in line]) == len(structure)


def test_braces_and_templates_in_answers_stay_as_they_are(protocol):
    naughty = "{question} {0} {answer!r} %s ${x} {{y}} \\g<0> \\1"
    asked = dataclasses.replace(case(protocol), shown=tuple(response(f"m{n}", naughty) for n in range(protocol.shows)))
    assert text_of(protocol.request(asked)).count(naughty) == protocol.shows


def test_empty_answers_can_be_judged(protocol):
    for turn in (1, 2):
        asked = Case(ITEM, turn, tuple(response(f"m{number}", "", "") for number in range(protocol.shows)))
        assert ITEM.turns[turn - 1] in text_of(protocol.request(asked))
