"""The compose bundle as users run it, queried through the HTTP APIs of its backends."""
