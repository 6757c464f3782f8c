"""`python -m mirrorctl`: the commands and their options, nothing else.

Each command imports its room when it runs, so that --help answers at once.
"""

import inspect
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from mirrorctl.tool import Tool

#: Set by the scripts of `completion`: the shell asks for candidates.
COMPLETE = "_MIRRORCTL_COMPLETE"

app = typer.Typer(
    name="mirrorctl",
    help="Trigger, watch and prove a Harbor mirror. Exit codes: 0 as wanted, 1 error or wrong use, 2 bad finding.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    # Its own options would install a completion for a program that does not exist.
    add_completion=COMPLETE in os.environ,
)


def _rule_names(context: typer.Context, incomplete: str) -> list[str]:
    from mirrorctl.commands import completion

    return completion.rules(context.params.get("stack"), context.params.get("cwd"), incomplete)


def _stack_names(context: typer.Context, incomplete: str) -> list[str]:
    from mirrorctl.commands import completion

    return completion.stacks(context.params.get("cwd"), incomplete)


def _option(name: str, kind: Any, default: Any, *words: str, **more: Any) -> inspect.Parameter:
    annotation = Annotated[kind, typer.Option(*words, **more)]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


#: Options that most commands share; a command names those that it goes without.
SHARED = (
    _option(
        "stack", str | None, None, "--stack", "-s",
        help="Name of the Pulumi stack.", autocompletion=_stack_names,
    ),
    _option("cwd", Path | None, None, "--cwd", help="Folder of the Pulumi project."),
    _option("json", bool, False, "--json", help="Print the report as JSON."),
    _option("verbose", bool, False, "--verbose", "-v", help="Show each request (no secrets)."),
)  # fmt: skip
Rules = Annotated[
    list[str] | None,
    typer.Argument(metavar="RULE", help="Names of rules.", show_default=False, autocompletion=_rule_names),
]
AllowEmpty = Annotated[bool, typer.Option("--allow-empty", help="A rule that matches nothing is as wanted.")]


def command(name: str | None = None, *, without: str = "") -> Callable[[Callable[..., int]], Callable[..., int]]:
    """Makes a command of a function of the Tool and its own options; the shared ones are added and used here."""

    def register(work: Callable[..., int]) -> Callable[..., int]:
        _, *own = inspect.signature(work).parameters.values()
        shared = [option for option in SHARED if option.name not in without.split()]

        def invoke(**given: Any) -> int:
            from mirrorctl.tool import run

            common = {option.name: given.pop(option.name, option.default) for option in SHARED}
            return run(lambda tool: work(tool, **given), **common)

        invoke.__doc__ = work.__doc__
        parameters = [option.replace(kind=inspect.Parameter.KEYWORD_ONLY) for option in (*own, *shared)]
        invoke.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined] # what typer reads
        invoke.__annotations__ = {option.name: option.annotation for option in parameters}
        app.command(name or work.__name__)(invoke)
        return work

    return register


@command()
def sync(
    tool: "Tool",
    rules: Rules = None,
    every: Annotated[bool, typer.Option("--all", help="Run every rule.")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Watch until Harbor is done.")] = False,
    timeout: Annotated[float | None, typer.Option("--timeout", min=0, help="Stop watching after SECONDS.")] = None,
    verify: Annotated[bool, typer.Option("--verify", help="Then compare digests; includes --wait.")] = False,
    allow_empty: AllowEmpty = False,
) -> int:
    """Start rules now, watch them and prove what arrived."""
    from mirrorctl.commands import sync as room

    return room.command(
        tool, rules or [], every=every, wait_for_end=wait, timeout=timeout, prove=verify, allow_empty=allow_empty
    )


@command()
def verify(
    tool: "Tool",
    rules: Rules = None,
    digests: Annotated[bool, typer.Option("--digests", help="Print `digest reference` lines.")] = False,
    every_image: Annotated[bool, typer.Option("--images", help="Show a line for each proven image, too.")] = False,
    resume: Annotated[Path | None, typer.Option("--resume", help="Keep source digests in FILE and go on.")] = None,
    allow_empty: AllowEmpty = False,
) -> int:
    """Compare the digests of every tag at its source and in Harbor."""
    from mirrorctl.commands import verify as room

    return room.command(
        tool, rules or [], digests=digests, every_image=every_image, resume=resume, allow_empty=allow_empty
    )


@command()
def status(
    tool: "Tool",
    rules: Rules = None,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Show it again and again until Ctrl-C.")] = False,
    interval: Annotated[float, typer.Option("--interval", min=1, help="Seconds between looks with --watch.")] = 5,
    fail_on: Annotated[str, typer.Option("--fail-on", help="States that are a bad finding: failed,overdue,…")] = "",
    prometheus: Annotated[Path | None, typer.Option("--prometheus", help="Write metrics to FILE, too.")] = None,
) -> int:
    """Show last and next run of each rule, the worst first."""
    from mirrorctl.commands import status as room

    return room.command(tool, rules or [], watch=watch, interval=interval, fail_on=fail_on, prometheus=prometheus)


@command()
def logs(
    tool: "Tool",
    rule: Annotated[str, typer.Argument(metavar="RULE", help="Name of a rule.", autocompletion=_rule_names)],
    execution: Annotated[int | None, typer.Option("--execution", help="Id of an execution; the last one.")] = None,
    failed: Annotated[bool, typer.Option("--failed", help="Only tasks that did not succeed.")] = False,
) -> int:
    """Print the logs of a rule's last execution."""
    from mirrorctl.commands import logs as room

    return room.command(tool, rule, execution=execution, failed_only=failed)


@command()
def report(tool: "Tool", html: Annotated[Path, typer.Option("--html", help="Write the page to FILE.")]) -> int:
    """Write one self-contained page about the whole mirror."""
    from mirrorctl.commands import report as room

    return room.command(tool, html)


@command()
def drift(
    tool: "Tool",
    fix: Annotated[bool, typer.Option("--fix", help="Save again what the stack owns.")] = False,
) -> int:
    """Compare what the stack declares with what Harbor has."""
    from mirrorctl.commands import drift as room

    return room.command(tool, fix=fix)


@command()
def doctor(tool: "Tool") -> int:
    """Look at everything a mirror stands on, and say what to do."""
    from mirrorctl.commands import doctor as room

    return room.command(tool)


@command(without="verbose")
def check(tool: "Tool") -> int:
    """Check stacks' files offline: no engine, no network, no secrets."""
    from mirrorctl.commands import check as room

    return room.command(tool)


@command(without="verbose")
def explain(
    tool: "Tool",
    rules: Rules = None,
    diff: Annotated[str | None, typer.Option("--diff", help="Only what changes since a commit, such as main.")] = None,
) -> int:
    """Say in words what each rule of a stack's file does. Offline."""
    from mirrorctl.commands import changes
    from mirrorctl.commands import explain as room

    return room.command(tool, rules or []) if diff is None else changes.command(tool, rules or [], diff)


@command(without="verbose")
def images(
    tool: "Tool",
    form: Annotated[str, typer.Option("--format", help="json, env, kustomize or helm.")] = "json",
) -> int:
    """Print where deployments find each source image in the mirror."""
    from mirrorctl.commands import images as room

    return room.command(tool, form)


@command(without="stack cwd")
def adopt(
    tool: "Tool",
    name: Annotated[str, typer.Option("--name", help="Name of the new stack.")],
    into: Annotated[Path, typer.Option("--into", help="Folder to write to: the Pulumi project's.")] = Path(),
    rules: Annotated[list[str] | None, typer.Option("--rule", help="Only this rule; may be repeated.")] = None,
) -> int:
    """Turn a Harbor that was made by hand into a stack's configuration and an import."""
    from mirrorctl.commands import adopt as room

    return room.command(tool, into=into, stack=name, names=rules or [])


@command()
def session(tool: "Tool") -> int:
    """Print an export line that makes the Harbor provider fast: eval "$(mirrorctl session)"."""
    from mirrorctl.commands import session as room

    return room.command(tool)


@command("rotate-admin-password")
def rotate_admin_password(
    tool: "Tool",
    generate: Annotated[bool, typer.Option("--generate", help="Make a password; the stack keeps it.")] = False,
) -> int:
    """Change the administrator's password in Harbor and in the stack's configuration."""
    from mirrorctl.commands import rotate_admin_password as room

    return room.command(tool, generate=generate)


@command(without="stack cwd verbose")
def schema(
    tool: "Tool",
    subject: Annotated[
        str,
        typer.Argument(metavar="SUBJECT", help="config, rules (a file under rulesDir), or a command for its --json."),
    ] = "config",
) -> int:
    """Print the JSON Schema of a stack's file, of a file of rules, or of a command's report."""
    from mirrorctl.commands import schema as room

    return room.command(tool, subject)


@command(without="stack cwd json verbose")
def completion(tool: "Tool", shell: Annotated[str, typer.Argument(metavar="SHELL", help="bash, zsh or fish.")]) -> int:
    """Print a script that completes commands and options: eval "$(python -m mirrorctl completion bash)"."""
    from mirrorctl.commands import completion as room

    return room.command(tool, shell)


def main(arguments: list[str] | None = None) -> int:
    """Runs a command line and returns its exit code."""
    try:
        code: int | None = app(arguments, prog_name="mirrorctl", standalone_mode=False)
    except typer.TyperException as error:
        # Wrong use is 1 by contract; 2 is a bad finding.
        show = getattr(error, "show", None)
        if show is not None:
            show()
        return 1
    except typer.Abort:
        return 1
    return code or 0


if __name__ == "__main__":
    sys.exit(main())
