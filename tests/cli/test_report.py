"""Tests of `report --html`: the page's content, and how a real browser shows it."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections import Counter
from datetime import UTC, datetime, timedelta
from html import escape
from html.parser import HTMLParser
from pathlib import Path

import pytest

from mirrorctl.live.overview import schedule_load
from mirrorctl.output.reports import RuleStatus
from tests.cli.conftest import Run
from tests.cli.harbor_fixture import HarborFixture, change
from tests.programs import program

WIDTHS = (400, 500, 640, 768, 880, 900, 1000, 1200, 1600)
NOW = datetime(2026, 11, 25, 10, 30, tzinfo=UTC)
LOG = "2026-11-25T08:00:00Z [ERROR] [/transfer.go:1]: http status code: 429, body: toomanyrequests <b>you</b>"


@pytest.fixture
def used_harbor(mirrored: HarborFixture) -> HarborFixture:
    """A Harbor with a day of runs, a failed rule, a rule that matched nothing, and a nearly full project."""
    now = datetime.now(UTC)
    for number in range(12):
        cron = ("0 7 * * * *", "0 17 */2 * * *", "0 30 3 * * *")[number % 3]
        mirrored.add_policy(f"team-{number:02}", 1, repositories=f"team/app-{number}", cron=cron, update_time=now)
    for policy in mirrored.policies:
        for hours in range(20, 0, -1):
            started = now - timedelta(hours=hours)
            end = started + timedelta(seconds=10 * hours + policy.id)
            mirrored.add_execution(policy.id, start=started, end_time=end)
    recent: dict[str, datetime] = {"start": now - timedelta(seconds=40), "end_time": now - timedelta(seconds=3)}
    tasks = [("team/app-0", "Failed", LOG), ("team/app-1", "Succeed", "")]
    mirrored.add_execution(3, tasks, status="Failed", **recent)
    mirrored.add_execution(4, (), status_text="no resources need to be replicated", **recent)
    mirrored.policies[5].enabled = False
    change(mirrored.quota("mirror"), storage=10_000_000_000, reported_use=9_700_000_000)
    return mirrored


class Outline(HTMLParser):
    """Collects tags and text of a page; fails on mismatched tags and loaded resources."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: Counter[str] = Counter()
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        names = dict(attrs)
        assert not {"src", "onclick"} & names.keys()
        assert not re.match(r"https?:", names.get("href") or "")
        if tag not in ("meta", "link", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, _attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.text += f"{data}\n"


@pytest.mark.usefixtures("used_harbor")
def test_page_content(run: Run, tmp_path: Path) -> None:
    result = run("report", "--html", "page.html")
    assert result.code == 2
    outline = Outline()
    outline.feed((tmp_path / "page.html").read_text())
    assert not outline.open
    assert outline.tags["script"] == 0
    for text in ("team-00", "What needs attention", "toomanyrequests <b>you</b>", "limits requests", "project mirror",
                 "9.7 GB of 10.0 GB", "no resources need to be replicated"):  # fmt: skip
        assert text in outline.text
    # Six rules run hourly or every two hours, four daily; the calendar has them all.
    assert re.search(r"\d+ runs, in UTC", outline.text)


@pytest.mark.usefixtures("mirrored")
def test_a_mirror_without_failures_exits_with_0(run: Run) -> None:
    assert run("report", "--html", "page.html").code == 0


@pytest.mark.usefixtures("mirrored")
def test_a_page_that_cannot_be_written(run: Run) -> None:
    result = run("report", "--html", "no/such/folder/page.html")
    assert result.code == 1
    assert "No such file or directory" in result.err


def test_the_calendar_counts_each_minute() -> None:
    def rule(name: str, cron: str, *, enabled: bool = True) -> RuleStatus:
        return RuleStatus(rule=name, policy_id=1, state="ok", enabled=enabled, schedule=cron)

    rules = [
        rule("hourly", "0 15 * * * *"),
        rule("two-hourly", "0 15 */2 * * *"),
        rule("off", "0 15 * * * *", enabled=False),
        rule("manual", "manual"),
        rule("strange", "0 61 * * * *"),
    ]
    minutes = schedule_load(rules, NOW)
    assert len(minutes) == 24
    assert minutes[NOW.replace(hour=12, minute=15)] == ["hourly", "two-hourly"]
    assert minutes[NOW.replace(hour=11, minute=15)] == ["hourly"]
    assert NOW.replace(hour=10, minute=15) not in minutes


def chromium(tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    browser = shutil.which("google-chrome") or program("chromium")
    profile = f"--user-data-dir={tmp_path / 'profile'}"
    return subprocess.run(
        [browser, "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", profile, *arguments],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.mark.usefixtures("used_harbor")
@pytest.mark.parametrize("window", ["1200,1600", "500,1600"])
def test_a_browser_shows_the_page_without_errors(run: Run, tmp_path: Path, window: str) -> None:
    run("report", "--html", "page.html")
    picture = tmp_path / "page.png"
    page = (tmp_path / "page.html").as_uri()
    result = chromium(tmp_path, f"--window-size={window}", f"--screenshot={picture}", page)
    assert "CONSOLE" not in result.stderr
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert picture.stat().st_size > 20_000


def test_the_page_fits_every_width_from_400_pixels(used_harbor: HarborFixture, run: Run, tmp_path: Path) -> None:
    """Browsers do not wrap long names and messages without blanks by default."""
    long = "a-very-long-name-without-any-blank-" * 8
    used_harbor.policies[3].name = long
    used_harbor.add_project(f"project-{long}"[:255])
    used_harbor.add_execution(4, status="Failed", start=datetime.now(UTC), status_text=f"https://example.com/{long}")
    run("report", "--html", "page.html")
    content = escape((tmp_path / "page.html").read_text())
    frames = "".join(f'<iframe width="{width}" height="900" srcdoc="{content}"></iframe>' for width in WIDTHS)
    script = """
      onload = () => { for (const frame of document.querySelectorAll("iframe")) {
        const root = frame.contentDocument.documentElement;
        document.body.append(`[${root.clientWidth} ${root.scrollWidth}]`); } }
    """
    (tmp_path / "frames.html").write_text(f"<!doctype html><body style='margin:0'>{frames}<script>{script}</script>")
    result = chromium(tmp_path, "--dump-dom", (tmp_path / "frames.html").as_uri())
    measured = re.findall(r"\[(\d+) (\d+)\]", result.stdout)
    assert len(measured) == len(WIDTHS), result.stderr
    assert [int(scroll) - int(client) for client, scroll in measured] == [0] * len(WIDTHS)
    assert min(int(client) for client, _ in measured) <= 400
