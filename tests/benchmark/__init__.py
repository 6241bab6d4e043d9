"""What scripts/bench does: one module for each of its verbs, and what they share."""
