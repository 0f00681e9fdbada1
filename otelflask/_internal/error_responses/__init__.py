"""Error responses: what the client gets."""
