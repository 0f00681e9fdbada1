"""Endpoints that answer in front of an app, and who may ask them."""
