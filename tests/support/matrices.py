"""
Matrices, such as every command with every odd file: sampled, unless they are asked for whole.

The sample of a test that is marked `matrix` has each value of each parameter; with three parameters
or more, each pair of values. A test that is marked `matrix(3)` takes long: its sample has three of
its cases. `make matrices` runs the whole, and `make check` runs everything once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import combinations
from random import Random
from typing import Any

import pytest

_WHOLE = "--matrices"
_ALL = "--all"
_SEED = "a sample that is the same everywhere"
_MARKS = {
    "matrix": "one of many combinations of parameters; `make test` runs a sample",
    "foreign": "runs a whole suite of somebody else's; `make test` leaves it out",
}


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--matrices`."""
    explanation = "run the tests of whole matrices and foreign suites, and no others"
    parser.addoption(_WHOLE, action="store_true", help=explanation)
    parser.addoption(_ALL, action="store_true", help="run every test, matrices as a whole")


def pytest_configure(config: pytest.Config) -> None:
    """Declare the marks."""
    for mark, explanation in _MARKS.items():
        config.addinivalue_line("markers", f"{mark}: {explanation}")


# NOTE: before the order is shuffled.
@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the cases that are not asked for."""
    if config.getoption(_ALL):
        return
    if config.getoption(_WHOLE):
        kept = {item for item in items if any(map(item.get_closest_marker, _MARKS))}
    else:
        marked = [item for item in items if item.get_closest_marker("matrix")]
        kept = {item for item in items if not item.get_closest_marker("foreign")}
        kept -= set(marked) - set(sample(marked))
    left_out = [item for item in items if item not in kept]
    items[:] = [item for item in items if item in kept]
    if left_out:
        config.hook.pytest_deselected(items=left_out)


def sample(items: list[pytest.Item]) -> Iterator[pytest.Item]:
    """Yield enough of `items` that all their values, or pairs of values, are in it."""
    seen: set[Any] = set()
    taken: Counter[str] = Counter()
    for item in sorted(items, key=lambda item: Random(f"{_SEED} {item.nodeid}").random()):
        mark = item.get_closest_marker("matrix")
        new = set(_features(item)) - seen
        test = _test(item)
        if new and (not mark or not mark.args or taken[test] < mark.args[0]):
            seen |= new
            taken[test] += 1
            yield item


def _test(item: pytest.Item) -> str:
    return item.nodeid.partition("[")[0]


def _features(item: pytest.Item) -> Iterator[Any]:
    """Yield the values of a test's parameters, or their pairs."""
    callspec = getattr(item, "callspec", None)
    values = [(name, repr(value)) for name, value in callspec.params.items()] if callspec else []
    test = _test(item)
    for feature in combinations(values, 2 if len(values) > 2 else 1):
        yield test, feature
    if not values:
        yield (test,)
