"""The dashboard of one webhook: how its endpoint does, and what happens to its deliveries."""

from panels import GREEN, RED, STATES, THIS, YELLOW, dashboard as build, heatmap, quantiles, query, series, stat, table, variable

ATTEMPTS = f"ringback_webhook_attempts_total{{{THIS}"

NOW = ("How does the endpoint do now?", [
    stat("In which state is the endpoint?", "The state of its breaker, or disabled. The worst of all instances counts. It is absent for other.",
         f"max(ringback_webhook_state{{{THIS}}})", values=STATES, steps=(GREEN, (1, YELLOW), (2, RED)),
         runbooks=("RingbackEndpointFailing", "RingbackEndpointDisabled")),
    stat("How many webhooks are undelivered?", "Webhooks that are scheduled and not finished.", f"sum(ringback_webhook_backlog{{{THIS}}})"),
    stat("How old is the oldest one?", "Age of the oldest undelivered webhook.", f"max(ringback_webhook_oldest_seconds{{{THIS}}})", unit="s",
         steps=(GREEN, (300, YELLOW), (3600, RED))),
    stat("How many are rate limited?", "Due webhooks that wait for a rate limit.", f"sum(ringback_webhook_rate_limited{{{THIS}}})",
         steps=(GREEN, (1, YELLOW))),
    stat("How many are held?", "Due webhooks that wait for the pause that the endpoint asked for, or for its breaker.",
         f"sum(ringback_webhook_held{{{THIS}}})", steps=(GREEN, (1, YELLOW))),
    stat("How many attempts succeed?", "Share of the attempts that succeeded, over 5 minutes.",
         f'sum(rate({ATTEMPTS},outcome="success"}}[5m])) / sum(rate({ATTEMPTS}}}[5m]))', unit="percentunit",
         steps=(RED, (0.5, YELLOW), (0.95, GREEN))),
])

DELIVERIES = ("What happens to its webhooks?", [
    series("How many webhooks are delivered, and how many become dead letters?", "Finished deliveries per second, by result.",
           [query(f"sum by (result) (rate(ringback_webhook_deliveries_total{{{THIS}}}[$__rate_interval]))", "{{result}}")], unit="cps",
           runbooks=("RingbackSuccessBudgetBurn",)),
    series("How do attempts end?", "Attempts per second, by outcome, and whether it was the first attempt.",
           [query(f"sum by (outcome, try) (rate({ATTEMPTS}}}[$__rate_interval]))", "{{outcome}} ({{try}})")], unit="cps", stacked=True),
    series("How many first attempts succeed?", "Share of successful first attempts, and of successful retries.", [
        query(f'sum by (try) (rate({ATTEMPTS},outcome="success"}}[$__rate_interval])) / sum by (try) (rate({ATTEMPTS}}}[$__rate_interval]))',
              "{{try}}"),
    ], unit="percentunit"),
    series("Do undelivered webhooks grow?", "All undelivered webhooks, and those of them that wait for a rate limit or are held.", [
        query(f"sum(ringback_webhook_backlog{{{THIS}}})", "undelivered"),
        query(f"sum(ringback_webhook_rate_limited{{{THIS}}})", "rate limited"),
        query(f"sum(ringback_webhook_held{{{THIS}}})", "held"),
    ], width=12),
    series("How long has the oldest one waited?", "Age of the oldest undelivered webhook.",
           [query(f"max by (webhook) (ringback_webhook_oldest_seconds{{{THIS}}})", "{{webhook}}")], unit="s", width=12),
])

LATENCY = ("How long until its webhooks are delivered?", [
    series("Latency of delivered webhooks", "From the timestamp of the record until the delivery.",
           quantiles(f"ringback_webhook_latency_seconds_bucket{{{THIS}}}"), unit="s", width=12, runbooks=("RingbackLatencyBudgetBurn",)),
    heatmap("How is the latency distributed?", "Delivered webhooks by their latency.",
            f"sum by (le) (increase(ringback_webhook_latency_seconds_bucket{{{THIS}}}[$__rate_interval]))", width=12),
])

DEAD_LETTERS = ("What is in its dead letters?", [
    series("When did dead letters appear?", "New dead letters in the last hour, by reason and phase (0: of a rule).", [
        query(f'sum by (reason, phase) (increase(ringback_dead_letters_total{{{THIS},kind="delivery"}}[1h]))', "{{reason}}, phase {{phase}}"),
    ], stacked=True, width=12, runbooks=("RingbackDeadLettersOpen",)),
    table("Why are its webhooks dead letters?", "Dead letters since the start of the instances.",
          [query(f'sum by (webhook, reason, phase) (ringback_dead_letters_total{{{THIS},kind="delivery"}})')],
          renamed={"Value": "Dead letters"}, sort="Dead letters"),
])


def dashboard():
    chosen = variable("webhook", "Webhook", 'label_values(ringback_webhook_backlog{job=~"$job"}, webhook)')
    return build("webhook", "Ringback: one webhook", "How a customer's endpoint does, and what happens to its webhooks.",
                 [NOW, DELIVERIES, LATENCY, DEAD_LETTERS], [chosen])
