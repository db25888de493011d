"""The page of an audit: self-contained, inert whatever the data, readable without JavaScript, and true to its rules."""

from __future__ import annotations

import math
import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser

import msgspec
import pytest

from evalkit.audit.analyse import audited
from evalkit.cli.metric_docs import metrics
from evalkit.evidence.evidence import signed
from evalkit.evidence.findings import AgreementRow, Audit, Example, Finding, Histogram, Rating, Subject
from evalkit.evidence.gather import gather
from evalkit.reports.audit_figures import Bars
from evalkit.reports.audit_limits import lacking
from evalkit.reports.audit_metrics import judge_labels, number
from evalkit.reports.audit_page import page
from evalkit.reports.audit_parts import Table
from evalkit.reports.audit_sections import histograms, places
from evalkit.reports.audit_topics import sections
from evalkit.reports.audit_verdict import verdict
from evalkit.stats.resample import Interval
from tests.biases.simulated import Study

METRICS = {metric.name: metric for metric in metrics()}
CATEGORIES = ("writing", "roleplay", "reasoning", "math")
MODELS = ("gpt-4", "claude-v1", "vicuna-13b", "llama-13b")
LIMIT = 2_000_000
"""Bytes that no page may pass, whatever was audited."""


def finding(metric, estimate=None, reach=0.05, *, judge="gpt-4", category=None, null=None, needs=None, **details):
    if null is not None:
        details |= {"null": null, "excludes_null": abs(estimate - null) > reach, "detectable": reach / 1.96 * 2.8}
    limits = {} if estimate is None else {"lower": estimate - reach, "upper": estimate + reach}
    return Finding(
        judge=judge,
        protocol="pairwise",
        benchmark="mtbench",
        measure=METRICS[metric],
        category=category,
        estimate=estimate,
        n=2400,
        questions=80,
        sentence=f"{metric} is {estimate}.",
        not_measurable=needs,
        details=details,
        **limits,
    )


def agreement(judge, other, setup, share, total, *, category=None, turn=None, reach=0.03):
    limits = {"lower": share - reach, "upper": min(1.0, share + reach)}
    return AgreementRow(
        judge=judge,
        other=other,
        turn=turn,
        setup=setup,
        category=category,
        agree=round(share * total),
        total=total,
        kappa=0.476,
        **limits,
    )


def beside(share, *, people=0.81, ties=(0.66, 0.64), total=500, reach=0.03):
    """A judge with people, with and without ties, and how people agree on the same pairs."""
    rows = []
    for setup, mine, theirs in (("S1", *ties), ("S2", share, people)):
        row = agreement("gpt-4", "human", setup, mine, total, reach=reach)
        rows.append(replace(row, alike=(row, agreement("human", "human", setup, theirs, total, reach=reach))))
    return tuple(rows)


def example(kind="inconsistent", **other):
    fields = {
        "kind": kind,
        "benchmark": "mtbench",
        "judge": "gpt-4",
        "protocol": "pairwise",
        "item": "81",
        "category": "writing",
        "turn": 1,
        "model_a": "gpt-4",
        "model_b": "llama-13b",
        "answer_a": "A trip to **Hawaii**.\n\nAloha!",
        "answer_b": None,
        "judge_says": ("first: gpt-4", "first: llama-13b"),
        "others_say": ("llama-13b", "tie"),
        "raw": ("[[A]] it is",),
    }
    return Example(**fields | other)


SUBJECT = Subject(
    benchmark="mtbench",
    judge="gpt-4",
    protocol="pairwise",
    shows=2,
    judgments=2400,
    failed={"unparsed": 7},
    models=MODELS,
    questions=80,
    votes=2668,
)


def full():
    findings = [
        finding("position_consistency", 0.84, 0.02),
        *(finding("position_consistency", 0.8, category=category) for category in CATEGORIES),
        finding("position_first", 0.62, null=0.5),
        finding("position_last", 0.38, null=0.5),
        finding("position_logit", 0.21, null=0.0),
        finding("position_logit_by_gap", -0.1, null=0.0),
        finding("length_slope_excess", -0.04, 0.27, null=0.0),
        finding("format_bold_excess", 0.2, null=0.0),
        finding("format_lists_excess", 0.0, null=0.0),
        finding("self_preference_residual", 0.51, 0.35, null=0.0),
        *(finding("win_rate_judge", 0.6, model=model) for model in MODELS),
        *(finding("win_rate_corrected", 0.5, model=model) for model in MODELS),
        finding("agreement_spearman", 0.94),
        finding("labels_needed", 123.0),
        finding("position_repeat_stability", needs="needs repeated judgments of the same pair"),
        finding("scale_entropy", needs="needs single grading"),
    ]
    rows = [
        agreement(*pair, setup, share, total, turn=turn)
        for pair in (("gpt-4", "human"), ("human", "human"))
        for turn in (None, 1, 2)
        for setup, share, total in (("S1", 0.66, 1343), ("S2", 0.846, 859))
    ]
    rows = [*beside(0.846), *(row for row in rows if row.judge == "human" or row.turn is not None)]
    rows += [
        agreement("gpt-4", "human", setup, 0.9 if category == "math" else 0.7, 40, category=category)
        for category in CATEGORIES
        for setup in ("S1", "S2")
    ]
    ratings = [
        Rating(
            benchmark="mtbench",
            rater=rater,
            protocol=rater,
            model=model,
            rating=scale * (1.5 - at),
            lower=scale * (1.5 - at) - 0.2,
            upper=scale * (1.5 - at) + 0.2,
            n=800,
        )
        for rater, scale in (("gpt-4", 1.4), ("human", 1.0))
        for at, model in enumerate(MODELS)
    ]
    histogram = Histogram(benchmark="mtbench", judge="gpt-4", protocol="single", scores=(1, 2, 9.5), counts=(1, 0, 3))
    kinds = ("inconsistent", "human_disagrees", "gold_disagrees")
    return Audit(
        subjects=(SUBJECT,),
        findings=tuple(findings),
        agreement=tuple(rows),
        ratings=tuple(ratings),
        histograms=(histogram,),
        examples=tuple(example(kind) for kind in kinds),
        notes=("3 judgments of earlier configurations are not counted",),
    )


class Reader(HTMLParser):
    """Tags, scripts and text, as a browser splits them."""

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.tags, self.scripts, self.text, self.inside = [], [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag in ("script", "style"):
            self.inside.append(tag)

    def handle_endtag(self, tag):
        if tag in ("script", "style"):
            self.inside.pop()

    def handle_data(self, data):
        if self.inside == ["script"]:
            self.scripts.append(data)
        elif not self.inside:
            self.text.append(data)


def read(audit, **more):
    reader = Reader()
    reader.feed(page(audit, **more))
    reader.said = re.sub(r"\s+", " ", " ".join(reader.text))
    return reader


def test_everything_in_one_file_and_nothing_from_elsewhere():
    text = page(full(), about=[("evalkit", "0.1.0")])
    assert len(text.encode()) < LIMIT
    reader = Reader()
    reader.feed(text)
    links = [value for _, attrs in reader.tags for name, value in attrs.items() if name in ("src", "href", "srcset")]
    assert links
    assert all(link.startswith("#") for link in links)
    ids = [attrs["id"] for _, attrs in reader.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    assert {link[1:] for link in links} <= set(ids)
    assert not [name for _, attrs in reader.tags for name in attrs if name.startswith("on")]
    assert not {tag for tag, _ in reader.tags} & {"img", "iframe", "link", "object", "embed", "form", "base"}
    (policy,) = [attrs["content"] for tag, attrs in reader.tags if tag == "meta" and "http-equiv" in attrs]
    assert "default-src 'none'" in policy
    assert "script-src" not in policy
    assert reader.scripts == []
    assert not re.findall(r"https?://", text)
    assert not re.search(r"\b(NaN|Infinity|None|nan|inf)\b", text)


def test_the_numbers_are_there_without_a_script():
    said = read(full(), about=[("cost", "$12.31")]).said
    for expected in (
        *("66.0%", "886 of 1,343", "84.6%", "0.476", "S1 agreement", "people with one another"),
        *("Same verdict in both orders", "+0.210", "-0.040", "position_logit is 0.21."),
        *("llama-13b", "-2.10", "needs repeated judgments of the same pair", "By both (PPI++)"),
        *(
            "Smallest effects",
            "± 0.386",
            "unparsed",
            "7",
            "0.3%",
            "$12.31",
            "2,668",
            "labels_needed is 123",
        ),
        *("The verdict changed with the order", "People say otherwise", "The text is not stored.", "(few)", "9.5"),
        "3 judgments of earlier configurations are not counted",
    ):
        assert expected in said, expected


def test_every_figure_is_a_picture_with_words_for_those_who_do_not_see_it():
    reader = read(full())
    pictures = [attrs for tag, attrs in reader.tags if tag == "svg"]
    assert len(pictures) >= 7
    assert all(attrs["role"] == "img" and attrs["aria-label"] for attrs in pictures)
    tables = [attrs for _, attrs in reader.tags if attrs.get("class") == "wide"]
    assert all(attrs["tabindex"] == "0" and attrs["aria-label"] for attrs in tables)


@pytest.mark.parametrize(
    "audit",
    [
        Audit(),
        Audit(subjects=(SUBJECT,)),
        Audit(findings=(finding("scale_entropy", needs="needs single grading"),)),
        Audit(findings=(finding("position_logit", 0.2, null=0.0),)),
        Audit(agreement=(agreement("a", "gold", "S1", 0.5, 0),)),
        Audit(agreement=(agreement("a", "gold", "S2", 0.5, 4, category="x", turn=2),)),
        Audit(examples=(example(answer_a="", raw=(), others_say=(), judge_says=()),)),
        Audit(histograms=(Histogram(benchmark="b", judge="j", protocol="p", scores=(), counts=()),)),
        Audit(
            ratings=(
                Rating(
                    benchmark="b",
                    rater="j",
                    protocol="p",
                    model="m",
                    rating=7,
                    lower=None,
                    upper=None,
                    n=1,
                    kind="score",
                ),
            )
        ),
        *(replace(full(), **{name: ()}) for name in ("subjects", "findings", "agreement", "ratings", "histograms")),
    ],
)
def test_sections_without_data_are_left_out(audit):
    said = read(audit).said
    for name, title in (("ratings", "Ratings:"), ("examples", "Telling examples"), ("agreement", "Agreement over")):
        if not getattr(audit, name):
            assert title not in said


def test_numbers_that_are_none_are_left_out():
    audit = full()
    broken = [replace(row, estimate=math.nan) if row.estimate and not row.category else row for row in audit.findings]
    broken.append(replace(finding("length_slope_excess", 0.1, null=0.0), lower=-math.inf, upper=math.inf))
    ratings = [
        replace(row, rating=math.nan) if row.model == "gpt-4" else replace(row, lower=-math.inf)
        for row in audit.ratings
    ]
    agreed = [replace(row, kappa=math.nan, upper=math.nan) for row in audit.agreement]
    text = page(replace(audit, findings=tuple(broken), ratings=tuple(ratings), agreement=tuple(agreed)))
    reader = Reader()
    reader.feed(text)
    assert not re.search(r"\b(nan|inf|NaN|Infinity)\b", " ".join(reader.text))


PAYLOADS = (
    "<script>document.title='PWNED'</script>",
    "</script><script>document.title='PWNED'</script>",
    "<img src=x onerror=\"document.title='PWNED'\">",
    "<svg onload=document.title='PWNED'>",
    '"><a href="javascript:document.title=\'PWNED\'">x</a>',
    "[x](javascript:document.title='PWNED') **bold** {{ 7*7 }} {% raw %} $\\href{javascript:alert(1)}{x}$ %{x}",
    "\u202egnp.exe\u2066 \x1b[31m\x1b]0;PWNED\x07 \x00 \ud800 <!-- <b>&lt;",
)


def hostile(text):
    """The audit with every text of its data replaced."""
    audit = full()

    def change(row):
        fields = {}
        for name, value in vars(row).items():
            if name in ("kind", "setup", "metric", "of"):
                continue
            if isinstance(value, str):
                fields[name] = value if value == "human" else text
            elif isinstance(value, tuple) and value and isinstance(value[0], str):
                fields[name] = tuple(f"{text}{number}" for number in range(len(value)))
        if isinstance(row, Subject):
            fields["failed"] = {text: 3}
        if isinstance(row, Finding):
            fields["not_measurable"] = text if row.not_measurable else None
            fields["category"] = f"{row.category}{text}" if row.category else None
            fields["details"] = {
                **row.details,
                **({"model": text + row.details["model"]} if "model" in row.details else {}),
            }
        if isinstance(row, AgreementRow):
            fields["category"] = f"{row.category}{text}" if row.category else None
        if isinstance(row, Rating):
            fields |= {"model": row.model + text, "protocol": row.protocol}
        return replace(row, **fields)

    parts = {
        name: tuple(change(row) for row in getattr(audit, name))
        for name in ("subjects", "findings", "agreement", "ratings", "histograms", "examples")
    }
    return Audit(**parts, notes=(text,))


@pytest.mark.parametrize("text", PAYLOADS)
def test_text_of_models_stays_text(text):
    reader = read(hostile(text), title=text, about=[(text, text)])
    tags = {tag for tag, _ in reader.tags}
    assert not tags & {"script", "img", "i"}
    assert not [name for _, attrs in reader.tags for name in attrs if name.startswith("on")]
    assert not [attrs for _, attrs in reader.tags if attrs.get("href", "#")[0] != "#"]
    assert "49 " not in reader.said.replace("{{ 7*7 }}", "")
    visible = "".join(reader.text)
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", visible)


def test_a_long_answer_is_cut_and_says_so():
    audit = full()
    long = "<p>&'\"\N{GRINNING FACE}</p>\n" * 90_000
    many = [
        example(kind, answer_a=long, answer_b=long, raw=(long, long)) for kind in ("inconsistent", "gold_disagrees")
    ] * 20
    text = page(replace(audit, examples=tuple(many), notes=(long,) * 50))
    assert len(text.encode()) < LIMIT
    assert "more characters are not shown" in text
    assert "the rest" in text


@pytest.mark.slow
def test_many_judges_and_long_names_still_fit():
    audit = full()
    names = [f"judge-{number}-" + "x" * 300 for number in range(60)]
    findings = tuple(replace(row, judge=name, sentence="s" * 900) for name in names for row in audit.findings)
    rows = tuple(replace(row, judge=name) for name in names for row in audit.agreement)
    subjects = tuple(replace(SUBJECT, judge=name) for name in names)
    text = page(replace(audit, findings=findings, agreement=rows, subjects=subjects))
    assert len(text.encode()) < LIMIT
    assert "more judges: see the JSON form" in text


def said(audit, **subject):
    return verdict(audit, replace(SUBJECT, failed={}, **subject))


def test_the_verdict_follows_intervals():
    result = said(full())
    assert any("votes like one more person" in text for text in result.may)
    assert any("ranks these models" in text for text in result.may)
    for part in ("given in one order", "formats differently", "its own kin", "a single pair"):
        assert any(part in text for text in result.may_not), part
    assert not any("Lists" in text for text in result.may_not)
    assert any(text.startswith("Length:") and "0.39" in text for text in result.unknown)
    assert any("needs single grading" in text for text in result.unknown)


def test_a_judge_without_bias_is_not_accused():
    rows = (
        finding("position_logit", 0.02, 0.1, null=0.0),
        finding("position_consistency", 0.95, 0.02),
        finding("length_slope_excess", 0.0, 0.1, null=0.0),
    )
    result = said(Audit(findings=rows))
    assert not result.may_not
    assert len(result.may) == 3
    coarse = said(Audit(findings=(finding("length_slope_excess", 0.4, 0.9, null=0.0),)))
    assert not coarse.may
    assert not coarse.may_not
    assert len(coarse.unknown) == 1


def test_agreement_below_people_is_said():
    assert any("take a person's place" in text for text in said(Audit(agreement=beside(0.6))).may_not)
    assert any("as good as a person" in text for text in said(Audit(agreement=beside(0.77))).unknown)
    alone = said(Audit(agreement=(agreement("gpt-4", "human", "S2", 0.6, 500),)))
    assert any("how often people agree is not known" in text for text in alone.unknown)


def test_length_alone_is_held_against_the_judge():
    row = agreement("gpt-4", "human", "S2", 0.8, 500)
    blind = said(Audit(agreement=(replace(row, length_only=0.81, beyond_length=(-0.01, -0.05, 0.03)),))).may_not
    assert any("sees more than length" in text and "81.0%" in text for text in blind)
    near = said(Audit(agreement=(replace(row, length_only=0.79, beyond_length=(0.01, -0.04, 0.06)),)))
    assert any("sees more than length" in text and "79.0%" in text for text in near.unknown)
    assert not near.may_not
    assert not said(Audit(agreement=(replace(row, length_only=0.6),))).may_not


def test_rankings_count_only_with_their_interval():
    for estimate, reach, place in ((0.95, 0.05, "may"), (0.95, 0.3, "unknown"), (0.3, 0.3, "may_not")):
        result = said(Audit(findings=(finding("agreement_spearman", estimate, reach),)))
        assert [len(getattr(result, name)) for name in ("may", "may_not", "unknown") if name != place] == [0, 0]
        assert "rank" in getattr(result, place)[0]


def test_gold_labels_are_held_against_a_coin():
    for share, place in ((0.7, "may"), (0.5, "unknown"), (0.3, "may_not")):
        result = said(Audit(agreement=(agreement("gpt-4", "gold", "S2", share, 350),)))
        assert [len(getattr(result, name)) for name in ("may", "may_not", "unknown") if name != place] == [0, 0]
        assert f"{share:.1%}" in getattr(result, place)[0]


@pytest.mark.parametrize(
    ("scores", "counts", "expected"),
    [
        ((1, 3, 10), (1, 2, 1), ["1", "2", "3", "4", "5", "6", "7", "8", "9", "10"]),
        ((1, 2.5), (1, 3), ["1", "1.5", "2", "2.5"]),
        ((7,), (5,), ["7"]),
        ((5.2784, 7.05532), (1, 1), None),
        ((0.1,), (4,), None),
        ((0, 100), (1, 1), None),
    ],
)
def test_histograms_show_the_scale(scores, counts, expected):
    histogram = Histogram(benchmark="b", judge="j", protocol="p", scores=scores, counts=counts)
    section = histograms(Audit(histograms=(histogram,)))
    (bars,) = [part for part in section.parts if isinstance(part, Bars)]
    assert bars.bins == tuple(expected) if expected else len(bars.bins) == 10
    (shares,) = bars.series.values()
    assert sum(shares) == pytest.approx(1)


@pytest.mark.parametrize(
    ("points", "counts", "bins", "shares"),
    [
        ((0.0, 0.5, 1.0), (1, 1, 2), ("first", "tie", "second"), [0.5, 0.25, 0.25]),
        ((0.0, 1.0), (1, 3), ("first", "tie", "second"), [0.75, 0, 0.25]),
        ((0.0, 3 / 7, 1.0), (1, 1, 2), tuple("12345678"), [0.5, 0, 0, 0, 0.25, 0, 0, 0.25]),
        (
            (2 / 7, 0.5, 6 / 7),
            (1, 1, 2),
            ("1", "2", "3", "4", "tie", "5", "6", "7", "8"),
            [0, 0.5, 0, 0, 0.25, 0, 0.25, 0, 0],
        ),
    ],
)
def test_places_go_from_the_first_to_the_second_on_every_scale(points, counts, bins, shares):
    row = Histogram(benchmark="b", judge="j", protocol="p", scores=points, counts=counts, of="places")
    audit = Audit(histograms=(row,))
    (bars,) = [part for part in places(audit).parts if isinstance(part, Bars)]
    assert bars.bins == bins
    assert list(bars.series["j"]) == shares
    assert histograms(audit) is None


def test_points_of_any_size_are_places_in_tenths():
    row = Histogram(benchmark="b", judge="j", protocol="p", scores=(0.0, 0.13, 1.0), counts=(1, 1, 2), of="places")
    (bars,) = [part for part in places(Audit(histograms=(row,))).parts if isinstance(part, Bars)]
    assert len(bars.bins) == 10
    assert bars.series["j"][0] == 0.5
    assert list(bars.series["j"])[-2:] == [0.25, 0.25]


def test_weak_categories_and_failures_are_named():
    rows = (
        agreement("gpt-4", "human", "S2", 0.85, 500),
        agreement("gpt-4", "human", "S2", 0.6, 60, category="math", reach=0.1),
        agreement("gpt-4", "human", "S2", 0.8, 60, category="stem", reach=0.1),
    )
    (weak,) = [text for text in said(Audit(agreement=rows)).may_not if "every category" in text]
    assert "math: 60.0%" in weak
    assert "stem" not in weak
    among = agreement("human", "human", "S2", 0.55, 60, category="math", reach=0.1)
    (weak,) = [text for text in said(Audit(agreement=(*rows, among))).may_not if "every category" in text]
    assert "people among themselves 55.0%" in weak
    lost = verdict(Audit(), replace(SUBJECT, failed={"refused": 240}))
    assert any("240 of 2,400" in text and "10.0%" in text for text in lost.may_not)


def test_a_judge_that_is_seldom_sure_does_not_look_better_for_it():
    rows = agreement("gpt-4", "gold", "S2", 0.86, 235), agreement("gpt-4", "gold", "S1", 0.58, 350)
    (text,) = [text for text in said(Audit(agreement=rows)).may if "better answers" in text]
    assert "on 115 of 350 pairs" in text
    assert "58.0% of all" in text


def test_no_bias_is_claimed_absent_where_none_could_be_seen():
    blind = finding("position_fairness", 0.0, 0.8, null=0.0)
    blind = replace(blind, details={name: value for name, value in blind.details.items() if name != "detectable"})
    few = "it cannot be told from so few questions"
    for limits, text in (
        ({}, "these data are coarse"),
        ({"lower": 0.0, "upper": 0.0}, few),
        ({"lower": None, "upper": None}, few),
    ):
        result = said(Audit(findings=(replace(blind, **limits),)))
        assert not result.may
        assert not result.may_not
        assert any(text in line for line in result.unknown)


def test_no_better_than_a_coin_is_not_like_a_person():
    """People who contradict each other are no yardstick."""
    result = said(Audit(agreement=beside(0.5, people=0.0, ties=(0.5, 0.0), total=12, reach=0.25)))
    assert not result.may
    assert any("A coin agrees in 50%" in text for text in result.unknown)


def test_a_flat_scale_is_said():
    (text,) = said(Audit(findings=(finding("scale_ties", 0.9),))).may_not
    assert text.startswith("That answers with the same score")


def test_a_rate_of_other_pairs_is_no_win_rate_in_the_plot():
    """Rogan-Gladen speaks of outright wins on pairs without votes."""
    rates = ("win_rate_judge", "win_rate_corrected", "win_rate_rogan_gladen")
    rows = tuple(finding(metric, 0.5, model=model) for metric in rates for model in MODELS)
    found = Audit(subjects=(SUBJECT,), findings=rows)
    (section,) = sections(found, judge_labels(found))
    forest, table, _ = section.parts
    assert set(forest.series) == {"By the judge alone", "By both (PPI++)"}
    assert any("Rogan-Gladen" in header for header in table.headers)


def test_no_rating_is_a_negative_zero():
    row = Rating(
        benchmark="b", rater="j", protocol="p", model="m", rating=-1e-18, lower=-0.004, upper=0.004, n=1, kind="logit"
    )
    text = read(Audit(ratings=(row, replace(row, model="n", kind="score")))).said
    assert "+0.00" in text
    assert not re.search(r"-0\.00(?!\d)|e-\d\d", text)


def test_a_runs_page_begins_with_its_ratings():
    """What the run asked for comes first, and the audit, whose own ratings would say it again, is folded below."""
    audit = full()
    table = {"title": "t", "headers": ["model"], "rows": [], "left": 1, "breaks": (), "notes": [], "picture": None}
    run = {"title": "Ratings", "tables": [table], "notes": ["odd <b>"], "examples_title": "", "examples": []}

    def places(text):
        marks = ('<section id="ratings">', '<div id="verdict">', '<section id="provenance">')
        return [text.index(one) for one in marks]

    usual, first = page(audit), page(audit, title="mtbench: model a", when="2026-01-02", run=run)
    ratings, verdict_, _ = places(usual)
    assert verdict_ < ratings
    assert '<details class="audit">' not in usual
    assert places(first) == sorted(places(first))
    assert first.count('<section id="ratings">') == 1
    assert places(first)[0] < first.index('<details class="audit">') < places(first)[1]
    assert "odd &lt;b&gt;" in first
    assert "mtbench: model a <small>2026-01-02</small>" in first


@pytest.mark.parametrize("value", [-0.0, -1e-5, 1e-5, -4.9e-4])
def test_nothing_is_not_negative(value):
    assert number(value, "signed") == "0.000"
    assert signed(Interval(value, min(value, 0.0), 0.2, 9, 0.95, None, 3), 3) == "0.000 (95% 0.000 to +0.200)"


def test_what_the_audit_itself_concludes_stands():
    result = said(full(), conclusions=("It is fine.",), cautions=("It is not.",))
    assert (result.may, result.may_not) == (["It is fine."], ["It is not."])


def test_every_finding_stands_under_the_heading_of_its_metric():
    """Also those whose names begin like another topic's: names say nothing."""
    likes = replace(METRICS["length_slope_judge"], name="elongation_effect")
    found = Audit(findings=(replace(finding("scale_ties", 0.4), measure=likes),))
    assert [section.id for section in sections(found, judge_labels(found))] == ["length"]


def test_position_by_quality_gap_and_by_category_are_seen():
    """Four models on 24 questions: of three categories one has enough questions for its position effect."""
    rows = []
    for row in Study(questions=24, models=4, position=0.8, votes=0).rows():
        place = int(row.item[1:])
        rows.append(msgspec.structs.replace(row, category="many" if place < 16 else f"few {place % 2}"))
    found = audited(gather(rows))
    (section,) = [one for one in sections(found, judge_labels(found)) if one.id == "position"]
    tables = {part.title: part for part in section.parts if isinstance(part, Table)}
    gap = tables["Position by quality gap"]
    slope = next(row for row in found.findings if row.metric == "position_logit_by_gap")
    assert [line[0].text for line in gap.rows] == ["closest third", "middle third", "farthest third"]
    for line, third in zip(gap.rows, slope.details["by_gap"], strict=True):
        low, high = third["consistency_limits"]
        assert (line[1].text, line[1].limits) == (number(third["consistency"], "share"), f"{low:.1%}–{high:.1%}")
        assert line[2].text == number(third["fairness"], "signed")
        assert line[2].limits
        assert line[3].text == f"{third['n']:,}"
    by = tables["Position by category"]
    assert not by.folded
    assert by.headers[1:] == (
        *("Same verdict in both orders", "Leans first, if inconsistent"),
        "Preference fairness (-1 always first, +1 always second)",
        "Advantage of the first place, over all pairs (logits)",
    )
    cells = {line[0].text: line for line in by.rows}
    assert cells["many"][2].limits
    assert cells["many"][4].limits
    assert cells["few 0"][1].limits
    assert (cells["few 0"][4].text, cells["few 0"][4].small) == ("–", "needs 8 questions; there are 4")
    said = read(found).said
    assert "closest third" in said
    assert "needs 8 questions; there are 4" in said
    (missing,) = lacking(found, judge_labels(found)).parts
    listed = " ".join(cell.text for line in missing.rows for cell in line)
    assert "needs repeats" in listed
    assert "needs 8 questions" not in listed  # over all categories it was measured


@pytest.mark.slow
def test_a_browser_runs_nothing(tmp_path):
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no Chromium here")
    file = tmp_path / "page.html"
    text = " ".join(PAYLOADS)
    file.write_text(page(hostile(text), about=[(text, text)]), encoding="utf-8")
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
    flags += ["--disable-component-update", "--disable-sync", "--disable-dev-shm-usage"]
    flags += [f"--user-data-dir={tmp_path / 'profile'}"]
    command = [browser, *flags, "--virtual-time-budget=8000", "--dump-dom", file.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    reader = Reader()
    reader.feed(done.stdout)
    titles = re.findall(r"<title>(.*?)</title>", done.stdout, re.S)
    assert titles[0] == "How far can this judge be trusted?"
    assert done.stdout.count('<svg viewBox="0 0 480') >= 7
    assert not {tag for tag, _ in reader.tags} & {"script", "img", "iframe"}
    assert not [attrs for tag, attrs in reader.tags if tag == "a" and (attrs.get("href") or "#")[0] != "#"]
    assert not [name for _, attrs in reader.tags for name in attrs if name.startswith("on")]
