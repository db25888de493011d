"""Metrics of an audit for readers: what each is called, under which heading it stands, and how its numbers look."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from evalkit.auditing.findings import Audit, Finding, Subject
from evalkit.reports.audit_parts import who

Look = Literal["share", "signed", "number"]
"""share: a percentage; signed: an effect, with its sign; number: anything else."""

Key = tuple[str, str, str]
"""Benchmark, judge and protocol."""


@dataclass(frozen=True)
class Topic:
    """A heading, and what the metrics below it begin with."""

    name: str
    title: str
    prefixes: tuple[str, ...]
    says: str


TOPICS = (
    Topic(
        "position",
        "Position",
        ("position", "repetition", "repeat", "swap"),
        "Does the verdict change when the two answers change places? Only inconsistent pairs show a preference for a "
        "place; a judge that is merely noisy prefers neither.",
    ),
    Topic(
        "length",
        "Length",
        ("length", "longer", "verbosity", "prefer_longer", "gameability"),
        "Longer answers are often better, and a sharper judge shows every slope larger. What counts is the slope in "
        "excess of people's on the same pairs, at the judge's own sharpness.",
    ),
    Topic(
        "format",
        "Format and vocabulary",
        ("format", "style", "lexical", "markdown", "diversity"),
        "Effects per standard deviation of the difference between two answers, with the models' abilities held fixed.",
    ),
    Topic(
        "self",
        "Its own family",
        ("self", "family", "placebo", "trained_on", "kin"),
        "Does the judge prefer models that are its kin, beyond what people say of them? Compare with the placebo: how "
        "far it is from people on models that are not.",
    ),
    Topic(
        "scale",
        "How it uses the scale",
        ("scale", "score", "icc", "top_box", "entropy", "ties", "tie"),
        "A judge that gives nearly everything the same score cannot tell answers apart.",
    ),
    Topic(
        "correction",
        "Corrected with human labels",
        ("correct", "ppi", "rogan", "post_strat", "effective", "labels", "youden", "win_rate"),
        "Win rates that use people's votes to correct the judge, and how many more votes would help.",
    ),
    Topic(
        "hygiene",
        "Failed and suspicious verdicts",
        ("hygiene", "failed", "failure", "refused", "truncated", "unparsed", "constant", "template", "null_model"),
        "Failed judgments are never counted as a score, a loss or a tie.",
    ),
    Topic(
        "people",
        "More on agreement",
        (
            *("agree", "kappa", "cohen", "fleiss", "krippendorff", "human", "alt_test", "alternative", "gold"),
            *("accuracy", "spearman", "kendall", "soft_pairwise", "ranking", "elo", "baseline", "rank"),
        ),
        "Chance-corrected agreement, rankings of models, and what a rule that looks at nothing but length achieves.",
    ),
    Topic("probe", "Experiments", ("probe", "experiment", "attack", "flip"), "Answers rewritten, and judged again."),
    Topic("other", "Other measurements", (), ""),
)

SHARES = frozenset(
    {
        *(
            "consistency",
            "share",
            "rate",
            "accuracy",
            "agreement",
            "first",
            "last",
            "stability",
            "longer",
            "omega",
            "ties",
        ),
        *("separability", "box", "failed", "refused", "truncated", "unparsed", "failures", "flips", "inconsistent"),
    }
)
"""Words in the name of a metric that is a share."""
SUSPICIOUS = ("hygiene_constant_answers", "hygiene_template_markers")
"""Metrics that name models in ``details["models"]``."""
PLAIN = ("kappa", "alpha", "spearman", "kendall", "pearson", "correlation", "icc", "entropy", "soft_pairwise")
SIGNED = ("logit", "slope", "excess", "effect", "residual", "fairness", "difference", "gap", "bias", "preference")
CALLED = {
    "position_consistency": "Same verdict in both orders",
    "position_first": "Leans first, if inconsistent",
    "position_last": "Leans second, if inconsistent",
    "position_fairness": "Preference fairness",
    "position_logit": "Position effect, over all pairs",
    "position_logit_within_pairs": "Position effect, within pairs",
    "position_logit_by_gap": "Its change with the quality gap",
    "length_slope_excess": "Length slope beyond people's",
    "length_slope_judge": "Judge's length slope",
    "length_prefer_longer": "Prefers the longer answer",
    "length_human_prefer_longer": "People prefer the longer answer",
    "length_verbosity_bias": "Verbosity bias (Saito et al.)",
    "self_preference_residual": "Own model, in excess",
    "self_family_residual": "Its family, in excess",
    "self_trained_on_residual": "Taught by it, in excess",
    "self_win_rate_gap": "Win rate above people's",
    "self_equal_opportunity": "Equal opportunity (Wataoka et al.)",
    "agreement_spearman": "Ranking of models, Spearman",
    "agreement_kendall": "Ranking of models, Kendall",
    "agreement_kappa_s1": "Kappa with people, S1",
    "agreement_kappa_s2": "Kappa with people, S2",
    "agreement_human_alpha": "Krippendorff's alpha among people",
    "agreement_human_fleiss": "Fleiss' kappa among people",
    "agreement_heterogeneity_s1": "Spread between categories, S1",
    "agreement_heterogeneity_s2": "Spread between categories, S2",
    "agreement_scores_spearman": "Scores of answers, Spearman",
    "ranking_soft_pairwise": "Ranking of models, soft pairwise accuracy",
    "ranking_confidence_agreement": "Ranking of models, agreement with intervals",
    "alt_test_winning_rate": "Alternative annotator test, winning rate",
    "alt_test_advantage": "At least as good as a person, by item",
    "length_gameability_verbose": "Win rates change when told to be verbose, %",
    "length_gameability_concise": "Win rates change when told to be concise, %",
    "scale_mean": "Mean score",
    "scale_entropy": "Use of the scale (entropy, of the most possible)",
    "scale_ties": "Two models with equal scores",
    "scale_top_box": "Scores at the top of the scale",
    "gold_accuracy": "Right by gold labels",
    "gold_accuracy_both_orders": "Right by gold labels, on balance",
    "position_repeat_stability": "Same verdict when asked again",
    "scale_ks": "Score distributions apart (KS)",
    "scale_mean_excess": "Mean score above people's",
    "scale_icc": "Repeatability (ICC)",
    "labels_needed": "Votes for a win rate to within 5 points",
    "win_rate_judge": "By the judge alone",
    "win_rate_human": "By people alone",
    "win_rate_corrected": "By both (PPI++)",
    "win_rate_rogan_gladen": "Rogan-Gladen: outright wins, pairs without votes",
    "probe_position": "Places swapped: leans to the first",
    "probe_position_flips": "Places swapped: changes beyond asking again",
    "probe_aware": "Told of its biases: change of its lean",
    "probe_rename": "Labels swapped: leans to the label A",
    "probe_rename_shift": "Labels swapped: shift by the label A",
    "probe_alone": "Scored alone: padding, pairs beyond scores",
    "probe_alone_differs": "Scored alone: scores and pairs differ",
    "probe_alone_circles": "Scored alone: pairs in circles",
}
"""Where the name of a metric does not make a good label."""
WORDS = {"ppi": "PPI++", "icc": "ICC", "elo": "Elo", "logit": "(logits)", "alt": "alternative", "n": "n"}


def topic(metric: str) -> str:
    """The heading a metric belongs under."""
    for one in TOPICS:
        if metric.startswith(one.prefixes) and one.prefixes:
            return one.name
    return "other"


def look(finding: Finding) -> Look:
    """How the estimate is shown."""
    unit, metric = finding.details.get("unit"), finding.metric
    if unit in ("share", "signed", "number"):
        return unit  # type: ignore[no-any-return]
    if any(part in metric for part in PLAIN):
        return "number"
    null = finding.details.get("null")
    if any(part in metric for part in SIGNED) or null == 0:
        return "signed"
    bounded = finding.estimate is None or 0 <= finding.estimate <= 1
    return "share" if bounded and (null == 0.5 or not SHARES.isdisjoint(metric.split("_"))) else "number"


def label(metric: str) -> str:
    """In words, such as ``Position consistency``."""
    if metric in CALLED:
        return CALLED[metric]
    if metric.startswith("format_") and metric.endswith(("_effect", "_excess")):
        feature, _, kind = metric.removeprefix("format_").rpartition("_")
        text = f"{feature.replace('_', ' ')}, {'effect' if kind == 'effect' else 'in excess of people'}"
        return text[0].upper() + text[1:]
    bare = metric.removeprefix("hygiene_").removeprefix("probe_")
    words = [WORDS.get(word, word) for word in bare.split("_") if word]
    text = " ".join(words) or metric
    return text[0].upper() + text[1:] if text else metric


def models(row: Finding) -> list[str]:
    """Whom it is about, where it is about one model or names some as suspicious."""
    one = row.details.get("model")
    if isinstance(one, str):
        return [one]
    named = row.details.get("models") if row.metric in SUSPICIOUS else None
    return [str(name) for name in named or ()]


def away(row: Finding) -> bool:
    """Whether the interval leaves out what there would be without a bias."""
    null = row.details.get("null")
    if null is None or row.lower is None or row.upper is None or row.lower == row.upper:
        return False
    return not row.lower <= null <= row.upper


def placebo_spread(row: Finding) -> float:
    """How far models that are no kin are off."""
    placebo = row.details.get("placebo")
    rows = placebo.values() if isinstance(placebo, Mapping) else ()
    return max((abs(one.get("estimate") or 0.0) for one in rows), default=0.0)


def number(value: float, look_: Look) -> str:
    """One number."""
    if look_ == "share":
        return f"{100 * value:.1f}%"
    whole = abs(value) >= 10 and value == int(value)
    digits = 0 if abs(value) >= 1000 or whole else 1 if abs(value) >= 100 else 2 if abs(value) >= 10 else 3
    value = round(value, digits) or 0.0  # no -0.000
    return f"{value:+.{digits}f}" if look_ == "signed" and value else f"{value:,.{digits}f}"


def limits(lower: float | None, upper: float | None, look_: Look) -> str:
    """An interval; nothing where there is none, or no width to it."""
    if lower is None or upper is None or lower == upper:
        return ""
    between = " to " if look_ == "signed" else "–"
    return f"{number(lower, look_)}{between}{number(upper, look_)}"


def key(row: Finding | Subject) -> Key:
    """Whom it is about."""
    return row.benchmark, row.judge, row.protocol


def keys(audit: Audit) -> list[Key]:
    """Everyone the audit is about, in its order."""
    rows: Iterable[Finding | Subject] = (*audit.subjects, *audit.findings)
    return list(dict.fromkeys(key(row) for row in rows))


def names(audit: Audit) -> dict[Key, str]:
    """What to call each: the judge, with protocol and benchmark only where they tell two apart."""
    every = keys(audit)
    benchmarks = {benchmark for benchmark, _, _ in every}
    result = {}
    for one in every:
        benchmark, judge, protocol = one
        twins = [other for other in every if other[:2] == one[:2]]
        extra = [benchmark] if len(benchmarks) > 1 else []
        extra += [protocol] if len(twins) > 1 else []
        result[one] = f"{who(judge)} ({', '.join(extra)})" if extra else who(judge)
    return result
