"""Objects of the classes that ``_target_`` names in YAML, which is the only registry.

Only classes of evalkit and of packages that declare an ``evalkit`` entry point may be named there. Nothing read back
from a results folder is ever built.
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Iterable, Mapping
from importlib import import_module
from importlib.metadata import entry_points
from types import SimpleNamespace
from typing import Any, TypeVar, cast

from evalkit.core.protocols import Backend, JudgeProtocol, UsageError
from evalkit.settings.conversion import convert, near

T = TypeVar("T")

METHODS: dict[type[Any], tuple[str, ...]] = {
    Backend: ("identity", "complete"),
    JudgeProtocol: ("request", "parse"),
}
"""What a class must be able to do that does not derive from ours."""
DECLARED = "evalkit.judges.declared.Declared"
"""What a protocol is whose YAML names no class."""
EXAMPLES: dict[type[Any], str] = {
    Backend: "evalkit.backends.fake.Fake",
    JudgeProtocol: "evalkit.judges.single.Single",
}
"""A class of each kind that ``_target_`` may name."""


def build(node: Mapping[str, Any], where: str, kind: type[T]) -> T:
    """An object of the dataclass that ``_target_`` names, its fields checked against their types.

    Raises:
        UsageError: the target may not be named, or is of another kind; a field is unknown or missing, or a value has
            the wrong type.
    """
    cls: Any = target_class(node, where, kind)
    fields = {field.name: field for field in dataclasses.fields(cls) if field.init}
    hints = _hints(cls, fields)
    values: dict[str, Any] = {}
    for key, value in node.items():
        if key == "_target_":
            continue
        if key not in fields:
            raise UsageError(f"{where}: {key!r} is not a setting of {cls.__name__}{near(key, fields)}")
        if hints[key] is Backend:
            values[key] = build(convert(value, dict[str, Any], f"{where}.{key}"), f"{where}.{key}", Backend)
        else:
            values[key] = convert(value, hints[key], f"{where}.{key}")
    required = (
        key
        for key, field in fields.items()
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    )
    if missing := [f"{key}=..." for key in required if key not in values]:
        raise UsageError(f"{where}: {cls.__name__} needs {' and '.join(missing)}")
    built: T = cls(**values)
    return built


def _hints(cls: type[Any], names: Iterable[str]) -> dict[str, Any]:
    """Types of the named fields; others may mention names that exist for type checkers only."""
    wanted, hints = set(names), dict[str, Any]()
    for base in reversed(cls.__mro__):  # a plug-in may extend a class of ours: each annotation means its own module
        written = {name: note for name, note in vars(base).get("__annotations__", {}).items() if name in wanted}
        module = vars(import_module(base.__module__))
        hints |= typing.get_type_hints(SimpleNamespace(__annotations__=written), globalns=module)
    return hints


def target_class(node: Mapping[str, Any], where: str, kind: type[T]) -> type[T]:
    """The class that ``_target_`` names, if it may be named there and is of the kind."""
    target = str(node.get("_target_", ""))
    module_name, _, class_name = target.rpartition(".")
    package = module_name.split(".")[0]
    if package != "evalkit":  # asking for entry points reads the metadata of everything that is installed
        declared = {entry.value.split(".")[0].split(":")[0] for entry in entry_points(group="evalkit")}
        if package not in declared:
            allowed = ", ".join(sorted({"evalkit", *declared}))
            raise UsageError(f"{where}: _target_={target!r} must be a class of {allowed}")
    try:
        cls = getattr(import_module(module_name), class_name)
    except (ImportError, AttributeError) as error:
        raise UsageError(f"{where}: there is no {target!r}: {error}") from error
    if not (isinstance(cls, type) and dataclasses.is_dataclass(cls)):
        raise UsageError(f"{where}: {target!r} is not a dataclass")
    looks_like_one = all(callable(getattr(cls, method, None)) for method in METHODS[kind])  # from an older package
    if not issubclass(cls, kind) and not looks_like_one:
        wanted = f"a {kind.__name__}, as {EXAMPLES[kind]} is"
        raise UsageError(f"{where}: _target_={target!r} must be {wanted}")
    return cast("type[T]", cls)


def protocol_name(node: Mapping[str, Any]) -> str:
    """The name a protocol goes by: its file's, or its class's."""
    return str(node.get("name") or getattr(target_class(node, "protocol", JudgeProtocol), "name", ""))


def named_protocol(node: Mapping[str, Any], choice: str) -> dict[str, Any]:
    """A protocol's settings with what its file leaves to say: its class, and its name, which is the file's.

    Args:
        node: what the YAML holds.
        choice: what ``protocol=`` was.

    Raises:
        UsageError: it names a class that there is not.
    """
    whole = {"_target_": DECLARED, **node} if node.get("_target_") is None else dict(node)
    cls: Any = target_class(whole, "protocol", JudgeProtocol)
    own_name = any(field.name == "name" and field.init for field in dataclasses.fields(cls))
    return {"name": choice.rpartition("/")[2], **whole} if own_name and not whole.get("name") else whole
