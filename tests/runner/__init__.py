"""What scripts/test does: runs the parts of the test suite, counts their tests and shows what failed."""
