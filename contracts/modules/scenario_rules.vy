# pragma version 0.4.3
# pragma nonreentrancy on
"""
@title Form of the scenario engine's rulebooks
@license Apache-2.0
@notice How a rulebook lies in the code of a contract: after a STOP what the kernel reads,
        charges and factors, the correlation matrices. Arrays are always full, so that sizes are known.
"""
from interfaces import IScenarioEngine
from modules import charges


struct Rules:
    scenarios: uint256          # number of scenarios; as a name, the basis
    shock_count: uint256
    shocks: DynArray[uint256, 43]   # unshocked, basis up and down, scenarios
    vol: IScenarioEngine.Vol
    discount: IScenarioEngine.Discount
    basis_add: uint256
    basis_time: uint256
    confidence_threshold: uint256
    confidence_factor: uint256
    concentration_threshold: uint256
    concentrated: bool          # whether anything is charged for concentration


struct Matrices:
    size: uint256
    floor: uint256
    ids: DynArray[uint256, 8]
    low: DynArray[int256, 64]           # rows of 8
    high: DynArray[int256, 64]


# Fields of a shock above the kernel's: which rule it serves, and the scenario's number.
SCENARIO: constant(uint256) = 1 << 131
BASIS: constant(uint256) = 1 << 132

# Encoded sizes: an offset, the head, and the arrays with their lengths.
KERNEL_BYTES: constant(uint256) = 32 * (1 + 23 + 44)
MATRICES_BYTES: constant(uint256) = 32 * (1 + 5 + 9 + 65 + 65)
CHARGES_START: constant(uint256) = 1 + KERNEL_BYTES
MATRICES_START: constant(uint256) = CHARGES_START + charges.RULES_BYTES
