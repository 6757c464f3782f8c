"""No secret of a stack is in what the product and its pipelines leave, and the search for them can fail."""

from __future__ import annotations

import base64
import html
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest
import trustme

from tests.faults.canaries import LONG, SHORT, Steps, canary, trial
from tests.faults.processes import traced
from tests.faults.secrets import exposed, leaks, places
from tests.plugins import REAL_PLUGINS

SECRET = canary("planted")
WRITTEN: dict[str, Callable[[str], str]] = {
    "plain": str,
    "base64": lambda secret: base64.b64encode(secret.encode()).decode(),
    "base64 after one byte": lambda secret: base64.b64encode(f":{secret}".encode()).decode(),
    "base64 after two bytes": lambda secret: base64.b64encode(f"a:{secret}.".encode()).decode(),
    "URL": lambda secret: f"https://bot:{quote(secret, safe='')}@registry.example.com",
    "JSON": lambda secret: json.dumps({"password": secret}),
    "JSON in JSON": lambda secret: json.dumps({"settings": json.dumps({"password": secret})}),
    "JSON of Go": lambda secret: (
        json.dumps(secret).replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    ),
    "HTML": html.escape,
}


@pytest.mark.timeout(1800)
@pytest.mark.skipif(REAL_PLUGINS, reason="the local cloud tells which secrets it made")
@pytest.mark.parametrize("steps", [SHORT, pytest.param(LONG, marks=pytest.mark.slow)], ids=["short", "long"])
def test_no_secret_is_anywhere(tmp_path: Path, steps: Steps) -> None:
    row = trial(tmp_path, steps)
    print(f"{row.places} places were searched")
    assert row.failures == []


@pytest.mark.parametrize("form", WRITTEN)
def test_a_planted_secret_is_found_in_every_form_and_place(form: str, tmp_path: Path) -> None:
    text = f"before {WRITTEN[form](SECRET)} after"
    (tmp_path / "checkout/state/.pulumi").mkdir(parents=True)
    (tmp_path / "checkout/state/.pulumi/dev.json.bak").write_text(text)
    (tmp_path / "checkout/page.html").write_text("nothing")
    searched = places(tmp_path, {"01 plan.sh": text, "02 deploy.sh": ""})
    assert leaks(searched, {SECRET}) == ["01 plan.sh", "checkout/state/.pulumi/dev.json.bak"]


def test_a_key_is_found_if_its_lines_are_indented() -> None:
    key = trustme.CA().issue_cert("localhost").private_key_pem.bytes().decode()
    shown = {"up --diff": key.replace("\n", "\n      + ").encode(), "preview": key.splitlines()[0].encode()}
    assert leaks(shown, {key}) == ["up --diff"]


def test_a_planted_secret_is_found_in_the_arguments_of_the_shortest_process(tmp_path: Path) -> None:
    command = "import subprocess, os; subprocess.run(['/bin/true', 'x', os.environ['PLANTED']])"
    done = traced(
        [sys.executable, "-c", command], log=tmp_path / "trace", env={**os.environ, "PLANTED": f"--password={SECRET}"}
    )
    arguments = {f"process {number}": text for number, text in enumerate(done.arguments)}
    assert [arguments[name] for name in leaks(arguments, {SECRET})] == [f"/bin/true\nx\n--password={SECRET}".encode()]


def test_encrypted_secrets_that_others_can_read_are_found(tmp_path: Path) -> None:
    state = '{"4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270", "ciphertext": "v1:…"}'
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    for path in (tmp_path / "state.json", private / "state.json", tmp_path / "Pulumi.dev.yaml", tmp_path / "own.json"):
        path.write_text(state)
        path.chmod(0o600 if path.name == "own.json" else 0o644)
    assert exposed(tmp_path) == ["state.json"]
