"""Local output: log lines on the console and in files, and traces on the console."""
