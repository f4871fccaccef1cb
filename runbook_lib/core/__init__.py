"""The core: procedures, outcomes, the journal, and the state that is folded from it."""
