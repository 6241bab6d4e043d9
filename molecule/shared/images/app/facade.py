"""Stand-ins for Grafana, Jaeger and Ollama: only the endpoints that health checks and probes ask for.

Grafana is not well while something is wrong with the files that it is provisioned with.
"""

from __future__ import annotations

import sys
from typing import Any

import common

PORTS = {"grafana": [3000], "jaeger": [16686, 4317, 4318, 13133], "ollama": [11434]}
ANSWERS: dict[str, dict[str, Any]] = {
    "grafana": {"/api/health": {"database": "ok", "version": "stand-in"}},
    "jaeger": {"/": "jaeger stand-in", "/status": {"status": "Server available"}},
    "ollama": {"/": "Ollama is running", "/api/tags": {"models": []}, "/api/version": {"version": "stand-in"}},
}


def main(name: str) -> None:
    def route(_method: str, path: str, _body: dict[str, Any]) -> common.Answer:
        if name == "grafana" and path == "/api/health":
            import provisioning  # noqa: PLC0415  Only its image has what this needs.

            wrong = provisioning.problems()
            if wrong:
                return 503, {"database": "ok", "provisioning": wrong}
        content = ANSWERS[name].get(path)
        return (404, {"detail": "Not Found"}) if content is None else (200, content)

    common.serve(PORTS[name][0], route, *PORTS[name][1:])


if __name__ == "__main__":
    main(sys.argv[1])
