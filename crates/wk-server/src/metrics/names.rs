//! The names: every counter and summary that Apache's `ServerMetrics` (3.9.5) registers.
//!
//! All of them are shown, so that a dashboard or exporter finds the keys it asks for; those of
//! ensembles, of Netty or of thread pools that do not exist here stay at zero.

macro_rules! names {
    ($(#[$doc:meta])* $kind:ident { $($variant:ident $name:literal)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $kind {
            $(
                #[doc = concat!("`", $name, "`")]
                $variant,
            )*
        }

        impl $kind {
            /// Apache's names, in declaration order.
            pub const NAMES: &[&str] = &[$($name),*];

            /// Apache's name of this one.
            pub fn name(self) -> &'static str {
                Self::NAMES[self as usize]
            }
        }
    };
}

names! {
    /// A number that only grows (until `srst`, which Apache's counters obey too).
    Counter {
        SnapshotErrorCount "snapshot_error_count"
        SnapshotRateLimitedCount "snapshot_rate_limited_count"
        RestoreErrorCount "restore_error_count"
        RestoreRateLimitedCount "restore_rate_limited_count"
        LookingCount "looking_count"
        DiffCount "diff_count"
        SnapCount "snap_count"
        CommitCount "commit_count"
        ConnectionRequestCount "connection_request_count"
        ConnectionRejected "connection_rejected"
        BytesReceivedCount "bytes_received_count"
        UnrecoverableErrorCount "unrecoverable_error_count"
        AddDeadWatcherStallTime "add_dead_watcher_stall_time"
        DeadWatchersQueued "dead_watchers_queued"
        DeadWatchersCleared "dead_watchers_cleared"
        ResponsePacketCacheHits "response_packet_cache_hits"
        ResponsePacketCacheMisses "response_packet_cache_misses"
        ResponsePacketGetChildrenCacheHits "response_packet_get_children_cache_hits"
        ResponsePacketGetChildrenCacheMisses "response_packet_get_children_cache_misses"
        EnsembleAuthSuccess "ensemble_auth_success"
        EnsembleAuthFail "ensemble_auth_fail"
        EnsembleAuthSkip "ensemble_auth_skip"
        PrepProcessorRequestQueued "prep_processor_request_queued"
        OutstandingChangesQueued "outstanding_changes_queued"
        OutstandingChangesRemoved "outstanding_changes_removed"
        RevalidateCount "revalidate_count"
        ConnectionDropCount "connection_drop_count"
        ConnectionRevalidateCount "connection_revalidate_count"
        SessionlessConnectionsExpired "sessionless_connections_expired"
        StaleSessionsExpired "stale_sessions_expired"
        RequestCommitQueued "request_commit_queued"
        ThrottledOps "throttled_ops"
        LearnerProposalReceivedCount "learner_proposal_received_count"
        LearnerCommitReceivedCount "learner_commit_received_count"
        SyncProcessorRequestQueued "sync_processor_request_queued"
        ProposalCount "proposal_count"
        QuitLeadingDueToDisloyalVoter "quit_leading_due_to_disloyal_voter"
        StaleRequests "stale_requests"
        StaleRequestsDropped "stale_requests_dropped"
        StaleReplies "stale_replies"
        RequestThrottleWaitCount "request_throttle_wait_count"
        LargeRequestsRejected "large_requests_rejected"
        DigestMismatchesCount "digest_mismatches_count"
        UnsuccessfulHandshake "unsuccessful_handshake"
        InsecureAdminCount "insecure_admin_count"
        TlsHandshakeExceeded "tls_handshake_exceeded"
        CnxnClosedWithoutZkServerRunning "cnxn_closed_without_zk_server_running"
        SkipLearnerRequestToNextProcessorCount "skip_learner_request_to_next_processor_count"
        RequestsNotForwardedToCommitProcessor "requests_not_forwarded_to_commit_processor"
        ResponseBytes "response_bytes"
        WatchBytes "watch_bytes"
    }
}

names! {
    /// A basic summary: mean, smallest, largest, count, sum, and the median on `/metrics`.
    Basic {
        Fsynctime "fsynctime"
        Snapshottime "snapshottime"
        RestoreTime "restore_time"
        Dbinittime "dbinittime"
        FollowerSyncTime "follower_sync_time"
        ObserverSyncTime "observer_sync_time"
        ElectionTime "election_time"
        ConnectionTokenDeficit "connection_token_deficit"
        InflightSnapCount "inflight_snap_count"
        InflightDiffCount "inflight_diff_count"
        NodeCreatedWatchCount "node_created_watch_count"
        NodeDeletedWatchCount "node_deleted_watch_count"
        NodeChangedWatchCount "node_changed_watch_count"
        NodeChildrenWatchCount "node_children_watch_count"
        PrepProcessorQueueSize "prep_processor_queue_size"
        PrepProcessTime "prep_process_time"
        ProposalProcessTime "proposal_process_time"
        UnavailableTime "unavailable_time"
        LeaderUnavailableTime "leader_unavailable_time"
        RequestsInSessionQueue "requests_in_session_queue"
        PendingSessionQueueSize "pending_session_queue_size"
        ReadsAfterWriteInSessionQueue "reads_after_write_in_session_queue"
        ReadsIssuedFromSessionQueue "reads_issued_from_session_queue"
        SessionQueuesDrained "session_queues_drained"
        TimeWaitingEmptyPoolInCommitProcessorReadMs
            "time_waiting_empty_pool_in_commit_processor_read_ms"
        WriteBatchTimeInCommitProcessor "write_batch_time_in_commit_processor"
        ConcurrentRequestProcessingInCommitProcessor
            "concurrent_request_processing_in_commit_processor"
        ReadCommitProcReqQueued "read_commit_proc_req_queued"
        WriteCommitProcReqQueued "write_commit_proc_req_queued"
        CommitCommitProcReqQueued "commit_commit_proc_req_queued"
        ReadCommitProcIssued "read_commit_proc_issued"
        WriteCommitProcIssued "write_commit_proc_issued"
        CommitProcessTime "commit_process_time"
        StartupTxnsLoaded "startup_txns_loaded"
        StartupTxnsLoadTime "startup_txns_load_time"
        StartupSnapLoadTime "startup_snap_load_time"
        SyncProcessorQueueSize "sync_processor_queue_size"
        SyncProcessTime "sync_process_time"
        SyncProcessorBatchSize "sync_processor_batch_size"
        NettyQueuedBufferCapacity "netty_queued_buffer_capacity"
        LearnerRequestProcessorQueueSize "learner_request_processor_queue_size"
        SocketClosingTime "socket_closing_time"
    }
}

names! {
    /// An advanced summary: a basic one with percentiles.
    Advanced {
        Readlatency "readlatency"
        Updatelatency "updatelatency"
        PropagationLatency "propagation_latency"
        DeadWatchersCleanerLatency "dead_watchers_cleaner_latency"
        PrepProcessorQueueTimeMs "prep_processor_queue_time_ms"
        CloseSessionPrepTime "close_session_prep_time"
        ReadCommitprocTimeMs "read_commitproc_time_ms"
        WriteCommitprocTimeMs "write_commitproc_time_ms"
        LocalWriteCommittedTimeMs "local_write_committed_time_ms"
        ServerWriteCommittedTimeMs "server_write_committed_time_ms"
        OmProposalProcessTimeMs "om_proposal_process_time_ms"
        OmCommitProcessTimeMs "om_commit_process_time_ms"
        ReadFinalProcTimeMs "read_final_proc_time_ms"
        WriteFinalProcTimeMs "write_final_proc_time_ms"
        ProposalLatency "proposal_latency"
        ProposalAckCreationLatency "proposal_ack_creation_latency"
        CommitPropagationLatency "commit_propagation_latency"
        SyncProcessorQueueAndFlushTimeMs "sync_processor_queue_and_flush_time_ms"
        SyncProcessorQueueTimeMs "sync_processor_queue_time_ms"
        SyncProcessorQueueFlushTimeMs "sync_processor_queue_flush_time_ms"
        QuorumAckLatency "quorum_ack_latency"
        RequestThrottleQueueTimeMs "request_throttle_queue_time_ms"
        JvmPauseTimeMs "jvm_pause_time_ms"
    }
}
