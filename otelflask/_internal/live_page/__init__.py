"""The live page: what the app is doing, in a browser, served by the app itself."""
