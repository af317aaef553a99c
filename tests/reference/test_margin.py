"""PROTOCOL 5 to 7: against a second, slow writing of the text, by hand, and by its properties."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim import rulebooks
from sim.errors import InputError
from sim.reference import (
    CALL,
    PERP,
    PUT,
    YEAR,
    Assets,
    Book,
    Expiries,
    Market,
    Underlyings,
    assess,
    assess_each,
)
from sim.reference.margin import CHARGES, correlated
from sim.reference.sensitivity import expected_shortfall_multiplier
from tests.reference.books import DAY, NOW, random_book, random_market

HOUSE = rulebooks.load("house")


def cdf(x):
    return math.erfc(-x / math.sqrt(2)) / 2


def pdf(x):
    return math.exp(-x * x / 2) / math.sqrt(2 * math.pi)


def black(f, k, t, v, call):
    if v * math.sqrt(t) == 0:
        return max(f - k, 0) if call else max(k - f, 0)
    d1 = math.log(f / k) / (v * math.sqrt(t)) + v * math.sqrt(t) / 2
    d2 = d1 - v * math.sqrt(t)
    if call:
        return f * cdf(d1) - k * cdf(d2)
    return k * cdf(-d2) - f * cdf(-d1)


def slowly(book, market, rules, account):
    """PROTOCOL 5 of one account, one position at a time, in the order of the text."""
    row = list(book.accounts).index(account)
    mine = [i for i in range(book.size.size) if book.account[i] == account]
    u, e, a = market.underlyings, market.expiries, market.assets
    ids = list(u.id)
    expiry_row = {(x, t): i for i, (x, t) in enumerate(zip(e.underlying, e.time, strict=True))}
    c, vol, disc, basis = rules.charges, rules.vol, rules.discount, rules.basis

    def years(i):
        return max(e.time[i] - market.time, 0) / YEAR

    def rate_discount(i):
        return math.exp(-max(e.rate[i], 0) * years(i)) if disc.use_rate else 1.0

    def value(i, x, move):
        """Value of all options of expiry row i."""
        total = 0.0
        for j in mine:
            if book.kind[j] == PERP or expiry_row[book.underlying[j], book.expiry[j]] != i:
                continue
            full = e.forward_fixed[i] + e.forward_variable[i]
            sigma = book.vol[j]
            if math.isnan(sigma):
                k = math.log(book.strike[j] / full)
                w = e.a[i] + e.b[i] * (e.rho[i] * (k - e.m[i]) + math.hypot(k - e.m[i], e.sigma[i]))
                sigma = math.sqrt(w / (e.tau[i] / YEAR))
            seconds = max(e.time[i] - market.time, 0)
            power = vol.short_power if seconds <= 30 * DAY else vol.long_power
            stretch = (30 * DAY / max(seconds, vol.time_floor)) ** power
            if move == 1:
                sigma = max(sigma * (1 + vol.range_up * stretch), vol.floor_up)
            if move == 2:
                sigma = max(sigma * max(1 - vol.range_down * stretch, 0), vol.floor_down)
            forward = e.forward_fixed[i] + x * e.forward_variable[i]
            call = book.kind[j] == CALL
            total += book.size[j] * black(forward, book.strike[j], years(i), sigma, call)
        return total * rate_discount(i)

    def marked(worth, i):
        r = max(e.rate[i], 0)
        if worth > 0:
            decay = years(i) * (r * disc.long_rate_scale + disc.long_rate_add)
            return worth * min(disc.long_base * math.exp(-decay), 1)
        growth = years(i) * (r * disc.short_rate_scale + disc.short_rate_add)
        markup = min(disc.short_base * math.exp(growth), 1 / rate_discount(i))
        return worth * max(markup, 1)

    collateral = {
        asset: book.holdings[row, column] * a.price[list(a.id).index(asset)] / market.stable
        for column, asset in enumerate(book.assets)
    }
    moves_with = {asset: a.underlying[list(a.id).index(asset)] for asset in collateral}
    ups, downs, inside, outside, initial_only = [], [], 0.0, 0.0, 0.0

    def charge(rates, base):
        nonlocal inside, outside, initial_only
        inside += rates.inside * base
        outside += rates.outside * base
        initial_only += rates.initial * base

    def doubt(confidence, dollars):
        nonlocal initial_only
        if confidence < c.confidence_threshold:
            initial_only += (1 - confidence) * c.confidence_factor * dollars

    equity = book.cash[row] + book.unsettled[row] + sum(collateral.values())
    for n, underlying in enumerate(ids):
        rows = [i for i in range(e.time.size) if e.underlying[i] == underlying]
        perp = sum(
            book.size[j] for j in mine if book.kind[j] == PERP and book.underlying[j] == underlying
        )
        moving = sum(v for asset, v in collateral.items() if moves_with[asset] == underlying)
        now = {i: value(i, 1, 0) for i in rows}
        equity += sum(now.values())
        b = sum(
            -min(value(i, basis.up, 0) - now[i], value(i, basis.down, 0) - now[i], 0)
            * (basis.add_factor + basis.time_factor * years(i))
            for i in rows
        )
        up = down = b
        for s in rules.scenarios:
            pnl = sum(marked(value(i, s.spot, int(s.vol)), i) - now[i] for i in rows)
            pnl += (moving + perp * u.mark[n]) * (s.spot - 1)
            loss = max(-s.weight * pnl, 0)
            if s.spot >= 1:
                up = max(up, loss)
            if s.spot <= 1:
                down = max(down, loss)
        ups.append(up)
        downs.append(down)

        naked = {}
        for j in mine:
            if book.kind[j] != PERP and book.underlying[j] == underlying:
                key = book.expiry[j], book.strike[j]
                naked[key] = naked.get(key, 0) + book.size[j]
        charge(c.naked_short, u.spot[n] * sum(max(-q, 0) for q in naked.values()))
        charge(c.perp, abs(perp) * u.spot[n])
        charge(c.collateral, moving * market.stable)
        h = 1e-7
        slope = sum((value(i, 1 + h, 0) - value(i, 1 - h, 0)) / (2 * h) for i in rows)
        delta = slope + moving + perp * u.mark[n]
        charge(c.concentration, max(abs(delta) - c.concentration_threshold, 0))
        linear = [u.spot_confidence[n]]
        linear += [u.mark_confidence[n]] if perp else []
        linear += [
            a.confidence[list(a.id).index(asset)]
            for asset, v in collateral.items()
            if moves_with[asset] == underlying and v
        ]
        doubt(min(linear), abs(perp) * u.spot[n] + moving * market.stable)
        for i in rows:
            size = sum(
                abs(book.size[j])
                for j in mine
                if book.kind[j] != PERP and expiry_row[book.underlying[j], book.expiry[j]] == i
            )
            doubt(min(u.spot_confidence[n], e.confidence[i]), size * u.spot[n])
    for asset, v in collateral.items():
        charge(c.haircuts[asset], v)
        if moves_with[asset] < 0:
            doubt(a.confidence[list(a.id).index(asset)], v * market.stable)

    listed = [n for n, underlying in enumerate(ids) if underlying in rules.correlation.ids]
    at = [rules.correlation.ids.index(ids[n]) for n in listed]
    r = rules.correlation.floor * sum(max(ups[n], downs[n]) for n in listed)
    for corner in range(2 ** len(listed)):
        y = [ups[n] if corner >> m & 1 else -downs[n] for m, n in enumerate(listed)]
        for matrix in (rules.correlation.low, rules.correlation.high):
            square = sum(
                y[i] * matrix[at[i]][at[j]] * y[j]
                for i in range(len(listed))
                for j in range(len(listed))
            )
            r = max(r, math.sqrt(max(square, 0)))
    r += sum(max(ups[n], downs[n]) for n in range(len(ids)) if n not in listed)
    f = rules.factors
    depeg = f.depeg_factor * max(0, f.depeg_threshold - market.stable)
    maintenance = f.maintenance * (r + inside) + outside
    initial = (f.initial + depeg) * (r + inside) + outside + initial_only
    long_only = book.cash[row] + book.unsettled[row] >= 0 and all(
        book.kind[j] != PERP and book.size[j] >= 0 for j in mine if book.size[j]
    )
    if f.long_only_cap and long_only:
        maintenance, initial = (min(x, max(equity, 0)) for x in (maintenance, initial))
    return equity, initial, maintenance


@pytest.mark.parametrize("name", ["house", "derive-pmrm"])
@pytest.mark.parametrize("seed", [1, 2])
def test_against_a_slow_writing_of_the_protocol(name, seed):
    rng = np.random.default_rng(seed)
    rules = rulebooks.load(name)
    market = random_market(rng)
    # Concentration at a size that the random books reach, for the house rules
    if name == "house":
        charges = rules.charges.model_copy(update={"concentration_threshold": 20_000.0})
        rules = rules.model_copy(update={"charges": charges})
    for long_only in (False, True):
        book = random_book(rng, market, accounts=4, positions=5, long_only=long_only)
        got = assess(book, market, rules)
        for row, account in enumerate(book.accounts):
            equity, initial, maintenance = slowly(book, market, rules, account)
            scale = got.gross_notional[row]
            assert got.equity[row] == pytest.approx(equity, abs=1e-12 * scale)
            assert got.maintenance[row] == pytest.approx(maintenance, abs=1e-9 * scale)
            assert got.initial[row] == pytest.approx(initial, abs=1e-9 * scale)


def simple_market(**change):
    figures = {"spot": 100.0, "mark": 100.0, "stable": 1.0, "rate": 0.0} | change
    return Market.of(
        NOW,
        Underlyings([0], [figures["spot"]], ("ETH",), mark=figures["mark"]),
        Expiries(
            [0, 0],
            [NOW + 30 * DAY, NOW + 60 * DAY],
            [100.0, 100.0],
            rate=figures["rate"],
        ),
        Assets([0, 1], [figures["spot"], 2.0], [0, -1]),
        stable=figures["stable"],
    )


def test_a_perp_by_hand():
    book = Book.of(cash=50.0, size=[2.0])
    got = assess(book, simple_market(), HOUSE)
    # 18 % down, and the charge of 1 % of spot outside, 1 % in initial
    assert got.risk[0] == pytest.approx(36)
    assert got.maintenance[0] == pytest.approx(36 + 2)
    assert got.initial[0] == pytest.approx(1.25 * 36 + 4)
    assert got.equity[0] == 50
    assert got.health[0] == pytest.approx(12)
    assert not got.flagged[0]
    assert got.loss_up[0, 0] == 0
    assert got.binding_down[0, 0] == 0  # the first of three equal scenarios
    assert got.binding_up[0, 0] == len(HOUSE.scenarios)  # nothing lost: the basis, of 0
    assert got.gross_notional[0] == 200
    assert got.delta[0, 0] == 2


def test_depeg_raises_initial_only():
    book = Book.of(cash=100.0, size=[1.0])
    calm, broken = (assess(book, simple_market(stable=s), HOUSE) for s in (1.0, 0.89))
    assert broken.initial_factor == pytest.approx(1.25 + 4 * 0.1)
    assert broken.maintenance[0] == calm.maintenance[0]
    assert broken.initial[0] == pytest.approx(calm.initial[0] + 0.4 * 18)


def test_naked_shorts_net_calls_and_puts_of_a_strike():
    def naked(*rows):
        kind, expiry, strike, size = zip(*rows, strict=True)
        book = Book.of(kind=kind, expiry=expiry, strike=strike, size=size, vol=0.5)
        got = assess(book, simple_market(), HOUSE)
        return got.charges[0, CHARGES.index("naked_short"), 1] / (0.003 * 100)

    near, far = NOW + 30 * DAY, NOW + 60 * DAY
    assert naked((CALL, near, 100, -3)) == pytest.approx(3)
    assert naked((CALL, near, 100, -3), (PUT, near, 100, 2)) == pytest.approx(1)
    assert naked((CALL, near, 100, -3), (CALL, near, 110, 3)) == pytest.approx(3)
    assert naked((CALL, near, 100, -3), (CALL, far, 100, 3)) == pytest.approx(3)
    assert naked((CALL, near, 100, -3), (CALL, near, 100, 5)) == 0


def test_collateral_without_a_haircut_is_worth_nothing():
    charges = HOUSE.charges.model_copy(update={"haircuts": HOUSE.charges.haircuts[:1]})
    rules = HOUSE.model_copy(update={"charges": charges})
    book = Book.of(cash=-1.0, assets=[0, 1], holdings=[[1.0, 10.0]])
    got = assess(book, simple_market(), rules)
    assert got.collateral_value[0] == 120
    assert got.charge_outside[0] == pytest.approx(0.02 * 100 + 0.01 * 100 + 20)


def test_expired_options_are_worth_intrinsic():
    market = Market.of(
        NOW,
        Underlyings([0], [100.0]),
        Expiries([0], [NOW - 5], [0.0], forward_fixed=[103.0]),
    )
    book = Book.of(kind=CALL, expiry=NOW - 5, strike=100.0, size=[2.0], vol=0.5)
    got = assess(book, market, HOUSE)
    assert got.equity[0] == pytest.approx(6)
    assert got.delta[0, 0] == 2
    assert got.scenario_pnl[0, 0, 0] == pytest.approx(6 * (0.95 - 1))


def test_settlement_window_moves_only_the_variable_part():
    market = Market.of(
        NOW,
        Underlyings([0], [100.0]),
        Expiries([0], [NOW + 600], [40.0], forward_fixed=[60.0]),
    )
    book = Book.of(kind=CALL, expiry=NOW + 600, strike=1.0, size=[-1.0], vol=0.5)
    rules = rulebooks.load("derive-pmrm")
    got = assess(book, market, rules)
    assert got.scenario_pnl[0, 0, 0] == pytest.approx(-40 * 0.15)
    assert got.basis[0, 0] == pytest.approx(40 * 0.05, rel=1e-3)


def losses(n):
    return st.lists(st.floats(0, 1e6), min_size=n, max_size=n).map(np.array)


@settings(max_examples=60, deadline=None)
@given(up=losses(3), down=losses(3), more=losses(3), scale=st.floats(0, 10))
def test_correlation_factor(up, down, more, scale):
    ids = np.arange(3)

    def r(a, b):
        return correlated(a[None], b[None], HOUSE.correlation, ids)[0]

    value, tiny = r(up, down), 1e-9 * (1 + up.sum() + down.sum() + more.sum())
    worst = np.maximum(up, down)
    assert worst.max() - tiny <= value <= worst.sum() + tiny
    assert r(up + more, down) >= value - tiny  # monotone
    assert r(up + more, down + more) <= value + r(more, more) + tiny  # subadditive
    assert r(up * scale, down * scale) == pytest.approx(value * scale, abs=tiny * 10)
    nudge = 1e-7 * (1 + worst.max())
    assert abs(r(up + nudge, down) - value) <= 3.1 * nudge + tiny  # continuous


def test_one_underlying_needs_no_correlation():
    up, down = np.array([[3.0, 0, 0], [0.1, 0, 0]]), np.array([[1.0, 0, 0], [0.3, 0, 0]])
    got = correlated(up, down, HOUSE.correlation, np.arange(3))
    assert got.tolist() == [3.0, 0.3]
    unlisted = correlated(up, down, HOUSE.correlation, np.array([9, 10, 11]))
    assert unlisted.tolist() == [3.0, 0.3]


seeds = st.integers(0, 2**32 - 1)
ENGINES = ("house", "derive-pmrm", "derive-pmrm2", "deribit-pm", "span-16", "sensitivity", "ltv")


@settings(max_examples=10, deadline=None)
@given(seed=seeds)
def test_initial_is_at_least_maintenance_under_every_rulebook(seed):
    rng = np.random.default_rng(seed)
    market = random_market(rng)
    book = random_book(rng, market)
    every = {name: rulebooks.load(name) for name in rulebooks.names()}
    for name, got in assess_each(book, market, every).items():
        assert (got.initial >= got.maintenance).all(), name
        assert (got.maintenance >= 0).all(), name
        for field in ("equity", "initial", "maintenance", "risk", "budget"):
            assert np.isfinite(getattr(got, field)).all(), name


@settings(max_examples=10, deadline=None)
@given(seed=seeds)
def test_order_of_positions_and_accounts_is_irrelevant(seed):
    rng = np.random.default_rng(seed)
    market = random_market(rng)
    book = random_book(rng, market, accounts=6)
    mixed = book.positions(rng.permutation(book.size.size)).only(rng.permutation(book.accounts))
    for name in ENGINES:
        rules = rulebooks.load(name)
        a, b = assess(book, market, rules), assess(mixed, market, rules)
        back = np.argsort(b.accounts)
        for field in ("equity", "initial", "maintenance"):
            x, y = getattr(a, field), getattr(b, field)[back]
            np.testing.assert_allclose(x, y, atol=1e-13 * a.gross_notional.max(), rtol=1e-12)


@settings(max_examples=10, deadline=None)
@given(seed=seeds)
def test_a_long_only_book_is_never_asked_for_more_than_its_value(seed):
    rng = np.random.default_rng(seed)
    market = random_market(rng)
    book = random_book(rng, market, long_only=True)
    for name in ("house", "sensitivity"):
        got = assess(book, market, rulebooks.load(name))
        assert (got.initial <= got.equity).all()


@settings(max_examples=10, deadline=None)
@given(seed=seeds)
def test_splitting_an_account_never_lowers_the_total(seed):
    """Concentration (a threshold per account) and the long-only cap are stated exceptions.

    So is the one confidence that a perp and the collateral beside it share.
    """
    rng = np.random.default_rng(seed)
    market = random_market(rng, doubtful=False)
    book = random_book(rng, market, accounts=2)
    rules = HOUSE.model_dump()
    rules["charges"] |= {"concentration": {}}
    rules["factors"] |= {"long_only_cap": False}
    rules = type(HOUSE).model_validate(rules)
    two, one = assess(book, market, rules), assess(book.merged(), market, rules)
    slack = 1e-12 * one.gross_notional[0]
    assert one.maintenance[0] <= two.maintenance.sum() + slack
    assert one.initial[0] <= two.initial.sum() + slack


@settings(max_examples=10, deadline=None)
@given(seed=seeds, amount=st.floats(0.01, 10))
def test_a_bought_option_costs_no_more_than_its_premium(seed, amount):
    """It may raise the worst loss by its value at most; static discounts are left out."""
    rng = np.random.default_rng(seed)
    market = random_market(rng, doubtful=False)
    book = random_book(rng, market, accounts=3)
    rules = HOUSE.model_dump()
    rules["discount"] = {}
    rules["basis"] = {}
    rules = type(HOUSE).model_validate(rules)
    before = assess(book, market, rules)
    trade = {"account": 8, "underlying": 0, "kind": CALL, "expiry": NOW + 7 * DAY}
    after = assess(book.traded(**trade, strike=3200.0, size=[amount]), market, rules)
    premium = after.option_value[1] - before.option_value[1]
    rise = after.loss_up - before.loss_up, after.loss_down - before.loss_down
    assert max(r[1, 0] for r in rise) <= premium + 1e-9
    assert all((r[[0, 2]] == 0).all() for r in rise)


def test_ties_go_to_the_lowest_index():
    rules = HOUSE.model_copy(update={"scenarios": HOUSE.scenarios[::-1]})
    got = assess(Book.of(size=[1.0]), simple_market(), rules)
    lowest = min(i for i, s in enumerate(rules.scenarios) if s.spot == 0.82)
    assert got.binding_down[0, 0] == lowest


def test_ltv_by_hand():
    near = NOW + 30 * DAY
    book = Book.of(
        cash=-50.0,
        assets=[0, 1],
        holdings=[[1.0, 10.0]],
        kind=[PERP, CALL, PUT],
        expiry=[0, near, near],
        strike=[0, 100.0, 90.0],
        size=[-0.5, -0.2, 0.3],
        vol=[np.nan, 0.5, 0.5],
    )
    got = assess(book, simple_market(), rulebooks.load("ltv"))
    call = black(100, 100, 30 / 365, 0.5, True)
    health = -50 + 0.85 * 100 + 0.85 * 20 - 0.065 * 50 - 0.2 * (call + 0.09 * 100)
    assert got.health[0] == pytest.approx(health)
    initial = -50 + 0.8 * 100 + 0.8 * 20 - 0.1 * 50 - 0.2 * (call + 0.15 * 100)
    assert got.equity[0] - got.initial[0] == pytest.approx(initial)


def test_sensitivity_by_hand():
    rules = rulebooks.load("sensitivity")
    z, h = rules.multiplier, 1 / 365
    assert z == pytest.approx(expected_shortfall_multiplier(0.99, 4), abs=1e-6)
    got = assess(Book.of(cash=50.0, size=[2.0]), simple_market(), rules)
    assert got.risk[0] == pytest.approx(z * math.sqrt(h) * 1.0 * 200)

    expiry = NOW + 30 * DAY
    short = Book.of(kind=CALL, expiry=expiry, strike=100.0, size=[-1.0], vol=0.5)
    got = assess(short, simple_market(), rules)
    t, v = 30 / 365, 0.5
    d1 = v * math.sqrt(t) / 2
    delta, gamma = -cdf(d1) * 100, -pdf(d1) / (v * math.sqrt(t)) * 100
    vega = 100 * pdf(d1) * math.sqrt(t) * v
    cross = abs(delta * vega * np.array(rules.covariance)[0, 8])
    variance = delta**2 + vega**2 * 1.4**2 + 2 * cross
    want = z * math.sqrt(h * variance) - gamma * 0.5 * z * z * h
    assert got.risk[0] == pytest.approx(want, rel=1e-9)

    # A calendar spread's vegas stand in different buckets and do not net.
    far = NOW + 60 * DAY
    kinds = {"kind": CALL, "strike": 100.0, "vol": 0.5}
    both = Book.of(expiry=[expiry, far], size=[-1.0, 1.0], **kinds)
    assert assess(both, simple_market(), rules).risk[0] > 0.8 * z * math.sqrt(h) * 1.4 * vega


def test_errors_name_what_is_missing():
    with pytest.raises(InputError, match=r"Book.underlying\[0\] = 4"):
        assess(Book.of(underlying=4, size=[1.0]), simple_market(), HOUSE)
    book = Book.of(kind=CALL, expiry=NOW + 7, strike=1.0, size=[1.0], vol=0.5)
    with pytest.raises(InputError, match=r"Book.expiry\[0\]"):
        assess(book, simple_market(), HOUSE)
    book = Book.of(kind=CALL, expiry=NOW + 30 * DAY, strike=90.0, size=[1.0])
    with pytest.raises(InputError, match=r"vol of strike\[0\] = 90"):
        assess(book, simple_market(), HOUSE)
    with pytest.raises(InputError, match=r"Book.assets\[0\] = 7"):
        assess(Book.of(assets=[7], holdings=[[1.0]]), simple_market(), HOUSE)
    one = rulebooks.load("sensitivity").model_dump()
    one["ids"] = [3]
    one["covariance"] = [[1.0, 0], [0, 1.0]]
    rules = type(rulebooks.load("sensitivity")).model_validate(one)
    with pytest.raises(InputError, match="no covariance for underlying 0"):
        assess(Book.of(size=[1.0]), simple_market(), rules)
    assert assess(Book.of(cash=1.0), simple_market(), rules).equity[0] == 1
