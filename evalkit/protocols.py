"""The old place of ``evalkit.core.protocols``, for packages of one release ago."""

from evalkit.core.protocols import *  # noqa: F403
