"""Hydra's loader, without what would let a YAML file call functions.

Hydra instantiates its own nodes: ``hydra.callbacks``, the launcher, the sweeper and the handlers of its log
configuration are any importable callables. Only evalkit's ``run.yaml`` and installed packages may say what stands
there.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import ConfigRepository
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.default_element import ResultDefault
from hydra.core.override_parser.types import Override
from hydra.plugins.config_source import ConfigResult, ConfigSource
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, flag_override

from evalkit.core import secrets
from evalkit.core.paths import shipped
from evalkit.core.protocols import UsageError
from evalkit.settings import ids


class Repository(ConfigRepository):
    """Hydra's configs, and further: members that are given by id, and files of the user's own that end in ``.yml``."""

    def load_config(self, config_path: str) -> ConfigResult | None:
        """The config of a path; None if there is none."""
        group, _, word = config_path.partition("/")
        text = ids.unpacked(word) if group in ids.GROUPS else None
        if text is not None and (member := ids.member(text, group)) is not None:
            given = OmegaConf.create({member.name: member.node})
            result = ConfigResult(provider="evalkit", path="ids://", config=given, header={"package": None})
        elif (file := self._short(config_path)) is not None:
            with file.open(encoding="utf-8") as content:
                header = ConfigSource._get_header_dict(content.read(512))
                content.seek(0)
                loaded = OmegaConf.load(content)
            folder = f"file://{file.parents[config_path.count('/')]}"
            result = ConfigResult(provider="main", path=folder, config=loaded, header=header)
        else:
            return super().load_config(config_path)
        listed = self._extract_defaults_list(config_path, result.config)
        result.defaults_list = self._create_defaults_list(config_path, listed)
        return result

    def config_exists(self, config_path: str) -> bool:
        """Whether there is one."""
        return super().config_exists(config_path) or self._short(config_path) is not None

    def _short(self, config_path: str) -> Path | None:
        """The file of a path whose name ends in ``.yml``, where none ends in ``.yaml``."""
        if super().config_exists(config_path):
            return None
        folders = [Path(source.path) for source in self.sources if source.scheme() == "file"]
        files = (folder / f"{config_path}.yml" for folder in folders)
        return next((file for file in files if file.is_file()), None)


class GuardedLoader(ConfigLoaderImpl):
    """Composes as Hydra does, and checks each file before anything of it is used. Launchers take it to their jobs."""

    def __init__(self, config_search_path: ConfigSearchPath) -> None:
        super().__init__(config_search_path)
        self.repository = Repository(config_search_path)

    def load_configuration(
        self, config_name: str | None, overrides: list[str], run_mode: RunMode, *more: Any, **options: Any
    ) -> DictConfig:
        """Compose; what several jobs share is written to multirun.yaml before any job looks for credentials in it."""
        composed = super().load_configuration(config_name, overrides, run_mode, *more, **options)
        _settle(composed)
        if run_mode == RunMode.MULTIRUN:
            plain: Any = OmegaConf.to_container(composed, resolve=False)
            shared = {key: node for key, node in plain.items() if key != "hydra"}
            secrets.keep_named(shared)
            if where := secrets.credential_in_config(shared):
                raise UsageError(secrets.CREDENTIAL.format(where=where))
        return composed

    def _process_config_searchpath(self, config_name: str | None, parsed_overrides: list[Override], repo: Any) -> None:
        primary = repo.load_config(config_path=config_name) if config_name else None
        if primary is not None:  # before its search path is followed: that may import packages
            _check(primary, str(config_name), primary.config)
        super()._process_config_searchpath(config_name, parsed_overrides, repo)

    def _load_single_config(self, default: ResultDefault, repo: Any) -> ConfigResult:
        result = super()._load_single_config(default, repo)
        _check(result, str(default.config_path), result.config)
        return result


def _settle(composed: DictConfig) -> None:
    """Put settings of a member whose name is no word of Hydra's grammar where the member is."""
    with flag_override(composed, ["readonly", "struct"], [False, False]):
        for group in ids.GROUPS:
            node = composed.get(group)
            for key in list(node or ()):
                name = ids.unpacked(str(key)) if isinstance(node, DictConfig) else None
                if name is not None:
                    node[name] = OmegaConf.merge(node.get(name) or {}, node.pop(key))


def _check(source: ConfigResult, path: str, composed: Any) -> None:
    """Raise UsageError where a file sets something of Hydra's and is neither evalkit's own nor a package's."""
    if "hydra" not in composed:
        return
    if ".." not in Path(path).parts:  # which leads from a trusted folder to any other
        if source.path == f"file://{shipped('conf')}":
            if path == "run":
                return
        elif not source.path.startswith("file://") and path.startswith("hydra/"):  # an installed package's
            return
    node = composed.get("hydra")
    key = f"hydra.{next(iter(node))!s}" if isinstance(node, DictConfig) and node else "hydra"
    where = source.path.removeprefix("file://")
    raise UsageError(
        f"{path + '.yaml'!r} in {where!r} sets {key}: a YAML file of your own may set what evalkit documents, and "
        "nothing of Hydra's own, which could call any function; take it out (launchers are chosen on the command line: "
        "hydra/launcher=NAME -m)"
    )
