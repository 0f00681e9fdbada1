"""Requests: middleware, spans, metrics and the request log."""
