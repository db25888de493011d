"""The works that a judging rests on, as BibTeX: of benchmarks, judge protocols, estimators, intervals and engines."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from evalkit import __version__


@dataclass(frozen=True, eq=False)
class Work:
    """One entry of a bibliography."""

    key: str
    kind: str
    fields: Mapping[str, str]

    def bibtex(self) -> str:
        """The entry as BibTeX."""
        lines = [f"  {name} = {{{value}}}," for name, value in self.fields.items()]
        return "\n".join([f"@{self.kind}{{{self.key},", *lines, "}"])


def _arxiv(key: str, title: str, author: str, year: str, number: str) -> Work:
    fields = {"title": title, "author": author, "year": year, "eprint": number, "archiveprefix": "arXiv"}
    return Work(key, "misc", MappingProxyType({**fields, "url": f"https://arxiv.org/abs/{number}"}))


def _article(key: str, **fields: str) -> Work:
    return Work(key, "article", MappingProxyType(fields))


EVALKIT: Final = Work(
    "evalkit",
    "software",
    MappingProxyType(
        {"title": "evalkit: evaluation with language models as judges", "author": "{evalkit maintainers}"}
        | {"version": __version__, "license": "Apache-2.0"}
    ),
)
MT_BENCH: Final = _arxiv(
    "zheng2023judging",
    "Judging {LLM}-as-a-Judge with {MT-Bench} and {Chatbot Arena}",
    "Zheng, Lianmin and Chiang, Wei-Lin and Sheng, Ying and others",
    "2023",
    "2306.05685",
)
ALPACA_EVAL: Final = _arxiv(
    "dubois2024length",
    "Length-Controlled {AlpacaEval}: A Simple Way to Debias Automatic Evaluators",
    "Dubois, Yann and Galambosi, Bal{\\'a}zs and Liang, Percy and Hashimoto, Tatsunori B.",
    "2024",
    "2404.04475",
)
ARENA_HARD: Final = _arxiv(
    "li2024crowdsourced",
    "From Crowdsourced Data to High-Quality Benchmarks: {Arena-Hard} and {BenchBuilder} Pipeline",
    "Li, Tianle and Chiang, Wei-Lin and Frick, Evan and others",
    "2024",
    "2406.11939",
)
HEALTH_BENCH: Final = _arxiv(
    "arora2025healthbench",
    "{HealthBench}: Evaluating Large Language Models Towards Improved Human Health",
    "Arora, Rahul K. and Wei, Jason and Soskin Hicks, Rebecca and others",
    "2025",
    "2505.08775",
)
WRITING_BENCH: Final = _arxiv(
    "wu2025writingbench",
    "{WritingBench}: A Comprehensive Benchmark for Generative Writing",
    "Wu, Yuning and Mei, Jiahao and Yan, Ming and others",
    "2025",
    "2503.05244",
)
MILLER: Final = _arxiv(
    "miller2024adding",
    "Adding Error Bars to Evals: A Statistical Approach to Language Model Evaluations",
    "Miller, Evan",
    "2024",
    "2411.00640",
)
BRADLEY_TERRY: Final = _article(
    "bradley1952rank",
    title="Rank Analysis of Incomplete Block Designs: {I}. The Method of Paired Comparisons",
    author="Bradley, Ralph Allan and Terry, Milton E.",
    journal="Biometrika",
    volume="39",
    number="3/4",
    pages="324--345",
    year="1952",
)
DAVIDSON: Final = _article(
    "davidson1970extending",
    title="On Extending the {Bradley-Terry} Model to Accommodate Ties in Paired Comparison Experiments",
    author="Davidson, Roger R.",
    journal="Journal of the American Statistical Association",
    volume="65",
    number="329",
    pages="317--328",
    year="1970",
)
RAO_KUPPER: Final = _article(
    "rao1967ties",
    title="Ties in Paired-Comparison Experiments: A Generalization of the {Bradley-Terry} Model",
    author="Rao, P. V. and Kupper, Lawrence L.",
    journal="Journal of the American Statistical Association",
    volume="62",
    number="317",
    pages="194--204",
    year="1967",
)
HESTERBERG: Final = _article(
    "hesterberg2015teachers",
    title="What Teachers Should Know About the Bootstrap: Resampling in the Undergraduate Statistics Curriculum",
    author="Hesterberg, Tim C.",
    journal="The American Statistician",
    volume="69",
    number="4",
    pages="371--386",
    year="2015",
)
ELO: Final = Work(
    "elo1978rating",
    "book",
    MappingProxyType(
        {"title": "The Rating of Chessplayers, Past and Present", "author": "Elo, Arpad E."}
        | {"publisher": "Arco", "year": "1978"}
    ),
)
VLLM: Final = _arxiv(
    "kwon2023efficient",
    "Efficient Memory Management for Large Language Model Serving with {PagedAttention}",
    "Kwon, Woosuk and Li, Zhuohan and Zhuang, Siyuan and others",
    "2023",
    "2309.06180",
)
LLAMA_CPP: Final = Work(
    "llamacpp",
    "software",
    MappingProxyType(
        {"title": "llama.cpp: {LLM} inference in {C/C++}", "author": "Gerganov, Georgi and others"}
        | {"url": "https://github.com/ggml-org/llama.cpp"}
    ),
)

BENCHMARKS: Final = MappingProxyType(
    {
        "mtbench": MT_BENCH,
        "alpaca_eval": ALPACA_EVAL,
        "arena_hard": ARENA_HARD,
        "arena_hard_v2": ARENA_HARD,
        "healthbench": HEALTH_BENCH,
        "writingbench": WRITING_BENCH,
    }
)
PROTOCOLS: Final = MappingProxyType(
    {
        "fastchat_single": MT_BENCH,
        "fastchat_pair": MT_BENCH,
        "fastchat_pair_aggregated": MT_BENCH,
        "alpaca_eval_weighted": ALPACA_EVAL,
        "alpaca_eval_gpt4": ALPACA_EVAL,
        "arena_hard": ARENA_HARD,
    }
)
"""Of protocols that follow a publication; the others are in evalkit's own words."""
ESTIMATORS: Final = MappingProxyType({"lc": ALPACA_EVAL, "bt": BRADLEY_TERRY, "elo": ELO})
TIES: Final = MappingProxyType({"davidson": DAVIDSON, "rao_kupper": RAO_KUPPER})
ENGINES: Final = MappingProxyType({"VLLM": VLLM, "LlamaCpp": LLAMA_CPP})
"""By class of backend, as manifests have it."""


def bibtex(works: Iterable[Work]) -> str:
    """The entries, each once, in the order given."""
    return "\n\n".join(work.bibtex() for work in dict.fromkeys(works))
