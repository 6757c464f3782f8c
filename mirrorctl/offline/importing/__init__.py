"""Translates the files of other tools into endpoints, projects and rules."""
