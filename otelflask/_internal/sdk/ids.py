"""The generator of trace and span ids."""

from __future__ import annotations

from opentelemetry.sdk.trace.id_generator import IdGenerator, RandomIdGenerator

from otelflask._internal.randomness import getrandbits


class RandomIds(RandomIdGenerator):
    """Random ids that do not depend on `random.seed`, as the SDK's do."""

    def generate_span_id(self) -> int:
        return getrandbits(64) or 1

    def generate_trace_id(self) -> int:
        return getrandbits(128) or 1


def are_random(generator: IdGenerator) -> bool:
    """Whether a generator only draws random ids, so that it need not be asked."""
    return type(generator) in (RandomIdGenerator, RandomIds)
