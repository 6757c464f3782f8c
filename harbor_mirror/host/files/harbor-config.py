#!/usr/bin/python3
"""Prints harbor.yml with the settings document laid over it: harbor-config HARBOR_YML SETTINGS_JSON."""

import json
import os
import sys
from typing import Any

import yaml

#: Below this much memory many jobs at a time push Harbor into swap; a job may be a scan.
SMALL_BYTES = 7 * 1024**3
WORKERS_SMALL, WORKERS = 4, 10


def lay_over(base: dict[str, Any], overlay: dict[str, Any]) -> dict[str, Any]:
    """A new map: maps are merged, anything else is replaced."""
    merged = dict(base)
    for key, value in overlay.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = lay_over(merged[key], value) if both else value
    return merged


def main() -> None:
    with open(sys.argv[1], encoding="utf-8") as file:
        base = yaml.safe_load(file)
    with open(sys.argv[2], encoding="utf-8") as file:
        settings = json.load(file)
    merged = lay_over(base, settings["harbor"])
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    automatic = WORKERS_SMALL if memory < SMALL_BYTES else WORKERS
    merged["jobservice"]["max_job_workers"] = settings["workers"] or automatic
    # Block style: Harbor's prepare reads the line of data_volume with grep and awk.
    yaml.safe_dump(merged, sys.stdout, sort_keys=False, default_flow_style=False, width=4096)


main()
