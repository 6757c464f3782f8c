"""The text form of each report, for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from harbor_mirror.config.paths import set_command
from harbor_mirror.plan.schedule import MANUAL
from mirrorctl.live import causes
from mirrorctl.output.console import Output
from mirrorctl.output.reports import (
    BAD,
    STATUSES,
    AdoptReport,
    CheckReport,
    CoverageReport,
    DoctorReport,
    DriftReport,
    ExplainReport,
    FastReport,
    ImportReport,
    LogReport,
    RecoverReport,
    ResolvedStack,
    ResolveReport,
    RuleProof,
    RuleRun,
    StatusReport,
    SyncReport,
    VerifyReport,
)
from mirrorctl.output.units import age, duration, size

NO_CHANGE = "Nothing changes in the stack's configuration."


def show_sync(output: Output, report: SyncReport) -> None:
    """Print the findings of the digest comparison, a line for each rule, and what to do about bad results."""
    proofs = {proof.rule: proof for proof in report.verify.rules} if report.verify else {}
    if report.verify:
        _show_findings(output, report.verify)
    columns = ["rule", "execution", "result", "time", "repositories"]
    columns += ["tags", "bytes", "digest proof"] if proofs else []
    output.table(columns, [_sync_row(run, proofs.get(run.rule), proven=bool(proofs)) for run in report.rules])
    for run in report.rules:
        if run.outcome in BAD:
            output.line()
            _show_bad_run(output, run)


def _sync_row(run: RuleRun, proof: RuleProof | None, *, proven: bool) -> list[object]:
    done = f"{run.succeeded}/{run.total}" if run.seconds is not None else "-"
    row: list[object] = [run.rule, run.execution_id or "-", run.outcome, duration(run.seconds), done]
    if proof is not None:
        return [*row, proof.tags, size(proof.bytes), _summary(proof)]
    return [*row, "-", "-", "-"] if proven else row


def _show_bad_run(output: Output, run: RuleRun) -> None:
    output.line(f"{run.outcome}: {run.rule}: {run.text}")
    for task in run.tasks:
        output.line(f"  {task.repository}: {task.line}")
        output.line(f"    {task.advice}")
    if run.tasks and run.failed > len(run.tasks):
        output.line(f"  and {run.failed - len(run.tasks)} more: mirrorctl logs {run.rule}")
    if not run.tasks and run.outcome == "failed":
        output.line(f"    {causes.advice(run.text)}")


def show_verify(output: Output, report: VerifyReport, *, every_image: bool = False) -> None:
    """Print a line for each finding (or each image), then a line for each rule."""
    if every_image:
        for line in digest_lines(report):
            output.line(f"equal: {line}")
    _show_findings(output, report)
    output.table(
        ("rule", "execution", "repositories", "tags", "bytes", "digest proof"),
        [
            (proof.rule, proof.execution_id or "-", proof.repositories, proof.tags, size(proof.bytes), _summary(proof))
            for proof in report.rules
        ],
    )


def digest_lines(report: VerifyReport) -> Iterator[str]:
    """Return `digest reference` of every image that is equal, under its name in Harbor."""
    for rule in report.rules:
        for image in rule.images:
            if image.status == "equal":
                yield f"{image.harbor_digest} {image.destination}"


def _show_findings(output: Output, report: VerifyReport) -> None:
    for rule in report.rules:
        for problem in rule.problems:
            output.line(f"bad: {rule.rule}: {problem}")
        for image in rule.images:
            if image.status != "equal":
                output.line(f"{image.status}: {image.destination} ({image.reason})")
                if image.source_digest != image.harbor_digest:
                    output.line(f"    source {image.source_digest or '-'}  harbor {image.harbor_digest or '-'}")
            if image.signature == "missing":
                output.line(f"signature missing: {image.destination} ({image.signature_reason})")


def _summary(proof: RuleProof) -> str:
    """Return the result of a rule's comparison, such as `equal 9/9`."""
    if proof.ok:
        signatures = "" if proof.signed is None else f", {proof.signatures}/{proof.signed} signatures"
        return f"equal {proof.equal}/{proof.tags}{signatures}" if proof.tags else "ok nothing matches"
    counts = [f"{count} {status}" for status in STATUSES if status != "equal" and (count := getattr(proof, status))]
    if proof.problems and not counts:
        return "bad, see above"
    return f"bad {proof.equal}/{proof.tags} equal, {', '.join(counts)}"


def show_status(output: Output, report: StatusReport) -> None:
    """Print what is paused, a line for each rule, and the reasons."""
    if report.scheduler_paused:
        output.line("bad: the scheduler is paused: no schedule fires (resume in Harbor: Job Service Dashboard)")
    for queue in report.paused_queues:
        output.line(f"bad: the queue {queue} is paused (resume in Harbor: Job Service Dashboard, Job Queues)")
    now = report.checked_at
    output.table(
        ("rule", "state", "last run", "took", "tasks", "last success", "next run"),
        [
            (
                rule.rule,
                rule.state,
                age(rule.last_run, now),
                duration(rule.last_seconds),
                f"{rule.succeeded}/{rule.tasks}" if rule.execution_id else "-",
                age(rule.last_success, now),
                "-" if rule.next_run is None else f"in {duration((rule.next_run - now).total_seconds())}",
            )
            for rule in report.rules
        ],
    )
    if not report.rules:
        output.line("this mirror has no rules")
    for rule in report.rules:
        if rule.text:
            output.line(f"{rule.state}: {rule.rule}: {rule.text}")


def show_logs(output: Output, report: LogReport) -> None:
    """Print each task's log, then what to do."""
    output.line(f"{report.rule}: execution {report.execution_id} {report.status} {report.text}".rstrip())
    for task in report.tasks:
        output.line(f"--- task {task.id} {task.status}: {task.source} -> {task.destination}")
        output.quote(task.log or "(no log yet)")
    if report.status == "Failed":
        reason = next((task.matters for task in report.tasks if task.matters), report.text)
        output.line(f"failed: {causes.advice(reason)}")


def show_drift(output: Output, report: DriftReport) -> None:
    """Print a line for each difference."""
    for finding in report.findings:
        subject = f"{finding.subject}.{finding.field}" if finding.field else finding.subject
        if finding.declared is not None:
            text = f"{subject}: declared {finding.declared or '(nothing)'} / live {finding.live or '(nothing)'}"
        else:
            text = f"{subject}: {finding.live}" if finding.live else subject
        state = "fixed" if finding.fixed else finding.kind
        output.line(f"{state}: {text}{f' ({finding.advice})' if finding.advice else ''}")
    if report.ok:
        output.line("ok: Harbor has what the stack declares")


def show_doctor(output: Output, report: DoctorReport) -> None:
    """Print a line for each check, with what to do."""
    for line in report.lines:
        output.line(f"{line.state}: {line.subject}: {line.text}{f'. {line.advice}' if line.advice else ''}")


def show_check(output: Output, report: CheckReport) -> None:
    """Print a line for each fault and caution, then a line for each file."""
    for file in report.files:
        for fault in file.faults:
            output.line(f"fault {file.file}:{fault.line or 1}: {fault.text}")
        for caution in file.cautions:
            output.line(f"warning {file.file}:{caution.line or 1}: {caution.path}: {caution.text}")
        count = len(file.faults)
        output.line(f"{file.file}: {count} fault{'' if count == 1 else 's'}" if count else f"ok {file.file}")


def show_explain(output: Output, report: ExplainReport) -> None:
    """Print a paragraph for each rule."""
    for rule in report.rules:
        output.line(f"{rule.rule}{'' if rule.enabled else ' (disabled)'}")
        output.line(f"  source   {rule.source}, {rule.tags}")
        for destination in rule.destinations:
            output.line(f"  copies   {destination}")
        output.line(f"  runs     {rule.schedule}{'' if rule.cron == MANUAL else f' ({rule.cron})'}")
        for run in rule.next_runs:
            local = f", {run.local:%Y-%m-%d %H:%M %Z}" if run.local.utcoffset() else ""
            output.line(f"  next     {run.utc:%Y-%m-%d %H:%M} UTC{local}")
        least = "" if rule.certain else "at least "
        output.line(f"  costs    {least}{rule.pulls_per_run} pulls a run, {least}{rule.pulls_per_six_hours} in 6 hours")
        for text in rule.warnings:
            output.line(f"  warning: {text}")
        output.line()
    for text in report.budgets:
        output.line(f"warning: {text}")
    if report.resources:
        output.line("The cluster at Linode, see https://www.linode.com/pricing for your region:")
    for resource in report.resources:
        end = "stays when the stack is destroyed" if resource.outlives else "ends with the stack"
        output.line(f"  {resource.what}: {resource.size}; {end}")


def show_changes(output: Output, changes: Sequence[str]) -> None:
    """Print the sentences of `explain --diff`."""
    for line in changes or (NO_CHANGE,):
        output.line(line)


def show_resolve(output: Output, report: ResolveReport, *, only_check: bool) -> None:
    """Print what each expression selects, what changed, and the state of each lock file."""
    for stack in report.stacks:
        output.table(
            ("rule", "state", "tags", "selected", "policies", "globs"),
            [
                (rule.rule, rule.state, rule.listed, rule.selected, len(rule.policies), " ".join(rule.globs))
                for rule in stack.rules
            ],
        )
        for rule in stack.rules:
            if rule.problem:
                output.line(f"{rule.state}: {rule.rule}: {rule.problem}")
            for sign, references in (("+", rule.added), ("-", rule.removed)):
                for reference in () if rule.state == "new" else references:
                    output.line(f"  {sign} {rule.rule}: {reference}")
        for name in stack.removed:
            output.line(f"  - {name}: has no expression any more")
        output.line(_lock_state(stack, only_check=only_check))


def _lock_state(stack: ResolvedStack, *, only_check: bool) -> str:
    if not stack.rules and not stack.changed:
        return f"ok {stack.stack}: no rule has an expression"
    if not stack.changed:
        return f"{'ok' if stack.ok else 'bad'} {stack.file}: unchanged"
    if only_check:
        return f"bad {stack.file}: changes; run mirrorctl resolve --stack {stack.stack}"
    return f"{'ok' if stack.ok else 'bad'} {stack.file}: written; review it, commit it, and run pulumi up"


def show_coverage(output: Output, report: CoverageReport) -> None:
    """Print the images that are missing, with where they are used, and rules that bring them."""
    for problem in report.problems:
        output.line(f"bad {problem}")
    for image in report.images:
        if image.state == "missing":
            output.line(f"missing: {image.image}: {image.reason}")
            for use in image.uses:
                output.line(f"    {use}")
    mirrored = sum(image.state == "mirrored" for image in report.images)
    caches = Counter(image.proxy_cache for image in report.images if image.state == "mirrored" and image.proxy_cache)
    for cache, count in sorted(caches.items()):
        output.line(f"proxy cache {cache}: serves {count} {'image' if count == 1 else 'images'} that no rule brings")
    output.line(f"{'ok' if report.ok else 'bad'} {mirrored} of {len(report.images)} images are in the mirror")
    if report.proposal and not output.json:
        output.line("Rules that bring what is missing:")
        output.script(report.proposal.rstrip("\n"))


def show_import(output: Output, report: ImportReport) -> None:
    """Print what was translated, what is left to decide, and the next steps, to standard error without a file."""
    say = output.line if report.file else output.note
    for note in report.notes:
        say(f"note {note.file}:{note.line}: {note.entry}: {note.reason}")
    for decision in report.decisions:
        say(f"decide {decision.file}:{decision.line}: {decision.entry}: {decision.reason}")
    counts = f"{len(report.rules)} rules, {len(report.endpoints)} endpoints, {len(report.projects)} projects"
    left = f", {len(report.decisions)} entries to decide" if report.decisions else ""
    say(f"{'ok' if report.ok else 'bad'} {report.file or 'import'}: {counts}{left}")
    for path in report.secrets_needed:
        say(f"  {set_command(path, '--secret')}")
    if report.resolve:
        say("  mirrorctl resolve")


def show_adopt(output: Output, report: AdoptReport) -> None:
    """Print what was adopted, what was not, and the next steps."""
    counts = f"{len(report.rules)} rules, {len(report.endpoints)} endpoints, {len(report.projects)} projects"
    output.line(f"ok {counts} from {report.harbor}: {', '.join(report.files)}")
    for text in report.left_out:
        output.line(f"warning: left out: {text}")
    output.line("The first pulumi up will change:")
    for change in report.announced:
        output.line(f"  {change.op} {change.type.rpartition(':')[2]} {change.name}: {change.reason}")
    output.line("Next, in this order (the script does the same):")
    for line in report.commands:
        output.line(f"  {line}")


#: More obstacles than this are counted.
MOST_OBSTACLES = 10


def note_fast(output: Output, report: FastReport) -> None:
    """Say on standard error whether the next run leaves out its checkpoints, and why."""
    if report.fast:
        changes = ", ".join(f"{count} {op}" for op, count in report.changes.items()) or "no changes"
        output.note(
            f"ok {changes}: Pulumi writes the state once, at the end. "
            "If the run is killed: `mirrorctl recover`, then the same command again"
        )
        return
    output.note(f"warning: checkpoints stay on: {report.reason}")
    for obstacle in report.obstacles[:MOST_OBSTACLES]:
        output.note(f"  {obstacle.op} {obstacle.type.rpartition(':')[2]} {obstacle.name}: {obstacle.reason}")
    if (more := len(report.obstacles) - MOST_OBSTACLES) > 0:
        output.note(f"  and {more} more")


def show_recovery(output: Output, report: RecoverReport) -> None:
    """Print what an interrupted run left behind and what is done with it."""
    for repair in report.files:
        output.line(repair)
    if report.lock:
        output.line(f"remove the lock of {report.lock}; it must not belong to a run that still goes on")
    for operation in report.interrupted:
        output.line(f"clear the mark of an interrupted operation: {operation}")
    for name in report.gone:
        output.line(f"remove from the state: {name}, which does not exist any more")
    for item in report.left:
        reason = f": {item.reason}" if item.reason else ""
        output.line(f"{item.action} {item.type.rpartition(':')[2]} {item.name} ({item.id}){reason}")
