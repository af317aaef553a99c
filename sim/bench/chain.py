"""How fast margin-heavy transactions run: idiomatic web3.py, Ape, the simulator's route, bare revm.

Every route runs the same contract call (`MarginLoad.vy`, about 500,000 gas) and ends when its
result is known. The routes take turns, so that all meet the same weather; medians are compared.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import statistics
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any, Callable, Iterator

from sim.bench import Figure, Report
from sim.chain import Backend, Transaction, open_backend
from sim.chain.binary import find_anvil
from sim.errors import EnvironmentFault
from sim.protocol.abi import Abi
from sim.protocol.artifacts import artifact

GENESIS = 1_583_884_800
# Transactions of one block on the simulator's route: a busy step.
BLOCK = 32
_LOAD = Path(__file__).with_name("MarginLoad.vy")
_DEPLOYER = "0x" + "11" * 20
_SENDERS = tuple(f"0x{n:040x}" for n in range(0x1000, 0x1000 + BLOCK))

# Runs so many transactions.
Route = Callable[[int], None]


def run(quick: bool = False) -> Report:
    """Measure transactions a second on every route, and their ratios."""
    rounds, seconds = (1, 0.05) if quick else (20, 0.4)
    rates: dict[str, list[float]] = {}
    with contextlib.ExitStack() as stack:
        routes: dict[str, Route] = {
            "web3.py": stack.enter_context(_web3()),
            "Ape": stack.enter_context(_ape()),
            "Anvil": stack.enter_context(_backend("anvil")),
            "revm": stack.enter_context(_backend("revm")),
            "bare revm": stack.enter_context(_bare_revm()),
        }
        counts = {name: _count(route, seconds) for name, route in routes.items()}
        for _ in range(rounds):
            for name, route in routes.items():
                started = time.perf_counter()
                route(counts[name])
                rate = counts[name] / (time.perf_counter() - started)
                rates.setdefault(name, []).append(rate)

    def ratio(route: str, base: str) -> float:
        """Compare round by round, so that a slow spell hits both sides."""
        return statistics.median(a / b for a, b in zip(rates[route], rates[base], strict=True))

    to_web3, to_revm = ratio("Anvil", "web3.py"), ratio("Anvil", "bare revm")
    labels = {
        "web3.py": "web3.py over HTTP: transact, wait for the receipt",
        "Ape": "Ape on its own Anvil: contract.check(sender=...)",
        "Anvil": f"Plimsoll on Anvil, blocks of {BLOCK}, receipts read",
        "revm": "Plimsoll in process, receipts read",
        "bare revm": "bare pyrevm, messages without receipts",
    }
    return Report(
        name="chain",
        about=f"margin-heavy transactions, {_gas():,} gas each",
        figures=(
            *(
                Figure(labels[name], statistics.median(rates[name]), "transactions/s")
                for name in routes
            ),
            Figure("Plimsoll on Anvil", to_web3, "x web3.py", "at least 33", to_web3 >= 33),
            Figure("Plimsoll on Anvil", to_revm, "x bare revm", "at least 0.8", to_revm >= 0.8),
            Figure("Plimsoll in process", ratio("revm", "bare revm"), "x bare revm"),
            Figure("Ape", ratio("Ape", "web3.py"), "x web3.py"),
        ),
    )


def _count(route: Route, seconds: float) -> int:
    """Return how many transactions take about so long; the first calls also warm the path up."""
    count, took = 1, 0.0
    route(count)
    while took < seconds / 4:
        started = time.perf_counter()
        route(count)
        took = time.perf_counter() - started
        count *= 2
    wanted = count / 2 * seconds / took
    return max(1, round(wanted)) if wanted < BLOCK else round(wanted / BLOCK) * BLOCK


def _built() -> tuple[bytes, Abi]:
    built = artifact(_LOAD)
    return built.bytecode, Abi(built.abi)


def _gas() -> int:
    with open_backend("revm", timestamp=GENESIS) as chain:
        check = _deployed(chain)
        chain.mine([check], chain.timestamp + 1)
        return chain.mine([check], chain.timestamp + 1).receipts[0].gas_used


def _deployed(chain: Backend) -> Transaction:
    bytecode, abi = _built()
    [receipt] = chain.mine([Transaction(_DEPLOYER, None, bytecode)], chain.timestamp + 1).receipts
    return Transaction(_DEPLOYER, receipt.created, abi.function("check").encode(), gas=1_000_000)


@contextlib.contextmanager
def _backend(name: str) -> Iterator[Route]:
    with open_backend(name, timestamp=GENESIS) as chain:
        check = _deployed(chain)
        checks = [Transaction(sender, check.to, check.data, gas=check.gas) for sender in _SENDERS]

        def send(count: int) -> None:
            for start in range(0, count, BLOCK):
                block = chain.mine(checks[: min(BLOCK, count - start)], chain.timestamp + 1)
                _require(all(receipt.succeeded for receipt in block.receipts), name)

        yield send


@contextlib.contextmanager
def _bare_revm() -> Iterator[Route]:
    import pyrevm

    bytecode, abi = _built()
    vm = pyrevm.EVM(spec_id="CANCUN")
    target = vm.deploy(_DEPLOYER, bytecode)
    data = abi.function("check").encode()

    def send(count: int) -> None:
        for _ in range(count):
            vm.message_call(_DEPLOYER, target, data)

    yield send


@contextlib.contextmanager
def _plain_anvil() -> Iterator[str]:
    """An Anvil as anyone would start it, with its dev accounts and automine, and its URL."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [str(find_anvil().path), "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 30
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            if process.poll() is not None or time.monotonic() > deadline:
                raise EnvironmentFault("the Anvil to compare with did not start")
            time.sleep(0.01)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


@contextlib.contextmanager
def _web3() -> Iterator[Route]:
    from web3 import Web3

    bytecode, _ = _built()
    with _plain_anvil() as url:
        w3 = Web3(Web3.HTTPProvider(url))
        sender = {"from": w3.eth.accounts[0]}

        def transact(call: Any) -> Any:
            receipt = w3.eth.wait_for_transaction_receipt(call.transact(sender), poll_latency=0.001)
            _require(receipt["status"] == 1, "web3.py")
            return receipt

        abi = artifact(_LOAD).abi
        made = transact(w3.eth.contract(abi=abi, bytecode=bytecode).constructor())
        contract = w3.eth.contract(address=made["contractAddress"], abi=abi)

        def send(count: int) -> None:
            for _ in range(count):
                transact(contract.functions.check())

        yield send


@contextlib.contextmanager
def _ape() -> Iterator[Route]:
    here = Path.cwd()
    search = os.environ.get("PATH", "")
    with tempfile.TemporaryDirectory(prefix="plimsoll-") as folder, contextlib.ExitStack() as stack:
        # Ape takes its project from the working folder and its Anvil from PATH.
        os.environ["PATH"] = os.pathsep.join([str(find_anvil().path.parent), search])
        stack.callback(os.environ.__setitem__, "PATH", search)
        os.chdir(folder)
        stack.callback(os.chdir, here)
        import ape
        from ape.contracts import ContractContainer
        from ape.logging import logger
        from ethpm_types import ContractType

        logger.set_level(logging.ERROR)
        stack.enter_context(
            ape.networks.parse_network_choice(
                "ethereum:local:foundry", provider_settings={"host": "auto"}
            )
        )
        bytecode, _ = _built()
        kind = ContractType.model_validate(
            {
                "contractName": "MarginLoad",
                "abi": artifact(_LOAD).abi,
                "deploymentBytecode": {"bytecode": "0x" + bytecode.hex()},
            }
        )
        owner = ape.accounts.test_accounts[0]
        contract = owner.deploy(ContractContainer(kind))

        def send(count: int) -> None:
            for _ in range(count):
                _require(not contract.check(sender=owner).failed, "Ape")

        yield send


def _require(held: bool, route: str) -> None:
    if not held:
        raise EnvironmentFault(f"a transaction of the benchmark failed on the route of {route}")
