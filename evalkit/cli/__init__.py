"""What a person types: one module a verb."""

from evalkit.cli.main import main

__all__ = ["main"]
