"""The live page: what the app is doing, in a browser, with no server but the app."""
