# pragma version 0.4.3
# pragma nonreentrancy on
"""
@title Form of the scenario engine's rulebooks
@license Apache-2.0
@notice How a rulebook lies in the code of a contract: after a STOP charges and factors, the
        correlation matrices, what the kernel reads, and the shocks, filled up with zeros to a known
        size.
"""
from interfaces import IScenarioEngine
from modules import charges


struct Rules:
    scenarios: uint256          # number of scenarios; as a name, the basis
    vol: IScenarioEngine.Vol
    discount: IScenarioEngine.Discount
    basis_add: uint256
    basis_time: uint256
    confidence_threshold: uint256
    confidence_factor: uint256
    concentration_threshold: uint256
    concentrated: bool          # whether anything is charged for concentration
    reach: uint256              # largest |ln| of a spot multiplier, Q64


# Encoded sizes: of a struct with arrays an offset, the head, and the arrays with their lengths.
MATRICES_START: constant(uint256) = 1 + charges.RULES_BYTES
MATRICES_BYTES: constant(uint256) = 32 * (1 + 5 + 9 + 65 + 65)
RULES_START: constant(uint256) = MATRICES_START + MATRICES_BYTES
RULES_BYTES: constant(uint256) = 32 * 22
# The shocks of the full grid (unshocked, basis up and down, scenarios), those of the bound (the same
# with one shock for all vol directions at a spot), each filled up with zeros.
GRID_BYTES: constant(uint256) = 32 * (1 + 44)
FULL_START: constant(uint256) = RULES_START + RULES_BYTES
BOUND_START: constant(uint256) = FULL_START + GRID_BYTES
