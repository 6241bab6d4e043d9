from __future__ import annotations

from collections.abc import Callable

import pytest

Rules = Callable[..., set[str]]


@pytest.mark.parametrize(
    ("line", "rule", "found"),
    [
        ("mem_limit: 1g", "limits-missing", True),
        ("deploy: {resources: {limits: {memory: 1G, cpus: '1'}}}", "limits-missing", False),
        ("deploy: {resources: {reservations: {memory: 1G, cpus: '1'}}}", "limits-missing", True),
        ("restart: 'no'", "restart-missing", True),
        ("restart: on-failure:3", "restart-missing", False),
        ("deploy: {restart_policy: {condition: any}}", "restart-missing", False),
        ("deploy: {restart_policy: {}}", "restart-missing", True),
        ("logging: {driver: json-file}", "log-rotation-missing", True),
        ("logging: {driver: json-file, options: {max-file: '3'}}", "log-rotation-missing", True),
        ("logging: {options: {max-size: 1m}}", "log-rotation-missing", False),
        ("logging: {driver: local}", "log-rotation-missing", False),
        ("logging: {driver: journald}", "log-rotation-missing", False),
    ],
)
def test_what_every_service_needs(web: Rules, line: str, rule: str, found: bool) -> None:
    assert (rule in web(line)) is found


def test_a_job_needs_no_restart(rules: Rules) -> None:
    text = """
        services:
          web: {image: "web:1", restart: always, depends_on: {job: {condition: service_completed_successfully}}}
          job: {image: "job:1"}
        """
    assert "restart-missing" not in rules(text)


@pytest.mark.parametrize(
    ("build", "files", "found"),
    [
        ("./src", {"src/Dockerfile": "x"}, False),
        ("./src", {"src/main.py": "x"}, True),
        ("./src", {"other/Dockerfile": "x"}, True),
        ("{context: ./src, dockerfile: docker/web.Dockerfile}", {"src/docker/web.Dockerfile": "x"}, False),
        ("{context: ./src, dockerfile: docker/web.Dockerfile}", {"src/Dockerfile": "x"}, True),
        ("{dockerfile_inline: FROM scratch}", {"other/": ""}, False),
        ("https://git.example.com/web.git", {"other/": ""}, False),
        # Nothing is known of an example without files.
        ("./src", {}, False),
    ],
)
def test_the_folder_of_a_build(rules: Rules, build: str, files: dict[str, str], found: bool) -> None:
    assert ("build-context-missing" in rules(f'services: {{web: {{image: "web:1", build: {build}}}}}', files)) is found


def test_a_build_of_an_included_file_counts_from_there(rules: Rules) -> None:
    files = {"sub/compose.yaml": 'services: {web: {image: "web:1", build: ./src}}', "sub/src/Dockerfile": "x"}
    assert "build-context-missing" not in rules("include: [sub/compose.yaml]", files)
    assert "build-context-missing" in rules(
        "include: [sub/compose.yaml]",
        {**files, "sub/src/Dockerfile": "x", "sub/compose.yaml": files["sub/compose.yaml"].replace("./src", "./gone")},
    )
