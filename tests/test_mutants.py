"""The sample of mutants, and the list of those that may stay green."""

from __future__ import annotations

import pytest

from tests.support.wording import refused_naming
from tools.mutants import Mutant, listed, read_mutant, sample

DIFF = """\
# runbook_lib.core.run_state.x_fold__mutmut_3: survived
--- runbook_lib/core/run_state.py
+++ runbook_lib/core/run_state.py
@@ -1,3 +1,3 @@
 def fold(entries):
-    for entry in entries:
+    for entry in None:
         pass
"""
ROW = """\
[[survivor]]
function = "runbook_lib.core.run_state.x_fold"
was = "for entry in entries:"
became = "for entry in None:"
"""


def test_a_seed_draws_the_same_mutants_again() -> None:
    """The same seed draws the same mutants, whatever the order in which mutmut lists them."""
    names = [f"m{number}" for number in range(100)]

    drawn = sample(names, 10, seed=3)
    assert drawn == sample(reversed(names), 10, seed=3)
    assert drawn != sample(names, 10, seed=4)
    assert sorted(sample(names, 400, seed=3)) == sorted(names)


def test_a_listed_survivor_is_known_by_its_line() -> None:
    """A survivor is identified by its line, since mutmut's number changes with the function."""
    mutant = read_mutant("runbook_lib.core.run_state.x_fold__mutmut_3", DIFF)

    assert mutant == Mutant(mutant.name, "for entry in entries:", "for entry in None:")
    assert listed(ROW + 'reason = "why"') == {(mutant.function, mutant.was, mutant.became)}


@pytest.mark.parametrize("reason", ["", 'reason = " "'])
def test_a_survivor_without_a_reason_is_refused(reason: str) -> None:
    """A survivor without a reason is an error."""
    with refused_naming(ValueError, "runbook_lib.core.run_state.x_fold"):
        listed(ROW + reason)
