"""A sequence classifier of the Hugging Face hub inside this program, by transformers: conversations in, numbers out.

Needs ``pip install 'evalkit[reward]'``, which brings PyTorch. One conversation is scored at a time, on a GPU where
there is one; ``evalkit.backends.vllm_reward`` batches. The conversation is written by the tokenizer's chat template;
a tokenizer without one joins two texts, what was asked and the answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from evalkit.backends import chat_template, reward_wire
from evalkit.backends.reward_wire import NoScores
from evalkit.core.protocols import Backend, Completion, Malformed, Message, Misconfigured, Rejected, Request
from evalkit.core.schema import Usage, digest

NO_LIMIT = 1_000_000
"""Tokens, from which on a tokenizer's limit means that it has none."""


@dataclass(kw_only=True)
class SequenceClassifier(Backend):
    """A reward model, or another sequence classifier, by transformers."""

    model: str
    """Hugging Face id, or a folder."""
    revision: str | None = None
    dtype: str = "auto"
    device: str | None = None
    """As PyTorch names it. None: a GPU where there is one."""
    max_length: int | None = None
    """Most tokens of a conversation. None: as the model and its tokenizer say."""
    activation: bool = False
    """Numbers after a sigmoid (one label) or a softmax (several), not before."""
    chat_template: str | None = None
    """Jinja text, or the path of a file. None: the tokenizer's own."""
    trust_remote_code: bool = False
    concurrency: int = 4
    timeout: float = 600.0
    _loaded: tuple[Any, Any] | None = field(default=None, init=False, repr=False, compare=False)
    """Model and tokenizer."""
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock, init=False, repr=False, compare=False)

    @property
    def exclusive(self) -> bool:
        """True: it holds memory of the accelerator as long as it is open."""
        return True

    def identity(self) -> dict[str, Any]:
        """The settings that change the numbers."""
        template = chat_template.given(self.chat_template).text if self.chat_template else None
        return {
            "model": self.model,
            "revision": self.revision,
            "dtype": self.dtype,
            "max_length": self.max_length,
            "activation": self.activation,
            "chat_template": None if template is None else digest(template),
        }

    async def open(self) -> None:
        """Load model and tokenizer, in a thread.

        Raises:
            Misconfigured: transformers or PyTorch is not installed, or the model is not there or no classifier.
        """
        async with self._lock:
            if self._loaded is None:
                self._loaded = await asyncio.to_thread(self._load)

    def _load(self) -> tuple[Any, Any]:
        try:
            import torch
            from transformers import AutoModelForSequenceClassification, AutoTokenizer
            from transformers.utils import logging
        except ImportError as error:
            raise Misconfigured(
                f"judges by transformers need PyTorch and transformers ({error.name or error} is missing): pip install "
                "'evalkit[reward]'; or ask a server, judge=reward/http://HOST:PORT/classify#NAME"
            ) from error
        if self.model.startswith(("/", "./", "../", "~")) and not Path(self.model).expanduser().is_dir():
            raise Misconfigured(f"model={self.model!r} is not a folder here; it is one, or a Hugging Face id")
        source = str(Path(self.model).expanduser()) if self.model.startswith("~") else self.model
        options: dict[str, Any] = {"revision": self.revision, "trust_remote_code": self.trust_remote_code}
        logging.disable_progress_bar()  # it would write over this program's
        try:
            tokenizer = AutoTokenizer.from_pretrained(source, **options)
            model, report = AutoModelForSequenceClassification.from_pretrained(
                source, dtype=self.dtype, output_loading_info=True, **options
            )
            model = model.train(False).to(self.device or ("cuda" if torch.cuda.is_available() else "cpu"))
        except (OSError, ValueError, RuntimeError, KeyError, ImportError) as error:
            why = " ".join(str(error).split())[:300]
            raise Misconfigured(
                f"transformers cannot load model={self.model!r} as a sequence classifier: {why}"
            ) from error
        if missing := sorted(report.get("missing_keys", ())):
            raise Misconfigured(
                f"{self.model!r} is no reward model: its weights have no {missing[0]}, which would be drawn at random. "
                f"A model that writes text judges as judge=vllm/{self.model}"
            )
        return model, tokenizer

    async def complete(self, request: Request) -> Completion:
        """Have one conversation scored. The text is the numbers, as JSON."""
        if self._loaded is None:
            raise Misconfigured(f"{self.model!r} is asked before it is open")
        async with self._lock:
            return await asyncio.to_thread(self._scored, *self._loaded, request)

    def _scored(self, model: Any, tokenizer: Any, request: Request) -> Completion:
        import torch

        encoded = self._encoded(tokenizer, request.messages)
        tokens = int(encoded["input_ids"].shape[1])
        most = self._most(model, tokenizer)
        if tokens > most:
            raise Rejected(
                f"the conversation has {tokens} tokens, and {self.model!r} reads {most}; nothing is cut off. Raise "
                "backend.max_length if the model allows more"
            )
        with torch.inference_mode():
            logits = model(**{name: value.to(model.device) for name, value in encoded.items()}).logits[0].float()
            if self.activation:
                logits = torch.sigmoid(logits) if logits.numel() == 1 else torch.softmax(logits, dim=-1)
        try:
            numbers = reward_wire.pooled(logits.tolist())
        except NoScores as error:
            raise Malformed(f"no scores in what {self.model!r} gives: {error}", body=str(logits)[:2000]) from None
        return Completion(msgspec.json.encode(numbers).decode(), usage=Usage(tokens), model=self.model)

    def _most(self, model: Any, tokenizer: Any) -> int:
        """Tokens that the model reads at the most."""
        if self.max_length is not None:
            return self.max_length
        known = (tokenizer.model_max_length, getattr(model.config, "max_position_embeddings", None))
        return min([int(length) for length in known if length and length < NO_LIMIT], default=NO_LIMIT)

    def _encoded(self, tokenizer: Any, messages: Sequence[Message]) -> Any:
        from jinja2 import TemplateError

        template = chat_template.given(self.chat_template).text if self.chat_template else None
        if template is None and not tokenizer.chat_template:
            return tokenizer(*reward_wire.pair(messages), return_tensors="pt")
        conversation = [{"role": message.role, "content": message.content} for message in messages]
        try:
            text = tokenizer.apply_chat_template(conversation, tokenize=False, chat_template=template)
        except (TemplateError, ValueError) as error:
            why = " ".join(str(error).split())[:200]
            system = any(message.role == "system" for message in messages)
            raise Rejected(
                f"the chat template of {self.model!r} does not take this conversation: {why}", no_system=system
            ) from error
        return tokenizer(text, return_tensors="pt", add_special_tokens=False)

    async def close(self) -> None:
        """Free the model, and the memory of the accelerator that it holds."""
        async with self._lock:
            loaded, self._loaded = self._loaded, None
            if loaded is not None:
                import torch

                del loaded
                if torch.cuda.is_available():
                    torch.cuda.empty_cache()
