"""A benchmark of questions that a test writes, as its YAML."""


def benchmark_yaml(name: str) -> str:
    """The YAML of a benchmark over ``questions.jsonl``, one category, single grading."""
    return f"""\
name: {name}
title: {name.capitalize()}
description: as many questions as wanted
source: a test
licence: Apache-2.0
questions: {{path: questions.jsonl, fields: {{turns: turns, id: id}}}}
categories: [all]
protocol: single
generation: {{max_tokens: 100}}
"""
