"""The implementation of the test kit, `otelflask.testing`."""
