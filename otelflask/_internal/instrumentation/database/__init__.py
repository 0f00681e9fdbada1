"""SQLAlchemy: spans, durations and pools. Nothing is imported where SQLAlchemy is not installed."""
