"""The interface of an agent.

An agent is a small class with a `Params` model. Each step the engine calls `decide` with what the
agent may see and its own random stream of that step, gathers intents, asks makers for quotes on the
orders among them, and later calls `observe` with what became of its intents.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, Generic, Sequence, TypeVar

import numpy as np
from pydantic import Field

from sim.agents.intents import Intent, Order, Outcome
from sim.agents.view import Board, View
from sim.model import Model
from sim.units import Money


class Params(Model):
    """Settings that every agent has."""

    capital: Money = Field(default=100_000.0, ge=0)
    """Worth of the tokens in the agent's wallet at the start."""
    collateral: str = "USDC"
    """Token that the capital is held in."""
    tip: float = Field(default=1.0, ge=0)
    """Priority fee, gwei per gas."""


P = TypeVar("P", bound=Params)


class Agent(ABC, Generic[P]):
    """Base of all agents.

    Parameters
    ----------
    name
        Unique in the run; it names the agent's random stream.
    params
        Of this one agent, distributions already drawn.
    """

    Params: ClassVar[type[Params]] = Params
    accounts: int = 1
    """How many accounts the engine opens for it at the start."""

    def __init__(self, name: str, params: P) -> None:
        self.name = name
        self.params = params

    def label(self, place: int) -> str:
        """Return what tables call the owner of its account at `place`, from 0."""
        return self.name

    def endowment(self, board: Board) -> dict[str, float]:
        """Return the tokens in the wallet at the start, in units by name."""
        p = self.params
        return {p.collateral: p.capital / board.asset_price(p.collateral)}

    @abstractmethod
    def decide(self, view: View, rng: np.random.Generator) -> Sequence[Intent]:
        """Return what the agent wants of this step."""

    def quote(self, view: View, order: Order) -> Quote | None:
        """Return the price at which this agent takes the other side of an order, if it does."""
        return None

    def observe(self, outcomes: Sequence[Outcome]) -> None:
        """Learn what became of this step's intents."""


class Quote(Model):
    """A maker's answer to an order."""

    account: int
    """Of the maker."""
    price: float = Field(ge=0)
    """USD per unit."""
    size: float = Field(gt=0)
    """Most that it takes, unsigned."""
