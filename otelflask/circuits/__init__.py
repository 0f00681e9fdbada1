"""What circuit breakers are made of, beside `otelflask.breaker`; nothing here needs pybreaker before one is made."""
