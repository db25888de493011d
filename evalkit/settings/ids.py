"""Models and judges by id, without a YAML file: what ``openai/gpt-4o`` or ``http://host:8000/v1#NAME`` stands for.

An id may have a name of the user's own before it, ``NAME@ID``; otherwise it goes by the last part of what it names.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from msgspec import Struct

from evalkit.core.protocols import UsageError

FORMS = "openai/ID, anthropic/ID, vllm/ORG/NAME, llamacpp/PATH.gguf, http://HOST:PORT/v1#NAME"
"""How an id is written."""
REWARD_FORMS = (
    "reward/http://HOST:PORT/classify#NAME (or /pooling, /score, /predict, /rerank), reward/vllm/ORG/NAME, "
    "reward/transformers/ORG/NAME"
)
"""How the id of a reward model is written."""
GROUPS = ("model", "judge")
PROVIDERS = ("openai", "anthropic", "vllm", "llamacpp")

_URL = re.compile(r"https?://", re.IGNORECASE)
_NAMED = re.compile(r"([\w.-]+)@(.+)", re.DOTALL)
_PACKED = re.compile(r"hex_((?:[0-9a-f]{2})++)")
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_REASONING = re.compile(r"(?:o\d|gpt-5)(?!.*chat)")
"""OpenAI's models that take no temperature."""
_GATEWAYS = {
    "openrouter": ("https://openrouter.ai/api/v1", "OPENROUTER_API_KEY"),
    "groq": ("https://api.groq.com/openai/v1", "GROQ_API_KEY"),
    "together": ("https://api.together.xyz/v1", "TOGETHER_API_KEY"),
    "together_ai": ("https://api.together.xyz/v1", "TOGETHER_API_KEY"),
    "fireworks": ("https://api.fireworks.ai/inference/v1", "FIREWORKS_API_KEY"),
    "deepseek": ("https://api.deepseek.com/v1", "DEEPSEEK_API_KEY"),
    "mistral": ("https://api.mistral.ai/v1", "MISTRAL_API_KEY"),
    "gemini": ("https://generativelanguage.googleapis.com/v1beta/openai", "GEMINI_API_KEY"),
    "xai": ("https://api.x.ai/v1", "XAI_API_KEY"),
    "ollama": ("http://localhost:11434/v1", None),
    "azure": ("https://RESOURCE.openai.azure.com/openai/v1", "AZURE_OPENAI_API_KEY"),
}
"""Where providers that speak OpenAI's format are, and the usual variable of their key."""
_VENDORS = (
    (re.compile(r"(?:gpt-|chatgpt|o\d(?:-|$)|text-davinci)", re.IGNORECASE), "openai"),
    (re.compile(r"claude-", re.IGNORECASE), "anthropic"),
    (re.compile(r"gemini-", re.IGNORECASE), "gemini"),
    (re.compile(r"grok-", re.IGNORECASE), "xai"),
    (re.compile(r"deepseek-(?:chat|reasoner)", re.IGNORECASE), "deepseek"),
)
"""Whose a model is, by its name."""


class Member(Struct, frozen=True):
    """A model or judge that was given by id."""

    name: str
    """What it is called in settings, tables and file names."""
    node: dict[str, Any]
    """What stands in the YAML of one that is given by name."""
    last: str
    """The last part of the id as written."""


def member(text: str, group: str) -> Member | None:
    """The model or judge that an id stands for; None if the text is no id.

    Raises:
        UsageError: it is an incomplete one.
    """
    named, whole = _NAMED.fullmatch(text), text
    own, text = (named[1], named[2]) if named else (None, text)
    if _URL.match(text):
        backend, last, more = _served(text, whole, group)
    else:
        provider, slash, rest = text.partition("/")
        if provider not in (*PROVIDERS, "reward") or not slash:
            return None
        if not rest.strip("/"):
            forms = REWARD_FORMS if provider == "reward" else FORMS
            raise UsageError(f"{group}={whole}: what follows {provider}/ is missing; ids are {forms}")
        backend, last, more = _reward(rest, whole, group) if provider == "reward" else _PARTS[provider](rest)
    if group == "judge" and more.get("kind") != "reward":
        more = {**more, "sampling": {**_JUDGING, **more.get("sampling", {})}}
    name = own or (last.removesuffix(".gguf") if backend["_target_"].endswith("LlamaCpp") else last)
    return Member(name, {"description": whole, "backend": backend, **more}, last)


def name_of(text: str, group: str) -> str:
    """What a member is called that was chosen by a YAML's name or by id."""
    found = member(text, group)
    return found.name if found else text


_JUDGING = {"temperature": 0.0, "max_tokens": 2048}
"""How a judge is sampled, where its model takes that."""
_Parts = tuple[dict[str, Any], str, dict[str, Any]]


def _served(text: str, whole: str, group: str) -> _Parts:
    url, _, model = text.partition("#")
    if not model:
        example = f"{url.rstrip('/')}{'' if urlsplit(url).path.strip('/') else '/v1'}#NAME"
        raise UsageError(
            f"{group}={whole}: which model of that server? Write {group}={example}; `curl {url.rstrip('/')}/models` "
            "lists what most servers have"
        )
    backend = {"_target_": "evalkit.backends.openai.OpenAI", "model": model, "base_url": url}
    return backend, model.rstrip("/").rpartition("/")[2], {}


def _reward(rest: str, whole: str, group: str) -> _Parts:
    """A reward model: inside this program, or behind a server, whose URL's path says which endpoint."""
    if group != "judge":
        raise UsageError(f"{group}={whole}: a reward model scores answers and writes none; say judge={whole}")
    engine, _, name = rest.partition("/")
    if engine in _ENGINES and name.strip("/"):
        path = str(Path(name).expanduser()) if name.startswith("~") else name
        node = {"_target_": _ENGINES[engine], "model": path}
        return node, path.rstrip("/").rpartition("/")[2], {**_LOCAL, "kind": "reward"}
    url, _, model = rest.partition("#")
    parts = urlsplit(url)
    place, _, endpoint = parts.path.rstrip("/").rpartition("/")
    if not _URL.match(url) or endpoint not in _ENDPOINTS or not model:
        raise UsageError(f"judge={whole}: ids of reward models are {REWARD_FORMS}")
    backend = {
        "_target_": "evalkit.backends.reward.RewardServer",
        "model": model,
        "base_url": parts._replace(path=place).geturl(),
        "api": _ENDPOINTS[endpoint],
    }
    return backend, model.rstrip("/").rpartition("/")[2], {**_LOCAL, "kind": "reward"}


_ENGINES = {
    "vllm": "evalkit.backends.vllm_reward.VLLMReward",
    "transformers": "evalkit.backends.transformers_classifier.SequenceClassifier",
}
_ENDPOINTS = {
    "classify": "vllm-classify",
    "pooling": "vllm-pooling",
    "score": "vllm-score",
    "predict": "tei-predict",
    "rerank": "tei-rerank",
}
"""Server and endpoint by the last part of a URL; SGLang's /classify must be told from vLLM's by ``api``."""


def _openai(rest: str) -> _Parts:
    reasons = _REASONING.match(rest)
    more = {"unsupported": ["temperature", "top_p"], "sampling": {"max_tokens": 8192}} if reasons else {}
    return {"_target_": "evalkit.backends.openai.OpenAI", "model": rest}, rest.rpartition("/")[2], more


def _anthropic(rest: str) -> _Parts:
    more = {"unsupported": ["temperature", "top_p", "seed"], "sampling": {"max_tokens": 4096}, "family": "claude"}
    return {"_target_": "evalkit.backends.anthropic.Anthropic", "model": rest}, rest.rpartition("/")[2], more


def _vllm(rest: str) -> _Parts:
    path = str(Path(rest).expanduser()) if rest.startswith("~") else rest
    return {"_target_": "evalkit.backends.vllm.VLLM", "model": path}, path.rstrip("/").rpartition("/")[2], _LOCAL


def _llamacpp(rest: str) -> _Parts:
    path = str(Path(rest).expanduser())
    more = {**_LOCAL, "sampling": {"seed": 0}}
    return {"_target_": "evalkit.backends.llamacpp.LlamaCpp", "model": path}, path.rpartition("/")[2], more


_LOCAL: dict[str, Any] = {"price": "free"}
_PARTS = {"openai": _openai, "anthropic": _anthropic, "vllm": _vllm, "llamacpp": _llamacpp}


def advice(name: str, group: str, others: Mapping[str, Mapping[str, Any]] | None = None) -> str | None:
    """The nearest way that works, where a name is neither a YAML's nor an id; None if there is none that is near.

    Args:
        name: what was given.
        group: model or judge.
        others: members of the other group, by name.
    """
    if (other := (others or {}).get(name)) is not None:
        found, also = _id_of(other), "judge" if group == "model" else "model"
        return f"{name!r} is a {also}; as a {group} say {group}={found}" if found else None
    vendor = next((vendor for pattern, vendor in _VENDORS if pattern.match(name)), None)
    head, slash, rest = name.partition("/")
    if vendor and not slash:
        return f"say {group}={vendor}/{name}" if vendor in PROVIDERS else _gateway(vendor, name, group)
    if slash and rest and head.lower() in _GATEWAYS:
        return _gateway(head.lower(), rest, group)
    return next((f"say {group}={form}" for form in _forms(name, group)), None)


def _forms(name: str, group: str) -> Iterator[str]:
    """What may be meant, the likeliest first."""
    head, slash, rest = name.partition("/")
    if slash and head.lower() in PROVIDERS:
        yield f"{head.lower()}/{rest}"
    if name.lower().endswith(".gguf"):
        yield f"llamacpp/{name}"
    if re.match(r"[\w.-]+:\d+(?:[/#]|$)", name):
        yield f"http://{name}" + ("" if "#" in name else "#NAME" if slash else "/v1#NAME")
    if name.startswith(("/", "./", "../", "~")) or Path(name).is_dir():
        yield f"vllm/{name if name.startswith(('/', './', '../', '~')) else f'./{name}'}"
    if re.fullmatch(r"[\w.-]+/[\w.-]+", name):
        yield f"vllm/{name}, or, of a server that has it, {group}=http://HOST:PORT/v1#{name}"


def _gateway(provider: str, model: str, group: str) -> str:
    url, variable = _GATEWAYS[provider]
    name = model.rpartition("/")[2]
    key = f" {group}.{name}.backend.api_key_env={variable}" if variable else ""
    return f"say {group}={url}#{model}{key}"


def _id_of(node: Mapping[str, Any]) -> str | None:
    """The id of a member that is given in YAML; None if it has none."""
    backend = node.get("backend") or {}
    kind, model = str(backend.get("_target_", "")).rpartition(".")[2], str(backend.get("model", ""))
    if "base_url" in backend:
        return "http://HOST:PORT/v1#NAME"
    provider = {"OpenAI": "openai", "Anthropic": "anthropic", "VLLM": "vllm"}.get(kind)
    return f"{provider}/{model}" if provider else None


def packed(text: str) -> str:
    """A text as a word of letters, digits and underlines, which Hydra's grammar takes anywhere."""
    return f"hex_{text.encode().hex()}"


def unpacked(word: str) -> str | None:
    """What was packed into a word; None if nothing was."""
    match = _PACKED.fullmatch(word)
    return bytes.fromhex(match[1]).decode(errors="replace") if match else None


def shown(text: str) -> str:
    """A text for people, with packed words as they were given."""
    return _PACKED.sub(lambda match: unpacked(match[0]) or match[0], text)


def key(name: str) -> str:
    """A member's name as part of a key that Hydra takes."""
    return name if _PLAIN.fullmatch(name) else packed(name)
