"""
What a machine can check, one function each; every one returns a `Finding`.

A check may raise a `RunbookError` instead: the run then calls the step
inconclusive and says why. What a check means for a step is the procedure's
business, how findings are weighed is `procedure.conclude`'s.
"""
