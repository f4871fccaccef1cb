"""The command line for tests: words in, printed output out."""

from __future__ import annotations

from click.testing import CliRunner, Result

from runbook_lib.cli.main import main
from runbook_lib.errors import ExitCode


def runbook(*words: str, typed: str = "") -> Result:
    """Run the command; an exception that it raises fails the test."""
    result = CliRunner().invoke(main, words, input=typed)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def shown(*words: str, code: int = ExitCode.COMPLETE, typed: str = "") -> str:
    """Return the command's output in one line; it ends with this exit code."""
    result = runbook(*words, typed=typed)
    assert result.exit_code == code, result.output
    return " ".join(result.stdout.split())


def refused(*words: str, typed: str = "") -> str:
    """Return why the command does nothing: it is used wrongly."""
    result = runbook(*words, typed=typed)
    assert (result.exit_code, result.stdout) == (ExitCode.USAGE, "")
    return result.stderr
