"""A request from open to close."""
