"""What there is to ask Prometheus: who tells it -> the names. A test holds the dashboards to it.

A metric that nobody tells makes a panel that is empty for ever. So: a name is added here when something of ours, or an
exporter in each version that we support, really has it.
"""

from __future__ import annotations

from collections.abc import Mapping

METRICS: Mapping[str, frozenset[str]] = {
    "Prometheus": frozenset("up ALERTS ALERTS_FOR_STATE".split()),
    # Roles/stack: rules/slo.yml.
    "recording rules": frozenset(
        "host:edge_requests:rate5m host:edge_errors:rate5m host:edge_errors:ratio5m host:edge_errors:ratio30m"
        " host:edge_errors:ratio1h host:edge_errors:ratio6h host:edge_errors:ratio3d"
        " host_service:probe_failures:ratio5m host_service:probe_failures:ratio1h".split()
    ),
    # From 1.5 on. Its network is that of a container: that of the host comes from hypercode_host.
    "node_exporter": frozenset(
        "node_cpu_seconds_total node_memory_MemTotal_bytes node_memory_MemAvailable_bytes"
        " node_disk_read_bytes_total node_disk_written_bytes_total node_timex_offset_seconds"
        " node_pressure_cpu_waiting_seconds_total node_pressure_memory_waiting_seconds_total"
        " node_pressure_memory_stalled_seconds_total node_pressure_io_waiting_seconds_total".split()
    ),
    # From 0.11 on, but for the size of the WAL (0.14): there the replication slots stand in.
    "postgres_exporter": frozenset(
        "pg_up pg_settings_max_connections pg_stat_activity_count pg_stat_activity_max_tx_duration"
        " pg_stat_database_xact_commit pg_stat_database_xact_rollback pg_stat_database_blks_hit"
        " pg_stat_database_blks_read pg_stat_database_tup_inserted pg_stat_database_tup_updated"
        " pg_stat_database_tup_deleted pg_stat_database_deadlocks pg_stat_database_temp_files"
        " pg_database_size_bytes pg_wal_size_bytes pg_replication_slots_pg_wal_lsn_diff".split()
    ),
    "redis_exporter": frozenset(
        "redis_up redis_memory_used_bytes redis_memory_max_bytes redis_aof_last_write_status"
        " redis_rdb_last_bgsave_status redis_errors_total redis_evicted_keys_total redis_commands_processed_total"
        " redis_commands_duration_seconds_total redis_connected_clients redis_blocked_clients"
        " redis_rejected_connections_total redis_db_keys redis_db_keys_expiring redis_keyspace_hits_total"
        " redis_keyspace_misses_total".split()
    ),
    "blackbox_exporter": frozenset("probe_success probe_duration_seconds".split()),
    "hypercode-core": frozenset(
        "http_requests_total http_request_duration_seconds_sum http_request_duration_seconds_count"
        " agent_registered_total agent_heartbeat_total llm_requests_total llm_request_latency_seconds_sum"
        " llm_request_latency_seconds_count mission_transitions_total".split()
    ),
    # From 2.8 on for what it answers itself.
    "Caddy": frozenset(
        "caddy_http_request_duration_seconds_bucket caddy_http_request_duration_seconds_count"
        " caddy_http_requests_in_flight".split()
    ),
    "hypercode_edge": frozenset("hypercode_edge_up hypercode_edge_drained".split()),
    "hypercode_host": frozenset(
        "hypercode_host_network_receive_bytes_total hypercode_host_network_transmit_bytes_total"
        " hypercode_host_filesystem_avail_bytes hypercode_host_filesystem_size_bytes hypercode_host_filesystem_readonly"
        " hypercode_host_filesystem_files hypercode_host_filesystem_files_free".split()
    ),
    "hypercode_stack": frozenset(
        "hypercode_stack_release_info hypercode_stack_release_timestamp_seconds".split(),
    ),
    "hypercode_soak": frozenset("hypercode_soak_verdict hypercode_soak_ended_timestamp_seconds".split()),
    # docs/watch.md
    "hypercode_watch": frozenset(
        "hypercode_container_up hypercode_container_health hypercode_container_restarts_total"
        " hypercode_container_oom_kills_total hypercode_container_heals_total"
        " hypercode_container_started_timestamp_seconds hypercode_container_memory_anonymous_bytes"
        " hypercode_container_memory_cache_bytes hypercode_container_memory_limit_bytes"
        " hypercode_container_cpu_seconds_total hypercode_container_cpu_limit_cores"
        " hypercode_container_cpu_periods_total hypercode_container_cpu_throttled_periods_total"
        " hypercode_watch_last_sample_timestamp_seconds".split()
    ),
    # docs/backup.md
    "hypercode_backup": frozenset(
        "hypercode_backup_last_success_timestamp_seconds hypercode_backup_configured_timestamp_seconds"
        " hypercode_backup_last_run_success hypercode_backup_verify_success hypercode_backup_verify_timestamp_seconds"
        " hypercode_backup_drill_success hypercode_backup_drill_timestamp_seconds hypercode_backup_drill_rto_seconds"
        " hypercode_backup_unplanned_volumes hypercode_backup_last_success_duration_seconds"
        " hypercode_backup_last_success_bytes hypercode_backup_item_bytes"
        " hypercode_backup_wal_newest_point_timestamp_seconds hypercode_backup_wal_base_timestamp_seconds"
        " hypercode_backup_wal_slot_retained_bytes".split()
    ),
    # docs/certificates.md
    "hypercode_certificate": frozenset(
        "hypercode_certificate_lifetime_left_ratio hypercode_certificate_state"
        " hypercode_certificate_not_before_timestamp_seconds hypercode_certificate_not_after_timestamp_seconds"
        " hypercode_certificates_checked_timestamp_seconds".split()
    ),
}
