"""The source of the recording rules and alerts: see generate.py.

An alert has one or more conditions. Each is a signal (an expression that always returns data while its metrics are there)
and a comparison. The alert fires where all of them hold. A test evaluates the signals alone against a real daemon, because
an alert that does not fire and a wrong expression both return nothing.
"""

from dataclasses import dataclass, field

# The address at which runbooks/ is published, without a slash at its end, and Grafana's address.
RUNBOOKS = "https://ringback.example/runbooks"
GRAFANA = "https://grafana.example"

# The reasons of dead letters that the customer causes: the endpoint's answer, or the definition of the webhook.
OF_THE_CUSTOMER = "blocked_address|endpoint_disabled|invalid_flow_var|invalid_response|invalid_response_map|refused"
# The reasons of dead deliveries that count against the objective.
GIVEN_UP = "age_exceeded|attempts_exhausted|invalid_request"

# Windows of the recorded ratios, and of the alerts on burn rates: long and short window, how many times faster than allowed
# the error budget is spent, severity, and how long this has to last. See the workbook of Google's SRE, "Alerting on SLOs".
WINDOWS = ["5m", "30m", "1h", "6h", "3d"]
BURNS = [
    ("1h", "5m", 14.4, "page", "2m"),
    ("6h", "30m", 6, "page", "15m"),
    ("3d", "6h", 1, "ticket", "1h"),
]
SECONDS = {"1h": 3600, "6h": 21600, "3d": 259200}
# A burn rate does not alert on fewer bad events than this in its long window.
BAD_MIN = 10


@dataclass
class Record:
    name: str
    expr: str


@dataclass
class Alert:
    name: str
    severity: str
    # Signal, and comparison.
    conditions: list[tuple[str, str]]
    summary: str
    description: str
    dashboard: str
    # How long the conditions have to hold.
    hold: str = ""
    labels: dict[str, str] = field(default_factory=dict)

    @property
    def expr(self):
        return "\nand\n".join(f"{signal} {comparison}".replace(" \n", "\n") for signal, comparison in self.conditions)


@dataclass
class Objective:
    """A share of good events, over the recorded rates of bad events and of all events."""

    alert: str
    bad: str
    total: str
    good_share: float
    summary: str
    # What the bad events are, after their percentage.
    bad_events: str
    dashboard: str = "overview"

    def ratio(self, window):
        return f"{self.bad}:ratio_rate{window}"

    def records(self):
        for window in WINDOWS:
            of = (lambda name: f"{name}:rate5m") if window == "5m" else (
                lambda name: f"avg_over_time({name}:rate5m[{window}])")
            yield Record(self.ratio(window), f"{of(self.bad)} / {of(self.total)}")

    def alerts(self):
        for long, short, burn, severity, hold in BURNS:
            threshold = f"> {burn} * {round(1 - self.good_share, 6)}"
            least = f"avg_over_time({self.bad}:rate5m[{long}]) * {SECONDS[long]}"
            yield Alert(
                self.alert, severity,
                [(self.ratio(long), threshold), (self.ratio(short), threshold), (least, f">= {BAD_MIN}")],
                f"{self.summary} (error budget {burn} times too fast)",
                f"In {long}, {{{{ $value | humanizePercentage }}}} {self.bad_events}. The objective allows "
                f"{round(100 * (1 - self.good_share), 6):g}%.",
                self.dashboard, hold, {"long": long, "short": short},
            )


OBJECTIVES = [
    Objective(
        "RingbackLatencyBudgetBurn", "job:ringback_slow_deliveries", "job:ringback_deliveries", 0.99,
        "Too many webhooks are late because of the daemon",
        "of the webhooks of {{ $labels.job }} were delivered more than 5 s after their record, by instances that were late themselves",
    ),
    Objective(
        "RingbackSuccessBudgetBurn", "job:ringback_given_up", "job:ringback_ended", 0.999,
        "Too many webhooks are given up",
        "of the webhooks of {{ $labels.job }} became dead letters, for another reason than the customer's own",
    ),
    Objective(
        "RingbackReportsBudgetBurn", "job:ringback_report_timeouts", "job:ringback_report_waits", 0.99,
        "Phase 2 is missing for too many flows",
        "of the waits for delivery reports of {{ $labels.job }} ended with a time-out",
    ),
]

LATE_S = 5

RECORDS = [
    Record("job_instance:ringback_own_delay_seconds:max5m", """\
max by (job, instance) (
  max_over_time(ringback_outbox_overdue_seconds[5m])
  or
  max_over_time(ringback_consumer_lag_seconds[5m])
)"""),
    Record("job:ringback_deliveries:rate5m", "sum by (job) (rate(ringback_delivery_latency_seconds_count[5m]))"),
    # OpenMetrics writes the bound as 5.0.
    Record("job:ringback_slow_deliveries:rate5m", f"""\
sum by (job) (
  (
    sum by (job, instance) (rate(ringback_delivery_latency_seconds_count[5m]))
    -
    sum by (job, instance) (rate(ringback_delivery_latency_seconds_bucket{{le=~"{LATE_S}|{LATE_S}[.]0"}}[5m]))
  )
  and
  job_instance:ringback_own_delay_seconds:max5m > {LATE_S}
)
or
0 * job:ringback_deliveries:rate5m"""),
    # When another webhook becomes one of the busiest, the counts of a former one are added to those of other at once.
    Record("job:ringback_given_up:rate5m", f"""\
sum by (job) (
  sum by (job, webhook) (rate(ringback_dead_letters_total{{kind="delivery",reason=~"{GIVEN_UP}",webhook!="other"}}[5m]))
  and
  sum by (job, webhook) (increase(ringback_webhook_deliveries_total{{result="delivered"}}[1h])) > 0
)
or
0 * job:ringback_deliveries:rate5m"""),
    Record("job:ringback_ended:rate5m", "job:ringback_deliveries:rate5m + job:ringback_given_up:rate5m"),
    Record("job:ringback_report_timeouts:rate5m", "sum by (job) (rate(ringback_report_timeouts_total[5m]))"),
    Record("job:ringback_report_waits:rate5m", """\
sum by (job) (rate(ringback_report_delay_seconds_count[5m]))
+
job:ringback_report_timeouts:rate5m"""),
] + [record for objective in OBJECTIVES for record in objective.records()]

# An attempt whose request reached no server, or got no answer in time.
NO_ANSWER = 'outcome=~"timeout|unreachable"'

PLAIN = [
    Alert(
        "RingbackNotReady", "page", [("ringback_ready", "== 0")],
        "An instance is not ready",
        "{{ $labels.instance }} of {{ $labels.job }} has not been ready for 5 minutes. Its /readyz names the reason.",
        "overview", "5m",
    ),
    Alert(
        "RingbackGone", "page",
        [("max by (job, instance_id) (max_over_time(ringback_build_info[1h]))",
          "\nunless\nmax by (job, instance_id) (ringback_build_info)")],
        "An instance has disappeared",
        "Prometheus gets no metrics of the instance {{ $labels.instance_id }} of {{ $labels.job }}, which it got within the last hour.",
        "overview", "5m",
    ),
    Alert(
        "RingbackPartitionStalled", "page",
        [("max by (job, instance, partition) (ringback_partition_stalled_seconds)", "> 60")],
        "A partition has work and makes no progress",
        "Partition {{ $labels.partition }} on {{ $labels.instance }} has made no progress for {{ $value | humanizeDuration }}.",
        "kafka-and-store", "2m",
    ),
    Alert(
        "RingbackRestoresLong", "ticket",
        [("sum by (job, instance) (ringback_restore_remaining)", "> 0")],
        "Restoring partitions takes long",
        "{{ $labels.instance }} has been restoring for 30 minutes. {{ $value | humanize }} records of the changelog are left.",
        "kafka-and-store", "30m",
    ),
    Alert(
        "RingbackReadsLate", "page",
        [("max by (job, instance, topic) (ringback_consumer_lag_seconds)", "> 300")],
        "Records wait long until they are read",
        "The oldest record of {{ $labels.topic }} that {{ $labels.instance }} has not processed is {{ $value | humanizeDuration }} old.",
        "kafka-and-store", "5m",
    ),
    Alert(
        "RingbackDeliversLate", "page",
        [("max by (job, instance) (ringback_outbox_overdue_seconds)", "> 60")],
        "Due webhooks wait for the daemon",
        "A webhook on {{ $labels.instance }} has been due for {{ $value | humanizeDuration }}, and only the daemon delays it.",
        "overview", "5m",
    ),
    Alert(
        "RingbackGatewaySilent", "page",
        [("sum by (job) (ringback_awaiting_reports)", ">= 10"),
         ("sum by (job) (delta(ringback_awaiting_reports[30m]))", "> 0"),
         ("sum by (job) (increase(ringback_report_delay_seconds_count[30m]))", "== 0")],
        "No delivery reports come",
        "{{ $value }} flows of {{ $labels.job }} wait for delivery reports, more are added, and no final report has come for 30 minutes.",
        "overview", "10m",
    ),
    Alert(
        "RingbackRecordsUnusable", "page",
        [('sum by (job) (rate(ringback_source_records_total{result="dead_lettered"}[10m]))\n/\n'
          "sum by (job) (rate(ringback_source_records_total[10m]))", "> 0.05")],
        "Many records can't be used",
        "{{ $value | humanizePercentage }} of the records that {{ $labels.job }} reads become dead letters.",
        "overview", "10m",
    ),
    Alert(
        "RingbackDeadLettersOpen", "ticket",
        [(f'sum by (job, reason) (ringback_dead_letters_open{{reason!~"{OF_THE_CUSTOMER}"}})', "> 0")],
        "Dead letters wait for an operator",
        "Dead letters of {{ $labels.job }} without a replay, with the reason {{ $labels.reason }}: {{ $value }}.",
        "overview", "1h",
    ),
    Alert(
        "RingbackDeadLettersOld", "ticket",
        [("max by (job) (ringback_dead_letters_open_oldest_seconds)", "> 5 * 86400")],
        "A dead letter is about to lose its state",
        "The oldest dead letter of {{ $labels.job }} without a replay is {{ $value | humanizeDuration }} old. "
        "After 7 days, Kafka deletes the events that show its state.",
        "overview", "1h",
    ),
    Alert(
        "RingbackRecordsMissed", "page",
        [("sum by (job, topic) (increase(ringback_source_records_missed_total[1h]))", "> 0")],
        "Kafka deleted records before they were read",
        "Number of offsets of {{ $labels.topic }} that {{ $labels.job }} could not read within the last hour: {{ $value | humanize }}.",
        "kafka-and-store",
    ),
    Alert(
        "RingbackEndpointsUnreachable", "page",
        [(f"""\
count by (job) (
  sum by (job, webhook) (rate(ringback_webhook_attempts_total{{{NO_ANSWER}}}[10m]))
  /
  sum by (job, webhook) (rate(ringback_webhook_attempts_total[10m]))
  > 0.5
)
/
count by (job) (sum by (job, webhook) (rate(ringback_webhook_attempts_total[10m])) > 0)""", "> 0.3"),
         ("count by (job) (sum by (job, webhook) (rate(ringback_webhook_attempts_total[10m])) > 0)", ">= 5")],
        "Many endpoints can't be reached",
        "{{ $value | humanizePercentage }} of the webhooks that {{ $labels.job }} calls do not answer. The network or the name servers "
        "of the daemon are the likely cause.",
        "overview", "5m",
    ),
    Alert(
        "RingbackEndpointFailing", "ticket",
        [("max by (job, webhook) (max_over_time(ringback_webhook_state[10m]))", "== 2")],
        "An endpoint has failed for long",
        "The breaker of the webhook {{ $labels.webhook }} has been open for an hour. Its deliveries wait, and become dead letters in the end.",
        "webhook", "1h",
    ),
    Alert(
        "RingbackEndpointDisabled", "ticket",
        [('max by (job) (ringback_endpoints{state="disabled"})', "> 0")],
        "An endpoint is disabled",
        "Number of disabled endpoints of {{ $labels.job }}: {{ $value }}. Their deliveries become dead letters. Busy ones of them:"
        '{{ range query "max by (webhook) (ringback_webhook_state == 3)" }} {{ .Labels.webhook }}{{ else }} none{{ end }}.',
        "overview",
    ),
    Alert(
        "RingbackKafkaUnreachable", "page", [("ringback_kafka_reachable", "== 0")],
        "An instance can't reach Kafka",
        "{{ $labels.instance }} of {{ $labels.job }} has not reached Kafka for 2 minutes.",
        "kafka-and-store", "2m",
    ),
    Alert(
        "RingbackTransactionsFail", "page",
        [("sum by (job, instance) (rate(ringback_transaction_errors_total[5m]))", "> 0")],
        "Transactions fail",
        "Transactions of {{ $labels.instance }} have failed for 10 minutes, {{ $value | printf \"%.2f\" }} per second.",
        "kafka-and-store", "10m",
    ),
    Alert(
        "RingbackDiskNearlyFull", "page", [("ringback_store_disk_free_bytes", "< 1024 * 1024 * 1024")],
        "The disk of the store is nearly full",
        "The disk of the store of {{ $labels.instance }} has {{ $value | humanize1024 }}B free.",
        "kafka-and-store", "5m",
    ),
    Alert(
        "RingbackDiskNearlyFull", "ticket",
        [("predict_linear(ringback_store_disk_free_bytes[6h], 86400)", "< 0")],
        "The disk of the store will be full within a day",
        "If the disk of the store of {{ $labels.instance }} fills as in the last 6 hours, it will be full within a day.",
        "kafka-and-store", "1h",
    ),
    Alert(
        "RingbackStoreFails", "page",
        [("sum by (job, instance) (increase(ringback_store_write_errors_total[10m]))", "> 0")],
        "The store can't be written",
        "Writes to the store of {{ $labels.instance }} failed within the last 10 minutes.",
        "kafka-and-store",
    ),
    Alert(
        "RingbackStoreFails", "ticket",
        [('sum by (job, instance) (rate(ringback_store_write_stalls_total{kind="stop"}[15m]))', "> 0")],
        "The store stops writes again and again",
        "The store of {{ $labels.instance }} stops writes {{ $value | printf \"%.2f\" }} times per second, because compaction is too slow.",
        "kafka-and-store", "15m",
    ),
    Alert(
        "RingbackCertificateExpires", "page",
        [("min by (job, file) (ringback_certificate_expiry_timestamp_seconds) - time()", "< 3 * 86400")],
        "A certificate expires within 3 days",
        "The certificate {{ $labels.file }} of {{ $labels.job }} expires in {{ $value | humanizeDuration }}.",
        "kafka-and-store",
    ),
    Alert(
        "RingbackCertificateExpires", "ticket",
        [("min by (job, file) (ringback_certificate_expiry_timestamp_seconds) - time()", "< 21 * 86400")],
        "A certificate expires within 21 days",
        "The certificate {{ $labels.file }} of {{ $labels.job }} expires in {{ $value | humanizeDuration }}.",
        "kafka-and-store",
    ),
    Alert(
        "RingbackReloadRefused", "ticket", [("ringback_config_last_reload_successful", "== 0")],
        "A reload of the configuration was refused",
        "{{ $labels.instance }} found faults in the configuration, and keeps the former one.",
        "overview", "5m",
    ),
    Alert(
        "RingbackConfigurationsDiffer", "ticket",
        [('count by (job) (count_values by (job) ("hash", ringback_config_hash{part="accounts"}))', "> 1")],
        "Instances have different accounts",
        "The instances of {{ $labels.job }} have {{ $value }} different configurations of accounts.",
        "overview", "15m",
    ),
    Alert(
        "RingbackAccountsOutdated", "ticket",
        [("max by (job, instance) (ringback_accounts_age_seconds)", "> 600")],
        "The database of the accounts can't be read",
        "{{ $labels.instance }} read the database of its accounts {{ $value | humanizeDuration }} ago.",
        "overview", "5m",
    ),
    Alert(
        "RingbackLacksResources", "ticket",
        [("sum by (job, instance, kind) (rate(ringback_own_shortages_total[5m]))", "> 0")],
        "An instance lacks resources",
        "{{ $labels.instance }} lacks {{ $labels.kind }}, and puts back {{ $value | printf \"%.2f\" }} attempts per second.",
        "kafka-and-store", "5m",
    ),
]

# The name of each group with its rules, in the order in which Prometheus needs them.
GROUPS = [
    ("ringback-records", RECORDS),
    ("ringback-objectives", [alert for objective in OBJECTIVES for alert in objective.alerts()]),
    ("ringback", PLAIN),
]


def rule(it):
    """Returns a rule as Prometheus reads it."""
    if isinstance(it, Record):
        return {"record": it.name, "expr": it.expr}
    uid = f"ringback-{it.dashboard}"
    held = {"for": it.hold} if it.hold else {}
    return {
        "alert": it.name, "expr": it.expr, **held,
        "labels": {"severity": it.severity, **it.labels},
        "annotations": {
            "summary": it.summary,
            "description": it.description,
            "runbook_url": f"{RUNBOOKS}/{it.name}.md",
            "dashboard": f"{GRAFANA}/d/{uid}/?var-job={{{{ $labels.job }}}}"
            + ("&var-webhook={{ $labels.webhook }}" if it.dashboard == "webhook" else ""),
        },
    }


def groups():
    return {"groups": [{"name": name, "rules": [rule(it) for it in rules]} for name, rules in GROUPS]}


def prometheus_rule():
    """Returns the groups as an object of Kubernetes that the Prometheus Operator reads."""
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "ringback", "labels": {"app.kubernetes.io/name": "ringback"}},
        "spec": groups(),
    }


def signals():
    """Returns each alert's signals, as `where` and `expr`."""
    return [
        {"where": f"alert {it.name} ({it.severity})", "alert": it.name, "expr": signal}
        for _, rules in GROUPS for it in rules if isinstance(it, Alert) for signal, _ in it.conditions
    ]
