# pragma version 0.4.3
# pragma nonreentrancy on
# pragma evm-version cancun
# pragma optimize gas
"""
@title Order venue
@license Apache-2.0
@notice Brings orders that both sides have signed (EIP-712, or ERC-1271 for contracts). Anyone may match
        them; every order may be filled in parts, and all of its legs trade or none.
@dev An order asks for a number of units of a package. A unit is a size of each of its instruments,
     and changes the account's cash by at least `limit`: of one option bought for at most 120, the
     package is one leg of size +1 and the limit is -120. What the sides leave between them goes to
     whom the matcher gives it, since cash must sum to 0.

     An order is valid while its signer may trade for its account, until its deadline, until it is
     filled or cancelled, or until the signer has raised the least nonce above its own.
@custom:security Holds nothing. A signature binds chain, venue, account, sizes, limit and deadline; the
                 margin gate of the clearing house stands behind it.
@custom:kill Take the venue out of the registry.
"""
from interfaces import IClearingHouse
from interfaces import IVenue


interface IERC1271:
    def isValidSignature(digest: bytes32, signature: Bytes[1024]) -> bytes4: view


struct Leg:
    instrument: uint256         # low 160 bits of a position word; a perpetual's strike field is 0
    size: int256                # of one unit, WAD; long is positive


struct Order:
    signer: address             # the account's owner, or an operator with TRADE
    account: uint256
    legs: DynArray[Leg, 8]
    limit: int256               # least change of cash per unit, WAD, fees apart
    quantity: uint256           # units, WAD
    nonce: uint256
    deadline: uint256           # last second in which it may be filled


struct Fill:
    order: Order
    signature: Bytes[1024]
    quantity: uint256           # units to fill, WAD
    cash: int256                # change of the account's cash, WAD


event Filled:
    order: indexed(bytes32)
    account: indexed(uint256)
    signer: indexed(address)
    quantity: uint256
    cash: int256
    filled: uint256             # of the order so far


event Cancelled:
    order: indexed(bytes32)
    account: indexed(uint256)
    actor: indexed(address)


event NonceRaised:
    signer: indexed(address)
    least: uint256


WAD: constant(uint256) = 10**18
NAME: constant(String[8]) = "Plimsoll"
VERSION: constant(String[1]) = "1"
DOMAIN_TYPE: constant(bytes32) = keccak256(
    "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
)
LEG_TYPE: constant(bytes32) = keccak256("Leg(uint256 instrument,int256 size)")
ORDER_TYPE: constant(bytes32) = keccak256(
    "Order(address signer,uint256 account,Leg[] legs,int256 limit,uint256 quantity,uint256 nonce,uint256 deadline)Leg(uint256 instrument,int256 size)"
)
MAGIC: constant(bytes4) = 0x1626ba7e        # of ERC-1271
# Half the order of secp256k1: of the two signatures that recover the same signer, the lower counts.
HALF_ORDER: constant(uint256) = (
    57896044618658097711785492504343953926418782139537452191302581570759080747168
)

CLEARING_HOUSE: public(immutable(address))

filled: public(HashMap[bytes32, uint256])   # units, WAD
is_cancelled: public(HashMap[bytes32, bool])
least_nonce: public(HashMap[address, uint256])


@deploy
def __init__(clearing_house: address):
    assert clearing_house.is_contract, "orders: clearing house is no contract"
    CLEARING_HOUSE = clearing_house


@external
def match_orders(fills: DynArray[Fill, 8]):
    """
    @notice Fill orders against each other.
    """
    legs: DynArray[IVenue.Leg, 16] = []
    for fill: Fill in fills:
        self._fill(fill)
        cash: int256 = fill.cash
        for leg: Leg in fill.order.legs:
            legs.append(
                IVenue.Leg(
                    account=fill.order.account,
                    instrument=leg.instrument,
                    size=self._scaled(leg.size, fill.quantity),
                    cash=cash,
                )
            )
            cash = 0
    extcall IClearingHouse(CLEARING_HOUSE).novate(legs)


@external
def cancel(order: Order):
    """
    @notice Cancel an order. For its signer and for whoever may trade for its account.
    """
    assert msg.sender == order.signer or staticcall IClearingHouse(CLEARING_HOUSE).may(
        order.account, msg.sender, IClearingHouse.Role.TRADE
    ), "orders: not allowed"
    digest: bytes32 = self._digest(order)
    self.is_cancelled[digest] = True
    log Cancelled(order=digest, account=order.account, actor=msg.sender)


@external
def raise_nonce(least: uint256):
    """
    @notice Cancel all of the caller's orders whose nonce is below `least`.
    """
    assert least > self.least_nonce[msg.sender], "orders: nonce not raised"
    self.least_nonce[msg.sender] = least
    log NonceRaised(signer=msg.sender, least=least)


@external
@view
def digest(order: Order) -> bytes32:
    """
    @notice What the signer signs, and what names the order.
    """
    return self._digest(order)


@external
@view
def domain_separator() -> bytes32:
    """
    @notice EIP-712 domain of this venue on this chain.
    """
    return self._domain()


@internal
def _fill(fill: Fill):
    order: Order = fill.order
    assert block.timestamp <= order.deadline, "orders: past the deadline"
    assert order.nonce >= self.least_nonce[order.signer], "orders: nonce too low"
    assert len(order.legs) != 0, "orders: no legs"
    assert fill.quantity != 0, "orders: nothing to fill"
    # An exact comparison: no rounding takes from the signer.
    assert fill.cash * convert(WAD, int256) >= order.limit * convert(
        fill.quantity, int256
    ), "orders: worse than the limit"
    digest: bytes32 = self._digest(order)
    assert not self.is_cancelled[digest], "orders: cancelled"
    filled: uint256 = self.filled[digest] + fill.quantity
    assert filled <= order.quantity, "orders: more than the order"
    self.filled[digest] = filled
    assert staticcall IClearingHouse(CLEARING_HOUSE).may(
        order.account, order.signer, IClearingHouse.Role.TRADE
    ), "orders: signer may not trade"
    self._check_signature(order.signer, digest, fill.signature)
    log Filled(
        order=digest,
        account=order.account,
        signer=order.signer,
        quantity=fill.quantity,
        cash=fill.cash,
        filled=filled,
    )


@internal
@view
def _check_signature(signer: address, digest: bytes32, signature: Bytes[1024]):
    if signer.is_contract:
        assert staticcall IERC1271(signer).isValidSignature(digest, signature) == MAGIC, (
            "orders: contract refuses the signature"
        )
        return
    assert len(signature) == 65, "orders: signature of a wrong length"
    r: uint256 = convert(slice(signature, 0, 32), uint256)
    s: uint256 = convert(slice(signature, 32, 32), uint256)
    v: uint256 = convert(slice(signature, 64, 1), uint256)
    assert s <= HALF_ORDER, "orders: signature of the upper half"
    recovered: address = ecrecover(digest, v, r, s)
    assert recovered != empty(address) and recovered == signer, "orders: wrong signature"


@internal
@pure
def _scaled(size: int256, quantity: uint256) -> int256:
    product: int256 = size * convert(quantity, int256)
    assert product % convert(WAD, int256) == 0, "orders: too fine a fill"
    return product // convert(WAD, int256)


@internal
@view
def _domain() -> bytes32:
    return keccak256(
        abi_encode(DOMAIN_TYPE, keccak256(NAME), keccak256(VERSION), chain.id, self)
    )


@internal
@view
def _digest(order: Order) -> bytes32:
    hashes: DynArray[bytes32, 8] = []
    for leg: Leg in order.legs:
        hashes.append(keccak256(abi_encode(LEG_TYPE, leg.instrument, leg.size)))
    # The words of the array alone, without its offset and length.
    encoded: Bytes[320] = abi_encode(hashes)
    legs: bytes32 = keccak256(b"")
    if len(hashes) != 0:
        legs = keccak256(slice(encoded, 64, 32 * len(hashes)))
    content: bytes32 = keccak256(
        abi_encode(
            ORDER_TYPE,
            order.signer,
            order.account,
            legs,
            order.limit,
            order.quantity,
            order.nonce,
            order.deadline,
        )
    )
    return keccak256(concat(0x1901, self._domain(), content))
