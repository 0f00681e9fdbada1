"""How otelflask is made: nothing below here is public; docs/architecture.md says what stands where."""
