"""What ``A`` and ``B`` of a command mean: two models, two judges, or two places that hold results."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import msgspec

from evalkit.core.protocols import UsageError
from evalkit.core.schema import Judged, Ref, Response
from evalkit.ratings import battle_table
from evalkit.ratings.judgment_columns import rater_kind
from evalkit.ratings.standing import named
from evalkit.storage.results import answer_logs, judged_rows
from evalkit.storage.run_records import read
from evalkit.storage.store import Rows

Row = TypeVar("Row", Judged, Response)
ANY = "any"
"""Fingerprint of a judge whose configuration differs between two places, where both are read as one."""


@dataclass(frozen=True)
class SourcePlace:
    """Results at one path, or those of one run."""

    path: Path
    label: str
    fingerprints: Mapping[str, str] = field(default_factory=dict)
    """Of a run: its models' configurations; only those are read."""

    only: str | None = None
    """The model that was named; None: all."""

    def has(self, model: Ref) -> bool:
        """Whether answers of this model belong here."""
        if self.only is not None and model.name != self.only:
            return False
        return not self.fingerprints or self.fingerprints.get(model.name) == model.fingerprint

    def holds(self, row: Judged) -> bool:
        """Whether a judgment is of the models and configurations that belong here; others it may show beside them."""
        if self.only is not None and all(model.name != self.only for model in row.models):
            return False
        return all(self.has(model) for model in row.models if model.name in self.fingerprints)


@dataclass(frozen=True)
class Sides:
    """What is compared with what, and where it is read."""

    pairs: tuple[tuple[str, str], ...]
    """Names of models, or of judges, as they are in ``judged``."""
    judges: bool
    """Whether the names are judges'."""
    places: tuple[SourcePlace, ...]
    renamed: bool = False
    """Models carry the name of their place, as the two places have the same ones."""
    notes: tuple[str, ...] = ()

    def judged(self) -> Iterator[Judged]:
        """Every judgment, in the order stored."""
        merged = self._judges_that_differ()
        for place in self.places:
            for log in _logs(place):
                for row in log:
                    if len(self.places) > 1 or place.fingerprints:
                        if not place.holds(row):
                            continue
                        row = self._moved(row, place, merged)  # noqa: PLW2901
                    yield row

    def answers(self) -> Iterator[Response]:
        """Every answer, in the order stored."""
        names = {name for pair in self.pairs for name in pair}
        for place in self.places:
            for log in answer_logs([] if battle_table.is_battle_table(place.path) else [place.path]):
                for row in log:
                    if place.has(row.model):
                        name = self._name(row.model.name, place, names)
                        yield msgspec.structs.replace(row, model=Ref(name, row.model.fingerprint))

    def files(self) -> list[Path]:
        """Battle tables among the paths."""
        return [place.path for place in self.places if battle_table.is_battle_table(place.path)]

    def _name(self, name: str, place: SourcePlace, names: set[str]) -> str:
        own = f"{name}@{place.label}"
        return own if self.renamed and own in names else name

    def _moved(self, row: Judged, place: SourcePlace, merged: set[str]) -> Judged:
        names = {name for pair in self.pairs for name in pair}
        models = tuple(Ref(self._name(model.name, place, names), model.fingerprint) for model in row.models)
        judge = Ref(row.judge.name, ANY) if row.judge.name in merged else row.judge
        return msgspec.structs.replace(row, models=models, judge=judge)

    def _judges_that_differ(self) -> set[str]:
        if len(self.places) < 2:
            return set()
        return _differing(self.places)


def sides(a: str, b: str, paths: Iterable[Path], *, judges_wanted: bool = False) -> Sides:
    """Find out what two names mean.

    Args:
        a: a model, a judge, a results folder or file, or a run's folder.
        b: the same kind of thing.
        paths: where names are looked for.
        judges_wanted: they are judges, even where models have these names, too.

    Raises:
        UsageError: they are not known, or not comparable.
    """
    paths = list(dict.fromkeys(paths))
    if judges_wanted:
        return _two_judges(a, b, paths)
    one, other = _place(a), _place(b)
    if (one is None) != (other is None) and len(paths) == 1:
        models, _ = _known(paths)
        one, other = (
            SourcePlace(paths[0], paths[0].name, only=name) if place is None and name in models else place
            for place, name in ((one, a), (other, b))
        )
    if one is not None and other is not None:
        return _two_places(one, other)
    listed = tuple(_of_run(path) or SourcePlace(path, path.name) for path in paths)
    models, judges = _known([place.path for place in listed])
    both = {a, b} <= models and {a, b} <= judges
    notes = (f"{a} and {b} are models and judges here: --judges compares the judges",) if both else ()
    for kind, known in (("models", models), ("judges", judges)):
        if a in known and b in known:
            if a == b:
                raise UsageError(f"{a!r} cannot be compared with itself; name two {kind}, or two results folders")
            return Sides(((a, b),), kind == "judges", listed, notes=notes)
    for name, place in ((a, one), (b, other)):
        if place is not None:
            raise UsageError(
                f"{name!r} is a place with results, and {(b if name == a else a)!r} is no model in "
                f"{', '.join(str(path) for path in paths)} and no such place; name two places, two models or two judges"
            )
        if name not in models | judges:
            near = difflib.get_close_matches(name, models | judges, n=3)
            hint = f"did you mean {named(near)}?" if near else _listed("models", models)
            where = ", ".join(str(place.path) for place in listed)
            raise UsageError(f"{name!r} is no model and no judge in {where}, and no results folder; {hint}")
    raise UsageError(f"{a!r} and {b!r} are a model and a judge; compare two models, or two judges")


def check_judge(what: Sides, judge: str | None) -> None:
    """That somebody of this name judged there, where a judge was named.

    Raises:
        UsageError: nobody did.
    """
    _, judges = _known([place.path for place in what.places])
    if judge is not None and judge not in judges:
        where = ", ".join(str(place.path) for place in what.places)
        raise UsageError(f"--judge {judge!r} is no judge in {where}; {_listed('judges', judges)}")


def copied(what: Sides) -> list[str]:
    """Models that two places have the very same judgments of, row by row: copies, which were not asked for again."""
    rows: list[dict[str, set[bytes]]] = []
    for place in what.places:
        here: dict[str, set[bytes]] = {}
        for log in _logs(place):
            for row in log:
                if place.holds(row):
                    for model in row.models:
                        here.setdefault(model.name, set()).add(msgspec.json.encode(row))
        rows.append(here)
    one, other = rows
    return sorted(name for name in one.keys() & other.keys() if one[name] <= other[name] or other[name] <= one[name])


def _listed(kind: str, names: set[str]) -> str:
    if not names:
        return f"there are no {kind} with judgments there; `evalkit import` takes results of other programs"
    return f"{kind}: {named(sorted(names), 12)}"


def _two_judges(a: str, b: str, paths: list[Path]) -> Sides:
    """Two judges, whatever models have their names."""
    _, judges = _known(paths)
    where = ", ".join(map(str, paths))
    for name in (a, b):
        if name not in judges:
            near = difflib.get_close_matches(name, judges, n=3)
            hint = f"did you mean {named(near)}?" if near else _listed("judges", judges)
            raise UsageError(f"{name!r} is no judge in {where}; {hint}")
    if a == b:
        raise UsageError(f"{a!r} cannot be compared with itself; name two judges")
    return Sides(((a, b),), True, tuple(SourcePlace(path, path.name) for path in paths))


def _place(name: str) -> SourcePlace | None:
    if not os.path.exists(name):  # Path.exists raises for a name that is too long
        return None
    path = Path(name)
    if found := _of_run(path):
        return found
    looks = path.is_file() or any(path.glob("**/judgments/*.jsonl")) or path.name == "judgments"
    return SourcePlace(path, path.stem if path.is_file() else path.resolve().name) if looks else None


def _of_run(path: Path) -> SourcePlace | None:
    """The answers and judgments of one run's models, where the path is the folder of a run."""
    record = read(path / "manifest.json") if (path / "manifest.json").is_file() else None
    if record is None:
        return None
    prints = {name: str(fields.get("fingerprint", "")) for name, fields in record.models.items()}
    return SourcePlace(path.parent.parent, path.name, prints)


def _two_places(one: SourcePlace, other: SourcePlace) -> Sides:
    """Sides that are one model in two places, or the two models that the places hold."""
    if one == other:
        raise UsageError(f"{str(one.path)!r} cannot be compared with itself")
    if one.label == other.label:
        one, other = (
            SourcePlace(place.path, str(place.path), place.fingerprints, place.only) for place in (one, other)
        )
    first, second = (set(_models(place)) for place in (one, other))
    common = sorted(first & second)
    own = sorted(first - second), sorted(second - first)
    places = (one, other)
    differing = _differing(places)
    notes = tuple(
        f"the judge {name!r} differs in configuration (prompt, parser, sampling or model) between {one.label} and "
        f"{other.label}: a difference may be the judge's"
        for name in sorted(differing)
    )
    if len(own[0]) == len(own[1]) == 1:  # what both places have besides is a baseline, or takes no part
        return Sides(((own[0][0], own[1][0]),), False, places, notes=notes)
    if not common:
        raise UsageError(
            f"{one.label} and {other.label} have no model in common, and not one each: {named(own[0])} and "
            f"{named(own[1])}; name two models instead"
        )
    pairs = tuple((f"{name}@{one.label}", f"{name}@{other.label}") for name in common)
    return Sides(pairs, False, places, renamed=True, notes=notes)


def _logs(place: SourcePlace) -> list[Rows[Judged]]:
    """Judgments that are stored there; a battle table holds none, and is read as a whole (``Sides.files``)."""
    return [] if battle_table.is_battle_table(place.path) else judged_rows([place.path])


def _models(place: SourcePlace) -> Iterator[str]:
    for table in battle_table.read([place.path]) if battle_table.is_battle_table(place.path) else []:
        yield from table.models
    for log in _logs(place):
        for row in log:
            yield from (model.name for model in row.models if place.has(model))


def _differing(places: Iterable[SourcePlace]) -> set[str]:
    """Judges that are in several places under different fingerprints."""
    found: dict[str, list[set[str]]] = {}
    for place in places:
        here: dict[str, set[str]] = {}
        for log in _logs(place):
            for row in log:
                if rater_kind(row.judge) == "judge":
                    here.setdefault(row.judge.name, set()).add(row.judge.fingerprint)
                break
        for name, prints in here.items():
            found.setdefault(name, []).append(prints)
    return {name for name, prints in found.items() if any(one != prints[0] for one in prints)}


def _known(paths: Iterable[Path]) -> tuple[set[str], set[str]]:
    """Models and judges in these places."""
    models: set[str] = set()
    judges: set[str] = set()
    listed = list(paths)
    tables = [path for path in listed if battle_table.is_battle_table(path)]
    for log in judged_rows(path for path in listed if path not in tables):
        for row in log:
            judges.add(row.judge.name)
            models.update(model.name for model in row.models)
    for table in battle_table.read(tables) if tables else []:
        models.update(table.models)
        judges.add(table.judge)
    return models, judges
