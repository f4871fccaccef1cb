"""What is true: procedures, outcomes, the journal and the state that follows from it."""
