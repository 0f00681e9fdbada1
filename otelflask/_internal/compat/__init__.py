"""Private names of other packages. Each is bound once, under a name that says what it does.

A new version of such a package breaks here, and in the contract tests, before anything else.
`docs/dependencies.md` gives the reason for each name.
"""
