"""Random books and markets for the tests of margin and aggregation."""

import numpy as np

from sim.reference import CALL, PERP, PUT, Assets, Book, Expiries, Market, Underlyings

NOW = 1_760_000_000
DAY = 86_400
EXPIRIES = (900, DAY, 7 * DAY, 30 * DAY, 31 * DAY, 200 * DAY)
SPOTS = (3_200.0, 91_000.0, 150.0)


def random_market(rng, doubtful=True):
    """Three underlyings, six expiries each (one inside the settlement window), three assets."""
    spot = np.array(SPOTS) * np.exp(rng.normal(0, 0.02, 3))
    index = np.repeat(np.arange(3), len(EXPIRIES))
    forward = spot[index] * np.exp(rng.normal(0, 0.01, index.size))
    seconds = np.tile(EXPIRIES, 3)
    fixed = np.where(seconds < 1800, 1 - seconds / 1800, 0.0)

    def confidence(n):
        return rng.uniform(0.2, 1, n) if doubtful else np.ones(n)

    return Market.of(
        NOW,
        Underlyings(
            np.arange(3),
            spot,
            ("ETH", "BTC", "SOL"),
            spot_confidence=confidence(3),
            mark=spot * np.exp(rng.normal(0, 0.003, 3)),
            mark_confidence=confidence(3),
        ),
        Expiries(
            index,
            NOW + seconds,
            forward * (1 - fixed),
            forward * fixed,
            rate=rng.uniform(-0.02, 0.1, index.size),
            confidence=confidence(index.size),
            a=rng.uniform(0.0, 0.02, index.size) * seconds / (30 * DAY),
            b=rng.uniform(0.02, 0.1, index.size) * np.sqrt(seconds / (30 * DAY)),
            rho=rng.uniform(-0.6, 0.6, index.size),
            m=rng.uniform(-0.1, 0.1, index.size),
            sigma=rng.uniform(0.05, 0.3, index.size),
            tau=seconds.astype(float),
        ),
        Assets(
            [0, 1, 5],
            [spot[0], spot[1] * 0.999, 0.998],
            [0, 1, -1],
            confidence(3),
        ),
        stable=float(rng.uniform(0.95, 1.01)),
    )


def random_book(rng, market, accounts=20, positions=6, long_only=False):
    """Positions near the money in every underlying; strikes repeat, so shorts may be covered."""
    n = accounts * positions
    underlying = rng.integers(0, 3, n)
    kind = rng.choice([PERP, CALL, PUT], n, p=[0.2, 0.4, 0.4])
    size = np.round(rng.normal(0, 1, n) * 50_000 / market.underlyings.spot[underlying], 3)
    if long_only:
        kind = np.where(kind == PERP, CALL, kind)
        size = np.abs(size)
    scale = 10.0 ** np.floor(np.log10(market.underlyings.spot[underlying]) - 1)
    ratio = rng.choice([0.5, 0.8, 0.9, 1.0, 1.1, 1.25, 2.0], n)
    strike = np.round(market.underlyings.spot[underlying] * ratio / scale) * scale
    perp = kind == PERP
    own = rng.random(n) < 0.2
    return Book.of(
        np.arange(accounts) + 7,
        cash=np.abs(rng.normal(0, 5e4, accounts)) * (1 if long_only else rng.choice([-1, 1])),
        unsettled=0 if long_only else rng.normal(0, 100, accounts),
        assets=[0, 1, 5],
        holdings=rng.random((accounts, 3)) * [10, 1, 1e4] * (rng.random((accounts, 3)) < 0.5),
        account=np.repeat(np.arange(accounts) + 7, positions),
        underlying=underlying,
        kind=kind,
        expiry=np.where(perp, 0, NOW + rng.choice(EXPIRIES, n)),
        strike=np.where(perp, 0, strike),
        size=size,
        vol=np.where(own & ~perp, rng.uniform(0.2, 1.5, n), np.nan),
    )
