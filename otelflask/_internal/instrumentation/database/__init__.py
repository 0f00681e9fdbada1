"""SQLAlchemy: spans, durations, pool. Nothing is imported where SQLAlchemy is not installed."""
