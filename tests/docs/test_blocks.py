"""Every command and code block of README and docs runs, or says why it does not, and is checked."""

from __future__ import annotations

import pytest

from tests.docs.blocks import PAGES, Block, Project, blocks, check, checked, parts


def page_name(page):
    return page.stem


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_every_block_is_as_it_must_be(page):
    """Languages, data that parse, and verbs, options and keys that there are."""
    assert [wrong for block in blocks(page) for wrong in check(block)] == []


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_every_block_runs(page, cli, tmp_path):
    project = Project(tmp_path, cli)
    for part in parts(page):
        project.carry_out(part)


@pytest.mark.parametrize(
    ("command", "wrong"),
    [
        ("evalkit nonsense", "no verb 'nonsense'"),
        ("evalkit leaderboard --metod bt", "no option --metod"),
        ("evalkit run pocket modell=fake", "no key modell=fake"),
        ("pip install 'evalkit[nonsense]'", "no extra nonsense"),
    ],
)
def test_what_is_wrong_is_found(command, wrong):
    assert wrong in "".join(checked(command, "page:1"))


def test_a_command_that_fails_is_found(cli, tmp_path):
    page = tmp_path / "page.md"
    page.write_text("```sh\nevalkit compare nobody somebody\n```\n")
    with pytest.raises(AssertionError, match="nobody"):
        Project(tmp_path, cli).carry_out(blocks(page)[0])
    page.write_text("```sh\ncurl -O http://example.org\n```\n")
    with pytest.raises(AssertionError, match="say why"):
        Project(tmp_path, cli).carry_out(blocks(page)[0])


def test_the_parts_of_a_page(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "# A\n<!-- before:\nevalkit list models\n-->\n\nPut this into `a/b.yaml`:\n\n```yaml\na: 1\n```\n"
        "<!-- not run: it needs a key -->\n```sh\nevalkit run x \\\n    model=a  # what\n"
        "# a remark\nevalkit list models && pip install x\n```\n"
    )
    before, data, command = parts(page)
    assert before.commands == ["evalkit list models"]
    assert isinstance(data, Block)
    assert (data.language, data.file, data.why_not, data.text) == ("yaml", "a/b.yaml", None, "a: 1\n")
    assert command.why_not == "it needs a key"
    assert command.commands == ["evalkit run x model=a  # what", "evalkit list models", "pip install x"]
