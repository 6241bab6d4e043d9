from __future__ import annotations

from collections.abc import Callable

import pytest

Rules = Callable[..., set[str]]


@pytest.mark.parametrize(
    ("image", "volumes", "found"),
    [
        ("postgres:17", "[]", "data-not-kept"),
        ("postgres:17", "['/var/lib/postgresql/data']", "data-not-kept"),
        ("postgres:17", "['data:/backups']", "data-not-kept"),
        ("postgres:17", "['data:/var/lib/postgresql/data']", None),
        ("postgres:18", "['data:/var/lib/postgresql']", None),
        ("postgres:17", "['./db:/var/lib/postgresql/data']", None),
        ("postgis/postgis:17-3.5", "[]", "data-not-kept"),
        ("mariadb:11", "[]", "data-not-kept"),
        ("mongo:8", "['data:/data/db']", None),
        ("minio/minio:R2", "[]", "data-not-kept"),
        ("redis:7.4", "[]", "data-maybe-lost"),
        ("redis:7.4", "['data:/data']", None),
        ("docker.io/grafana/grafana:12.4", "[]", "data-maybe-lost"),
        ("prom/prometheus:v3.1", "['data:/prometheus']", None),
        ("rabbitmq:4", "[]", "data-maybe-lost"),
        ("quay.io/prometheuscommunity/postgres-exporter:v0.16", "[]", None),
        ("mongo-express:1", "[]", None),
    ],
)
def test_data_that_is_lost(rules: Rules, image: str, volumes: str, found: str | None) -> None:
    text = f'services: {{db: {{image: "{image}", volumes: {volumes}}}}}\nvolumes: {{data: {{}}}}'
    assert rules(text) & {"data-not-kept", "data-maybe-lost"} == ({found} if found else set())


def test_data_elsewhere_by_its_own_setting(rules: Rules) -> None:
    text = """
        services:
          db: {image: "postgres:17", environment: {PGDATA: /pg/data}, volumes: ["data:/pg"]}
          cache: {image: "postgres:17", tmpfs: ["/var/lib/postgresql:size=1g"]}
        volumes: {data: {}}
        """
    assert "data-not-kept" not in rules(text)
    assert "data-not-kept" in rules(text.replace("/pg/data", "/elsewhere"))


@pytest.mark.parametrize(
    ("mount", "files", "found"),
    [
        ("./web.conf:/etc/web.conf", {"web.conf": "x"}, True),
        ("./noext:/etc/web.conf", {"noext": "x"}, True),
        ("./conf.d:/etc/web", {"conf.d/": ""}, False),
        ("/srv/web/web.conf:/etc/web.conf", {}, True),
        ("/srv/web:/etc/web", {}, False),
        ("/etc/localtime:/etc/localtime:ro", {}, False),
        ("/run/app.sock:/run/app.sock", {}, False),
    ],
)
def test_single_files(rules: Rules, mount: str, files: dict[str, str], found: bool) -> None:
    assert ("bind-single-file" in rules(f'services: {{web: {{image: "web:1", volumes: ["{mount}"]}}}}', files)) is found


@pytest.mark.parametrize(
    ("name", "project", "found"),
    [
        ("shop_data", "name: shop", False),
        ("other_data", "name: shop", True),
        ("data", "name: shop", True),
        # The folder's name counts where the file has none.
        ("project_data", "x-none: 1", False),
        ("shop_data", "x-none: 1", True),
        ("anything_data", 'name: "${N}"', False),
        ("anything", 'name: "${N}"', True),
    ],
)
def test_names_of_volumes(rules: Rules, name: str, project: str, found: bool) -> None:
    text = f'{project}\nservices: {{web: {{image: "web:1"}}}}\nvolumes: {{data: {{name: {name}}}}}'
    assert ("volume-name-fixed" in rules(text, variables={"N": "n"})) is found


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("command: pg_dump -h postgres", False),
        ("command: [psql, 'postgres://db/x']", False),
        ("entrypoint: /backup.sh", False),
        ("command: postgres -c max_connections=200", True),
        ("command: -c max_connections=200", True),
        ("command: ['sh', '-c', 'exec postgres -D /data']", True),
        ("command: ['sh', '-c', 'while sleep 60; do pg_dump -h db; done']", False),
    ],
)
def test_clients_of_a_database_keep_nothing(rules: Rules, line: str, found: bool) -> None:
    assert ("data-not-kept" in rules(f'services: {{db: {{image: "postgres:17", {line}}}}}')) is found
