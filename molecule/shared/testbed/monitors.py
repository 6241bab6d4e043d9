"""What the images of Alertmanager and of the exporters are made of."""

from __future__ import annotations

from collections.abc import Mapping

# What tells Prometheus how the rest is, and people of alerts: the real programs, of Debian 13. Its Alertmanager is the
# first that takes each secret from a file of its own.
MONITORS: Mapping[str, str] = {
    name: f'ENTRYPOINT ["/usr/bin/prometheus-{name}"]'
    for name in ("alertmanager", "node-exporter", "blackbox-exporter", "postgres-exporter", "redis-exporter")
}
MONITOR_PACKAGES = ("ca-certificates", "wget", *(f"prometheus-{name}" for name in MONITORS))
# Owned as in the official image, so that a new volume there is too.
MONITOR_LINES = ("RUN mkdir /alertmanager && chown 65534:65534 /alertmanager", "USER 65534")
