"""`report --html`: one self-contained page for people. No script, no font, nothing is loaded from anywhere."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from html import escape
from pathlib import Path

from harbor_mirror.config.refusal import Refused
from harbor_mirror.harbor.client import Harbor, Json
from harbor_mirror.plan.schedule import Schedule
from mirrorctl.commands import sync
from mirrorctl.commands.status import STATES, status, time_of
from mirrorctl.failure import AS_WANTED, BAD_FINDING, Failure
from mirrorctl.live import causes, mirror
from mirrorctl.live.mirror import MANUAL, Rule
from mirrorctl.output.render import duration, size
from mirrorctl.output.reports import RuleStatus, StatusReport, TaskReport
from mirrorctl.tool import Tool

CALENDAR_HOURS = 24
#: Executions shown for each rule, the newest last.
HISTORY = 24
#: Rules whose task logs are read: the page must come in seconds on a mirror where everything fails.
FAILURES_READ = 10
#: Rules in need of attention that are shown at once; the rest unfolds.
ATTENTION_SHOWN = 12
#: States in the colours of good, attention and bad; every state is named in text too.
TONE = {
    **dict.fromkeys(("failed", "overdue"), "bad"),
    **dict.fromkeys(("empty", "stopped", "never"), "warn"),
    **dict.fromkeys(("running", "skipped", "disabled"), "calm"),
    "ok": "good",
}
EMPTY_ADVICE = "The rule matched no image: correct its filters."
EXECUTION_TONE = {"Succeed": "good", "Failed": "bad", "Stopped": "warn", "InProgress": "calm"}


@dataclass(frozen=True)
class Storage:
    """`used` of `limit` bytes; no limit is None."""

    name: str
    used: int
    limit: int | None


@dataclass(frozen=True)
class Page:
    """Everything that the page shows."""

    title: str
    report: StatusReport
    load: Mapping[datetime, Sequence[str]]
    """Rules that fire, by minute."""
    history: Mapping[str, Sequence[Json]]
    """Executions of each rule, the oldest first."""
    storage: Sequence[Storage]
    failures: Mapping[str, Sequence[TaskReport]]


def command(tool: Tool, path: Path) -> int:
    """See `mirrorctl report --help`."""
    connection, now = tool.connection, datetime.now(UTC)
    rules = list(tool.rules.values())
    report = status(tool.harbor, rules, frozenset(), now)
    failed = [rule for rule in report.rules if rule.state == "failed" and rule.execution_id is not None]
    page = Page(
        title=f"Mirror {connection.stack}" if connection.stack else f"Mirror at {connection.registry_host}",
        report=report,
        load=load(report.rules, now),
        history=_history(tool.harbor, rules),
        storage=list(_storage(tool.harbor)),
        failures={rule.rule: sync.failed_tasks(tool.harbor, rule.execution_id or 0) for rule in failed[:FAILURES_READ]},
    )
    try:
        path.write_text(tool.output.secrets.hide(render(page)), encoding="utf-8")
    except OSError as error:
        raise Failure(f"--html {path}: {error.strerror}") from None
    tool.output.report(report)
    tool.output.line(f"ok {path}: {len(rules)} rules, {len(failed)} failed")
    return BAD_FINDING if failed else AS_WANTED


def load(rules: Iterable[RuleStatus], now: datetime) -> dict[datetime, list[str]]:
    """Which rules fire in each minute of the coming 24 hours."""
    ends = now + timedelta(hours=CALENDAR_HOURS)
    minutes: dict[datetime, list[str]] = {}
    for rule in rules:
        if not rule.enabled or rule.schedule == MANUAL:
            continue
        try:
            schedule = Schedule.parse(rule.schedule, name=rule.rule, allow_frequent=True)
        except Refused:
            continue
        for moment in schedule.next(now, schedule.runs_per(CALENDAR_HOURS)):
            if moment < ends:
                minutes.setdefault(moment, []).append(rule.rule)
    return minutes


def _history(harbor: Harbor, rules: Sequence[Rule]) -> dict[str, list[Json]]:
    names = {rule.id: rule.name for rule in rules}
    pages = max(2, -(-len(rules) * 4 // 100))
    found: dict[str, list[Json]] = {rule.name: [] for rule in rules}
    for page in harbor.parallel(harbor.executions_page, range(1, pages + 1)):
        for execution in page:
            name = names.get(execution["policy_id"])
            if name is not None and len(found[name]) < HISTORY:
                found[name].insert(0, execution)
    return found


def _storage(harbor: Harbor) -> Iterable[Storage]:
    for volume in mirror.if_allowed(harbor.volumes) or []:
        yield Storage("disk", (volume.get("total") or 0) - (volume.get("free") or 0), volume.get("total"))
    for quota in mirror.if_allowed(harbor.quotas) or []:
        limit = quota["hard"].get("storage", -1)
        name = (quota.get("ref") or {}).get("name") or ""
        yield Storage(f"project {name}", quota["used"].get("storage", 0), limit if limit > 0 else None)


def render(page: Page) -> str:
    """The page's HTML."""
    report = page.report
    sections = [_paused(report), _tiles(report), _failures(page), _rules(page), _calendar(page), _used(page)]
    return _DOCUMENT.format(
        title=escape(page.title),
        harbor=escape(report.harbor),
        when=f"{report.checked_at:%Y-%m-%d %H:%M} UTC",
        style=_STYLE.read_text(encoding="utf-8"),
        body="\n".join(filter(None, sections)),
    )


def _paused(report: StatusReport) -> str:
    paused = [*(["the scheduler"] if report.scheduler_paused else []), *report.paused_queues]
    return (
        f'<p class="banner bad">Paused: {escape(", ".join(paused))}. No rule fires until it is resumed.</p>'
        if paused
        else ""
    )


def _tiles(report: StatusReport) -> str:
    counts = Counter(rule.state for rule in report.rules)
    tiles = [
        f'<li class="{TONE[state]}"><b>{counts[state]}</b><span>{state}</span></li>'
        for state in STATES
        if counts[state]
    ]
    shares = "".join(
        f'<i class="{TONE[state]}" style="flex:{counts[state]}" title="{counts[state]} {state}"></i>'
        for state in STATES
        if counts[state]
    )
    return (
        f'<section><h2>Rules by state</h2><div class="share">{shares}</div>'
        f'<ul class="tiles">{"".join(tiles) or "<li>no rules</li>"}</ul></section>'
    )


def _failures(page: Page) -> str:
    entries = []
    for rule in page.report.rules:
        if rule.state not in ("failed", "overdue", "empty"):
            continue
        tasks = "".join(
            f"<dd><code>{escape(task.repository)}</code> {escape(task.line)}<br><i>{escape(task.advice)}</i></dd>"
            for task in page.failures.get(rule.rule, ())
        )
        todo = {"failed": causes.advice(rule.text), "empty": EMPTY_ADVICE}.get(rule.state, "")
        reason = tasks or f"<dd>{escape(rule.text)}<br><i>{escape(todo)}</i></dd>"
        entries.append(f"<dl><dt>{_dot(rule.state)} {escape(rule.rule)}</dt>{reason}</dl>")
    if not entries:
        return ""
    shown, rest = entries[:ATTENTION_SHOWN], entries[ATTENTION_SHOWN:]
    folded = f"<details><summary>{len(rest)} more</summary><div>{''.join(rest)}</div></details>" if rest else ""
    return f'<section class="attention"><h2>What needs attention</h2><div>{"".join(shown)}</div>{folded}</section>'


def _dot(state: str) -> str:
    return f'<span class="dot {TONE[state]}">{state}</span>'


def _rules(page: Page) -> str:
    now = page.report.checked_at
    rows = []
    for rule in page.report.rules:
        cells = {
            "rule": f"<b>{escape(rule.rule)}</b>",
            "state": _dot(rule.state),
            "last run": _ago(rule.last_run, now),
            "took": duration(rule.last_seconds),
            "tasks": f"{rule.succeeded}/{rule.tasks}",
            "last success": _ago(rule.last_success, now),
            "next run": "-" if rule.next_run is None else f"{rule.next_run:%a %H:%M}",
            "history": _strip(page.history.get(rule.rule, ())),
        }
        rows.append("<tr>" + "".join(f'<td data-is="{name}">{cell}</td>' for name, cell in cells.items()) + "</tr>")
    heads = "".join(
        f"<th>{name}</th>"
        for name in ("rule", "state", "last run", "took", "tasks", "last success", "next run", "history")
    )
    table = f"<table><thead><tr>{heads}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    return f'<section><h2>Rules</h2><div class="wide">{table}</div></section>'


def _ago(moment: datetime | None, now: datetime) -> str:
    if moment is None:
        return "never"
    return f'<time title="{moment:%Y-%m-%d %H:%M} UTC">{_rounded(max(0.0, (now - moment).total_seconds()))} ago</time>'


def _rounded(seconds: float) -> str:
    """In its largest unit only: a table is read at a glance, and the exact time is one hover away."""
    units = (("d", 86400), ("h", 3600), ("min", 60))
    return next((f"{seconds // length:.0f} {unit}" for unit, length in units if seconds >= length), f"{seconds:.0f} s")


def _strip(executions: Sequence[Json]) -> str:
    """A bar for each execution, as high as it took long; the newest at the right edge."""
    bars = []
    spans = [_span(execution) for execution in executions]
    longest = max([*spans, 1.0])
    for index, (execution, span) in enumerate(zip(executions, spans, strict=True), HISTORY - len(executions)):
        height = 4 + 16 * span / longest
        outcome = str(execution.get("status"))
        started = time_of(execution, "start_time")
        title = f"{started:%Y-%m-%d %H:%M} {outcome}, {duration(span)}" if started else outcome
        bars.append(
            f'<rect class="{EXECUTION_TONE.get(outcome, "calm")}" x="{index * 6}" y="{20 - height:.1f}" width="4" '
            f'height="{height:.1f}"><title>{escape(title)}</title></rect>'
        )
    count = Counter(str(execution.get("status")) for execution in executions)
    label = ", ".join(f"{number} {name}" for name, number in count.items()) or "no runs"
    width = HISTORY * 6
    return f'<svg class="strip" viewBox="0 0 {width} 20" role="img" aria-label="{escape(label)}">{"".join(bars)}</svg>'


def _span(execution: Json) -> float:
    started, ended = time_of(execution, "start_time"), time_of(execution, "end_time")
    return max(0.0, (ended - started).total_seconds()) if started and ended else 0.0


def _calendar(page: Page) -> str:
    """A row for each hour, a cell for each minute in which something fires."""
    begins = page.report.checked_at.replace(minute=0, second=0, microsecond=0)
    most = max((len(rules) for rules in page.load.values()), default=0)
    total = sum(len(rules) for rules in page.load.values())
    left, cell, row = 64, 10, 16
    parts = []
    for hour in range(CALENDAR_HOURS + 1):
        y = 20 + hour * row
        parts.append(f'<text x="0" y="{y + 11}">{begins + timedelta(hours=hour):%a %H:00}</text>')
        parts.append(f'<rect class="lane" x="{left}" y="{y}" width="{60 * cell}" height="{row - 3}"/>')
    for minute in range(0, 60, 15):
        parts.append(f'<text x="{left + minute * cell}" y="12">:{minute:02}</text>')
    for moment, rules in page.load.items():
        hour = int((moment - begins).total_seconds() // 3600)
        shade = 0.35 + 0.65 * len(rules) / most
        shown = ", ".join(rules[:10]) + (f" and {len(rules) - 10} more" if len(rules) > 10 else "")
        parts.append(
            f'<rect class="fire" x="{left + moment.minute * cell}" y="{20 + hour * row}" width="{cell - 1}" '
            f'height="{row - 3}" fill-opacity="{shade:.2f}">'
            f"<title>{moment:%a %H:%M} UTC: {escape(shown)}</title></rect>"
        )
    busiest = max(page.load.items(), key=lambda entry: len(entry[1]), default=None)
    peak = "" if busiest is None else f" The busiest minute is {busiest[0]:%a %H:%M} with {len(busiest[1])}."
    width, height = left + 60 * cell, 24 + (CALENDAR_HOURS + 1) * row
    return (
        f"<section><h2>The coming 24 hours</h2><p>{total} runs, in UTC.{peak}</p>"
        f'<div class="wide"><svg class="calendar" viewBox="0 0 {width} {height}" role="img" '
        f'aria-label="{total} runs in 24 hours">{"".join(parts)}</svg></div></section>'
    )


def _used(page: Page) -> str:
    rows = []
    for entry in page.storage:
        share = entry.used / entry.limit if entry.limit else None
        of = f" of {size(entry.limit)}" if entry.limit else ""
        tone = "good" if share is None or share < 0.8 else "warn" if share < 0.95 else "bad"
        meter = (
            ""
            if share is None
            else f'<div class="meter"><i class="{tone}" style="width:{min(share, 1):.1%}"></i></div>'
        )
        rows.append(f"<li><span>{escape(entry.name)}</span><span>{size(entry.used)}{of}</span>{meter}</li>")
    return f'<section><h2>Storage</h2><ul class="storage">{"".join(rows)}</ul></section>' if rows else ""


_STYLE = Path(__file__).with_name("report.css")

_DOCUMENT = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<link rel="icon" href="data:,">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<main>
<header><h1>{title}</h1><p>{harbor} · {when}</p></header>
{body}
</main>
</body>
</html>
"""
