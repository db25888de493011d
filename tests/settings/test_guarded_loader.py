"""A user's YAML cannot have Hydra call anything, by whatever route it is reached, and a dry run is no exception."""

from __future__ import annotations

import sys

import pytest

import evalkit
from evalkit.core.protocols import UsageError

CANARY = """\
from pathlib import Path
from hydra.experimental.callback import Callback

def sing(*args, **fields):
    Path("sung").touch()
    return Callback()
"""
MEMBER = "mine:\n  price: free\n  backend: {_target_: evalkit.backends.fake.Fake, model: mine}\n"
CALLBACK = "hydra:\n  callbacks:\n    c: {_target_: canary.sing}\n"
LOGGING = "hydra:\n  job_logging:\n    version: 1\n    handlers: {h: {(): canary.sing}}\n    root: {handlers: [h]}\n"
GLOBAL = "# @package _global_\nmodel:\n  mine:\n    price: free\n    backend: {_target_: evalkit.backends.fake.Fake}\n"
PRIMARY = "defaults:\n  - /run\n  - _self_\n"
ROUTES: dict[str, tuple[dict[str, str], tuple[str, ...]]] = {
    "a global package": ({"model/mine.yaml": GLOBAL + CALLBACK}, ()),
    "a global package in a protocol": (
        {"model/mine.yaml": MEMBER, "protocol/own.yaml": "# @package _global_\n" + CALLBACK},
        ("protocol=own",),
    ),
    "log handlers": ({"model/mine.yaml": GLOBAL + LOGGING}, ()),
    "log handlers of one of several jobs": ({"model/mine.yaml": GLOBAL + LOGGING}, ("-m", "limit=1,2")),
    "a swept file": ({"model/mine.yaml": GLOBAL + CALLBACK}, ("-m", "model=fake,mine")),
    "the launcher": ({"model/mine.yaml": GLOBAL + "hydra:\n  launcher: {_target_: canary.sing}\n"}, ("-m",)),
    "the sweeper": ({"model/mine.yaml": GLOBAL + "hydra:\n  sweeper: {_target_: canary.sing}\n"}, ("-m",)),
    "the package of Hydra's node": (
        {
            "model/mine.yaml": f"defaults:\n  - bad\n  - _self_\n{MEMBER}",
            "model/bad.yaml": "# @package hydra.callbacks.c\n_target_: canary.sing\n",
        },
        (),
    ),
    "a defaults list": (
        {"model/mine.yaml": f"defaults:\n  - bad@_global_\n  - _self_\n{MEMBER}", "model/bad.yaml": CALLBACK},
        (),
    ),
    "a defaults list into Hydra's node": (
        {
            "model/mine.yaml": f"defaults:\n  - /x/bad@_global_.hydra.callbacks\n  - _self_\n{MEMBER}",
            "x/bad.yaml": "c: {_target_: canary.sing}\n",
        },
        (),
    ),
    "a path out of the trusted folder": (
        {"model/mine.yaml": f"defaults:\n  - /{{up}}/bad@_global_\n  - _self_\n{MEMBER}", "bad.yaml": CALLBACK},
        (),
    ),
    "a group of Hydra's": (
        {"model/mine.yaml": MEMBER, "hydra/callbacks/bad.yaml": "c: {_target_: canary.sing}\n"},
        ("hydra/callbacks=bad",),
    ),
    "a launcher of one's own": (
        {"model/mine.yaml": MEMBER, "hydra/launcher/bad.yaml": "_target_: canary.sing\n"},
        ("hydra/launcher=bad", "-m"),
    ),
    "a primary file": ({"model/mine.yaml": MEMBER, "other.yaml": PRIMARY + CALLBACK}, ("--config-name", "other")),
    "a search path": (
        {"model/mine.yaml": MEMBER, "other.yaml": PRIMARY + "hydra:\n  searchpath: [pkg://canary]\n"},
        ("--config-name", "other"),
    ),
    "another folder": ({"model/mine.yaml": MEMBER, "run.yaml": CALLBACK}, ("--config-path", "{own}")),
}


@pytest.mark.parametrize("printing", [(), ("--cfg", "job")], ids=["run", "print"])
@pytest.mark.parametrize("route", ROUTES)
def test_nothing_is_called(cli, tmp_path, monkeypatch, route, printing):
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "canary.py").write_text(CANARY)
    monkeypatch.syspath_prepend(tmp_path / "site")
    files, more = ROUTES[route]
    own = tmp_path / "own"
    for name, content in files.items():
        (own / name).parent.mkdir(parents=True, exist_ok=True)
        (own / name).write_text(content.replace("{up}", "/".join([".."] * 20) + str(own)))
    model = () if any(setting.startswith("model=") for setting in more) else ("model=mine",)
    settings = (setting.replace("{own}", str(own)) for setting in more)
    if printing and "-m" in more:
        pytest.skip("prints one job only")
    code, _, err = cli(
        "run", "pocket", *model, "judge=fake", "dry_run=true", "limit=1", "--config-dir", str(own), *settings, *printing
    )
    sys.modules.pop("canary", None)
    assert not (tmp_path / "sung").exists()
    assert code == 2, err
    assert "nothing of Hydra's own" in err or "'own'" in err, err


def test_the_canary_sings(cli, tmp_path, monkeypatch):
    """What these tests look for does happen where a person types it."""
    (tmp_path / "canary.py").write_text(CANARY)
    monkeypatch.syspath_prepend(tmp_path)
    cli("run", "pocket", "model=fake", "judge=fake", "dry_run=true", "+hydra.callbacks.c._target_=canary.sing")
    sys.modules.pop("canary", None)
    assert (tmp_path / "sung").exists()


SINGING = {"callbacks": {"c": {"_target_": "canary.sing"}}}


@pytest.mark.parametrize(
    "settings",
    [
        {"hydra": SINGING},
        {"+hydra.callbacks.c._target_": "canary.sing"},
        {"++hydra": SINGING},
        {"hydra/callbacks": "bad"},
        {"+model@hydra.callbacks.c": "bad"},
        {"limit=1 +hydra.callbacks.c._target_": "canary.sing"},
        {"config_dir": "own"},
    ],
    ids=str,
)
@pytest.mark.parametrize("dry", [False, True], ids=["run", "dry run"])
def test_nothing_is_called_through_the_python_api(tmp_path, monkeypatch, settings, dry):
    """Settings of Python may have been read from a file, too."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "canary.py").write_text(CANARY)
    for name, content in {"model/bad.yaml": "_target_: canary.sing\n", "model/mine.yaml": GLOBAL + CALLBACK}.items():
        (tmp_path / "own" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "own" / name).write_text(content)
    model = "mine" if "config_dir" in settings else "fake"
    with pytest.raises(UsageError, match="nothing of Hydra's own"):
        evalkit.run("pocket", model=model, judge="fake", limit=1, dry_run=dry, **settings)
    sys.modules.pop("canary", None)
    assert not (tmp_path / "sung").exists()


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("model.mine.backend._target_=evalkit.judges.single.Single", "must be a Backend, as evalkit.backends"),
        ("model.mine.backend._target_=evalkit.models.client.Traffic", "must be a Backend"),
        ("protocol._target_=evalkit.backends.fake.Fake", "must be a JudgeProtocol, as evalkit.judges"),
        ("protocol._target_=os.system", "must be a class of evalkit"),
        ("model.mine.backend._target_=canary.sing", "must be a class of evalkit"),
    ],
)
def test_a_class_of_the_wrong_kind(cli, tmp_path, setting, message):
    (tmp_path / "own" / "model").mkdir(parents=True)
    (tmp_path / "own" / "model" / "mine.yaml").write_text(MEMBER)
    code, _, err = cli("run", "pocket", "model=mine", "judge=fake", "dry_run=true", "--config-dir=own", setting)
    assert code == 2
    assert message in " ".join(err.split()), err
