"""Put everything together: what a process has once, and what each app gets. Nothing below imports it."""
