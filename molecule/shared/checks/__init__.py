"""Helpers for the tests of the scenarios: what runs on a host, and running playbooks as an operator does."""
