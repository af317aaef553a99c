"""The contracts as a user of Ape sees them: `ape test tests/ape`."""

import ape
import pytest

from sim.protocol.artifacts import artifacts, deployables


def test_bytecode_is_that_of_the_simulator(compiled):
    mine = artifacts()
    assert len(mine) == len(deployables()) > 10
    for name, built in mine.items():
        kind = compiled.contracts[name]
        bytecode = str(kind.deployment_bytecode.bytecode).removeprefix("0x")
        assert bytes.fromhex(bytecode) == built.bytecode, name
        selectors = {method.selector for method in kind.methods}
        assert selectors <= set(built.selectors), name


@pytest.fixture
def oracle(compiled, accounts):
    return accounts[0].deploy(compiled.Oracle, accounts[0], 3)


def test_ownership_is_handed_over_in_two_steps(oracle, accounts):
    old, new = accounts[0], accounts[1]
    with ape.reverts("ownable: not owner"):
        oracle.transfer_ownership(new, sender=new)
    oracle.transfer_ownership(new, sender=old)
    assert oracle.owner() == old
    oracle.accept_ownership(sender=new)
    assert oracle.owner() == new
