"""Find the command, call it, and turn every way in which it can end into an exit code and at most one line."""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any

import click

from penstock.cli._exits import Exit, OutputClosed, code_of, message_of
from penstock.cli._stop import Stopped
from penstock.cli._streams import STDERR, STDOUT, is_terminal, open_missing_descriptors, say, write_stderr
from penstock.cli._text import escape

if TYPE_CHECKING:
    from collections.abc import Sequence

# In the order of `penstock --help`: the lesson first. Each is a module of this package with a `command` in it.
COMMANDS = ("demo", "producer", "consumer", "put", "get", "ls", "stat", "peek", "purge", "rm", "doctor", "bench")


class LazyGroup(click.Group):
    """Commands whose modules are imported when they are asked for, so that each starts quickly."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands, in the order of the help text."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return a command; None if there is none of that name."""
        if cmd_name not in COMMANDS:
            return None
        command = importlib.import_module(f"penstock.cli.{cmd_name}").command
        assert isinstance(command, click.Command)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Call the command; a reader that went away becomes `OutputClosed`, for click would exit with 1 by itself."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            raise OutputClosed from error


def _print_version(ctx: click.Context, _param: click.Parameter, is_asked: bool) -> None:
    if is_asked:
        from importlib.metadata import version

        click.echo(f"penstock {version('penstock')}")
        ctx.exit()


@click.group(cls=LazyGroup, invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Show the version and exit.",
)
@click.pass_context
def group(ctx: click.Context) -> None:
    """Pass items between programs through bounded first-in-first-out queues in shared memory.

    A queue is known by its NAME; a NAME with a slash in it is a queue in that file. "penstock demo" shows one at work.
    """
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code. Whatever happens is said in one line on standard error."""
    open_missing_descriptors()
    try:
        result: Any = group.main(list(arguments), prog_name="penstock", standalone_mode=False)
        return result if isinstance(result, int) else Exit.DONE
    except click.ClickException as usage:
        return _usage_problem(usage)
    except (Exception, Stopped) as error:  # noqa: BLE001 - what has no exit code is raised again
        return _failure(error)


def _usage_problem(problem: click.ClickException) -> int:
    say(escape(problem.format_message()))
    context = getattr(problem, "ctx", None)
    if context is not None:
        say(f"try '{context.command_path} --help'")
    return Exit.USAGE


def _failure(error: Exception | Stopped) -> int:
    code = code_of(error)
    if code is None:
        raise error
    if isinstance(error, Stopped) and is_terminal(STDERR):
        write_stderr("\n")  # after the ^C, so that the shell's prompt is on a line of its own
    if code == Exit.BROKEN_PIPE:
        _forget_output()
    message = message_of(error)
    if message is not None:
        say(escape(message))
    return code


def _forget_output() -> None:
    """Point standard output nowhere, so that what Python still holds for it cannot fail once more on the way out."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, STDOUT)
    os.close(nowhere)
