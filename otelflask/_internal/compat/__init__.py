"""Private names of other packages, each bound once, under a name that says what it does.

A new version of one of those packages breaks here, and in the contract tests of
this package, before anything else. `docs/dependencies.md` says why each is used.
"""
