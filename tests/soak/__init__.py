"""Synthetic soaks: journals with and without faults, deterministic by their seed."""
