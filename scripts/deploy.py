"""Deploy the protocol to any network that Ape knows, by the plan that the simulator uses.

    ape run deploy --network ethereum:local:foundry
    ape run deploy --network ethereum:sepolia:node --account deployer --scenario my.yaml \
        --out sepolia.json

The contracts are those of `sim/protocol/artifacts.py`, byte for byte the ones that `ape compile`
makes (tests/test_ape.py). Option series are not listed: they belong to a date.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import ape
import click
import orjson
from ape.cli import ConnectedProviderCommand
from eth_utils.address import to_checksum_address

from sim import rulebooks
from sim.chain import created_address
from sim.engine.runner import listing_of
from sim.protocol import deploy
from sim.scenario.loader import load


@click.command(cls=ConnectedProviderCommand)
@click.option("--account", "alias", help="Ape account that deploys and owns; else a test account.")
@click.option("--scenario", default="black-thursday", help="Whose protocol settings to deploy.")
@click.option(
    "--active-in",
    type=click.IntRange(min=0),
    default=3_600,
    show_default=True,
    help="Seconds from now until the rulebook applies: longer than the deployment takes.",
)
@click.option("--out", type=click.Path(path_type=Path), help="Write the addresses to this file.")
def cli(
    provider: Any,
    network: Any,
    alias: str | None,
    scenario: str,
    active_in: int,
    out: Path | None,
) -> None:
    """Deploy and configure all contracts, and say where they are."""
    if alias:
        account = ape.accounts.load(alias)
    elif provider.network.is_dev:
        account = ape.accounts.test_accounts[0]
    else:
        raise click.UsageError("--account is needed on a network that is not local")
    owner = account.address.lower()
    chosen = load(scenario)
    paths = chosen.paths()
    steps = deploy.plan(
        chosen.setup,
        rulebooks.load(chosen.setup.rulebook),
        replace(listing_of(chosen, paths, ()), series=()),
        owner=owner,
        reporters=lambda kind, item: (owner,),
        matcher=owner,
        now=provider.get_block("latest").timestamp + active_in,
    )
    start = account.nonce
    prepared, contracts = deploy.prepare(steps, lambda n: created_address(owner, start + n))
    with click.progressbar(prepared, label="deploying") as items:
        for item in items:
            fields = {"data": item.data, **({} if item.to is None else {"receiver": item.to})}
            receipt = account.call(provider.network.ecosystem.create_transaction(**fields))
            if receipt.failed:
                raise click.ClickException(f"{item.step} failed in {receipt.txn_hash}")
    for name, contract in contracts.items():
        if not provider.get_code(to_checksum_address(contract.address)):
            raise click.ClickException(f"{name} is not at {contract.address}")
        click.echo(f"{name:<20} {contract.address}  {contract.contract}")
    if out:
        record = {
            "network": f"{provider.network.ecosystem.name}:{provider.network.name}",
            "chain_id": provider.chain_id,
            "owner": owner,
            "scenario": chosen.canonical,
            "contracts": {
                name: {
                    "address": contract.address,
                    "contract": contract.contract,
                    "bytecode": contract.artifact.bytecode_hash,
                }
                for name, contract in contracts.items()
            },
        }
        out.write_bytes(orjson.dumps(record, option=orjson.OPT_INDENT_2) + b"\n")
