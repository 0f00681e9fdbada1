"""Endpoints that answer in front of an app, and their access control."""
