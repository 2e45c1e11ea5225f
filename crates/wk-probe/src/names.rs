//! The tables that turn what any version prints into Apache 3.9's names.

/// What other versions call it, and what 3.9 calls it. The left names are those of the 3.10 line's
/// metrics library and of `mntr` before 3.6.
pub(crate) const RENAMES: &[(&str, &str)] = &[
    ("jvm_memory_used_bytes", "jvm_memory_bytes_used"),
    ("jvm_memory_committed_bytes", "jvm_memory_bytes_committed"),
    ("jvm_memory_max_bytes", "jvm_memory_bytes_max"),
    ("jvm_memory_init_bytes", "jvm_memory_bytes_init"),
    ("jvm_memory_pool_used_bytes", "jvm_memory_pool_bytes_used"),
    ("jvm_memory_pool_committed_bytes", "jvm_memory_pool_bytes_committed"),
    ("jvm_memory_pool_max_bytes", "jvm_memory_pool_bytes_max"),
    ("jvm_memory_pool_init_bytes", "jvm_memory_pool_bytes_init"),
    ("jvm_classes_currently_loaded", "jvm_classes_loaded"),
    ("jvm_runtime_info", "jvm_info"),
    ("followers", "learners"),
];

/// Counters that the 3.10 line prints with `_total` although 3.9 has it not. Others that end so
/// (`process_cpu_seconds_total`, `op_count_total`) are called so everywhere.
pub(crate) const COUNTERS: &[&str] = &[
    "add_dead_watcher_stall_time",
    "bytes_received_count",
    "cnxn_closed_without_zk_server_running",
    "commit_count",
    "connection_drop_count",
    "connection_rejected",
    "connection_request_count",
    "connection_revalidate_count",
    "dead_watchers_cleared",
    "dead_watchers_queued",
    "diff_count",
    "digest_mismatches_count",
    "ensemble_auth_fail",
    "ensemble_auth_skip",
    "ensemble_auth_success",
    "insecure_admin_count",
    "large_requests_rejected",
    "learner_commit_received_count",
    "learner_proposal_received_count",
    "looking_count",
    "outstanding_changes_queued",
    "outstanding_changes_removed",
    "prep_processor_request_queued",
    "proposal_count",
    "quit_leading_due_to_disloyal_voter",
    "quota_exceeded_error_per_namespace",
    "request_commit_queued",
    "request_throttle_wait_count",
    "requests_not_forwarded_to_commit_processor",
    "response_bytes",
    "response_packet_cache_hits",
    "response_packet_cache_misses",
    "response_packet_get_children_cache_hits",
    "response_packet_get_children_cache_misses",
    "restore_error_count",
    "restore_rate_limited_count",
    "revalidate_count",
    "sessionless_connections_expired",
    "skip_learner_request_to_next_processor_count",
    "snap_count",
    "snapshot_error_count",
    "snapshot_rate_limited_count",
    "stale_replies",
    "stale_requests",
    "stale_requests_dropped",
    "stale_sessions_expired",
    "sync_processor_request_queued",
    "throttled_ops",
    "tls_handshake_exceeded",
    "ttl_node_created_count",
    "ttl_node_deleted_count",
    "unrecoverable_error_count",
    "unsuccessful_handshake",
    "watch_bytes",
];

/// Sets: one row a key, `KEY_NAME` where `mntr` prints without the provider.
pub(crate) const SETS: &[&str] = &[
    "ack_latency",
    "learner_handler_qp_size",
    "learner_handler_qp_time_ms",
    "quota_bytes_limit_per_namespace",
    "quota_bytes_usage_per_namespace",
    "quota_count_limit_per_namespace",
    "quota_count_usage_per_namespace",
    "quota_exceeded_error_per_namespace",
    "read_per_namespace",
    "write_per_namespace",
];

/// Names that end as a row of a set does and are none.
pub(crate) const NO_ROWS: &[&str] = &["quorum_ack_latency"];

/// Prefix of a row of `mntr` without the provider, and the quantile that it shows.
pub(crate) const PERCENTILES: &[(&str, &str)] =
    &[("p50_", "0.5"), ("p95_", "0.95"), ("p99_", "0.99"), ("p999_", "0.999")];

/// Rows of `mntr` that are texts.
pub(crate) const TEXTS: &[&str] = &["version", "server_state", "peer_state", "observer_master_id"];

/// What 3.9 calls `name`.
pub(crate) fn renamed(name: &str) -> &str {
    if let Some((_, new)) = RENAMES.iter().find(|(old, _)| *old == name) {
        return new;
    }
    match name.strip_suffix("_total") {
        Some(base) if is_suffixed(base) => base,
        _ => name,
    }
}

fn is_suffixed(base: &str) -> bool {
    COUNTERS.binary_search(&base).is_ok() || base.starts_with("op_count_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_counters_is_sorted() {
        assert!(COUNTERS.is_sorted());
    }

    #[test]
    fn only_suffixes_that_are_new_go() {
        let cases = [
            ("snap_count_total", "snap_count"),
            ("snap_count", "snap_count"),
            ("op_count_create_total", "op_count_create"),
            ("op_count_total", "op_count_total"),
            ("process_cpu_seconds_total", "process_cpu_seconds_total"),
            ("jvm_memory_used_bytes", "jvm_memory_bytes_used"),
            ("followers", "learners"),
        ];
        for (name, want) in cases {
            assert_eq!(renamed(name), want);
        }
    }
}
