#!/usr/bin/python3
# verify KEY_FILE SETTINGS: exit 1 with the reason unless the document is signed and has allowed keys and values only
# merge HARBOR_YML SETTINGS: print harbor.yml with the settings merged into it
# sign KEY_FILE PURPOSE: print the signature of standard input
#
# No docstrings and annotations, because user data must fit into 16 KB.

import hashlib
import hmac
import json
import os
import re
import sys

import yaml

LARGEST = 1024 * 1024
# Below this much memory, more concurrent jobs make Harbor swap; a job may be a vulnerability scan.
SMALL = 7 * 1024**3
# No control characters, blanks and backslashes: the scripts use these values.
WORD = r"[!-\[\]-~]+"
# Path of every value that a document may have, and its form. The document configures a process of root.
ALLOWED = {
    "schema": "1",
    "harbor[.](log|metric|storage_service|external_database|external_redis)[.].*": r"[^\n]*",
    "workers": "None|[1-9][0-9]?|100",
    "trivy": "True|False",
    "places[.](blobs|database)": WORD,
    "certificate|privateKey|authorities": r"[\n -~]*",
    "authorizedKeys": "None",
    "authorizedKeys[.][0-9]+": r"[^\0-\x1f]*",
    "backup|maintenanceWindow": "None",
    "backup[.]at": "[0-2][0-9]:[0-5][0-9]",
    "backup[.]keep": "[1-9][0-9]{0,2}",
    "backup[.]target": "backup:[a-z0-9.-]+/harbor|/[A-Za-z0-9._/-]+",
    "backup[.]recipient": "None|age1[a-z0-9]+",
    "backup[.]versioned": "True|False",
    "backup[.]environment[.]RCLONE_CONFIG_BACKUP_(TYPE|PROVIDER|ENV_AUTH|ENDPOINT|REGION|ACCESS_KEY_ID"
    "|SECRET_ACCESS_KEY|NO_CHECK_BUCKET)": WORD,
    "maintenanceWindow[.]day": "[a-z]{6,9}",
    "maintenanceWindow[.]hour": "[0-9]{1,2}",
    "signature": "[0-9a-f]{64}",
}


def sign(key, purpose, data):
    return hmac.new(key.strip(), purpose.encode() + b"\0" + data, hashlib.sha256).hexdigest()


def leaves(value, path=""):
    children = enumerate(value) if isinstance(value, list) else value.items() if isinstance(value, dict) else None
    if children is None:
        yield path[1:], str(value)
    else:
        for name, child in children:
            yield from leaves(child, f"{path}.{name}")


def verify(key, text):
    document = json.loads(text)
    signed = {name: value for name, value in document.items() if name != "signature"}
    expected = sign(key, "settings", json.dumps(signed, sort_keys=True).encode())
    if not hmac.compare_digest(str(document.get("signature")).encode(), expected.encode()):
        return "it does not carry the signature of this stack"
    for path, value in leaves(document):
        if not any(re.fullmatch(key, path) and re.fullmatch(form, value) for key, form in ALLOWED.items()):
            return f"the key {path!r} or its value is not allowed"
    return None


def merge(base, overlay):
    for key, value in overlay.items():
        if isinstance(value, dict) and isinstance(base.get(key), dict):
            merge(base[key], value)
        else:
            base[key] = value


def read(path):
    with open(path, "rb") as file:
        return file.read(LARGEST)


command, first, second = sys.argv[1:]
if command == "verify":
    try:
        reason = verify(read(first), read(second))
    except (ValueError, AttributeError, RecursionError):
        reason = "it is not a JSON object of at most 1 MiB"
    sys.exit(reason and f"{second}: {reason}")
elif command == "merge":
    harbor, settings = yaml.safe_load(read(first)), json.loads(read(second))
    merge(harbor, settings["harbor"])
    small = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") < SMALL
    harbor["jobservice"]["max_job_workers"] = settings["workers"] or (4 if small else 10)
    # Block style: Harbor's prepare reads the line of data_volume with grep and awk.
    yaml.safe_dump(harbor, sys.stdout, sort_keys=False, default_flow_style=False, width=4096)
else:
    print(sign(read(first), second, sys.stdin.buffer.read()))
