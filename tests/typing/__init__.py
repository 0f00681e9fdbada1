"""What type checkers see of the public API. mypy reads this package in `make lint`; nothing of it runs."""
