"""YAML of a user's own: what is wrong with a file is said, with its place, and every verb finds what is right."""

from __future__ import annotations

import re

import pytest
from msgspec.structs import fields

from evalkit.settings.config import Config

MEMBER = "{0}:\n  description: my {0}\n  price: free\n  backend: {{_target_: evalkit.backends.fake.Fake, model: {0}}}\n"
RUN = ("run", "pocket", "limit=1", "--config-dir", "own")


@pytest.fixture(autouse=True)
def own(tmp_path):
    """A folder with a model and a judge."""
    folder = tmp_path / "own"
    for group, name in (("model", "mine"), ("judge", "mild")):
        (folder / group).mkdir(parents=True)
        (folder / group / f"{name}.yaml").write_text(MEMBER.format(name))
    return folder


HOLDS = "must hold a key 'odd:' with a backend"
FAULTS = [
    (b"odd: [1,2\n", r"', line 2: not valid YAML: expected ',' or '\]'.*\(while parsing a flow sequence, line 1\)"),
    (b"odd:\n  a: 1\n b: 2\n", r"', line 3: not valid YAML"),
    (b"- odd\n", "' holds a list; expected a mapping, `odd: ...`"),
    (b"odd", r"' holds a single value \('odd'\); expected a mapping"),
    (b"\xff\xfe: 1", "' is not UTF-8: invalid start byte at byte 0"),
    (b"odd: 2001-99-99", "': month must be in"),
    (b"", HOLDS),
    (b"# nothing", HOLDS),
    (b"odd:\n", HOLDS),
    (b"odd: {description: no backend}\n", HOLDS),
    (b"odd: {backend: {model: x}}\n", HOLDS),
    (b"backend: {_target_: evalkit.backends.fake.Fake}\n", rf"{HOLDS}.*belongs under 'odd:', indented"),
    (None, "cannot read .*Is a directory"),
]


@pytest.mark.parametrize("group", ["model", "judge"])
@pytest.mark.parametrize("chosen", ["{0}=odd", "{0}=[fake,odd]", "{0}=fake,odd"])
@pytest.mark.parametrize(("content", "message"), FAULTS, ids=[message for _, message in FAULTS])
def test_a_file_that_cannot_take_part(cli, own, tmp_path, group, chosen, content, message):
    path = own / group / "odd.yaml"
    path.mkdir() if content is None else path.write_bytes(content)
    other = {"model": "judge=fake", "judge": "model=fake"}[group]
    code, _, err = cli(*RUN, chosen.format(group), other, *(["-m"] if "fake,odd" in chosen else []))
    assert code == 2
    assert len(err.splitlines()) == 1
    assert f"own/{group}/odd.yaml'" in err
    assert re.search(message, err), err
    assert not (tmp_path / "results").exists()


def test_a_file_that_is_not_chosen_does_not_matter(cli, own):
    (own / "model" / "odd.yaml").write_text("odd: [")
    (own / "model" / "min.yaml").write_text("min: [")
    assert cli(*RUN, "model=mine", "judge=mild").code == 0


def test_files_that_build_on_others(cli, own):
    (own / "model" / "based.yaml").write_text(
        "defaults:\n  - /model/mine@_here_\n  - _self_\nmine: {description: again}\n"
    )
    (own / "model" / "placed.yaml").write_text(
        "# @package model.placed\nprice: free\nbackend: {_target_: evalkit.backends.fake.Fake, model: p}\n"
    )
    assert cli(*RUN, "model=[based,placed]", "judge=fake").code == 0
    (own / "model" / "mine.yaml").write_text("mine: [")
    code, _, err = cli(*RUN, "model=based", "judge=fake")
    assert code == 2
    assert "mine.yaml', line 1: not valid YAML" in err


WAYS = [("--config-dir", "own"), ("--config-dir=own",)]


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS, ids=" ".join)
@pytest.mark.parametrize("first", [True, False])
def test_every_verb_takes_the_folder_the_same_way(cli, way, first):
    def ended(verb, *rest):
        return cli(*verb, *((*way, *rest) if first else (*rest, *way)))

    assert ended(("run", "pocket"), "limit=1", "model=mine", "judge=fake").code == 0
    assert ended(("rejudge",), "results/pocket", "judge=mild").code == 0
    assert ended(("audit",), "judge=mild", "model=mine", "probes=position", "dry_run=true").code == 0
    assert re.search(r"mine +Fake +my mine", ended(("list",), "models").out)
    assert re.search(r"mild +Fake +my mild", ended(("list",), "judges").out)
    assert "single" in ended(("list",), "protocols").out


def test_a_list_names_the_file_that_is_wrong(cli, own):
    (own / "model" / "odd.yaml").write_text("odd: [")
    code, _, err = cli("list", "models", "--config-dir", "own")
    assert code == 2
    assert "odd.yaml', line 1: not valid YAML" in err


def test_the_advice_about_an_unknown_question_field_works(cli, tmp_path):
    (tmp_path / "q.jsonl").write_text('{"foo": "Why?"}\n')
    run = (*RUN[:1], "arena", *RUN[3:], "questions=q.jsonl", "model=[fake,mine]", "judge=fake")
    code, _, err = cli(*run)
    assert code == 2
    assert "name it with fields.turns=NAME" in err
    assert cli(*run, "fields.turns=foo").code == 0
    code, _, err = cli(*run, "fields.turn=foo")
    assert code == 2
    assert "fields: unknown key 'turn'; did you mean 'turns'?" in err


GROUPS = [field.name for field in fields(Config) if "Struct" in str(getattr(field.type, "__mro__", field.type))]


@pytest.mark.parametrize("group", [*GROUPS, "fields", "model.fake", "judge.fake", "protocol"])
def test_a_key_inside_any_group_reaches_it(cli, group):
    """A mistyped one is told by the group itself, so a right one is taken."""
    code, _, err = cli(*RUN, "model=fake", "judge=fake", f"{group}.nonsense=1")
    assert code == 2
    assert re.search("unknown key 'nonsense'; there are|'nonsense' is not a setting of", err), err
    assert "unknown key 'fields" not in err
