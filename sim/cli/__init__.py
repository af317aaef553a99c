"""The command line: one module a command, imported only when it is called."""

from __future__ import annotations

import logging
import pkgutil
import signal
import sys
from importlib import import_module
from types import FrameType

import click

from sim import __version__
from sim.errors import PlimsollError, unknown

EXIT_BAD_INPUT = 2
EXIT_INTERRUPTED = 130


class _Commands(click.Group):
    """A group whose commands are the modules of this package that hold a `command`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        names = (module.name for module in pkgutil.iter_modules(__path__))
        return sorted(name.removesuffix("_") for name in names if not name.startswith("_"))

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in self.list_commands(ctx):
            return None
        # A trailing underscore keeps a module's name clear of a keyword or builtin.
        modules = {module.name for module in pkgutil.iter_modules(__path__)}
        module = import_module(f"{__name__}.{name if name in modules else name + '_'}")
        command: click.Command = module.command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and not args[0].startswith("-") and args[0] not in self.list_commands(ctx):
            raise click.UsageError(str(unknown("command", args[0], self.list_commands(ctx))))
        return super().resolve_command(ctx, args)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="plimsoll")
@click.option("-v", "--verbose", count=True, help="Say more; twice for debugging.")
@click.option("-q", "--quiet", is_flag=True, help="Say only what was asked for.")
def main_group(verbose: int, quiet: bool) -> None:
    """A wind tunnel for margin and liquidation rules.

    Cross-margin contracts run on a real local chain, a deterministic simulator drives them through
    crashes, and an independent risk engine recomputes every solvency decision.

    \b
    Examples:
      plimsoll run black-thursday
      plimsoll list scenarios
      plimsoll doctor

    Shell completion: eval "$(_PLIMSOLL_COMPLETE=bash_source plimsoll)" (or zsh_source,
    fish_source).
    """
    level = (
        logging.ERROR if quiet else (logging.WARNING, logging.INFO, logging.DEBUG)[min(verbose, 2)]
    )
    logging.basicConfig(level=level, format="%(levelname)s %(name)s: %(message)s")


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit: 0 held, 1 failed, 2 bad input, 130 interrupted."""
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        status = main_group.main(arguments, prog_name="plimsoll", standalone_mode=False)
    except PlimsollError as error:
        _fail(str(error), EXIT_BAD_INPUT)
    except click.ClickException as error:
        error.show()
        sys.exit(EXIT_BAD_INPUT)
    except (KeyboardInterrupt, click.exceptions.Abort):
        _fail("interrupted", EXIT_INTERRUPTED)
    except BrokenPipeError:
        # The reader of our output has gone; what it wanted, it has.
        sys.stderr.close()
        sys.exit(0)
    except OSError as error:
        place = f" {error.filename}" if error.filename else ""
        _fail(f"{error.strerror or error}{place}", EXIT_BAD_INPUT)
    sys.exit(status if isinstance(status, int) else 0)


def _fail(message: str, status: int) -> None:
    click.echo(f"plimsoll: {message}", err=True)
    sys.exit(status)


def _interrupt(signum: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
