"""A claim card: one number with its interval, and hashes of all that it rests on, so that others can check it."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Mapping, Sequence
from html import escape
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from evalkit import __version__
from evalkit.audit.analyse import audit
from evalkit.core.files import replace_file
from evalkit.core.protocols import UsageError
from evalkit.core.schema import Ref
from evalkit.core.text import plain
from evalkit.decisions.compare import Comparison, compare
from evalkit.publish.facts import JudgingFacts, ResultPlaces, facts, places
from evalkit.publish.selected_rows import SelectedRows, Selection, selected
from evalkit.ratings.leaderboard import METHODS, Choices, rate
from evalkit.ratings.scores import METHOD
from evalkit.ratings.standing import Standing, named
from evalkit.reports.audit_verdict import verdict
from evalkit.reports.leaderboard_grid import UNITS

SCHEMA = "evalkit.claim/1"
COMPUTED_WITH = ("numpy", "scipy")
FORMS = (METHOD, *METHODS)


class ClaimScope(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a claim is about."""

    benchmark: str
    judge: str
    protocol: str
    method: str
    """A way to rate, or ``difference``."""
    model: str
    over: str | None = None
    """The model that is subtracted; None: the claim is about one model's rating."""
    category: str | None = None
    baseline: str | None = None


class ClaimNumber(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The number, with 95% limits."""

    estimate: float
    lower: float | None
    upper: float | None
    unit: str
    questions: int
    """Independent units behind it."""
    failed: Mapping[str, int]
    """Judgments and answers without a result that it leaves out, by kind."""
    reason: str | None = None
    """Why there are no limits."""


class ClaimJudge(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Who judged, and how it was asked."""

    fingerprint: str
    model: str | None
    revision: str | None
    """Revision, or SHA-256 of the weights."""
    prompts: str | None
    """Hash of the prompts; None where no manifest says."""
    parsers: tuple[str, ...]
    snapshots: tuple[str, ...]


class ClaimRows(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How many rows there are of a kind, and their hash, which does not depend on their order."""

    n: int
    sha256: str


class ClaimAudit(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What may be concluded from the judge on these rows."""

    may: tuple[str, ...]
    may_not: tuple[str, ...]
    unknown: tuple[str, ...]
    human: str | None = None
    """SHA-256 of the file of people's votes that the audit was given beside the results."""


class ClaimCard(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="schema", tag=SCHEMA):
    """One number that others can check: `claim` makes it, `verify` recomputes it from the rows."""

    sentence: str
    claim: ClaimScope
    number: ClaimNumber
    judge: ClaimJudge
    models: Mapping[str, str]
    """Fingerprint of every model that was judged; judgments of others, made later, do not count."""
    judgments: ClaimRows
    votes: ClaimRows
    """Of people, and labels known to be right, among the results."""
    answers: ClaimRows
    questions: ClaimRows
    data: Mapping[str, str]
    """SHA-256 of the files that the newest run read its questions from."""
    audit: ClaimAudit
    evalkit: str
    packages: Mapping[str, str]
    seal: str = ""
    """SHA-256 of all the rest of the card."""

    def sealed(self) -> ClaimCard:
        """The card with the seal that its contents have."""
        return msgspec.structs.replace(self, seal=self.contents_hash())

    def contents_hash(self) -> str:
        """SHA-256 of everything but the seal."""
        bare = msgspec.structs.replace(self, seal="")
        return hashlib.sha256(msgspec.json.Encoder(order="deterministic").encode(bare)).hexdigest()

    def to_json(self) -> str:
        """The card as JSON, schema ``evalkit.claim/1``."""
        return msgspec.json.format(msgspec.json.encode(self), indent=2).decode()

    def _repr_html_(self) -> str:
        """The sentence and the whole card as a notebook shows them."""
        whole = f"<details><summary>card</summary><pre>{escape(self.to_json())}</pre></details>"
        return f"<p>{escape(plain(self.sentence))}</p>{whole}"

    def save(self, path: str | Path) -> Path:
        """Write the card to a file.

        Raises:
            UsageError: the file cannot be written.
        """
        to = Path(path)
        try:
            to.parent.mkdir(parents=True, exist_ok=True)
            replace_file(to, self.to_json().encode() + b"\n")
        except OSError as error:
            raise UsageError(f"cannot write {str(to)!r}: {error.strerror}") from error
        return to


def read_card(path: Path) -> ClaimCard:
    """Read a card from a file.

    Raises:
        ChangedForm: it was a card once, and no longer has the form of one.
        UsageError: the file cannot be read, or is no card.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read {str(path)!r}: {error.strerror}") from error
    fields = _lenient(content)
    try:
        if fields and "schema" not in fields:
            raise ValueError("Object missing required field `schema`")
        return msgspec.json.decode(content, type=ClaimCard)
    except (ValueError, RecursionError) as error:
        if fields.get("schema", SCHEMA) == SCHEMA and {"seal", "claim", "number"} & fields.keys():
            raise ChangedForm(str(error)) from error
        raise UsageError(f"{str(path)!r} is no claim card: {error}; `evalkit claim MODEL -o FILE` makes one") from error


class ChangedForm(UsageError):
    """A file that was a claim card once has lost or gained fields, or holds values that no card holds."""


def _lenient(content: bytes) -> Mapping[str, Any]:
    """What a file says, also where it is no JSON in the strict sense (NaN); empty where that is no object."""
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def claim(
    model: str,
    paths: Sequence[Path],
    *,
    over: str | None = None,
    method: str | None = None,
    judge: str | None = None,
    protocol: str | None = None,
    benchmark: str | None = None,
    category: str | None = None,
    baseline: str | None = None,
    human: Path | None = None,
) -> ClaimCard:
    """Make a card of one model's rating, or of its difference from another model.

    Args:
        model: whose.
        paths: results folders, runs' folders, or judgments files.
        over: the model that is subtracted.
        method: score, winrate, lc, bt or elo; None takes score of single grading, else bt.
        judge: by which; needed where there are several.
        protocol: under which; likewise.
        benchmark: on which; likewise.
        category: of questions; None: all.
        baseline: of win rates.
        human: a file of people's votes for the audit, beside those among the results.

    Raises:
        UsageError: there is no such number, or it is not clear which is meant.
    """
    found = [
        one
        for one in facts(paths, judge)
        if protocol in (None, one.protocol)
        and benchmark in (None, one.benchmark)
        and {model, over} - {None} <= {ref.name for ref in one.models}
        and _fits(one, method)
    ]
    about = _only(found, model, over, paths)
    way = "difference" if over is not None else method or (METHOD if about.shows == 1 else "bt")
    scope = ClaimScope(
        benchmark=about.benchmark,
        judge=about.judge.name,
        protocol=about.protocol,
        method=way,
        model=model,
        over=over,
        category=category,
        baseline=baseline,
    )
    where = places(paths)
    models = {ref.name: ref.fingerprint for ref in about.models}
    meant = Selection(benchmark=about.benchmark, judge=about.judge, protocol=about.protocol, models=models)
    return recomputed(scope, meant, where, human)


def _fits(about: JudgingFacts, method: str | None) -> bool:
    return method is None or (method == METHOD) == (about.shows == 1)


def _only(found: Sequence[JudgingFacts], model: str, over: str | None, paths: Sequence[Path]) -> JudgingFacts:
    """The one judging that is meant."""
    if len(found) == 1:
        return found[0]
    names = f"{model!r} and {over!r}" if over else repr(model)
    if not found:
        known = sorted({ref.name for one in facts(paths) for ref in one.models})
        raise UsageError(
            f"no judgments of {names} in {', '.join(map(str, paths))} that fit; models there: {named(known, 12)}"
        )
    several = "; ".join(
        f"benchmark {one.benchmark}, judge {one.judge.name}, protocol {one.protocol}" for one in found[:6]
    )
    raise UsageError(f"{names}: it is not clear which judgments are meant; choose by --benchmark, --judge or "
                     f"--protocol among: {several}")  # fmt: skip


def recomputed(scope: ClaimScope, selection: Selection, where: ResultPlaces, human: Path | None) -> ClaimCard:
    """The card as the rows have it now.

    Raises:
        UsageError: the rows no longer give such a number.
    """
    with selected(where, selection) as rows:
        if not len(rows.judgments):
            raise UsageError(
                f"no judgments of {selection.judge.name} (configuration {selection.judge.fingerprint[:12]}, protocol "
                f"{selection.protocol}) about {named(sorted(selection.models))} on {selection.benchmark} in "
                f"{', '.join(map(str, where.roots))}"
            )
        number, sentence = _difference(scope, rows) if scope.over is not None else _rating(scope, rows)
        (about,) = facts([rows.root], selection.judge.name)
        return ClaimCard(
            sentence=sentence,
            claim=scope,
            number=number,
            judge=_judge(about),
            models=dict(sorted(selection.models.items())),
            judgments=ClaimRows(n=len(rows.judgments), sha256=rows.judgments.hexdigest()),
            votes=ClaimRows(n=len(rows.votes), sha256=rows.votes.hexdigest()),
            answers=ClaimRows(n=len(rows.answers), sha256=rows.answers.hexdigest()),
            questions=ClaimRows(n=len(rows.questions), sha256=rows.questions.hexdigest()),
            data=dict(about.record.data) if about.record is not None else {},
            audit=_audit(rows, selection.judge.name, human),
            evalkit=__version__,
            packages={"python": platform.python_version(), **{name: version(name) for name in COMPUTED_WITH}},
        ).sealed()


def _judge(about: JudgingFacts) -> ClaimJudge:
    config: Mapping[str, Any] = about.configuration or {}

    def text(name: str) -> str | None:
        return None if config.get(name) is None else str(config[name])

    return ClaimJudge(
        fingerprint=about.judge.fingerprint,
        model=text("model"),
        revision=text("revision") or text("sha256"),
        prompts=text("prompts"),
        parsers=about.parsers,
        snapshots=about.snapshots,
    )


def _rating(scope: ClaimScope, rows: SelectedRows) -> tuple[ClaimNumber, str]:
    if scope.method not in FORMS:
        raise UsageError(f"method {scope.method!r} is not possible; there are: {', '.join(FORMS)}, and over=MODEL")
    baseline = {"baseline": scope.baseline} if scope.baseline is not None else {}
    choices = Choices(
        paths=(rows.root,),
        method=scope.method,
        judge=scope.judge,
        by_category=scope.category is not None,
        **baseline,  # type: ignore[arg-type]
    )
    standings = [
        row for row in rate(choices).standings if row.category == scope.category and row.protocol == scope.protocol
    ]
    row = next((one for one in standings if one.model == scope.model), None)
    if row is None or row.main is None:
        raise UsageError(_unrated(scope, standings, row))
    main = row.main
    number = ClaimNumber(
        estimate=main.estimate,
        lower=main.lower,
        upper=main.upper,
        unit=UNITS[scope.method],
        questions=main.clusters,
        failed=dict(row.failed),
        reason=main.reason,
    )
    of = f" in {scope.category}" if scope.category else ""
    against = f" against {row.about.baseline}" if row.about.baseline else ""
    limits = (
        f"95% interval {main.lower:.4g} to {main.upper:.4g}"
        if main.lower is not None and main.upper is not None
        else f"no interval: {main.reason}"
    )
    failed = sum(row.failed.values())
    said = (
        f"On {scope.benchmark}{of}, {scope.model} has the {UNITS[scope.method].removesuffix(', %')} {main.estimate:.4g}"
        f"{' %' if UNITS[scope.method].endswith('%') else ''}{against} ({limits}) by {scope.judge} ({scope.protocol}), "
        f"over {main.clusters:,} questions; {failed:,} failed and left out."
    )
    return number, said


def _unrated(scope: ClaimScope, standings: Sequence[Standing], row: Standing | None) -> str:
    if row is not None:
        notes = "; ".join(row.about.notes) or "the data cannot tell"
        return f"{scope.model!r} has no {UNITS[scope.method]}: {notes}"
    known = sorted({one.model for one in standings})
    if known:
        return f"{scope.model!r} is not rated by {scope.method}; rated are: {named(known, 12)}"
    where = f" in category {scope.category!r}" if scope.category else ""
    return f"nothing is rated by {scope.method}{where}; name another --method or --category"


def _difference(scope: ClaimScope, rows: SelectedRows) -> tuple[ClaimNumber, str]:
    found, _ = compare(
        scope.model, scope.over or "", [rows.root], by_category=scope.category is not None, judge=scope.judge
    )
    mine = [one for one in found if one.category == scope.category and one.verdicts.protocol == scope.protocol]
    one: Comparison | None = next(iter(mine), None)
    if one is None or one.interval is None:
        where = f" in category {scope.category!r}" if scope.category else ""
        raise UsageError(f"{scope.model!r} and {scope.over!r} have no question in common{where}")
    interval = one.interval
    number = ClaimNumber(
        estimate=interval.estimate,
        lower=interval.lower,
        upper=interval.upper,
        unit=one.unit,
        questions=one.questions,
        failed={name: count for name, count in zip((scope.model, scope.over or ""), one.failed, strict=True) if count},
        reason=interval.reason,
    )
    of = f", {scope.category}" if scope.category else ""
    return number, f"On {scope.benchmark}{of}, by {scope.judge} ({scope.protocol}): {one.sentence()}"


def _audit(rows: SelectedRows, judge: str, human: Path | None) -> ClaimAudit:
    found = audit([rows.root], human, judge)
    boxes = [verdict(found, subject) for subject in found.subjects]
    return ClaimAudit(
        may=tuple(said for box in boxes for said in box.may),
        may_not=tuple(said for box in boxes for said in box.may_not),
        unknown=tuple(said for box in boxes for said in box.unknown),
        human=file_hash(human) if human is not None else None,
    )


def file_hash(path: Path) -> str:
    """SHA-256 of a file, or of all files of a folder with their names.

    Raises:
        UsageError: it cannot be read.
    """
    try:
        if path.is_dir():
            whole = hashlib.sha256()
            for one in sorted(path.rglob("*.jsonl")):
                whole.update(f"{one.relative_to(path)} {file_hash(one)}\n".encode())
            return whole.hexdigest()
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise UsageError(f"cannot read {str(path)!r}: {error.strerror}") from error


def selection_of(card: ClaimCard) -> Selection:
    """The rows that a card says it is about."""
    scope = card.claim
    ref = Ref(scope.judge, card.judge.fingerprint)
    return Selection(benchmark=scope.benchmark, judge=ref, protocol=scope.protocol, models=card.models)
