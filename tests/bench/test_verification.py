"""The benchmark of verification runs and finds nothing wrong; its times are never asserted."""

import pytest

from sim.bench import verification
from sim.cli.bench import _sizes
from sim.errors import InputError


def test_every_account_is_verified_at_every_step():
    report = verification.run(accounts=20, steps=14, backend="revm")
    found = {figure.what.strip(): figure.value for figure in report.figures}
    assert found["accounts verified"] == (20 + 1) * 14  # and the insurance fund
    assert found["positions of an account, mean"] == 4
    assert found["positions of an account, most"] == 8
    assert found["checks of blocks that were broken"] == 0
    assert 0 < found["largest error"] <= 1


def test_sizes_are_read_by_the_types_of_their_defaults():
    read = _sizes("verification", verification.run, ("accounts=7", "backend=revm"))
    assert read == {"accounts": 7, "backend": "revm"}


@pytest.mark.parametrize("setting", ["account=1", "accounts", "accounts=0", "accounts=many"])
def test_a_wrong_size_is_refused(setting):
    with pytest.raises(InputError, match="account"):
        _sizes("verification", verification.run, (setting,))
