"""Estimate the number of different values in 4 KB: a HyperLogLog that can be merged with others.

Source: Flajolet et al., "HyperLogLog: the analysis of a near-optimal cardinality estimation
algorithm" (2007), with linear counting below 2.5 m.
"""

from __future__ import annotations

import hashlib
import math

#: 2^12 registers: a standard error of 1.6 %.
BITS = 12
SIZE = 1 << BITS
_ALPHA = 0.7213 / (1 + 1.079 / SIZE)


class HyperLogLog:
    """Counts different texts."""

    __slots__ = ("registers",)

    def __init__(self, registers: bytes | None = None) -> None:
        self.registers = bytearray(registers) if registers is not None else bytearray(SIZE)

    def add(self, text: str) -> None:
        """Add a text."""
        value = int.from_bytes(hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=8).digest(), "big")
        index = value >> (64 - BITS)
        rest = value & ((1 << (64 - BITS)) - 1)
        rank = (64 - BITS) - rest.bit_length() + 1
        if rank > self.registers[index]:
            self.registers[index] = rank

    def join(self, registers: bytes | bytearray) -> None:
        """Add what another counter has counted."""
        self.registers = bytearray(map(max, self.registers, registers))

    def count(self) -> int:
        """The estimated number of different texts."""
        zeros = self.registers.count(0)
        if zeros == SIZE:
            return 0
        estimate = _ALPHA * SIZE * SIZE / sum(2.0**-register for register in self.registers)
        if estimate <= 2.5 * SIZE and zeros:
            estimate = SIZE * math.log(SIZE / zeros)
        return round(estimate)
