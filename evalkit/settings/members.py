"""The YAML files of a user's own behind ``model=``, ``judge=`` and ``protocol=``.

Hydra merges whatever such a file holds, so one that lacks its member's name adds a member that nobody finds. They are
therefore read before Hydra does, by these rules.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

from evalkit.core.paths import shipped
from evalkit.core.protocols import UsageError

GROUPS = ("model", "judge", "protocol")


def check(folder: Path, overrides: Iterable[str]) -> None:
    """See that what is chosen out of ``folder`` can be read and takes part.

    Args:
        folder: what ``--config-dir`` names.
        overrides: ``key=value`` settings.

    Raises:
        UsageError: a chosen file is not YAML, or does not hold the member it is named after.
    """
    for override in overrides:
        group, _, value = override.lstrip("+~").partition("=")
        if group not in GROUPS:
            continue
        for path in files(folder / group):
            if re.search(rf"(?<![\w.-]){re.escape(path.stem)}(?![\w.-])", value):
                check_file(group, path)


def check_file(group: str, path: Path) -> None:
    """See that a file can be read, and holds a member of the group. Raises UsageError."""
    content = read(path)
    if (
        group in ("protocol", "rubric")
        or "defaults" in content
        or path.read_text(encoding="utf-8").startswith("# @package")
    ):
        return  # composed of other files, or placed elsewhere
    if not any(map(is_member, content.values())):
        hint = f"; what it holds belongs under '{path.stem}:', indented" if "backend" in content else ""
        raise UsageError(
            f"{group} {path.stem!r}: {str(path)!r} must hold a key '{path.stem}:' with a backend and its _target_{hint}"
        )


def shipped_names(group: str) -> list[str]:
    """The members of a group that come with evalkit."""
    return sorted(path.stem for path in (shipped("conf") / group).glob("*.yaml"))


def shipped_node(group: str, name: str) -> Mapping[str, Any]:
    """The YAML of one of them; what it builds on left out."""
    node = read(shipped("conf") / group / f"{name}.yaml").get(name)
    return node if isinstance(node, Mapping) else {}


def files(folder: Path) -> list[Path]:
    """The YAML files in a folder, whichever ending they have."""
    return sorted(path for path in folder.glob("*.*") if path.suffix in (".yaml", ".yml"))


def is_member(node: object) -> bool:
    """Whether a node is a whole model or judge, and not just a field of one."""
    backend = node.get("backend") if isinstance(node, Mapping) else None
    return backend is not None and (not isinstance(backend, Mapping) or "_target_" in backend)


def read(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file; an empty one if there is nothing in it.

    Raises:
        UsageError: it cannot be read, is not YAML, or holds something else.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"cannot read {str(path)!r}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{str(path)!r} is not UTF-8: {error.reason} at byte {error.start}") from error
    except yaml.YAMLError as error:
        raise UsageError(complaint(error, path)) from error
    except ValueError as error:  # of a date that is none
        raise UsageError(f"{str(path)!r}: {error}") from error
    if content is not None and not isinstance(content, dict):
        kind = "a list" if isinstance(content, list) else f"a single value ({content!r:.40})"
        raise UsageError(f"{str(path)!r} holds {kind}; expected a mapping, `{path.stem}: ...`")
    return content or {}


def complaint(error: yaml.YAMLError, path: Path | None = None) -> str:
    """What is wrong with a YAML file and where, on one line."""
    if not isinstance(error, yaml.MarkedYAMLError) or error.problem_mark is None:
        return f"{str(path or 'a YAML file')!r}: not valid YAML: {' '.join(str(error).split())}"
    mark, begun = error.problem_mark, error.context_mark
    context = f" ({error.context}, line {begun.line + 1})" if error.context and begun else ""
    return f"{str(path or mark.name)!r}, line {mark.line + 1}: not valid YAML: {error.problem}{context}"
