"""`python -m runbook_lib …` is `runbook …`."""

from runbook_lib.cli.main import main

if __name__ == "__main__":
    main(prog_name="runbook")
