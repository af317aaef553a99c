# pragma version 0.4.3
# pragma nonreentrancy on
# pragma evm-version cancun
# pragma optimize gas
"""
@title Pushed source
@license Apache-2.0
@notice One seat at the oracle for reporters who take turns: the oracle knows this contract, and keys
        change here without touching the configuration of a single feed.
@custom:security A reporter can say anything that this source may say. Quorum and deviation bound of the
                 oracle are what bounds a source.
@custom:kill Take the reporters away.
"""
from interfaces import IOracle
from interfaces import IOracleSink
from modules import ownable

initializes: ownable

exports: (
    ownable.owner,
    ownable.pending_owner,
    ownable.transfer_ownership,
    ownable.accept_ownership,
)


event ReporterSet:
    reporter: indexed(address)
    allowed: bool


ORACLE: public(immutable(address))

is_reporter: public(HashMap[address, bool])


@deploy
def __init__(owner: address, oracle: address):
    assert oracle.is_contract, "source: oracle is no contract"
    ownable.__init__(owner)
    ORACLE = oracle


@external
def set_reporter(reporter: address, allowed: bool):
    """
    @notice Let an address report through this source, or no longer.
    """
    ownable._check_owner()
    self.is_reporter[reporter] = allowed
    log ReporterSet(reporter=reporter, allowed=allowed)


@external
def push(updates: DynArray[IOracle.Update, 128]):
    """
    @notice Report scalars to the oracle.
    """
    assert self.is_reporter[msg.sender], "source: not a reporter"
    extcall IOracleSink(ORACLE).push(updates)


@external
def push_surfaces(surfaces: DynArray[IOracle.Surface, 64]):
    """
    @notice Report volatility slices to the oracle.
    """
    assert self.is_reporter[msg.sender], "source: not a reporter"
    extcall IOracleSink(ORACLE).push_surfaces(surfaces)
