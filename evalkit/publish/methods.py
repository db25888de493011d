"""A methods paragraph and a bibliography for a judging: every sentence says what is stored, or that it is not."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evalkit import __version__
from evalkit.core.text import plain
from evalkit.datasets import benchmark
from evalkit.evidence.findings import counted
from evalkit.publish import bibliography
from evalkit.publish.bibliography import Work
from evalkit.publish.facts import JudgingFacts, facts, places
from evalkit.ratings.leaderboard import Choices, rate
from evalkit.ratings.scores import METHOD, ROWS_POOLED
from evalkit.ratings.standing import WITHIN, Standing, named
from evalkit.reports.leaderboard_tables import latex_text

if TYPE_CHECKING:
    from evalkit.stats.resample import Interval

SCHEMA = "evalkit.citation/1"
SHORT = 12
"""Characters of a hash in a sentence; the JSON form has all."""
DESCRIBED = 8
"""Models up to which each is described."""
COMPUTED_WITH = ("numpy", "scipy")
JOINED = "_aggregated"
"""Ends the name of protocols whose verdicts were joined over both orders before they were imported."""
IMPORTED = "imported/"
"""Begins the parser of rows that another tool judged."""


@dataclass(frozen=True)
class Sentence:
    """One sentence of the paragraph, and the works that it cites."""

    text: str
    cites: tuple[Work, ...] = ()


@dataclass(frozen=True)
class Citation:
    """What a paper says of one judging; `cite` makes it."""

    facts: JudgingFacts
    sentences: tuple[Sentence, ...]

    @property
    def works(self) -> tuple[Work, ...]:
        """Everything cited, in order."""
        return tuple(dict.fromkeys(work for sentence in self.sentences for work in sentence.cites))

    @property
    def paragraph(self) -> str:
        """The paragraph as text, with keys of the bibliography in Pandoc's form: ``[@key]``."""
        return " ".join(_cited(plain(one.text), [f"@{work.key}" for work in one.cites], "; ") for one in self.sentences)

    def to_latex(self) -> str:
        r"""The paragraph as LaTeX, with ``\cite``."""
        parts = []
        for one in self.sentences:
            keys = ",".join(work.key for work in one.cites)
            text = latex_text(one.text)
            parts.append(f"{text[:-1]}~\\cite{{{keys}}}." if keys else text)
        return "\n".join(parts)

    @property
    def bibtex(self) -> str:
        """The bibliography."""
        return bibliography.bibtex(self.works)

    def _repr_html_(self) -> str:
        """The paragraph and the bibliography as a notebook shows them."""
        return f"<p>{escape(self.paragraph)}</p><pre>{escape(self.bibtex)}</pre>"


def _cited(text: str, keys: Sequence[str], between: str) -> str:
    return f"{text[:-1]} [{between.join(keys)}]." if keys else text


def cite(paths: Sequence[Path], *, method: str | None = None, judge: str | None = None) -> list[Citation]:
    """A citation for every judge, protocol and benchmark in some results.

    Args:
        paths: results folders, runs' folders, or judgments files.
        method: how models are rated; None takes mean scores of single grading and Bradley-Terry of pairs.
        judge: only this one.

    Raises:
        UsageError: there is nothing to cite, or the method does not fit.
    """
    found = facts(paths, judge)
    roots = places(paths).roots
    result = []
    for one in found:
        way = METHOD if one.shows == 1 else method if method not in (None, METHOD) else "bt"
        board = rate(Choices(paths=roots, method=way, judge=one.judge.name))
        rows = [
            row
            for row in board.standings
            if (row.benchmark, row.judge, row.protocol, row.category)
            == (one.benchmark, one.judge.name, one.protocol, None)
            and row.model in {model.name for model in one.models}
        ]
        result.append(Citation(one, tuple(_sentences(one, rows, way))))
    return result


def _sentences(about: JudgingFacts, rows: Sequence[Standing], method: str) -> Iterator[Sentence]:
    yield _evaluated(about)
    yield from _questions(about)
    yield from _candidates(about)
    yield _judge(about)
    yield _protocol(about)
    yield _shown(about)
    yield _verdicts(about)
    if about.replaced:
        yield Sentence(
            f"{counted(about.replaced, 'judgment')} of earlier configurations of the judge or of a model "
            f"{'is' if about.replaced == 1 else 'are'} not counted."
        )
    yield _estimator(about, method, rows)
    yield from _intervals(rows)
    yield _versions(about)


def _evaluated(about: JudgingFacts) -> Sentence:
    shipped = about.benchmark in benchmark.names()
    title = benchmark.spec(about.benchmark).title if shipped else about.benchmark
    work = bibliography.BENCHMARKS.get(about.benchmark)
    models = [model.name for model in about.models]
    return Sentence(
        f"We evaluated {counted(len(models), 'model')} ({_listed(models)}) on {counted(about.questions, 'question')} "
        f"of {title}.",
        () if work is None else (work,),
    )


def _questions(about: JudgingFacts) -> Iterator[Sentence]:
    """The files that the run read its questions from."""
    data = about.record.data if about.record is not None else {}
    if data:
        files = _listed([f"{name} ({digest[:SHORT]})" for name, digest in data.items()])
        yield Sentence(f"Questions and references were read from files with these SHA-256 hashes: {files}.")


def _candidates(about: JudgingFacts) -> Iterator[Sentence]:
    """What each model is, as the runs' manifests have it."""
    if len(about.models) > DESCRIBED:
        return
    unknown = [model.name for model in about.models if model.name not in about.candidates]
    for name, config in about.candidates.items():
        sent = _sent(about.asked_with.get(name, ()))
        yield Sentence(f"The model {name} is {_described(config, sent)}.", _engine(config))
    if unknown:
        which = "that model was" if len(unknown) == 1 else "these models were"
        yield Sentence(f"The results do not say how {which} configured: {_listed(unknown)}.")


def _described(config: Mapping[str, Any], sent: str) -> str:
    """A model by its id, what fixes its weights, and how it was asked."""
    parts = []
    if config.get("revision"):
        parts.append(f"revision {config['revision']}")
    if config.get("sha256"):
        parts.append(f"weights with SHA-256 {str(config['sha256'])[:SHORT]}")
    parts += [sent] if sent else []
    if config.get("system_prompt"):
        parts.append("with a system prompt")
    told = f" ({', '.join(parts)})" if parts else ""
    return f"{config.get('model') or 'a model of unknown id'} on the backend {config.get('backend')}{told}"


def _sent(forms: Sequence[Mapping[str, Any]]) -> str:
    """The sampling fields that were sent, and all values of each; empty where no row says."""
    if not forms:
        return ""
    values: dict[str, dict[str, None]] = {}
    for form in forms:
        for name, value in form.items():
            values.setdefault(name, {})[f"{value}"] = None
    for name, found in values.items():
        if not all(name in form for form in forms):
            found["unset"] = None
    if not values:
        return "no sampling fields sent"
    return "sent " + ", ".join(f"{name} {' or '.join(found)}" for name, found in values.items())


def _engine(config: Mapping[str, Any]) -> tuple[Work, ...]:
    work = bibliography.ENGINES.get(str(config.get("backend")))
    return () if work is None else (work,)


def _judge(about: JudgingFacts) -> Sentence:
    name, config = about.judge.name, about.configuration
    if config is None:
        said = f"The judge was {name}; the results do not say how it was configured"
        cites: tuple[Work, ...] = ()
    else:
        said, cites = f"The judge was {name}: {_described(config, _sent(about.sampling))}", _engine(config)
        if not config.get("revision") and not config.get("sha256"):
            said += "; no revision of it is known"
    if about.snapshots:
        said += f"; its provider reported the id {_listed(about.snapshots)}"
    return Sentence(f"{said}.", cites)


def _protocol(about: JudgingFacts) -> Sentence:
    config = about.configuration or {}
    work = bibliography.PROTOCOLS.get(about.protocol)
    read = [parser for parser in about.parsers if not parser.startswith(IMPORTED)]
    parts = [f"parser {_listed(read)}"] if read else []
    if len(read) < len(about.parsers):
        parts.append("verdicts imported from another tool's files")
    if config.get("prompts"):
        parts.insert(0, f"prompts with the hash {str(config['prompts'])[:SHORT]}")
    if config.get("references") not in (None, "", "none"):
        parts.append(f"reference answers: {config['references']}")
    told = f" ({', '.join(parts)})" if parts else ""
    return Sentence(f"It judged under the protocol {about.protocol}{told}.", () if work is None else (work,))


def _shown(about: JudgingFacts) -> Sentence:
    """How answers were put before the judge: one by one, in both orders or one, in lists; and how often."""
    if about.shows == 1:
        said = "Answers were graded one by one"
    elif about.shows == 2:
        both, cases = about.both_orders, about.cases
        pairs = counted(cases, "pair")
        if about.protocol.endswith(JOINED):
            said = f"Answers were compared in pairs, {pairs} in all; each judgment joins the verdicts in both orders"
        elif both == cases:
            said = f"Answers were compared in pairs, each of {pairs} shown in both orders"
        elif not both:
            said = f"Answers were compared in pairs, each of {pairs} shown in one order only"
        else:
            said = f"Answers were compared in pairs: {both:,} of {pairs} in both orders, {cases - both:,} in one only"
    else:
        said = f"Answers were judged in lists of {about.shows}"
    if about.most_repeats > 1:
        said += f", up to {about.most_repeats} times in one order"
    return Sentence(f"{said}.")


def _verdicts(about: JudgingFacts) -> Sentence:
    lost, unanswered = sum(about.failed.values()), sum(about.unanswered.values())
    said = f"There are {counted(about.judgments, 'judgment')}"
    if about.judgments == 1:
        said = "There is 1 judgment"
    if not lost:
        said += ", none without a verdict"
    else:
        share = 100 * lost / about.judgments
        said += f", of which {lost:,} ({share:.1f}%) ended without a verdict ({_kinds(about.failed)})"
    if unanswered:
        said += f"; {counted(unanswered, 'answer')} failed and {'was' if unanswered == 1 else 'were'} not judged "
        said += f"({_kinds(about.unanswered)})"
    if lost or unanswered:
        said += "; a failure counts neither as a score nor as a tie or a loss"
    return Sentence(f"{said}.")


def _kinds(failed: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {kind}" for kind, count in failed.items())


def _estimator(about: JudgingFacts, method: str, rows: Sequence[Standing]) -> Sentence:
    work = bibliography.ESTIMATORS.get(method)
    cites = () if work is None else (work,)
    if not any(row.main for row in rows):
        return Sentence("From these no rating could be computed.")
    baseline = next((row.about.baseline for row in rows if row.about.baseline), None)
    against = f"against {baseline}" if baseline else "on average over the opponents, each of which counts alike"
    if method == METHOD:
        if about.protocol in ROWS_POOLED:
            return Sentence("A model's score is the mean over all its judged turns.", cites)
        return Sentence("A model's score is the mean over questions of the mean over its judged turns.", cites)
    said = {
        "winrate": f"A model's win rate is its share of points {against}, a tie being half a win.",
        "lc": f"Win rates {against} are controlled for length: what they would be at answers as long as its own.",
        "bt": "Models are rated by the maximum-likelihood Bradley-Terry model, a tie being half a win each; 400 points "
        "are odds of 10, and the mean is 1000.",
        "elo": "Models are rated by online Elo (K 4, from 1000), the median over random orders of the comparisons.",
    }
    return Sentence(said[method], cites)


def _intervals(rows: Sequence[Standing]) -> Iterator[Sentence]:
    mains = [(row.model, row.main) for row in rows if row.main is not None]
    limited = [found for _, found in mains if found.lower is not None and found.upper is not None]
    if limited:
        within = any(WITHIN in note for row in rows for note in row.about.notes)
        drawn = sorted({found.resamples for found in limited})
        levels = " and ".join(f"{100 * level:g}%" for level in sorted({found.level for found in limited}))
        said = f"Intervals are {levels} intervals that take questions, not judgments, as the independent units; "
        said += f"they come {_how(drawn, limited)}"
        if within:
            said += "; questions vary within the categories that the benchmark declares, whose shares are fixed"
        works = (bibliography.MILLER, bibliography.HESTERBERG) if any(drawn) else (bibliography.MILLER,)
        yield Sentence(f"{said}.", works)
    reasons: dict[str, list[str]] = {}
    for model, found in mains:
        if found.lower is None or found.upper is None:
            reasons.setdefault(found.reason or "the data identify none", []).append(model)
    for reason, names in reasons.items():
        yield Sentence(f"There is no interval of {named(names)}: {reason}.")


def _how(drawn: Sequence[int], limited: Sequence[Interval]) -> str:
    resamples = [number for number in drawn if number]
    if not resamples:
        return "in closed form"
    seeds = _listed(sorted({str(found.seed) for found in limited if found.resamples}))
    counts = _listed([f"{number:,}" for number in resamples])
    some = "in closed form, where questions are few or very many, and else " if 0 in drawn else ""
    return f"{some}from {counts} resamples of the questions (seed {seeds})"


def _versions(about: JudgingFacts) -> Sentence:
    computed = ", ".join(f"{name} {version(name)}" for name in COMPUTED_WITH)
    said = f"Numbers were computed with evalkit {__version__} (Python {platform.python_version()}, {computed})"
    record = about.record
    if record is None:
        said += "; no manifest says which version made the judgments"
    else:
        packages = ", ".join(f"{name} {found}" for name, found in record.packages.items() if name not in COMPUTED_WITH)
        said += f"; the newest run of this judge, begun {record.started}, used evalkit {record.evalkit}"
        said += f" ({packages})" if packages else ""
    return Sentence(f"{said}.", (bibliography.EVALKIT,))


def _listed(names: Iterable[str], most: int = 12) -> str:
    shown = list(names)
    return ", ".join(shown[:most]) + (f" and {len(shown) - most} more" if len(shown) > most else "")


def to_text(found: Sequence[Citation]) -> str:
    """Paragraphs, then the bibliography of all."""
    parts = [one.paragraph for one in found]
    return "\n\n".join([*parts, bibliography.bibtex(_works(found))])


def to_latex(found: Sequence[Citation]) -> str:
    """Paragraphs as LaTeX, then the bibliography of all in comments' place: an own file is what BibTeX reads."""
    listed = bibliography.bibtex(_works(found)).splitlines()
    return "\n\n".join([*(one.to_latex() for one in found), "\n".join(f"% {line}".rstrip() for line in listed)])


def to_json(found: Sequence[Citation]) -> str:
    """Sentences with what each cites, and the facts behind them, whole; schema ``evalkit.citation/1``."""
    rows = [
        {
            "benchmark": one.facts.benchmark,
            "judge": one.facts.judge.name,
            "judge_fingerprint": one.facts.judge.fingerprint,
            "protocol": one.facts.protocol,
            "sentences": [{"text": said.text, "cites": [work.key for work in said.cites]} for said in one.sentences],
            "prompts": (one.facts.configuration or {}).get("prompts"),
            "data": dict(one.facts.record.data) if one.facts.record is not None else {},
            "judgments": one.facts.judgments,
            "failed": dict(one.facts.failed),
        }
        for one in found
    ]
    works = [{"key": work.key, "bibtex": work.bibtex()} for work in _works(found)]
    return json.dumps({"schema": SCHEMA, "rows": rows, "works": works}, indent=2, ensure_ascii=False, allow_nan=False)


def _works(found: Sequence[Citation]) -> list[Work]:
    return list(dict.fromkeys(work for one in found for work in one.works))
