"""`plimsoll report`: a run's summary again, and its page in the browser."""

from __future__ import annotations

import click


@click.command()
@click.argument("run")
@click.option("--open", "open_page", is_flag=True, help="Open the page in a browser.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--dictionary", is_flag=True, help="Print what every column of the tables means.")
def command(run: str, open_page: bool, as_json: bool, dictionary: bool) -> None:
    """Show the summary of RUN, a folder or a name in runs/.

    \b
    Examples:
      plimsoll report black-thursday-1a2b3c4d
      plimsoll report runs/black-thursday-1a2b3c4d --open
    """
    import orjson

    from sim import results
    from sim.report.console import facts, show
    from sim.report.terminal import terminal

    chosen = results.Run.open(run)
    if dictionary:
        click.echo(results.dictionary())
    elif as_json:
        click.echo(orjson.dumps(facts(chosen)))
    else:
        show(chosen, terminal())
    if open_page:
        click.launch(str(chosen.report.resolve()))
