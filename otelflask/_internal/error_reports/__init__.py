"""Error reports: each problem once, as a log record, with what one needs to understand it."""
