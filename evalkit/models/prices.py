"""What tokens cost: conf/prices.yaml, in US dollars per million tokens."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec
from msgspec import Struct

from evalkit.core.protocols import UsageError
from evalkit.core.schema import Usage


class Price(Struct, frozen=True, forbid_unknown_fields=True):
    """US dollars per million tokens."""

    input: float
    output: float
    cached: float | None = None
    """Prompt tokens served from the provider's cache; the input price where not given."""
    batch: float = 0.5
    """What a batch costs, as a share of these prices."""

    def of(self, usage: Usage, *, batch: bool = False) -> float:
        """US dollars for these tokens."""
        share = self.batch if batch else 1.0
        cached = self.input if self.cached is None else self.cached
        fresh = usage.prompt_tokens - usage.cached_tokens
        tokens = fresh * self.input + usage.cached_tokens * cached + usage.completion_tokens * self.output
        return share * tokens / 1e6


class PriceTable(Struct, frozen=True, forbid_unknown_fields=True):
    """Prices by model id, with the day they were looked up."""

    as_of: str
    models: Mapping[str, Price]

    def find(self, model: str) -> Price | None:
        """The price of a model id; a dated snapshot without a row of its own has that of its undated name."""
        while model:
            if model in self.models:
                return self.models[model]
            head, dash, tail = model.rpartition("-")
            if not dash or not tail.isdigit():
                return None
            model = head
        return None


FREE = Price(input=0.0, output=0.0)
"""What a model costs that runs on the user's own machine."""


def load_prices(path: Path) -> PriceTable:
    """Read the table of prices.

    Raises:
        UsageError: the file is not as described in conf/prices.yaml.
    """
    try:
        return msgspec.yaml.decode(path.read_bytes(), type=PriceTable)
    except OSError as error:
        raise UsageError(f"price table {str(path)!r}: {error.strerror}") from error
    except msgspec.MsgspecError as error:
        raise UsageError(f"price table {str(path)!r}: {error}") from error
