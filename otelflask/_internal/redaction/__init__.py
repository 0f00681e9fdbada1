"""Redaction: mask secrets in everything that leaves the process."""

from otelflask._internal.redaction.attributes import cleaned, scrubbed_attributes
from otelflask._internal.redaction.scrubber import MASK, Scrubber

__all__ = ["MASK", "Scrubber", "cleaned", "scrubbed_attributes"]
