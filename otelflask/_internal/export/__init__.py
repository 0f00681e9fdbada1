"""Exports telemetry: queues, masks, encodes and sends it."""
