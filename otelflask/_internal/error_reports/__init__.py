"""Reports errors: each problem once, with what it takes to understand it, as a log record."""
