"""Orders meet quotes: a request for quotes, best price first."""

from __future__ import annotations

from typing import Sequence

from sim.agents.base import Agent, Params, Quote
from sim.agents.intents import Order, Outcome, Trade
from sim.agents.view import View

MAKERS_MAX = 4


def cross(
    orders: Sequence[tuple[str, Order]], makers: Sequence[tuple[Agent[Params], View]]
) -> tuple[list[tuple[str, Trade]], list[tuple[str, Outcome]]]:
    """Match every order, in the order given, against the best quotes.

    Parameters
    ----------
    orders
        Name of the agent and its order.
    makers
        Agents that are asked, with what they see. An agent is never matched with itself; of equal
        prices the earlier maker's goes first. An order is split over at most `MAKERS_MAX` quotes.

    Returns
    -------
    trades
        Name of the agent that ordered, and the trade.
    refused
        Orders that nobody took at their limit, as outcomes.
    """
    trades: list[tuple[str, Trade]] = []
    refused: list[tuple[str, Outcome]] = []
    for name, order in orders:
        side = 1.0 if order.size > 0.0 else -1.0
        quotes: list[Quote] = []
        for maker, view in makers:
            quote = maker.quote(view, order) if maker.name != name else None
            if quote is not None and side * (order.limit - quote.price) >= 0.0:
                quotes.append(quote)
        quotes.sort(key=lambda quote: side * quote.price)
        left = abs(order.size)
        for quote in quotes[:MAKERS_MAX]:
            if left <= 0.0:
                break
            size = min(left, quote.size)
            buyer, seller = (order.account, quote.account)[:: int(side)]
            trade = Trade(buyer, seller, order.instrument, size, quote.price, tip=order.tip)
            trades.append((name, trade))
            left -= size
        if not quotes:
            refused.append((name, Outcome(order, accepted=False, reason="no quote")))
    return trades, refused
