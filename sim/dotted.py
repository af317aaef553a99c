"""What a scenario names by a dotted path, such as `my_package.bots:Sandwicher`."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

from sim.errors import InputError


def imported(path: str, what: str, folder: Path | None = None) -> object:
    """Return what `module:name` names.

    Parameters
    ----------
    path
        `package.module:Name`.
    what
        What it should be, for messages.
    folder
        Modules in it can be imported, as can those of the working folder.

    Raises
    ------
    InputError
        No such module or name, or the module cannot be imported.
    """
    module, colon, name = path.partition(":")
    if not (module and colon and name):
        raise InputError(f"{what} {path!r}: write package.module:Class")
    places = [str(place.resolve()) for place in (folder, Path.cwd()) if place is not None]
    added = [place for place in places if place not in sys.path]
    sys.path[:0] = added
    try:
        found: object = getattr(import_module(module), name)
    except ModuleNotFoundError as error:
        raise InputError(
            f"{what} {path!r}: no module {error.name!r} (looked beside the scenario too)"
        ) from None
    except AttributeError:
        raise InputError(f"{what} {path!r}: module {module} has no {name!r}") from None
    except Exception as error:
        raise InputError(f"{what} {path!r}: importing {module} failed: {error}") from error
    finally:
        for place in added:
            sys.path.remove(place)
    return found
