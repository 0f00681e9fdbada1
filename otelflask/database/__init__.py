"""SQLAlchemy: spans, durations, pool; nothing is imported where SQLAlchemy is not installed."""
