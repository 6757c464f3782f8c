"""Finds the images that deployments use, and which of them the mirror brings."""
