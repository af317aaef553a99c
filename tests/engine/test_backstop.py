"""What comes after the auctions: the fund and those who are deleveraged."""

import sim


def test_winners_are_deleveraged_for_what_the_fund_cannot_bear(tmp_path):
    steps = ["horizon.steps=54"]
    run = sim.run("deleveraging", backend="revm", overrides=steps, out=tmp_path / "run")
    done = run.transactions.query("action == 'deleverage' and succeeded")
    charged = run.waterfall.query("layer == 'deleveraging'")
    assert len(done) >= 3
    assert (charged["amount"] > 0).all()
    # Each closed position was somebody's: nobody is charged twice for one, and the losers are flat.
    held = run.positions.query("step == 53")
    assert not set(done["account"]) & set(held["account"])
    assert not set(charged["account"]) & set(done["account"])
    assert run.checks["held"].all()


def test_the_fund_is_flagged_like_any_account(tmp_path):
    steps = ["horizon.steps=100"]
    run = sim.run("zero-bid-auction", backend="revm", overrides=steps, out=tmp_path / "run")
    fund = run.accounts.query("account == 0")
    low = fund[fund["equity"] < fund["maintenance"]]["step"].min()
    flags = run.transactions.query("account == 0 and action == 'flag' and succeeded")
    assert len(flags)
    assert flags["step"].min() > low
    assert run.checks["held"].all()
