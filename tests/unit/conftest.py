"""For all unit tests."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

# These tests judge results. How long one example takes says how busy the machine is, and must not make a test fail.
settings.register_profile("unit", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unit")
