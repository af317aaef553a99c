"""One run from a scenario's name to a finished folder."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any, Sequence

import orjson

from sim import __version__, rulebooks
from sim.agents.base import Agent, Params
from sim.agents.intents import Instrument
from sim.chain import open_backend
from sim.checks.conformance import Reference, Verifier
from sim.engine import resume as resuming
from sim.engine.archive import ARCHIVE, pack
from sim.engine.journal import Journal
from sim.engine.loop import SET_UP_GAS, Loop, Progress
from sim.engine.recorder import Recorder
from sim.engine.world import World, address_of, source_name
from sim.errors import EnvironmentFault, InputError, PlimsollError
from sim.market.paths import Paths
from sim.oracle.feeds import Oracle
from sim.protocol import deploy, feeds
from sim.protocol.artifacts import artifact, artifacts
from sim.protocol.settings import ENGINES
from sim.reference.book import NO_UNDERLYING
from sim.reference.rulebook import Rulebook
from sim.results.expectations import check, judge
from sim.results.folder import JOURNAL, REPORT, SCHEMA_VERSION, Run, RunWriter
from sim.results.summary import summarise, verdict
from sim.scenario.loader import load
from sim.scenario.model import Scenario

RUNS = Path("runs")
_GENESIS_BEFORE_START = 3_600
_UNLIMITED = 1e12
_QUOTE_DECIMALS = 6


def run(
    scenario: str | Path,
    *,
    seed: int | None = None,
    overrides: Sequence[str] = (),
    backend: str = "anvil",
    out: str | Path | None = None,
    resume: bool = False,
    progress: Progress | None = None,
) -> Run:
    """Run a scenario and return its folder.

    Parameters
    ----------
    scenario : str or Path
        A shipped name or a file.
    seed : int, optional
        In place of the scenario's.
    overrides : sequence of str
        `path=value`, in order.
    backend : str
        `anvil` or `revm`.
    out : path, optional
        Folder of the run; `runs/<scenario>-<identity>` unless given. A finished run of the same
        identity that is there already is returned as it is.
    resume : bool
        Finish the interrupted run of that folder: it is played again and must repeat every block
        that was journalled. Otherwise what an interrupted run left there is replaced.
    progress : callable, optional
        Told `(stage, done, total, note)`.

    Raises
    ------
    InputError, EnvironmentFault
        With a message for people. Nothing but a `.partial` folder is left, and whatever
        interrupts the run once that exists carries a note with the command that resumes it.
    """
    tell = progress or _silent
    tell("reading", 0, None, "")
    chosen = load(str(scenario), overrides, seed)
    check(chosen)
    tell("compiling", 0, None, "")
    plan = prepare(chosen)
    versions = tool_versions(backend)
    identity = plan.identity(versions)
    folder = Path(out) if out else RUNS / f"{chosen.name}-{identity[:8]}"
    if folder.exists():
        return _kept(folder, identity)

    partial = resuming.partial(folder)
    done = resuming.earlier(folder, identity) if resume else []
    if partial.is_dir():
        with resuming.claimed(partial):
            pass
    writer = RunWriter(folder)
    start = resuming.Start.of(identity, str(scenario), seed, overrides, backend, out)
    with resuming.claimed(partial):
        try:
            writer.write(resuming.START, start.encoded())
            journal = Journal(partial / JOURNAL, done)
            return _write(writer, journal, plan, backend, versions, tell)
        except BaseException as error:
            # What the scenario itself brings about would only happen again.
            again = isinstance(error, PlimsollError) and not isinstance(error, EnvironmentFault)
            advice = "" if again else f"; to finish it: {start.command}"
            error.add_note(f"{partial} is kept{advice}")
            raise


def _write(
    writer: RunWriter,
    journal: Journal,
    plan: Plan,
    backend: str,
    versions: dict[str, str],
    tell: Progress,
) -> Run:
    """Play a plan, write all of its folder and give that its final name."""
    started = datetime.now(UTC)
    clock = time.perf_counter()
    scenario = plan.scenario
    addresses = _play(writer, journal, plan, backend, tell)
    tell("reporting", 0, None, "")

    unfinished = Run(writer.folder)
    manifest = {
        "schema": SCHEMA_VERSION,
        "identity": plan.identity(versions),
        "fingerprint": journal.fingerprint,
        "scenario": {
            "name": scenario.name,
            "description": scenario.description.strip(),
            "seed": scenario.seed,
            "canonical": scenario.canonical,
        },
        "backend": backend,
        "versions": versions,
        "contracts": {
            name: {"address": address, "bytecode": plan.bytecode.get(name, "")}
            for name, address in addresses.items()
        },
        "paths": plan.paths.digest,
        "outcome": _outcome(unfinished, scenario),
        "timings": {
            "started": started.isoformat(timespec="seconds"),
            "seconds": round(time.perf_counter() - clock, 3),
        },
    }
    from sim.report.html import render

    writer.write(REPORT, render(unfinished, manifest).encode())
    (writer.folder / resuming.START).unlink()
    return writer.finish(manifest)


def _play(
    writer: RunWriter, journal: Journal, plan: Plan, backend: str, tell: Progress
) -> dict[str, str]:
    """Play a plan into journal and tables; return the contracts' addresses by name."""
    scenario = plan.scenario
    genesis = scenario.horizon.start - _GENESIS_BEFORE_START
    with open_backend(backend, timestamp=genesis, gas_limit=SET_UP_GAS) as chain:
        chain.gas_limit = scenario.blocks.gas_limit
        settings = scenario.protocol
        world = World(chain, plan.steps, plan.listing, plan.names, plan.agents, settings)
        writer.write(ARCHIVE, pack(world.protocol, plan.rulebook, plan.verifier, genesis))
        loop = Loop(
            world=world,
            paths=plan.paths,
            instruments=plan.instruments,
            oracle=Oracle(
                scenario.oracle, plan.paths.at(0), scenario.streams, scenario.horizon.step
            ),
            streams=scenario.streams,
            reference=plan.reference,
            order=scenario.blocks.order,
            gas_price=scenario.blocks.gas_price,
            simulate=scenario.blocks.simulate,
            fund=scenario.protocol.backstop.fund,
            interval=scenario.horizon.step,
            journal=journal,
            recorder=Recorder(writer, world.owners),
            progress=tell,
        )
        loop.run()
        addresses = {name: item.address for name, item in world.protocol.contracts.items()}
    journal.close()
    writer.close_tables()
    return addresses


def _outcome(run: Run, scenario: Scenario) -> dict[str, Any]:
    """Judge what was played: the part of the manifest that says how it ended."""
    summary = summarise(run)
    rows = judge(run, summary, scenario.expect)
    failures = [f"{row['name']}: {row['found']}" for row in rows if not row["held"]]
    return {
        "held": not failures,
        "verdict": verdict(summary, failures, scenario.protocol.quote),
        "summary": summary.as_dict(),
        "expectations": rows,
    }


@dataclass(frozen=True)
class Plan:
    """Everything that is decided before the chain starts."""

    scenario: Scenario
    paths: Paths
    instruments: tuple[Instrument, ...]
    rulebook: Rulebook
    verifier: Verifier | None
    reference: Reference | None
    listing: deploy.Listing
    names: dict[int, str]
    steps: list[deploy.Step]
    agents: list[Agent[Params]]
    bytecode: dict[str, str]

    def identity(self, versions: dict[str, str]) -> str:
        """SHA-256 of canonical scenario, rulebook, bytecode and versions of the tools."""
        content = {
            "scenario": self.scenario.canonical,
            "rulebook": self.rulebook.model_dump(mode="json"),
            "bytecode": self.bytecode,
            "versions": versions,
        }
        return sha256(orjson.dumps(content, option=orjson.OPT_SORT_KEYS)).hexdigest()


def prepare(scenario: Scenario) -> Plan:
    """Turn a scenario into paths, a deployment and agents."""
    paths = scenario.paths()
    settings = scenario.setup
    rulebook = rulebooks.load(settings.rulebook)
    instruments = scenario.instruments(paths)
    listing = listing_of(scenario, paths, instruments)

    def reporters(kind: feeds.Kind, item: int) -> list[str]:
        if kind is feeds.Kind.STABLE:
            feed = "stable"
        elif kind is feeds.Kind.ASSET:
            feed = paths.assets[item - 1]
        else:
            part = "vol" if kind is feeds.Kind.SURFACE else "price"
            feed = f"{paths.factors[item]}.{part}"
        return [address_of(source_name(n)) for n in range(scenario.oracle.policy(feed).sources)]

    owner = address_of("deployer")
    steps = deploy.plan(
        settings,
        rulebook,
        listing,
        owner=owner,
        reporters=reporters,
        matcher=address_of("exchange"),
        now=scenario.horizon.start,
    )
    contracts = {step.name: step.contract for step in steps if isinstance(step, deploy.Deploy)}
    artifacts(contracts.values())  # all that is missing at once
    verifier = _verifier(scenario, rulebook, owner)
    return Plan(
        scenario=scenario,
        paths=paths,
        instruments=instruments,
        rulebook=rulebook,
        verifier=verifier,
        reference=None if verifier is None else verifier.reference(scenario.folder),
        listing=listing,
        names=dict(enumerate(paths.factors)),
        steps=steps,
        agents=scenario.cast(),
        bytecode={name: artifact(source).bytecode_hash for name, source in contracts.items()},
    )


def _verifier(scenario: Scenario, rulebook: Rulebook, owner: str) -> Verifier | None:
    """Return what verifies the engine: for one of the user's own, only what the user names."""
    fields = rulebook.model_dump(mode="json")
    if scenario.protocol.engine in ENGINES:
        return Verifier(fields)
    if scenario.protocol.reference is None:
        return None
    given = deploy.engine_arguments(scenario.setup, owner)
    numbers = {name: value for name, value in given.items() if isinstance(value, int)}
    return Verifier(fields, scenario.protocol.reference, numbers)


def listing_of(
    scenario: Scenario, paths: Paths, instruments: Sequence[Instrument]
) -> deploy.Listing:
    """Return what the protocol lists: ids follow the order of the market's factors and assets."""
    strikes: dict[tuple[int, int], set[float]] = {}
    for item in instruments:
        if item.is_option:
            strikes.setdefault((item.underlying, item.expiry), set()).add(item.strike)
    collateral = [
        deploy.Collateral(
            deploy.Token(name, scenario.market.collateral[name].decimals),
            _UNLIMITED,
            None if factor == NO_UNDERLYING else factor,
        )
        for name, factor in zip(paths.assets, paths.tracks, strict=True)
    ]
    return deploy.Listing(
        quote=deploy.Token(scenario.protocol.quote, _QUOTE_DECIMALS),
        collateral=tuple(collateral),
        underlyings=tuple(range(len(paths.factors))),
        series=tuple(
            deploy.Series(underlying, expiry, tuple(sorted(own)))
            for (underlying, expiry), own in sorted(strikes.items())
        ),
    )


def tool_versions(backend: str) -> dict[str, str]:
    """Return the versions that a run's results may depend on."""
    if backend == "anvil":
        from sim.chain.binary import find_anvil

        node = f"anvil {find_anvil().version}"
    else:
        node = f"pyrevm {version('pyrevm')}"
    return {
        "plimsoll": __version__,
        "node": node,
        "vyper": version("vyper"),
        "numpy": version("numpy"),
    }


def _kept(folder: Path, identity: str) -> Run:
    try:
        found = Run.open(folder)
    except InputError as error:
        raise InputError(f"{folder} exists and is not a run; choose another with --out") from error
    if found.manifest["identity"] != identity:
        raise InputError(f"{folder} holds another run; choose another folder with --out")
    return found


def _silent(stage: str, done: int, total: int | None, note: str) -> None:
    return None
