"""The compose bundle as users run it, asked through its backends' own HTTP APIs."""
