# pragma version 0.4.3
# pragma nonreentrancy on
"""
@title Versioned rulebooks
@license Apache-2.0
@notice Keeps every version of a rulebook as a contract whose code is the rulebook, with the time
        from which it applies and the ramp over which it replaces the version before.
@dev Code is cheaper to read than storage. One version at most is pending; publishing again before
     it applies replaces it.
"""
from modules import blob


event Published:
    rulebook: indexed(uint256)
    version: uint256
    blob: address
    activation: uint256
    ramp: uint256


# A version: address of the blob, activation << 160, ramp << 208.
MIN_CHANGE: constant(uint256) = 86_400     # notice and ramp together: a day to close or bring money in
MAX_RAMP: constant(uint256) = 90 * 86_400
MAX_DELAY: constant(uint256) = 365 * 86_400
WAD: constant(uint256) = 10 ** 18

latest: HashMap[uint256, uint256]
count: HashMap[uint256, uint256]
history: HashMap[uint256, HashMap[uint256, uint256]]


@external
@view
def version_count(rulebook: uint256) -> uint256:
    """
    @notice Number of versions of a rulebook, a pending one included.
    """
    return self.count[rulebook]


@external
@view
def version(rulebook: uint256, index: uint256) -> (address, uint256, uint256):
    """
    @notice Blob, activation and ramp of a version, counted from 0.
    """
    assert index < self.count[rulebook], "versions: no such version"
    word: uint256 = self.history[rulebook][index]
    return self._place(word), self._activation(word), word >> 208


@internal
def _publish(rulebook: uint256, data: Bytes[blob.MAX_DATA], activation: uint256, ramp: uint256):
    """
    @notice Append a version, or replace the pending one. All but the first apply in full after a day
            at the earliest.
    """
    now: uint256 = block.timestamp
    index: uint256 = self.count[rulebook]
    if index > 0 and self._activation(self.latest[rulebook]) > now:
        index -= 1
    earliest: uint256 = now
    if index > 0:
        previous: uint256 = self.history[rulebook][index - 1]
        earliest = max(now, self._activation(previous) + (previous >> 208))
        assert activation + ramp >= now + MIN_CHANGE, "versions: change too sudden"
    else:
        assert ramp == 0, "versions: nothing to ramp from"
    assert activation >= earliest, "versions: activation too early"
    assert activation <= now + MAX_DELAY, "versions: activation too late"
    assert ramp <= MAX_RAMP, "versions: ramp too long"

    place: address = blob._create(data)
    word: uint256 = convert(place, uint256) | activation << 160 | ramp << 208
    self.history[rulebook][index] = word
    self.latest[rulebook] = word
    self.count[rulebook] = index + 1
    log Published(
        rulebook=rulebook, version=index, blob=place, activation=activation, ramp=ramp
    )


@internal
@view
def _at(rulebook: uint256, time: uint256) -> (address, address, uint256):
    """
    @notice The version that applies at a time, the one it is replacing (zero address outside a
            ramp), and the share of the new one in WAD.
    """
    word: uint256 = self.latest[rulebook]
    assert word != 0, "versions: no such rulebook"
    activation: uint256 = self._activation(word)
    ramp: uint256 = word >> 208
    if time >= activation + ramp:
        return self._place(word), empty(address), WAD
    index: uint256 = self.count[rulebook] - 1
    for _: uint256 in range(256):
        if time >= activation:
            break
        assert index > 0, "versions: not active yet"
        index -= 1
        word = self.history[rulebook][index]
        activation = self._activation(word)
        ramp = word >> 208
    if time >= activation + ramp:
        return self._place(word), empty(address), WAD
    return (
        self._place(word),
        self._place(self.history[rulebook][index - 1]),
        (time - activation) * WAD // ramp,
    )


@internal
@pure
def _blend(new: uint256, old: uint256, share: uint256) -> uint256:
    """
    @notice Requirement in which the new version has a share in WAD, rounded up.
    """
    return (new * share + old * (WAD - share) + WAD - 1) // WAD


@internal
@pure
def _place(word: uint256) -> address:
    return convert(word & (2 ** 160 - 1), address)


@internal
@pure
def _activation(word: uint256) -> uint256:
    return (word >> 160) & (2 ** 48 - 1)
