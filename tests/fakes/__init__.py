"""Stand-ins that tests of several parts use."""
