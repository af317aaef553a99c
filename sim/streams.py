"""Named random streams of one seed.

Every consumer of randomness asks for its own stream by name (``market/ETH``, ``agent/keeper#2``)
and for a step. The generator handed out depends on nothing else, so neither another consumer nor an
extra draw moves anyone else's numbers.
"""

from __future__ import annotations

from hashlib import sha256

import numpy as np

SEED_MAX = 2**63 - 1
STEP_MAX = 2**64 - 1


class Streams:
    """The random streams of one seed.

    Parameters
    ----------
    seed
        An integer from 0 to 2**63 - 1.

    Notes
    -----
    A stream is a Philox counter generator (Salmon et al., "Parallel random numbers: as easy as
    1, 2, 3", 2011). Its key is the first half of ``SHA-256("plimsoll/<seed>/<name>")``, the topmost
    word of its counter is the step: a step may draw 2**194 numbers before it would meet the next.
    """

    def __init__(self, seed: int) -> None:
        if not 0 <= seed <= SEED_MAX:
            raise ValueError(f"seed {seed} is not between 0 and {SEED_MAX}")
        self.seed = seed

    def at(self, name: str, step: int = 0) -> np.random.Generator:
        """Return the generator of a stream at a step; equal arguments give equal numbers."""
        if not 0 <= step <= STEP_MAX:
            raise ValueError(f"step {step} is not between 0 and {STEP_MAX}")
        digest = sha256(f"plimsoll/{self.seed}/{name}".encode()).digest()
        key = np.frombuffer(digest[:16], dtype="<u8").astype(np.uint64)
        counter = np.array([0, 0, 0, step], dtype=np.uint64)
        return np.random.Generator(np.random.Philox(key=key, counter=counter))
