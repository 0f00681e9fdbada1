"""The parts of the test kit, `otelflask.testing`."""
