"""One suite for every backend, and the proof that they agree to the unit of gas."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Callable, Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sim.chain import Backend, Block, Call, Transaction, created_address, open_backend
from sim.chain.backend import FUNDING
from sim.errors import EnvironmentFault, InputError
from sim.protocol.abi import Abi, revert_reason
from sim.protocol.artifacts import artifact

GENESIS = 1_583_884_800
PROBE = artifact(Path(__file__).with_name("Probe.vy"))
ABI = Abi(PROBE.abi)
ALICE, BOB, CAROL, DAVE = ("0x" + f"{n:02x}" * 20 for n in (0xA1, 0xB0, 0xCA, 0xDA))


def data(name: str, *args: Any) -> bytes:
    return ABI.function(name).encode(*args)


def started(name: str) -> Backend:
    try:
        return open_backend(name, timestamp=GENESIS)
    except EnvironmentFault as fault:
        pytest.skip(str(fault))


@pytest.fixture(params=["anvil", "revm"])
def chain(request: pytest.FixtureRequest) -> Iterator[Backend]:
    with started(request.param) as backend:
        yield backend


def deploy(chain: Backend, start: int = 5) -> str:
    creation = Transaction(ALICE, None, PROBE.bytecode + ABI.constructor(start))
    block = chain.mine([creation], chain.timestamp + 60)
    created = block.receipts[0].created
    assert created is not None
    return created


def read(chain: Backend, to: str, name: str, *args: Any) -> Any:
    [outcome] = chain.call_many([Call(to, data(name, *args))])
    assert outcome.succeeded, revert_reason(outcome.data)
    return ABI.function(name).decode(outcome.data)


def test_deploys_to_the_address_of_sender_and_nonce(chain: Backend) -> None:
    assert deploy(chain) == created_address(ALICE, 0)
    chain.mine([Transaction(ALICE, BOB, value=1)], chain.timestamp + 60)
    assert deploy(chain) == created_address(ALICE, 2)
    assert chain.code(created_address(ALICE, 2)) == chain.code(created_address(ALICE, 0)) != b""
    assert chain.code(BOB) == b""


def test_created_address_of_long_nonces() -> None:
    # Checked against eth_utils and rlp: the nonce's encoding changes at 0, 0x80 and 0x100.
    sender = "0x" + "11" * 20
    seen = {created_address(sender, nonce) for nonce in (0, 1, 0x7F, 0x80, 0xFF, 0x100, 2**32)}
    assert len(seen) == 7
    assert created_address("0x6ac7ea33f8831ea9dcc53393aaa88b25a785dbf0", 0) == (
        "0xcd234a471b72ba2f1ccf0a70fcaba648a5eecd8d"
    )
    assert created_address("0x6ac7ea33f8831ea9dcc53393aaa88b25a785dbf0", 1) == (
        "0x343c43a37d37dff08ae8c4a11544c718abb4fcf8"
    )


def test_mines_at_the_time_and_in_the_order_given(chain: Backend) -> None:
    probe = deploy(chain)
    senders = [ALICE, BOB, CAROL, DAVE] * 5
    block = chain.mine(
        [Transaction(who, probe, data("bump", n + 100)) for n, who in enumerate(senders)],
        GENESIS + 3600,
    )
    assert (block.number, block.timestamp) == (chain.number, chain.timestamp) == (2, GENESIS + 3600)
    events = [ABI.event(*receipt.logs[0]) for receipt in block.receipts]
    assert [event.args["by"] for event in events if event] == [n + 100 for n in range(20)]
    assert [event.args["who"] for event in events if event] == senders
    assert read(chain, probe, "environment") == (2, GENESIS + 3600, 0, 31337, "0x" + "00" * 20)


def test_reports_reverts_with_their_reason(chain: Backend) -> None:
    probe = deploy(chain)
    block = chain.mine(
        [
            Transaction(BOB, probe, data("bump", 7)),
            Transaction(BOB, probe, data("bump", 1)),
            Transaction(BOB, probe, data("burn"), gas=100_000),
        ],
        chain.timestamp + 1,
    )
    refused, allowed, exhausted = block.receipts
    assert not refused.succeeded
    assert revert_reason(refused.output) == "probe: seven"
    assert refused.logs == ()
    assert allowed.succeeded
    assert allowed.output == b""
    assert len(allowed.logs) == 2
    assert (exhausted.succeeded, exhausted.gas_used, exhausted.output) == (False, 100_000, b"")
    assert read(chain, probe, "total") == 6


def test_calls_report_reverts_each_and_leave_nothing(chain: Backend) -> None:
    probe = deploy(chain)
    outcomes = chain.call_many(
        [
            Call(probe, data("bump", 3), BOB),
            Call(probe, data("refuse", "no such thing")),
            Call(probe, data("total")),
        ]
    )
    assert [outcome.succeeded for outcome in outcomes] == [True, False, True]
    assert revert_reason(outcomes[1].data) == "no such thing"
    assert ABI.function("total").decode(outcomes[2].data) == 5
    assert chain.call_many([]) == []


def test_block_without_room_forgets_what_does_not_fit(chain: Backend) -> None:
    probe = deploy(chain)
    chain.gas_limit = 1_000_000
    bump = data("bump", 1)
    block = chain.mine(
        [
            Transaction(ALICE, probe, bump, gas=400_000),
            Transaction(BOB, probe, bump, gas=980_000),
            Transaction(BOB, probe, bump, gas=60_000),
            Transaction(CAROL, probe, bump, gas=2_000_000),
            Transaction(DAVE, probe, bump, gas=60_000),
        ],
        chain.timestamp + 1,
    )
    assert [receipt.included for receipt in block.receipts] == [True, False, False, False, True]
    block = chain.mine(
        [Transaction(who, probe, bump, gas=60_000) for who in (ALICE, BOB, CAROL, DAVE)],
        chain.timestamp + 1,
    )
    assert all(receipt.succeeded for receipt in block.receipts)
    assert read(chain, probe, "total") == 5 + 2 + 4


def test_snapshots_nest(chain: Backend) -> None:
    probe = deploy(chain)

    def fill(start: int, word: int) -> None:
        tx = Transaction(BOB, probe, data("fill", start, 3, word))
        chain.mine([tx], chain.timestamp + 10)

    def cells() -> list[int]:
        return [read(chain, probe, "cells", n) for n in range(6)]

    fill(0, 1)
    outer, outer_cells, time = chain.snapshot(), cells(), chain.timestamp
    fill(2, 2)
    inner, inner_cells = chain.snapshot(), cells()
    fill(0, 0)
    deploy(chain)
    chain.revert(inner)
    assert cells() == inner_cells
    assert chain.code(created_address(ALICE, 1)) == b""
    fill(3, 9)
    chain.revert(outer)
    assert cells() == outer_cells == [1, 1, 1, 0, 0, 0]
    assert (chain.timestamp, chain.number) == (time, 2)
    assert deploy(chain) == created_address(ALICE, 1)


def test_refuses_a_block_that_is_not_later(chain: Backend) -> None:
    with pytest.raises(InputError, match="cannot follow"):
        chain.mine([], GENESIS)
    assert chain.mine([], GENESIS + 1).receipts == ()


def test_refuses_less_than_the_intrinsic_gas(chain: Backend) -> None:
    probe = deploy(chain)
    with pytest.raises(InputError, match="refused"):
        chain.mine([Transaction(BOB, probe, data("bump", 1), gas=20_000)], chain.timestamp + 1)


def test_reads_balances_and_storage(chain: Backend) -> None:
    probe = deploy(chain)
    block = chain.mine(
        [Transaction(BOB, probe, data("pay", CAROL, 4), value=10)], chain.timestamp + 1
    )
    assert chain.balance(probe) == 6
    assert chain.balance(CAROL) == 4
    assert chain.balance(BOB) == FUNDING - 10 - block.receipts[0].gas_used
    total = PROBE.layout["storage_layout"]["total"]["slot"]
    assert chain.storage_at(probe, total) == 5
    assert chain.storage_at(probe, 2**255) == 0


operations = st.lists(
    st.one_of(
        st.tuples(st.just("bump"), st.tuples(st.integers(1, 9))),
        st.tuples(
            st.just("fill"),
            st.tuples(st.integers(0, 6), st.integers(0, 6), st.sampled_from([0, 0, 1, 2**200])),
        ),
        st.tuples(st.just("try_inner"), st.tuples(st.integers(0, 3))),
        st.tuples(st.just("clone"), st.tuples(st.just(0))),
        st.tuples(st.just("deny"), st.just(())),
        st.tuples(st.just("record_environment"), st.just(())),
    ),
    max_size=6,
)


@pytest.fixture(scope="module")
def pair() -> Iterator[tuple[Backend, Backend, str]]:
    with started("anvil") as anvil, started("revm") as revm:
        probe = deploy(anvil)
        assert deploy(revm) == probe
        yield anvil, revm, probe


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    steps=st.lists(operations, min_size=1, max_size=4), senders=st.randoms(use_true_random=False)
)
def test_backends_agree(
    pair: tuple[Backend, Backend, str], steps: list[list[tuple[str, Any]]], senders: Any
) -> None:
    """Receipts, gas, addresses and state are equal, whatever runs."""
    anvil, revm, probe = pair
    blocks = [
        [
            Transaction(senders.choice([ALICE, BOB, CAROL]), probe, data(name, *args), gas=900_000)
            for name, args in step
        ]
        for step in steps
    ]

    def run(chain: Backend) -> tuple[Any, ...]:
        mined = [chain.mine(block, chain.timestamp + 1) for block in blocks]
        cells = chain.call_many([Call(probe, data("cells", n)) for n in (*range(12), 999)])
        balances = [chain.balance(who) for who in (ALICE, BOB, CAROL, probe, "0x" + "00" * 20)]
        return [(b.number, b.timestamp, b.receipts) for b in mined], cells, balances

    assert run(anvil) == run(revm)


@pytest.mark.parametrize("refunds", [False, True])
def test_large_blocks_agree(refunds: bool) -> None:
    """Anvil's receipts come from traces there, unless gas was refunded."""
    senders = [f"0x{n:040x}" for n in range(0x1000, 0x1000 + 60)]

    def run(name: str) -> Block:
        with started(name) as chain:
            probe = deploy(chain)
            full = Transaction(ALICE, probe, data("fill", 0, 20, 1))
            chain.mine([full], chain.timestamp + 1)
            chain.gas_limit = 30_000_000
            calls = [
                ("bump", 1),
                ("bump", 7),
                ("try_inner", 3),
                ("burn",),
                ("clone", 0),
                ("fill", 0, 5, 0 if refunds else 2),
            ]
            block = [
                Transaction(who, probe, data(*calls[n % 6]), gas=900_000)
                for n, who in enumerate(senders)
            ]
            block.insert(7, Transaction(BOB, None, PROBE.bytecode + ABI.constructor(1)))
            block.insert(
                9, Transaction(BOB, None, PROBE.bytecode + ABI.constructor(1), gas=800_000)
            )
            block.insert(11, Transaction(CAROL, None, b"\xfe", gas=70_000))
            return chain.mine(block, chain.timestamp + 1)

    anvil, revm = run("anvil"), run("revm")
    assert anvil.receipts == revm.receipts
    assert {receipt.included for receipt in anvil.receipts} == {True, False}
    assert {receipt.succeeded for receipt in anvil.receipts} == {True, False}


def test_equal_runs_have_equal_block_hashes() -> None:
    def run(word: int) -> list[str | None]:
        with started("anvil") as chain:
            probe = deploy(chain)
            fill: Callable[[str], Transaction] = lambda who: Transaction(  # noqa: E731
                who, probe, data("fill", 0, 5, word)
            )
            blocks: list[Block] = [
                chain.mine([fill(who) for who in (ALICE, BOB, CAROL, DAVE)], chain.timestamp + 60)
                for _ in range(5)
            ]
            return [block.hash for block in blocks]

    first, second, other = run(1), run(1), run(2)
    assert first == second
    assert not set(first) & set(other)


def test_unknown_backend_names_the_nearest() -> None:
    with pytest.raises(InputError, match="did you mean 'anvil'"):
        open_backend("anvill", timestamp=GENESIS)


def test_unknown_form_of_the_journal_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    """A change of pyrevm's text must never lose a write in silence."""
    monkeypatch.setattr("sim.chain.revm._ACCOUNT", re.compile("no such text"))
    with (
        started("revm") as chain,
        pytest.raises(EnvironmentFault, match=r"install pyrevm==0\.3\.7"),
    ):
        deploy(chain)
