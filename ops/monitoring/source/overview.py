"""The dashboard of the fleet: whether all is well, and if not, whose fault it is."""

from alerts import OBJECTIVES
from panels import (
    BLUE, GREEN, JOB, OURS, RED, STATES, YELLOW, YES_NO, dashboard as build, heatmap, quantiles, query, series, stat, table,
)

WEBHOOK_PAGE = "/d/ringback-webhook/?${__url_time_range}&var-job=${job}&var-webhook=${__data.fields.webhook}"


def by_webhook(expr):
    return f"max by (webhook) ({expr})"


def busiest(metric):
    """Keeps the columns of the table to the 30 webhooks with the most undelivered webhooks."""
    return f"{metric} and on (webhook) topk(30, sum by (webhook) (ringback_webhook_backlog{{{OURS}}}))"


ALL_WELL = ("Is all well?", [
    stat("Are all instances ready?", "Share of the instances whose /readyz answers 200.",
         f"avg(ringback_ready{{{OURS}}})", unit="percentunit", steps=(RED, (1, GREEN)), runbooks=("RingbackNotReady", "RingbackGone")),
    stat("Is Kafka reachable?", "Whether every instance reaches Kafka.", f"min(ringback_kafka_reachable{{{OURS}}})",
         values=YES_NO, steps=(RED, (1, GREEN)), runbooks=("RingbackKafkaUnreachable",)),
    stat("How late is the daemon?", "Time since the oldest due webhook became due that only the daemon delays. Retry intervals, rate "
         "limits, breakers and Retry-After do not count.", f"max(ringback_outbox_overdue_seconds{{{OURS}}})", unit="s",
         steps=(GREEN, (10, YELLOW), (60, RED)), runbooks=("RingbackDeliversLate",)),
    stat("How late are records read?", "Age of the oldest record that is not processed.",
         f"max(ringback_consumer_lag_seconds{{{OURS}}})", unit="s", steps=(GREEN, (60, YELLOW), (300, RED)), runbooks=("RingbackReadsLate",)),
    stat("Undelivered webhooks", "All webhooks that are scheduled and not finished, for any reason.",
         f"sum(ringback_outbox_rows{{{OURS}}})"),
    stat("Open dead letters", "Dead letters without a known replay.", f"sum(ringback_dead_letters_open{{{OURS}}})",
         steps=(GREEN, (1, YELLOW)), runbooks=("RingbackDeadLettersOpen",)),
    series("How many records come, and how many webhooks leave?", "Accepted records by topic, and delivered webhooks by kind, per second.", [
        query(f'sum by (topic) (rate(ringback_source_records_total{{{OURS},result="accepted"}}[$__rate_interval]))', "read: {{topic}}"),
        query(f'sum by (kind) (rate(ringback_deliveries_total{{{OURS},result="delivered"}}[$__rate_interval]))', "delivered: {{kind}}"),
    ], unit="cps", width=12),
    series("How long until a webhook is delivered?", "From the timestamp of the record until the delivery, of delivered webhooks. It "
           "contains the retries and pauses that endpoints cause.", quantiles(f"ringback_delivery_latency_seconds_bucket{{{OURS}}}"),
           unit="s", width=6, runbooks=("RingbackLatencyBudgetBurn",)),
    table("Which alerts are pending or firing?", "All alerts of Ringback.", [query(f'ALERTS{{alertname=~"Ringback.+",{JOB}}}')],
          hidden=("Value", "monitor", "prometheus"), width=6),
])

PHASE_2 = ("Phase 2 is missing: is the gateway silent, or the customer down?", [
    series("The gateway: how many flows wait for reports?", "Flows that wait for delivery reports. If this grows while no report comes, "
           "the gateway is silent.", [query(f"sum(ringback_awaiting_reports{{{OURS}}})", "waiting flows")],
           runbooks=("RingbackGatewaySilent", "RingbackReportsBudgetBurn")),
    series("The gateway: do reports come?", "Final reports and time-outs per second.", [
        query(f"sum(rate(ringback_report_delay_seconds_count{{{OURS}}}[$__rate_interval]))", "final reports"),
        query(f"sum(rate(ringback_report_timeouts_total{{{OURS}}}[$__rate_interval]))", "time-outs"),
    ], unit="cps", runbooks=("RingbackGatewaySilent",)),
    series("The gateway: how long has the oldest flow waited?", "Age of the flow that has waited longest for its reports. It ends with a "
           "time-out after [correlation] report_timeout_s, by default 72 h.",
           [query(f"max(ringback_awaiting_reports_oldest_seconds{{{OURS}}})", "oldest")], unit="s",
           runbooks=("RingbackReportsBudgetBurn",)),
    series("The customer: what do undelivered webhooks wait for?", "due: for the daemon. retry: for the next attempt. rate_limited: for a "
           "rate limit. held: for the pause that the endpoint asked for. breaker: for the endpoint. after_phase_1: for phase 1 of the "
           "same flow. in_flight: for the answer.",
           [query(f"sum by (state) (ringback_outbox_rows{{{OURS}}})", "{{state}}")], stacked=True, width=12),
    heatmap("The gateway: how long do reports take?", "From the flow complete record to the final report of an SMS.",
            f"sum by (le) (increase(ringback_report_delay_seconds_bucket{{{OURS}}}[$__rate_interval]))", width=12),
])

ENDPOINTS = ("How do the customers' endpoints do?", [
    table("How does each endpoint do?", "The 30 webhooks with the most undelivered webhooks. The 200 busiest have series of their own; the "
          "others are summed as other.", [
              query(busiest(by_webhook(f"ringback_webhook_state{{{OURS}}}"))),
              query(busiest(f"sum by (webhook) (ringback_webhook_backlog{{{OURS}}})")),
              query(busiest(by_webhook(f"ringback_webhook_oldest_seconds{{{OURS}}}"))),
              query(busiest(f'sum by (webhook) (rate(ringback_webhook_attempts_total{{{OURS},outcome="success"}}[$__rate_interval]))'
                            f" / sum by (webhook) (rate(ringback_webhook_attempts_total{{{OURS}}}[$__rate_interval]))")),
              query(busiest(f"histogram_quantile(0.95, sum by (le, webhook) "
                            f"(rate(ringback_webhook_latency_seconds_bucket{{{OURS}}}[$__rate_interval])))")),
          ],
          renamed={"webhook": "webhook", "Value #A": "State", "Value #B": "Undelivered", "Value #C": "Oldest", "Value #D": "Success",
                   "Value #E": "Latency p95"},
          units={"Oldest": "s", "Success": "percentunit", "Latency p95": "s"}, sort="Undelivered",
          colored={"State": (STATES, (GREEN, (1, YELLOW), (2, RED))), "Success": (None, (RED, (0.5, YELLOW), (0.95, GREEN)))},
          linked={"webhook": ("This webhook", WEBHOOK_PAGE)}, runbooks=("RingbackEndpointFailing", "RingbackEndpointDisabled")),
    series("Who is rate limited?", "Due webhooks that wait for a rate limit, of the ten webhooks with most of them.",
           [query(f"topk(10, sum by (webhook) (ringback_webhook_rate_limited{{{OURS}}}))", "{{webhook}}")], width=6),
    series("Who is held?", "Due webhooks that wait for the pause that their endpoint asked for, or for their breaker, of the ten webhooks "
           "with most of them.", [query(f"topk(10, sum by (webhook) (ringback_webhook_held{{{OURS}}}))", "{{webhook}}")], width=6),
    series("How do attempts end?", "Attempts per second, by outcome. Many time-outs and unreachable endpoints at once are a fault of "
           "the daemon's network.",
           [query(f"sum by (outcome) (rate(ringback_attempts_total{{{OURS}}}[$__rate_interval]))", "{{outcome}}")],
           unit="cps", stacked=True, runbooks=("RingbackEndpointsUnreachable",)),
    series("In which state are the endpoints?", "Endpoints by the state of their breaker. Each instance counts all configured endpoints; "
           "the instance with most of a state counts.",
           [query(f'max by (state) (ringback_endpoints{{{OURS},state!="closed"}})', "{{state}}")],
           runbooks=("RingbackEndpointDisabled",)),
    series("How long do answers take?", "Duration of attempts.", quantiles(f"ringback_attempt_duration_seconds_bucket{{{OURS}}}"), unit="s"),
])

DEAD_LETTERS = ("What is in the dead letters?", [
    series("Why do dead letters appear?", "New dead letters in the last hour, by kind and reason. See ops/guide/events.md for the reasons. With more "
           "webhooks than have series of their own, it also rises when another webhook becomes one of the busiest.",
           [query(f"sum by (kind, reason) (increase(ringback_dead_letters_total{{{OURS}}}[1h])) > 0", "{{kind}}: {{reason}}")],
           stacked=True, runbooks=("RingbackSuccessBudgetBurn", "RingbackRecordsUnusable")),
    series("Which dead letters are open?", "Dead letters without a known replay, by reason.",
           [query(f"sum by (reason) (ringback_dead_letters_open{{{OURS}}}) > 0", "{{reason}}")], stacked=True,
           runbooks=("RingbackDeadLettersOpen",)),
    stat("How old is the oldest open one?", "Kafka keeps the events that show a dead letter's state for 7 days by default.",
         f"max(ringback_dead_letters_open_oldest_seconds{{{OURS}}})", unit="s", steps=(GREEN, (86400, YELLOW), (5 * 86400, RED)),
         width=8, height=8, runbooks=("RingbackDeadLettersOld",)),
    table("Whose dead letters are they?", "Dead deliveries since the start of the instances, by webhook, reason and phase (0: of a rule).",
          [query(f'topk(50, sum by (webhook, phase, reason) (ringback_dead_letters_total{{{OURS},kind="delivery"}}))')],
          renamed={"Value": "Dead letters"}, sort="Dead letters", linked={"webhook": ("This webhook", WEBHOOK_PAGE)}),
    series("Which records can't be used?", "Records per second that became dead letters, and their share of all records.", [
        query(f'sum by (reason) (rate(ringback_dead_letters_total{{{OURS},kind="record"}}[$__rate_interval]))', "{{reason}}"),
    ], unit="cps", width=12, runbooks=("RingbackRecordsUnusable",)),
])


def budget(objective, title):
    allowed = round(1 - objective.good_share, 6)
    return series(title, f"1 means that {allowed:.1%} of the events are bad, as the objective allows. At 14.4 for an hour, or 6 for six "
                  "hours, the alert pages; at 1 for three days, it makes a ticket.",
                  [query(f"{objective.ratio(window)}{{{JOB}}} / {allowed}", window) for window in ("1h", "6h", "3d")],
                  steps=(GREEN, (1, YELLOW), (6, RED)), decimals=2, runbooks=(objective.alert,))


BUDGETS = ("How fast are the error budgets spent?", [
    budget(OBJECTIVES[0], "99 % of the webhooks are not late because of the daemon"),
    budget(OBJECTIVES[1], "99.9 % of the webhooks are not given up"),
    budget(OBJECTIVES[2], "99 % of the flows get their reports"),
])

WHO = ("Who is who?", [
    table("Which version runs where, and as whom?", "One row for each instance.", [query(f"ringback_build_info{{{OURS}}}")],
          hidden=("Value", "job"), width=10),
    table("Which configuration is in force?", "The hash of the accounts is the same on all instances that have read the same files.", [
        query(f'max by (instance) (ringback_config_hash{{{OURS},part="accounts"}})'),
        query(f"max by (instance) (ringback_config_last_reload_success_timestamp_seconds{{{OURS}}}) * 1000"),
        query(f"max by (instance) (ringback_config_restart_needed{{{OURS}}})"),
        query(f"max by (instance) (ringback_config_last_reload_successful{{{OURS}}})"),
        query(f"max by (instance) (ringback_accounts_age_seconds{{{OURS}}})"),
    ], renamed={"Value #A": "Accounts' hash", "Value #B": "Read at", "Value #C": "Keys that need a restart", "Value #D": "Last reload applied",
                "Value #E": "Age of the accounts"},
          units={"Accounts' hash": "none", "Read at": "dateTimeAsIso", "Age of the accounts": "s"},
          colored={"Keys that need a restart": (None, (GREEN, (1, YELLOW))), "Last reload applied": (YES_NO, (RED, (1, GREEN)))},
          width=14, runbooks=("RingbackReloadRefused", "RingbackConfigurationsDiffer", "RingbackAccountsOutdated")),
    table("When do certificates expire?", "The certificates that the configuration names.",
          [query(f"min by (file) (ringback_certificate_expiry_timestamp_seconds{{{OURS}}}) - time()")],
          renamed={"Value": "Left"}, units={"Left": "s"}, colored={"Left": (None, (RED, (3 * 86400, YELLOW), (21 * 86400, GREEN)))},
          runbooks=("RingbackCertificateExpires",)),
    series("What do the processes need?", "CPU cores of each instance.",
           [query(f"rate(process_cpu_seconds_total{{{OURS}}}[$__rate_interval])", "CPU {{instance}}")], width=6),
    series("How much memory do they need?", "Resident memory of each instance.",
           [query(f"process_resident_memory_bytes{{{OURS}}}", "{{instance}}")], unit="bytes", width=6),
])


def dashboard():
    return build("overview", "Ringback: fleet", "Whether Ringback delivers, and if not, whether the gateway, a customer or the daemon "
                 "is the cause.", [ALL_WELL, PHASE_2, ENDPOINTS, DEAD_LETTERS, BUDGETS, WHO])
