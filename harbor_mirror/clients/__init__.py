"""Thin HTTP clients: Harbor's REST API and the OCI distribution API."""
