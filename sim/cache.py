"""Where derived files may be kept between runs: compiled contracts and the node."""

from __future__ import annotations

import os
from pathlib import Path

from platformdirs import user_cache_path


def folder(name: str) -> Path:
    """Return the cache folder `name` without creating it.

    It lies in the user's cache, or in `$PLIMSOLL_CACHE` if that is set.
    """
    chosen = os.environ.get("PLIMSOLL_CACHE")
    root = Path(chosen).expanduser() if chosen else user_cache_path("plimsoll", appauthor=False)
    return root / name
