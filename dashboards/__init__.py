"""The dashboards of Grafana, as code. `python -m dashboards` writes them as JSON, for the role monitoring.

A module for each dashboard says what it asks (`queries`), how it looks (`panels`) and what is normal. `board` puts a
dashboard together, `build` writes them all.
"""
