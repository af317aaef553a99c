"""The venue of signed orders."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest
from eth_account import Account
from eth_account.messages import encode_typed_data

from tests.evm import Contract, Evm, Reverted

WAD = 10**18
TRADE, WITHDRAW = 1, 2
CALL, PUT = 2 | 3000 * 10**9 << 8, 3 | 3000 * 10**9 << 8
SECP256K1 = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
TYPES = {
    "Order": [
        {"name": "signer", "type": "address"},
        {"name": "account", "type": "uint256"},
        {"name": "legs", "type": "Leg[]"},
        {"name": "limit", "type": "int256"},
        {"name": "quantity", "type": "uint256"},
        {"name": "nonce", "type": "uint256"},
        {"name": "deadline", "type": "uint256"},
    ],
    "Leg": [{"name": "instrument", "type": "uint256"}, {"name": "size", "type": "int256"}],
}

buyer = Account.from_key(b"\x01" * 32)
seller = Account.from_key(b"\x02" * 32)


@dataclass(frozen=True)
class Order:
    signer: str
    account: int
    legs: tuple[tuple[int, int], ...]
    limit: int
    quantity: int = 10 * WAD
    nonce: int = 0
    deadline: int = 2**40

    @property
    def words(self) -> tuple[Any, ...]:
        legs = list(self.legs)
        return (
            self.signer.lower(),
            self.account,
            legs,
            self.limit,
            self.quantity,
            self.nonce,
            self.deadline,
        )


class Floor:
    """A venue, its house, and one bid and one offer that cross at 100 to 120."""

    def __init__(self) -> None:
        self.evm = Evm()
        self.house: Contract = self.evm.deploy("testing/MockHouse.vy")
        self.venue: Contract = self.evm.deploy("OrderVenue.vy", self.house.address)
        self.house.grant(1, buyer.address.lower(), TRADE)
        self.house.grant(2, seller.address.lower(), TRADE | WITHDRAW)
        self.bid = Order(buyer.address, 1, ((CALL, WAD),), -120 * WAD)
        self.offer = Order(seller.address, 2, ((CALL, -WAD),), 100 * WAD)

    def sign(self, order: Order, key: Any) -> bytes:
        message = {
            "types": TYPES,
            "primaryType": "Order",
            "domain": {
                "name": "Plimsoll",
                "version": "1",
                "chainId": 1,
                "verifyingContract": self.venue.address,
            },
            "message": {
                **order.__dict__,
                "legs": [{"instrument": i, "size": s} for i, s in order.legs],
            },
        }
        return bytes(key.sign_message(encode_typed_data(full_message=message)).signature)

    def fill(self, order: Order, quantity: int, cash: int, signature: bytes | None = None) -> Any:
        key = buyer if order.signer == buyer.address else seller
        given = self.sign(order, key) if signature is None else signature
        return (order.words, given, quantity, cash)

    def match(self, *fills: Any) -> None:
        self.venue.match_orders(list(fills), sender=self.evm.address("matcher"))

    def cross(self, bid: Order, offer: Order, quantity: int = WAD, price: int = 110) -> None:
        cash = quantity * price
        self.match(self.fill(bid, quantity, -cash), self.fill(offer, quantity, cash))


@pytest.fixture
def floor() -> Floor:
    return Floor()


def test_anyone_matches_two_orders(floor: Floor) -> None:
    floor.cross(floor.bid, floor.offer, 2 * WAD)
    assert floor.house.legs() == [(1, CALL, 2 * WAD, -220 * WAD), (2, CALL, -2 * WAD, 220 * WAD)]
    bought, sold = floor.evm.events
    assert bought.name == sold.name == "Filled"
    assert {k: v for k, v in sold.args.items() if k != "order"} == {
        "account": 2,
        "signer": seller.address.lower(),
        "quantity": 2 * WAD,
        "cash": 220 * WAD,
        "filled": 2 * WAD,
    }


def test_the_digest_is_that_of_eip_712(floor: Floor) -> None:
    """eth-account's own encoding recovers the signer from what the venue calls the digest."""
    from eth_keys.datatypes import Signature

    signature = floor.sign(floor.bid, buyer)
    digest = floor.venue.digest(floor.bid.words)
    vrs = signature[:64] + bytes([signature[64] - 27])
    recovered = Signature(vrs).recover_public_key_from_msg_hash(digest)
    assert recovered.to_checksum_address() == buyer.address
    assert len(floor.venue.domain_separator()) == 32


def test_orders_fill_in_parts_and_no_further(floor: Floor) -> None:
    for _ in range(3):
        floor.cross(floor.bid, floor.offer, 3 * WAD)
    assert floor.venue.filled(floor.venue.digest(floor.bid.words)) == 9 * WAD
    with pytest.raises(Reverted, match="orders: more than the order"):
        floor.cross(floor.bid, floor.offer, WAD + 1)
    floor.cross(floor.bid, floor.offer, WAD)
    with pytest.raises(Reverted, match="orders: more than the order"):
        floor.cross(floor.bid, floor.offer, 10**9)


def test_the_limit_holds_to_the_wei(floor: Floor) -> None:
    floor.match(floor.fill(floor.bid, WAD, -120 * WAD), floor.fill(floor.offer, WAD, 100 * WAD))
    with pytest.raises(Reverted, match="orders: worse than the limit"):
        floor.match(floor.fill(floor.bid, WAD, -120 * WAD - 1))
    with pytest.raises(Reverted, match="orders: worse than the limit"):
        floor.match(floor.fill(floor.offer, WAD, 100 * WAD - 1))
    with pytest.raises(Reverted, match="orders: worse than the limit"):
        floor.match(floor.fill(replace(floor.offer, limit=1), 10**9, 0))


def test_a_package_of_several_legs_trades_whole(floor: Floor) -> None:
    spread = replace(floor.bid, legs=((CALL, WAD), (PUT, -2 * WAD)), limit=-10 * WAD)
    other = replace(floor.offer, legs=((CALL, -WAD), (PUT, 2 * WAD)), limit=10 * WAD)
    floor.cross(spread, other, WAD // 2, 10)
    assert floor.house.legs() == [
        (1, CALL, WAD // 2, -5 * WAD),
        (1, PUT, -WAD, 0),
        (2, CALL, -WAD // 2, 5 * WAD),
        (2, PUT, WAD, 0),
    ]


def test_one_order_is_matched_against_several(floor: Floor) -> None:
    third = replace(floor.offer, account=3)
    floor.house.grant(3, seller.address.lower(), TRADE)
    floor.match(
        floor.fill(floor.bid, 3 * WAD, -360 * WAD),
        floor.fill(floor.offer, WAD, 120 * WAD),
        floor.fill(third, 2 * WAD, 240 * WAD),
    )
    assert [leg.account for leg in floor.house.legs()] == [1, 2, 3]


def test_match_reverts_past_the_deadline(floor: Floor) -> None:
    bid = replace(floor.bid, deadline=floor.evm.time)
    floor.cross(bid, floor.offer)
    floor.evm.time += 1
    with pytest.raises(Reverted, match="orders: past the deadline"):
        floor.cross(bid, floor.offer)


def test_match_reverts_without_legs_or_quantity(floor: Floor) -> None:
    with pytest.raises(Reverted, match="orders: no legs"):
        floor.cross(replace(floor.bid, legs=()), floor.offer)
    with pytest.raises(Reverted, match="orders: nothing to fill"):
        floor.cross(floor.bid, floor.offer, 0)


def test_match_reverts_for_too_fine_a_fill(floor: Floor) -> None:
    odd = replace(floor.bid, legs=((CALL, WAD // 2),))
    with pytest.raises(Reverted, match="orders: too fine a fill"):
        floor.match(floor.fill(odd, 1, 0))


def test_match_reverts_if_the_signer_may_not_trade(floor: Floor) -> None:
    floor.house.grant(1, buyer.address.lower(), WITHDRAW)
    with pytest.raises(Reverted, match="orders: signer may not trade"):
        floor.cross(floor.bid, floor.offer)


@pytest.mark.parametrize(
    "change",
    [
        {"account": 2},
        {"legs": ((CALL, 2 * WAD),)},
        {"legs": ((PUT, WAD),)},
        {"limit": -121 * WAD},
        {"quantity": 11 * WAD},
        {"nonce": 1},
        {"deadline": 2**40 + 1},
    ],
)
def test_a_signature_binds_every_field(floor: Floor, change: dict[str, Any]) -> None:
    floor.house.grant(2, buyer.address.lower(), TRADE)
    signature = floor.sign(floor.bid, buyer)
    with pytest.raises(Reverted, match="orders: wrong signature"):
        floor.match(floor.fill(replace(floor.bid, **change), WAD, 0, signature))


def test_a_signature_binds_the_venue(floor: Floor) -> None:
    signature = floor.sign(floor.bid, buyer)
    floor.venue = floor.evm.deploy("OrderVenue.vy", floor.house.address)
    with pytest.raises(Reverted, match="orders: wrong signature"):
        floor.match(floor.fill(floor.bid, WAD, 0, signature))


def test_a_signature_of_another_is_wrong(floor: Floor) -> None:
    with pytest.raises(Reverted, match="orders: wrong signature"):
        floor.match(floor.fill(floor.bid, WAD, 0, floor.sign(floor.bid, seller)))


def test_the_zero_address_signs_nothing(floor: Floor) -> None:
    nobody = "0x" + "00" * 20
    floor.house.grant(1, nobody, TRADE)
    with pytest.raises(Reverted, match="orders: wrong signature"):
        floor.match(floor.fill(replace(floor.bid, signer=nobody), WAD, 0, b"\x01" * 65))


def test_match_reverts_for_a_malformed_signature(floor: Floor) -> None:
    signature = floor.sign(floor.bid, buyer)
    with pytest.raises(Reverted, match="orders: signature of a wrong length"):
        floor.match(floor.fill(floor.bid, WAD, 0, signature[:64]))
    s = SECP256K1 - int.from_bytes(signature[32:64], "big")
    mirrored = signature[:32] + s.to_bytes(32, "big") + bytes([55 - signature[64]])
    with pytest.raises(Reverted, match="orders: signature of the upper half"):
        floor.match(floor.fill(floor.bid, WAD, 0, mirrored))


def test_a_contract_signs_by_erc_1271(floor: Floor) -> None:
    wallet = floor.evm.deploy("testing/MockWallet.vy")
    floor.house.grant(2, wallet.address, TRADE)
    offer = replace(floor.offer, signer=wallet.address)
    fills = floor.fill(floor.bid, WAD, -110 * WAD), floor.fill(offer, WAD, 110 * WAD, b"")
    with pytest.raises(Reverted, match="orders: contract refuses the signature"):
        floor.match(*fills)
    wallet.approve(floor.venue.digest(offer.words))
    floor.match(*fills)
    assert floor.house.legs()[1].account == 2


@pytest.mark.parametrize("actor", [buyer.address.lower(), "operator"])
def test_the_signer_or_an_operator_cancels(floor: Floor, actor: str) -> None:
    if actor == "operator":
        actor = floor.evm.address("operator")
        floor.house.grant(1, actor, TRADE)
    floor.venue.cancel(floor.bid.words, sender=actor)
    (event,) = floor.evm.events
    digest = floor.venue.digest(floor.bid.words)
    assert event.name == "Cancelled"
    assert event.args == {"order": digest, "account": 1, "actor": actor}
    assert floor.venue.is_cancelled(digest)
    with pytest.raises(Reverted, match="orders: cancelled"):
        floor.cross(floor.bid, floor.offer)


def test_cancel_reverts_for_a_stranger(floor: Floor) -> None:
    with pytest.raises(Reverted, match="orders: not allowed"):
        floor.venue.cancel(floor.bid.words, sender=floor.evm.address("stranger"))


def test_raising_the_nonce_cancels_all_below(floor: Floor) -> None:
    floor.venue.raise_nonce(5, sender=buyer.address.lower())
    (event,) = floor.evm.events
    assert event.args == {"signer": buyer.address.lower(), "least": 5}
    assert floor.venue.least_nonce(buyer.address.lower()) == 5
    with pytest.raises(Reverted, match="orders: nonce too low"):
        floor.cross(replace(floor.bid, nonce=4), floor.offer)
    floor.cross(replace(floor.bid, nonce=5), floor.offer)
    with pytest.raises(Reverted, match="orders: nonce not raised"):
        floor.venue.raise_nonce(5, sender=buyer.address.lower())


def test_the_constructor_wants_a_contract(floor: Floor) -> None:
    with pytest.raises(Reverted, match="orders: clearing house is no contract"):
        floor.evm.deploy("OrderVenue.vy", buyer.address.lower())
