"""Chat templates of tokenizers, rendered here: for servers that take a text and not a conversation.

The rules are those of transformers' ``apply_chat_template``: Jinja, sandboxed, with ``raise_exception`` and ``tojson``;
the template is in ``chat_template.jinja`` or in ``tokenizer_config.json``.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from evalkit.core.protocols import Message, Misconfigured, Rejected

CONFIG = "tokenizer_config.json"
FILES = ("chat_template.jinja", CONFIG)


class ChatTemplate(Struct, frozen=True):
    """A tokenizer's way to write a conversation as one text."""

    text: str
    """Jinja."""
    bos: str = ""
    """What a text begins with; the server's tokenizer writes it, so a rendered text is without."""
    eos: str = ""

    def render(self, messages: Sequence[Message]) -> str:
        """The conversation as one text.

        Raises:
            Rejected: the template does not take these messages.
            Misconfigured: it is no Jinja.
        """
        from jinja2 import TemplateError, TemplateSyntaxError
        from jinja2.sandbox import ImmutableSandboxedEnvironment

        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
        )
        environment.filters["tojson"] = _json
        environment.globals["raise_exception"] = _refuse
        conversation = [{"role": message.role, "content": message.content} for message in messages]
        names = {"bos_token": self.bos, "eos_token": self.eos, "add_generation_prompt": False}
        try:
            text = environment.from_string(self.text).render(messages=conversation, **names)
        except TemplateSyntaxError as error:
            raise Misconfigured(f"chat_template is no Jinja: {error.message}, line {error.lineno}") from error
        except (TemplateError, TypeError, ValueError) as error:
            why = " ".join(str(error).split())[:200]
            system = any(message.role == "system" for message in messages)
            raise Rejected(f"the chat template does not take this conversation: {why}", no_system=system) from error
        return text.removeprefix(self.bos) if self.bos else text


def _json(value: Any, indent: int | None = None) -> str:
    return json.dumps(value, ensure_ascii=False, indent=indent)


def _refuse(message: str) -> str:
    from jinja2 import TemplateError

    raise TemplateError(str(message))


def given(text_or_path: str) -> ChatTemplate:
    """A template that a setting holds: Jinja text, or the path of a file with it.

    Raises:
        Misconfigured: the file cannot be read.
    """
    if set("{}\n") & set(text_or_path):
        return ChatTemplate(text_or_path)
    try:
        return ChatTemplate(Path(text_or_path).expanduser().read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise Misconfigured(
            f"chat_template={text_or_path!r} cannot be read ({error}); it is the path of a Jinja file, or the template "
            "itself"
        ) from error


def of_tokenizer(name: str, revision: str | None = None) -> ChatTemplate:
    """The template of a tokenizer in a folder, or of the Hugging Face hub.

    Raises:
        Misconfigured: there is no such tokenizer, or it has no chat template.
    """
    folder = Path(name).expanduser()
    found = {file: folder / file if folder.is_dir() else _fetched(name, file, revision) for file in FILES}
    texts = {file: path.read_text(encoding="utf-8") for file, path in found.items() if path and path.is_file()}
    config = _config(texts.get(CONFIG, "{}"), name)
    template = texts.get("chat_template.jinja") or config.get("chat_template")
    if isinstance(template, list):  # several, by name
        named = {one.get("name"): one.get("template") for one in template if isinstance(one, dict)}
        template = named.get("default")
    if not isinstance(template, str) or not template:
        raise Misconfigured(
            f"tokenizer={name!r} has no chat template in {' or '.join(FILES)}; set backend.chat_template to one, as "
            "Jinja text or as the path of a file"
        )
    return ChatTemplate(template, _token(config, "bos_token"), _token(config, "eos_token"))


def _config(text: str, name: str) -> dict[str, Any]:
    try:
        config = msgspec.json.decode(text)
    except (ValueError, RecursionError) as error:
        raise Misconfigured(f"{CONFIG} of tokenizer={name!r} is no JSON: {error}") from error
    return config if isinstance(config, dict) else {}


def _token(config: dict[str, Any], name: str) -> str:
    value = config.get(name)
    value = value.get("content") if isinstance(value, dict) else value
    return value if isinstance(value, str) else ""


def _fetched(name: str, file: str, revision: str | None) -> Path | None:
    """A file of a repository of the hub; None where that has none of this name."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(hf_hub_download(name, file, revision=revision))
    except LocalEntryNotFoundError as error:  # derives from EntryNotFoundError
        raise _not_there(name, "the hub cannot be reached, and it is not in the cache") from error
    except EntryNotFoundError:
        return None
    except (HfHubHTTPError, HFValidationError, OSError) as error:
        raise _not_there(name, " ".join(str(error).split())[:200]) from error


def _not_there(name: str, why: str) -> Misconfigured:
    return Misconfigured(
        f"the chat template of tokenizer={name!r} cannot be had: {why}. Set backend.tokenizer to a folder or an id of "
        "the hub, or backend.chat_template to the template"
    )
