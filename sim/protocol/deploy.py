"""The deployment of the protocol as a plan: contracts and calls in order, addresses by name.

The plan is data, so the simulator, an Ape script and a live deployment carry out the same one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Callable, Iterable, Mapping, Sequence

from sim.errors import InputError, unknown
from sim.protocol import feeds
from sim.protocol.abi import Abi
from sim.protocol.arguments import ArgumentError, arguments
from sim.protocol.artifacts import Artifact, artifact
from sim.protocol.settings import ENGINES, RULES, ProtocolSettings
from sim.reference.rulebook import Rulebook
from sim.units import to_quanta, to_wad

SCHEME = 1
RULEBOOK = 1
_MODES = {"mutualise": 1, "deleverage": 2}
_SERIES_IN_CALL = 32
_NO_UNDERLYING = 255


class Ref(str):
    """The address of a contract of the plan, by its name there."""


@dataclass(frozen=True)
class Deploy:
    """Deploy `contract` with `args` and call the result `name`."""

    name: str
    contract: str
    args: tuple[Any, ...] = ()


@dataclass(frozen=True)
class Call:
    """Call a function of the contract that is called `target`."""

    target: str
    function: str
    args: tuple[Any, ...] = ()


Step = Deploy | Call
Reporters = Callable[[feeds.Kind, int], Sequence[str]]


@dataclass(frozen=True)
class Token:
    """A token: an existing one by address, or a mock with this symbol and these decimals."""

    symbol: str
    decimals: int
    address: str | None = None


@dataclass(frozen=True)
class Collateral:
    """A collateral token; `underlying` is the id of the underlying it moves with."""

    token: Token
    cap: float
    underlying: int | None = None


@dataclass(frozen=True)
class Series:
    """Calls and puts of one expiry."""

    underlying: int
    expiry: int
    strikes: tuple[float, ...]


@dataclass(frozen=True)
class Listing:
    """What trades: tokens, underlyings (by id) and option series."""

    quote: Token
    collateral: tuple[Collateral, ...]
    underlyings: tuple[int, ...]
    series: tuple[Series, ...] = field(default=())


def plan(
    settings: ProtocolSettings,
    rulebook: Rulebook,
    listing: Listing,
    *,
    owner: str,
    reporters: Reporters,
    matcher: str,
    now: int,
) -> list[Step]:
    """Return the steps that put the protocol on a chain.

    Parameters
    ----------
    settings, rulebook, listing
        What to deploy.
    owner : str
        Who sends the steps and owns the contracts.
    reporters : callable
        Addresses that report the feeds of a kind of an underlying or asset.
    matcher : str
        Who may bring trades to the direct venue.
    now : int
        Unix seconds from which the rulebook applies.

    Raises
    ------
    InputError
        The engine cannot hold the rulebook, or a name is unknown.
    """
    return [
        *_tokens(listing),
        Deploy("registry", "Registry", (Ref("quote"),)),
        Deploy("oracle", "Oracle", (owner, 3)),
        Deploy("clearing_house", "ClearingHouse", (Ref("registry"),)),
        Deploy("gate", "Gate", (Ref("registry"),)),
        Deploy("liquidator", "Liquidator", (Ref("registry"),)),
        Deploy("backstop", "Backstop", (Ref("registry"),)),
        Call(
            "registry",
            "set_contracts",
            (
                {
                    name: Ref(name)
                    for name in ("clearing_house", "gate", "oracle", "liquidator", "backstop")
                },
            ),
        ),
        *_oracle(settings, listing, reporters),
        *_engine(settings, rulebook, owner, now),
        Call("registry", "set_scheme", (SCHEME, Ref("engine"), RULEBOOK)),
        Deploy("direct_venue", "DirectVenue", (owner, Ref("clearing_house"))),
        Call("direct_venue", "set_matcher", (matcher, True)),
        Deploy("order_venue", "OrderVenue", (Ref("clearing_house"),)),
        Call("registry", "set_venue", (Ref("direct_venue"), True)),
        Call("registry", "set_venue", (Ref("order_venue"), True)),
        Deploy("lens", "Lens", (Ref("registry"),)),
        *_parameters(settings),
        *_rule(settings),
    ]


def _engine(settings: ProtocolSettings, rulebook: Rulebook, owner: str, now: int) -> Iterable[Step]:
    """Yield the engine, with those that it builds on and its rulebook."""
    publication = (RULEBOOK, rulebook.as_wad(), now, 0)
    check_engine(settings, rulebook)
    if settings.engine in ENGINES:
        yield from _shipped_engine("engine", settings.engine, settings.rulebook, rulebook, owner)
        yield Call("engine", "publish", publication)
        return
    bases = [v for v in settings.engine_params.values() if isinstance(v, str) and v in ENGINES]
    for base in dict.fromkeys(bases):
        name = base_name(base)
        yield from _shipped_engine(name, base, settings.rulebook, rulebook, owner)
        yield Call(name, "publish", publication)
    yield Deploy("engine", settings.engine, tuple(engine_arguments(settings, owner).values()))
    publish = _publish(settings.engine)
    if publish is not None:
        if publish != _publish(ENGINES[rulebook.kind]):
            raise InputError(
                f"{settings.engine} has a publish() that takes no {rulebook.kind} rulebook"
            )
        yield Call("engine", "publish", publication)


def check_engine(settings: ProtocolSettings, rulebook: Rulebook) -> None:
    """Refuse an engine that there is not, or that cannot run the rulebook (InputError)."""
    if settings.engine in ENGINES:
        _check_rulebook(settings.engine, settings.rulebook, rulebook)
    elif not settings.engine.endswith(".vy"):
        raise unknown("engine", settings.engine, ENGINES)


def _check_rulebook(engine: str, title: str, rulebook: Rulebook) -> None:
    if rulebook.kind != engine or not rulebook.on_chain:
        raise InputError(
            f"engine {engine!r} cannot run rulebook {title!r}: it is for "
            f"{rulebook.kind!r}" + ("" if rulebook.on_chain else ", and only off chain")
        )


def engine_arguments(settings: ProtocolSettings, owner: str) -> dict[str, Any]:
    """Return the constructor's arguments of an engine of the user's own, by name.

    An address is the name of a shipped engine, which is deployed first, of another contract of the
    plan, or hexadecimal; one that is called `owner` is the owner unless given.
    """
    known = ("registry", "oracle", "clearing_house")

    def address(name: str, value: Any) -> Any:
        if value in ENGINES:
            return Ref(base_name(value))
        if value in known:
            return Ref(value)
        if isinstance(value, str) and re.fullmatch("0x[0-9a-fA-F]{40}", value):
            return value.lower()
        if name == "owner" and value is None:
            return owner
        allowed = ", ".join((*ENGINES, *known))
        problem = f"{value!r} is no address; write one of {allowed}, or 0x…"
        raise ArgumentError("engine_params", name, problem)

    return arguments(settings.engine, settings.engine_params, "engine_params", address)


def base_name(engine: str) -> str:
    """Return what a shipped engine is called in the plan where another builds on it."""
    return f"{engine}_engine"


def _publish(engine: str) -> str | None:
    selectors = artifact(engine).selectors
    return next((name for name in selectors if name.startswith("publish(")), None)


def _shipped_engine(
    name: str, engine: str, title: str, rulebook: Rulebook, owner: str
) -> Iterable[Step]:
    _check_rulebook(engine, title, rulebook)
    # The engines' helpers are contracts of their own, for the limit on code size.
    helpers = _HELPERS.get(engine, {})
    for helper, contract in helpers.items():
        yield Deploy(helper, contract)
    yield Deploy(name, ENGINES[engine], (owner, *map(Ref, helpers)))


_HELPERS = {
    "scenario": {"scenario_kernel": "ScenarioKernel", "scenario_rules": "ScenarioRules"},
    "sensitivity": {"sensitivity_kernel": "SensitivityKernel"},
}


def _tokens(listing: Listing) -> Iterable[Step]:
    for name, token in _named_tokens(listing):
        if token.address is None:
            yield Deploy(name, "MockToken", (token.symbol, token.decimals))


def _named_tokens(listing: Listing) -> list[tuple[str, Token]]:
    collateral = [(item.token.symbol, item.token) for item in listing.collateral]
    return [("quote", listing.quote), *collateral]


def _oracle(settings: ProtocolSettings, listing: Listing, reporters: Reporters) -> Iterable[Step]:
    stale = settings.staleness
    policy = {
        "deviation": to_wad(stale.deviation),
        "opening": stale.opening,
        "liquidation": stale.liquidation,
        "jump": to_wad(stale.jump),
        "recovery": stale.recovery,
    }
    funding = settings.perpetual

    def configure(kind: feeds.Kind, item: int) -> Call:
        sources = tuple(reporters(kind, item))
        if kind is feeds.Kind.SURFACE:
            sources = sources[:1]  # a median of parameters may allow arbitrage
        quorum = {"quorum": len(sources) // 2 + 1, **policy}
        return Call("oracle", "configure", (feeds.feed(kind, item), quorum, sources))

    yield configure(feeds.Kind.STABLE, 0)
    for underlying in listing.underlyings:
        for kind in feeds.OF_UNDERLYING:
            yield configure(kind, underlying)
        yield Call(
            "oracle",
            "set_perpetual",
            (
                underlying,
                {
                    "band": to_wad(funding.band),
                    "period": funding.period,
                    "base": to_wad(funding.base),
                    "cap": to_wad(funding.cap),
                },
            ),
        )
        yield Call("registry", "list_perp", (underlying,))
    for series in listing.series:
        strikes = [to_quanta(strike) for strike in series.strikes]
        for start in range(0, len(strikes), _SERIES_IN_CALL):
            part = strikes[start : start + _SERIES_IN_CALL]
            yield Call("registry", "list_series", (series.underlying, series.expiry, part))
    for asset, item in enumerate(listing.collateral, start=1):
        token: Any = item.token.address or Ref(item.token.symbol)
        yield Call("registry", "add_asset", (token, to_wad(item.cap)))
        yield configure(feeds.Kind.ASSET, asset)
        moves_with = _NO_UNDERLYING if item.underlying is None else item.underlying
        yield Call("oracle", "set_asset", (asset, moves_with))


def _parameters(settings: ProtocolSettings) -> Iterable[Step]:
    fees, interest = settings.fees, settings.interest
    liquidation, backstop = settings.liquidation, settings.backstop
    yield Call(
        "registry", "set_fees", ({"perp": to_wad(fees.perp), "option": to_wad(fees.option)},)
    )
    yield Call("registry", "set_interest", (_wad(interest.model_dump()),))
    yield Call(
        "liquidator",
        "set_parameters",
        (
            {
                "buffer": to_wad(liquidation.buffer),
                "min_fraction": to_wad(liquidation.min_fraction),
                "fee": to_wad(fees.liquidation),
                "solvent_duration": liquidation.solvent_duration,
                "insolvent_duration": liquidation.insolvent_duration,
                "start_price": to_wad(liquidation.start_price),
            },
        ),
    )
    yield Call(
        "backstop",
        "set_parameters",
        (
            {
                "mode": _MODES[backstop.then],
                "grace": backstop.grace,
                "lock_dust": to_wad(backstop.lock_dust),
                "lock_length": backstop.lock_length,
            },
        ),
    )


def _rule(settings: ProtocolSettings) -> Iterable[Step]:
    contract = rule_contract(settings)
    if contract:
        yield Deploy("rule", contract, tuple(rule_arguments(settings).values()))
        yield Call("liquidator", "set_rule", (Ref("rule"),))


def rule_contract(settings: ProtocolSettings) -> str:
    """Return the contract of the liquidation rule, empty for the built-in one.

    Raises
    ------
    InputError
        There is no such rule.
    """
    rule = settings.liquidation.rule
    if rule not in RULES and not rule.endswith(".vy"):
        raise unknown("liquidation rule", rule, RULES)
    return RULES.get(rule, rule)


def rule_arguments(settings: ProtocolSettings) -> dict[str, Any]:
    """Return the constructor's arguments of the liquidation rule by name; raises as `arguments`."""
    contract, params = rule_contract(settings), settings.liquidation.params
    if contract:
        return arguments(contract, params, "liquidation.params")
    for name in params:
        raise ArgumentError("liquidation.params", name, "the built-in rule takes none")
    return {}


def _wad(values: Mapping[str, float]) -> dict[str, int]:
    return {name: to_wad(value) for name, value in values.items()}


@dataclass(frozen=True)
class Deployed:
    """A contract on a chain."""

    name: str
    contract: str
    address: str
    artifact: Artifact

    @cached_property
    def abi(self) -> Abi:
        return abi_of(self.artifact)


_ABIS: dict[str, Abi] = {}


def abi_of(built: Artifact) -> Abi:
    """Return the ABI of an artifact, parsed once."""
    key = built.bytecode_hash
    if key not in _ABIS:
        _ABIS[key] = Abi(built.abi)
    return _ABIS[key]


@dataclass(frozen=True)
class Prepared:
    """One step as a transaction: to nobody if it creates a contract."""

    step: Step
    to: str | None
    data: bytes


def prepare(
    steps: Sequence[Step],
    address_of: Callable[[int], str],
    existing: Mapping[str, str] | None = None,
) -> tuple[list[Prepared], dict[str, Deployed]]:
    """Turn a plan into transactions sent in order by one account.

    Parameters
    ----------
    steps
        The plan.
    address_of : callable
        Address of the contract that the sender's n-th transaction, counted from 0, creates.
    existing : mapping, optional
        Addresses by plan name of what is on the chain already.

    Returns
    -------
    list of Prepared, and the contracts by plan name.
    """
    known: dict[str, str] = dict(existing or {})
    deployed: dict[str, Deployed] = {}
    prepared: list[Prepared] = []
    for number, step in enumerate(steps):
        if isinstance(step, Deploy):
            built = artifact(step.contract)
            args = _resolve(step.args, known)
            data = built.bytecode + abi_of(built).constructor(*args)
            known[step.name] = address_of(number)
            deployed[step.name] = Deployed(step.name, step.contract, known[step.name], built)
            prepared.append(Prepared(step, None, data))
        else:
            target = deployed[step.target]
            args = _resolve(step.args, known)
            function = target.abi.function(step.function, len(args))
            prepared.append(Prepared(step, target.address, function.encode(*args)))
    return prepared, deployed


def _resolve(value: Any, known: Mapping[str, str]) -> Any:
    if isinstance(value, Ref):
        return known[value]
    if isinstance(value, Mapping):
        return {key: _resolve(part, known) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_resolve(part, known) for part in value)
    return value
