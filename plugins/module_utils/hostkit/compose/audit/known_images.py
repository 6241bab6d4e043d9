# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Facts about public images: the ports they listen on and where they keep their data."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class KnownImage:
    """``data`` are the folders that hold what must not be lost; ``database`` marks what other services store in.

    ``kept`` is ``must`` where losing the data is never wanted, ``may`` where the image also serves as a cache.
    """

    ports: tuple[int, ...] = ()
    data: tuple[str, ...] = ()
    kept: str = ""
    database: bool = False


def _database(ports: tuple[int, ...], *data: str) -> KnownImage:
    return KnownImage(ports, data, "must", True)


_POSTGRES = _database((5432,), "/var/lib/postgresql", "/bitnami/postgresql", "/home/postgres/pgdata")
_MYSQL = _database((3306, 33060), "/var/lib/mysql", "/bitnami/mysql", "/bitnami/mariadb", "/config")
_MONGO = _database((27017,), "/data/db", "/data/configdb", "/bitnami/mongodb")
_REDIS = KnownImage((6379,), ("/data", "/bitnami"), "may", True)
_ELASTIC = _database((9200, 9300), "/usr/share/elasticsearch/data", "/usr/share/opensearch/data", "/bitnami")

# By the last part of the image's name.
_IMAGES = {
    **dict.fromkeys(("postgres", "postgresql", "postgis", "timescaledb", "timescaledb-ha", "pgvector"), _POSTGRES),
    **dict.fromkeys(("mysql", "mysql-server", "mariadb", "percona"), _MYSQL),
    **dict.fromkeys(("mongo", "mongodb", "mongodb-community-server"), _MONGO),
    **dict.fromkeys(("redis", "valkey", "redis-stack-server", "keydb"), _REDIS),
    **dict.fromkeys(("elasticsearch", "opensearch"), _ELASTIC),
    "redis-stack": KnownImage((6379, 8001), ("/data",), "may", True),
    "clickhouse-server": _database((8123, 9000, 9004, 9005, 9009), "/var/lib/clickhouse"),
    "cassandra": _database((9042, 7000, 7001, 7199), "/var/lib/cassandra"),
    "influxdb": _database((8086,), "/var/lib/influxdb", "/var/lib/influxdb2", "/var/lib/influxdb3"),
    "neo4j": _database((7474, 7473, 7687), "/data"),
    "couchdb": _database((5984,), "/opt/couchdb/data"),
    "qdrant": _database((6333, 6334), "/qdrant/storage"),
    "weaviate": _database((8080, 50051), "/var/lib/weaviate"),
    "minio": KnownImage((9000, 9001), ("/data", "/export", "/bitnami/minio", "/mnt/data"), "must"),
    "rabbitmq": KnownImage((5672, 5671, 15672, 15692, 25672, 4369), ("/var/lib/rabbitmq", "/bitnami"), "may"),
    "grafana": KnownImage((3000,), ("/var/lib/grafana",), "may"),
    "grafana-oss": KnownImage((3000,), ("/var/lib/grafana",), "may"),
    "prometheus": KnownImage((9090,), ("/prometheus",), "may"),
    "ollama": KnownImage((11434,)),
    # 13133 is the health extension of version 2, 14269 the admin port of version 1.
    "jaeger": KnownImage((16685, 16686, 4317, 4318, 5778, 8888, 13133, 14250, 14268, 14269, 9411)),
    "all-in-one": KnownImage((16685, 16686, 4317, 4318, 5778, 14250, 14268, 14269, 9411)),
    "nginx": KnownImage((80, 443)),
    "httpd": KnownImage((80, 443)),
    "caddy": KnownImage((80, 443, 2019)),
    "traefik": KnownImage((80, 443, 8080, 8082)),
    "alertmanager": KnownImage((9093, 9094)),
    "node-exporter": KnownImage((9100,)),
    "cadvisor": KnownImage((8080,)),
    "loki": KnownImage((3100, 9095, 9096)),
    "keycloak": KnownImage((8080, 8443, 9000)),
    "memcached": KnownImage((11211,)),
    "n8n": KnownImage((5678, 5679)),
}


# The programs by which these images serve, where a command names one.
SERVERS = frozenset(
    "postgres mysqld mariadbd mongod redis-server redis-stack-server valkey-server keydb-server server minio influxd"
    " rabbitmq-server cassandra neo4j docker-entrypoint.sh clickhouse-server elasticsearch opensearch".split()
)


def known_image(repository: str) -> KnownImage | None:
    """What is known of an image by its name."""
    return _IMAGES.get(repository.rpartition("/")[2])
