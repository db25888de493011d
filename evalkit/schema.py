"""The old place of ``evalkit.core.schema``, for packages of one release ago."""

from evalkit.core.schema import *  # noqa: F403
