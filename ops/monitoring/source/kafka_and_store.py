"""The dashboard of what the daemon stands on: Kafka, its store, and the process."""

from panels import BLUE, GREEN, OURS, RED, YELLOW, YES_NO, dashboard as build, heatmap, quantiles, query, series, stat, table

KAFKA = ("Does Kafka work?", [
    stat("Is Kafka reachable?", "Whether every instance reaches Kafka.", f"min(ringback_kafka_reachable{{{OURS}}})", values=YES_NO,
         steps=(RED, (1, GREEN)), runbooks=("RingbackKafkaUnreachable",)),
    stat("How many partitions are assigned?", "Sum over the instances. It is the number of partitions of the changelog.",
         f"sum(ringback_partitions_assigned{{{OURS}}})", steps=(RED, (1, BLUE))),
    stat("How late are records read?", "Age of the oldest record that is not processed.",
         f"max(ringback_consumer_lag_seconds{{{OURS}}})", unit="s", steps=(GREEN, (60, YELLOW), (300, RED)), runbooks=("RingbackReadsLate",)),
    stat("Do transactions fail?", "Failed transactions in the last hour.",
         f"sum(increase(ringback_transaction_errors_total{{{OURS}}}[1h]))", steps=(GREEN, (1, YELLOW)), decimals=0,
         runbooks=("RingbackTransactionsFail",)),
    stat("Is a partition stalled?", "Longest time that a partition has had work without making progress.",
         f"max(ringback_partition_stalled_seconds{{{OURS}}})", unit="s", steps=(GREEN, (10, YELLOW), (60, RED)),
         runbooks=("RingbackPartitionStalled",)),
    stat("Are partitions still restored?", "Records of the changelog that are left to read.", f"sum(ringback_restore_remaining{{{OURS}}})",
         steps=(GREEN, (1, YELLOW)), runbooks=("RingbackRestoresLong",)),
    series("How late are records read, by topic?", "Age of the oldest record that is not processed.",
           [query(f"max by (topic) (ringback_consumer_lag_seconds{{{OURS}}})", "{{topic}}")], unit="s",
           steps=(GREEN, (300, RED)), runbooks=("RingbackReadsLate",)),
    series("How many records are not read?", "Offsets that are not processed, by topic.",
           [query(f"sum by (topic) (ringback_consumer_lag{{{OURS}}})", "{{topic}}")]),
    series("What becomes of the records?", "Records per second, by result.",
           [query(f"sum by (result) (rate(ringback_source_records_total{{{OURS}}}[$__rate_interval]))", "{{result}}")], unit="cps",
           stacked=True, runbooks=("RingbackRecordsUnusable",)),
])

TRANSACTIONS = ("Transactions and the group", [
    series("How many transactions are committed, and how many fail?", "Per second.", [
        query(f"sum(rate(ringback_transaction_duration_seconds_count{{{OURS}}}[$__rate_interval]))", "committed"),
        query(f"sum by (kind) (rate(ringback_transaction_errors_total{{{OURS}}}[$__rate_interval]))", "failed: {{kind}}"),
    ], unit="cps", runbooks=("RingbackTransactionsFail",)),
    series("How long do transactions take?", "From their beginning until they are committed.",
           quantiles(f"ringback_transaction_duration_seconds_bucket{{{OURS}}}"), unit="s"),
    heatmap("How large are transactions?", "Records in a committed transaction.",
            f"sum by (le) (increase(ringback_transaction_records_bucket{{{OURS}}}[$__rate_interval]))", unit="short"),
    series("How many partitions has each instance?", "Assigned partitions.",
           [query(f"ringback_partitions_assigned{{{OURS}}}", "{{instance}}")], stacked=True),
    series("How often is the group rebalanced?", "Rebalances in the last hour.",
           [query(f"increase(ringback_rebalances_total{{{OURS}}}[1h])", "{{instance}}")], decimals=0),
    series("Which partition makes no progress?", "Time that a partition has had work without making progress.",
           [query(f"topk(10, max by (instance, partition) (ringback_partition_stalled_seconds{{{OURS}}}))", "{{instance}} {{partition}}")],
           unit="s", steps=(GREEN, (60, RED)), runbooks=("RingbackPartitionStalled",)),
    series("Do restores go on?", "Records of the changelog that are left to read, and records that are read per second.", [
        query(f"sum by (instance) (ringback_restore_remaining{{{OURS}}})", "left: {{instance}}"),
        query(f"sum by (instance) (rate(ringback_restore_records_total{{{OURS}}}[$__rate_interval]))", "read/s: {{instance}}"),
    ], runbooks=("RingbackRestoresLong",)),
    series("How near is in flight to its limit?", "Unanswered requests, as a share of in_flight_max.",
           [query(f"ringback_in_flight{{{OURS}}} / ringback_in_flight_max{{{OURS}}}", "{{instance}}")], unit="percentunit",
           steps=(GREEN, (0.9, RED)), runbooks=("RingbackDeliversLate",)),
    series("How near is uncommitted to its limit?",
           "Unanswered requests and outcomes that are not committed, as a share of their common limit: in_flight_max and uncommitted_max together.",
           [query(f"(ringback_in_flight{{{OURS}}} + ringback_uncommitted{{{OURS}}}) / (ringback_in_flight_max{{{OURS}}} + ringback_uncommitted_max{{{OURS}}})",
                  "{{instance}}")], unit="percentunit",
           steps=(GREEN, (0.9, RED)), runbooks=("RingbackTransactionsFail",)),
])

STORE = ("Is the store well?", [
    series("How much room has the disk?", "Free bytes of the disk of the store.",
           [query(f"ringback_store_disk_free_bytes{{{OURS}}}", "{{instance}}")], unit="bytes", steps=(RED, (1 << 30, YELLOW), (10 << 30, GREEN)),
           runbooks=("RingbackDiskNearlyFull",)),
    series("How large is the store?", "Size of the store on disk.", [query(f"ringback_store_bytes{{{OURS}}}", "{{instance}}")], unit="bytes"),
    table("Which partitions are large?", "Bytes of each partition's rows.",
          [query(f"topk(20, max by (instance, partition) (ringback_store_partition_bytes{{{OURS}}}))")],
          renamed={"Value": "Size"}, units={"Size": "bytes"}, sort="Size", width=8),
    series("Does compaction stop or delay writes?", "Stalls of writes in the last hour, by kind.",
           [query(f"sum by (instance, kind) (increase(ringback_store_write_stalls_total{{{OURS}}}[1h]))", "{{kind}}: {{instance}}")],
           runbooks=("RingbackStoreFails",)),
    series("Do writes fail?", "Failed writes, and damaged stores that were set aside, in the last hour.", [
        query(f"sum by (instance) (increase(ringback_store_write_errors_total{{{OURS}}}[1h]))", "failed writes: {{instance}}"),
        query(f"sum by (instance) (increase(ringback_store_corruptions_total{{{OURS}}}[1h]))", "damaged: {{instance}}"),
    ], runbooks=("RingbackStoreFails",)),
    series("How many executions have state?", "phonon-uuids with state, by state.",
           [query(f"sum by (state) (ringback_correlations{{{OURS}}})", "{{state}}")], stacked=True),
])

PROCESS = ("Does the process lack anything?", [
    series("How near are open files to their limit?", "Open files, as a share of the process's limit.",
           [query(f"process_open_fds{{{OURS}}} / process_max_fds{{{OURS}}}", "{{instance}}")], unit="percentunit", steps=(GREEN, (0.8, RED)),
           runbooks=("RingbackLacksResources",)),
    series("Which resources are short?", "Attempts per second that were put back for lack of a resource.",
           [query(f"sum by (kind) (rate(ringback_own_shortages_total{{{OURS}}}[$__rate_interval]))", "{{kind}}")], unit="cps",
           runbooks=("RingbackLacksResources",)),
    series("How much memory is used?", "Resident memory.", [query(f"process_resident_memory_bytes{{{OURS}}}", "{{instance}}")], unit="bytes"),
    series("How much CPU is used?", "CPU cores.", [query(f"rate(process_cpu_seconds_total{{{OURS}}}[$__rate_interval])", "{{instance}}")]),
    series("Do name look-ups fail?", "Failed look-ups per second, by reason.",
           [query(f"sum by (reason) (rate(ringback_look_ups_failed_total{{{OURS}}}[$__rate_interval]))", "{{reason}}")], unit="cps",
           runbooks=("RingbackEndpointsUnreachable",)),
    series("Did the clock jump, or were log lines lost?", "Jumps of the clock and lost lines of the log, in the last hour.", [
        query(f"sum by (instance, direction) (increase(ringback_clock_jumps_total{{{OURS}}}[1h]))", "clock {{direction}}: {{instance}}"),
        query(f"sum by (instance) (increase(ringback_log_lines_lost_total{{{OURS}}}[1h]))", "lost lines: {{instance}}"),
    ]),
])


def dashboard():
    return build("kafka-and-store", "Ringback: Kafka and store", "Whether Kafka, the store and the process give the daemon what it needs.",
                 [KAFKA, TRANSACTIONS, STORE, PROCESS])
