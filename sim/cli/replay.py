"""`plimsoll replay`: a run played again from its journal, and compared to the bit."""

from __future__ import annotations

import socket
from dataclasses import asdict
from typing import TYPE_CHECKING

import click
import orjson

from sim.cli._progress import progress_bar
from sim.errors import InputError

if TYPE_CHECKING:
    from sim.engine.replica import Replay


@click.command()
@click.argument("run")
@click.option(
    "--backend",
    type=click.Choice(["anvil", "revm"]),
    help="Where to replay; by default where it was run.",
)
@click.option("--until", type=int, metavar="STEP", help="Stop after the block of this step.")
@click.option("--rpc", is_flag=True, help="Leave the node standing there, for other tools.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(run: str, backend: str | None, until: int | None, rpc: bool, as_json: bool) -> int:
    """Play RUN, a folder or a name in runs/, again without agents and compare every block.

    The journal's transactions are sent again, in the same blocks at the same times. What must be
    equal: every status and event; the fingerprint; on Anvil every block hash; and through the Lens
    every account's exact equity, margins, cash and positions after every step (with --until, after
    that step). The exit status is 1 at the first difference.

    \b
    Examples:
      plimsoll replay black-thursday-1a2b3c4d
      plimsoll replay black-thursday-1a2b3c4d --backend revm
      plimsoll replay black-thursday-1a2b3c4d --until 204 --rpc
    """
    from sim.engine.replica import Replica, check_step, last_step, replay, verify
    from sim.results import Run

    chosen = Run.open(run)
    standing = None
    with progress_bar() as tell:
        if not rpc:
            found = replay(chosen, backend=backend, until=until, progress=tell)
        else:
            from sim.chain.anvil import AnvilBackend
            from sim.engine.archive import Archive
            from sim.engine.loop import SET_UP_GAS

            if (backend or "anvil") != "anvil":
                raise InputError("--rpc needs a node: leave --backend at anvil")
            if until is not None:
                check_step(chosen, until)
            chain = AnvilBackend(
                timestamp=Archive.open(chosen).genesis,
                gas_limit=SET_UP_GAS,
                port=_free_port(),
                lasting=True,
            )
            with Replica(chosen, chain) as replica:
                last = last_step(chosen) if until is None else until
                found = verify(replica, last, every=False, tell=tell)
                standing = chain.detach()
    if as_json:
        facts = {**asdict(found), "equal": found.equal}
        if standing is not None:
            facts["rpc"] = {
                "url": standing.url,
                "socket": str(standing.socket),
                "pid": standing.pid,
            }
        click.echo(orjson.dumps(facts))
        return 0 if found.equal else 1

    click.echo(_verdict(found, chosen.manifest["backend"]))
    if standing is not None:
        click.echo(f"\nAnvil stands after step {found.step}, {found.blocks} blocks in:")
        click.echo(f"  url      {standing.url}")
        click.echo(f"  socket   {standing.socket}")
        click.echo(f"  stop it  kill {standing.pid}")
        click.echo(f"  contracts and their addresses: {chosen.folder / 'contracts.json'}")
        click.echo("  it mines on evm_mine alone, and takes any sender at its word")
    return 0 if found.equal else 1


def _verdict(found: Replay, recorded_on: str) -> str:
    if found.difference is not None:
        return f"DIFFERS: {found.difference}"
    if found.hashes:
        hashes = f"{found.hashes} block hashes"
    elif recorded_on != "anvil":
        hashes = f"no block hashes (it was run on {recorded_on}, which has none)"
    else:
        hashes = f"no block hashes ({found.backend} has none)"
    what = "fingerprint" if found.whole else "the journal so far"
    at = "one step" if found.states == 1 else f"{found.states:,} steps"
    return (
        f"EQUAL: {found.run} repeats to the bit on {found.backend}: {found.blocks:,} blocks, "
        f"{found.transactions:,} transactions, {what} {found.fingerprint}, {hashes}, "
        f"{found.figures:,} exact figures of accounts and all positions at {at}"
    )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
