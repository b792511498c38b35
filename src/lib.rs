//! Ringback delivers a telephony platform's two-phase Omnichannel webhooks from Kafka: once when a flow completes, once
//! when the delivery status of its SMS is known; in this order, each exactly once in effect.
//!
//! # The floors
//!
//! A module imports only lower floors, and modules of one floor do not know each other.
//!
//! | floor | module | holds |
//! |---|---|---|
//! | 0 | [`domain`] | ids, time, commands, events, state; [`domain::decide`] and [`domain::evolve`]; the retry schedule |
//! | 0 | [`json`] | JSON text: written, walked where it stands, scanned and hashed, its strings read |
//! | 0 | [`xpath`] | XPath 1.0 over parsed XML, with a bound on the work |
//! | 1 | [`definition`] | the language of webhook definitions: templates, variables and their facts, maps of answers, the catalogue |
//! | 1 | [`codec`] | bytes ↔ domain: source records (JSON, Avro), stored rows, events, dead letters, commands |
//! | 1 | [`telemetry`] | every metric's name and labels, health, logs, what is masked in them |
//! | 1 | [`clock`] | what time it is, and waiting |
//! | 1 | [`exit`] | how the process ends, and with which code |
//! | 1 | [`failpoint`] | moments at which a test has the process die |
//! | 1 | [`system`] | how many files the process may have open, and who may use how many |
//! | 2 | [`store`] | RocksDB: one column family per partition; rows, due index and checkpoint together |
//! | 2 | [`log`] | Kafka: the poll thread, the transaction, the restore, the topics; the ports of the engine |
//! | 2 | [`delivery`] | HTTP: one lane per endpoint, the client, the address policy, the signature |
//! | 3 | [`engine`] | the shell: one loop over closed inputs, and its parts: partitions, committer, dispatcher, report |
//! | 3 | [`replay`] | dead letters in an operator's hands: found, and sent after all |
//! | 3 | [`rebuild`] | the changelog, written from a store |
//! | 3 | [`offsets`] | where inputs are read on: shown, and moved while no daemon runs |
//! | 3 | [`verify`] | what input, events, dead letters, changelog, offsets and store say of each other |
//! | 4 | [`document`] | values with their origins; the check by a schema; faults |
//! | 4 | [`inspect`] | what operators may see, as typed answers: traces, webhooks, dead letters, verification, previews |
//! | 5 | [`accounts`] | entries of a source → check and build → accounts with their webhooks, flows and rules |
//! | 5 | [`admin`] | metrics, health and the operators' pages over HTTP |
//! | 6 | [`config`] | the settings, from file and environment; reads settings and accounts together |
//! | 6 | [`shutdown`] | signals |
//! | 7 | [`app`] | builds the daemon of its configuration, runs and drains it |
//! | 8 | [`demo`] | everything at work in one process |
//! | 9 | [`cli`] | the commands; `main.rs` calls it and nothing else |
//!
//! # The one way through it
//!
//! ```text
//! bytes ─codec→ Command ─decide→ [Event] ─evolve→ State
//!    └ log: ONE Kafka transaction = changelog + events + dead letters + forwarded records + offsets
//!       └ store: the write-back cache; later ONE WriteBatch = the rows that are left + indexes + checkpoint
//!          └ wake (no data) → dispatch re-reads the outbox → delivery → Outcome
//!             └ Command::RecordOutcome → decide … (the same road)
//! ```
//!
//! To follow a record, read `log/reader.rs`, `codec/source.rs`, `engine.rs`, `engine/batch.rs`, `engine/work.rs`,
//! `domain/decide.rs`, `definition.rs` (which renders bodies), `engine/commit.rs`, `engine/dispatcher.rs`, `engine/outbox.rs`,
//! `delivery/schedule.rs`, `delivery/endpoint.rs`, in this order.
//!
//! # Folders
//!
//! `schemas/` what records, rows and events look like · `config/` commented defaults and examples · `benches/` what it costs ·
//! `tests/ringback/` the real binary on a real Kafka, a module per capability · `tests/fuzz/` every decoder under mutated
//! input · `tests/fixtures/` what earlier versions wrote · `tests/tidy/` the architecture, read from the sources' text · `ops/` everything around the daemon: containers, units, dashboards, runbooks, decisions.
//!
//! # What there is not
//!
//! The invariants, as absences, each with the test that holds it.
//!
//! - No fact or webhook lost, and none repeated but what was in the air, when the daemon is killed:
//!   `tests/ringback/crashes.rs::three_kills_under_load_lose_nothing_and_repeat_little`.
//! - No commit that counts as made, or as not made, because its answer was lost:
//!   `tests/ringback/proxy.rs::a_commit_whose_success_is_not_reported_is_found_in_the_changelog`,
//!   `tests/ringback/proxy.rs::a_commit_whose_failure_is_not_reported_is_repeated`.
//! - No damage to topics or store that `ringback verify` does not name: `src/verify/tests/damage.rs`, a test for each kind,
//!   and `tests/ringback/verify.rs::verify_accepts_an_eventful_day_and_names_later_damage`; and nothing that
//!   only moves or was taken by retention that it accuses:
//!   `src/verify/tests/random.rs::a_scan_beside_a_running_daemon_finds_no_violation`,
//!   `src/verify/tests/random.rs::records_that_retention_removed_cause_no_violation`.
//! - No log that was replaced and passes for the one that was read: `src/verify/tests/inputs.rs`, a test for each kind, and
//!   `tests/ringback/identity.rs::a_recreated_input_is_verified_against_its_own_records`; nor offsets that were moved and make
//!   it accuse: `tests/ringback/identity.rs::offsets_that_kafkas_tool_moves_back_are_a_note_and_no_violation`.
//! - Nor one that passes because the broker knows no topic ids:
//!   `tests/ringback/marks.rs::an_input_without_an_id_that_was_recreated_while_no_daemon_ran_is_read_from_its_beginning`,
//!   `tests/ringback/marks.rs::an_input_without_an_id_that_is_recreated_under_a_daemon_is_read_from_its_beginning`,
//!   `tests/ringback/marks.rs::a_changelog_without_an_id_that_was_recreated_is_refused`; no row that is committed to a changelog
//!   whose offsets have gone back:
//!   `tests/ringback/marks.rs::a_daemon_whose_changelog_without_an_id_is_recreated_ends_and_its_store_has_all_rows`.
//! - No changelog of another group that `check --online` calls ours:
//!   `tests/ringback/identity.rs::check_online_names_the_group_that_owns_the_changelog`.
//! - Nor in any simulated world: `src/engine/tests.rs::no_fault_loses_doubles_or_reorders_anything`.
//! - Nor at any moment of a commit, a restore or an attempt: `tests/ringback/failpoints.rs`, a test for each.
//! - Nor by any row of blows against three instances and their broker:
//!   `tests/ringback/torture.rs::many_kills_lose_nothing_and_repeat_little`.
//! - No outcome of an instance whose partitions are another's by now:
//!   `tests/ringback/instances.rs::zombies_commit_no_outcome_of_deliveries_that_another_instance_made`.
//! - No restore that takes a transaction that is open for the end of the changelog:
//!   `tests/ringback/restores.rs::rows_above_an_open_transaction_are_restored_once_it_is_aborted`.
//! - No state that only one disk has: `tests/ringback/stores.rs::a_deleted_store_is_restored_from_the_changelog`.
//! - Nor state that is lost with the changelog's topic: `tests/ringback/rebuild.rs::a_deleted_changelog_is_written_from_the_store`;
//!   no rebuild that a crash leaves half done unnoticed:
//!   `tests/ringback/rebuild.rs::an_interrupted_rebuild_is_refused_by_the_daemon_and_can_be_continued`; none that two of them, or a
//!   rebuild and an instance, make together: `tests/ringback/rebuild/beside.rs`; nor rows that another machine's store has:
//!   `tests/ringback/rebuild/machines.rs::each_machine_writes_the_partitions_of_its_own_store`.
//! - No position that is moved in one of its two places only:
//!   `tests/ringback/offsets.rs::skipped_records_are_never_delivered_and_the_rest_is`; none that is moved in part because
//!   something else happens meanwhile: `tests/ringback/offsets/beside.rs`; nor to where no record is:
//!   `tests/ringback/offsets/places.rs::positions_are_moved_to_a_time_an_offset_and_the_end_and_nowhere_else`.
//! - No disk that fails unseen: `tests/ringback/disks.rs::a_full_disk_ends_the_daemon_which_continues_once_there_is_room`,
//!   `tests/ringback/disks.rs::a_failed_write_ends_the_daemon_which_continues_once_writes_succeed`.
//! - No log that ends the daemon because its disk is full or nobody reads it:
//!   `tests/ringback/logs.rs::a_full_disk_loses_log_lines_only_and_the_log_continues_once_there_is_room`,
//!   `tests/ringback/logs.rs::a_closed_log_pipe_does_not_end_the_daemon`; no module that panics for its output:
//!   `tests/tidy/words.rs::no_macro_panics_because_of_its_output`.
//! - No delivery that is late, or given up early, because the system's clock was set:
//!   `tests/ringback/clock.rs::retries_go_on_when_the_clock_is_set_back_by_two_hours`,
//!   `tests/ringback/clock.rs::no_delivery_expires_when_the_clock_is_set_forward_by_two_days`,
//!   `src/engine/tests.rs::nothing_comes_early_or_late_because_clocks_jump`.
//! - No damaged store that is used, deleted, or in the way of the changelog:
//!   `tests/ringback/stores/damaged.rs::each_damaged_store_is_set_aside_and_restored`, also when it is damaged under a running
//!   daemon:
//!   `tests/ringback/stores/damaged.rs::a_store_that_is_damaged_while_the_daemon_runs_is_marked_and_set_aside_at_the_next_start`;
//!   none that a kill leaves half moved:
//!   `src/store/aside/tests.rs::an_interrupted_move_is_finished`; none that is moved because its disk, its limits or another
//!   instance fail it: `src/store/damage/tests.rs::an_error_that_another_store_would_also_have_is_not_damage`; none that is restored
//!   again and again: `src/store/recovery/tests.rs::a_third_damage_within_an_hour_is_not_restored_and_after_it_the_oldest_copy_goes`.
//! - No attempt that a crash forgets: `tests/ringback/retries.rs::due_times_and_attempt_counts_survive_a_crash`.
//! - No endpoint that costs the others anything:
//!   `tests/ringback/retries.rs::an_endpoint_that_hangs_times_out_and_does_not_affect_others`,
//!   `tests/ringback/lanes/neighbours.rs::endpoints_with_endless_answers_delay_no_others_and_get_their_deliveries`,
//!   `tests/ringback/lanes/neighbours.rs::endpoints_that_answer_just_before_the_timeout_delay_no_others_and_get_their_deliveries`; no lane
//!   that waits for a slot while one that holds more gets it:
//!   `src/delivery/queues.rs::a_free_slot_goes_to_the_lane_that_holds_the_fewest`, and however slots are held:
//!   `src/delivery/schedule/tests/fairness.rs::a_healthy_lane_gets_a_slot_at_once_beside_forty_slow_lanes`.
//! - No name whose look-up hangs and costs others anything: `tests/ringback/names.rs::names_whose_look_up_hangs_delay_no_other_endpoint`,
//!   `src/delivery/names/tests.rs::names_that_hang_do_not_delay_others`; no look-up that outlives its attempts:
//!   `src/delivery/names/tests.rs::a_look_up_ends_with_the_last_attempt_that_waits_for_it`; and no name that has moved and is called
//!   where it was: `tests/ringback/names.rs::deliveries_follow_a_name_that_moves_under_a_steady_flow`; no token server, proxy or registry whose
//!   name hangs and holds others: `src/delivery/names/tests/answers.rs::a_proxy_or_token_server_whose_name_hangs_does_not_delay_others`,
//!   `tests/ringback/names.rs::a_registry_whose_name_hangs_delays_no_delivery`; no address of a name server's answer that the policy
//!   does not judge: `src/delivery/names/tests/answers.rs::an_endpoint_whose_name_has_forbidden_addresses_only_is_not_called`.
//! - No endpoint that is sent more than it allows or asks for: `tests/ringback/lanes.rs::retry_after_holds_the_whole_lane`,
//!   `tests/ringback/lanes/busy.rs::a_request_for_a_pause_is_obeyed_in_every_spelling`,
//!   `tests/ringback/lanes/busy.rs::a_burst_gets_through_a_limiter_that_answers_429_without_a_time`,
//!   `tests/ringback/lanes.rs::three_instances_keep_to_a_rate_together_and_use_it`; nor after it said that it is gone:
//!   `tests/ringback/lanes.rs::an_endpoint_that_is_gone_is_disabled_in_every_partition_until_it_is_enabled`.
//! - No attempt counted of what a breaker held back:
//!   `tests/ringback/lanes.rs::the_breaker_opens_sends_single_probes_closes_and_counts_no_attempt_of_held_rows`.
//! - No attempt, open breaker or dead letter for what the daemon itself lacks:
//!   `tests/ringback/shortages.rs::a_shortage_of_files_costs_no_attempt_and_health_is_answered`,
//!   `tests/ringback/shortages.rs::limits_are_reduced_to_the_available_files_and_everything_is_delivered`,
//!   `src/delivery/tests/shortages.rs::every_way_to_an_endpoint_reports_a_shortage_of_files`; and no failure of an endpoint
//!   that counts as one: `src/delivery/shortage.rs::errors_that_an_endpoint_or_the_network_can_cause_are_no_shortages`,
//!   `src/delivery/tests/shortages.rs::a_shortage_of_ports_differs_from_an_address_without_a_route`.
//! - No attempt that counts as failed because a kept connection ended or refused the request:
//!   `src/delivery/tests/again.rs::an_exchange_lost_with_a_kept_connection_is_repeated_at_once`,
//!   `src/delivery/tests/http2.rs::an_unprocessed_stream_is_repeated_on_a_fresh_connection`,
//!   `tests/ringback/exchanges.rs::connections_that_end_cost_no_attempt`; and no request that is sent again more than once, or
//!   though its answer had begun: `src/delivery/tests/again.rs::an_exchange_is_repeated_only_once`,
//!   `src/delivery/tests/again.rs::an_answer_that_has_begun_is_an_answer_on_a_kept_connection_too`.
//! - No status that is lost, or does not decide, because of what else stands in a head:
//!   `src/delivery/tests/heads.rs::the_status_of_an_unreadable_head_counts`,
//!   `tests/ringback/exchanges.rs::a_status_decides_whatever_else_is_wrong_with_its_head`; nor the status of another exchange
//!   that decides: `src/delivery/tests/again.rs::no_status_of_an_earlier_exchange_decides`.
//! - No fresh delivery behind a storm of retries:
//!   `tests/ringback/lanes.rs::a_storm_of_retries_leaves_fresh_deliveries_their_slots`.
//! - No row that waits for a webhook that is configured no more, for ever:
//!   `tests/ringback/lanes.rs::deliveries_of_a_removed_webhook_do_not_wait_for_ever`.
//! - No call to an address that the policy forbids, however a URL or a look-up spells it:
//!   `tests/ringback/addresses.rs::an_address_that_is_not_allowed_is_never_called`; no look-up between the check and the
//!   connection:
//!   `src/delivery/tests.rs::a_name_is_resolved_once_per_connection_and_only_checked_addresses_are_called`; no proxy that
//!   gets around both: `tests/ringback/addresses.rs::a_proxy_of_the_environment_is_not_used`.
//! - No proxy of the configuration that hears of such an address, as far as it can be known here:
//!   `src/delivery/tests/proxies.rs::requests_to_forbidden_addresses_are_never_sent_to_a_proxy`; no redirect that is followed, to such an
//!   address or another: `src/delivery/tests/answers.rs::a_redirect_is_final_and_not_followed`.
//! - No answer of XML that reads a file, or that grows when it is read:
//!   `src/definition/mapping/tests/hostile.rs::entities_are_neither_expanded_nor_fetched`.
//! - No token asked for again and again because an endpoint refuses whatever it is shown:
//!   `src/delivery/tests/tokens.rs::a_request_with_a_refused_token_is_repeated_only_when_the_token_is_old_enough`.
//! - No answer that is waited for beyond its deadline or kept beyond its limit, packed or not:
//!   `src/delivery/tests/bodies.rs::endless_packed_answers_are_cut_and_their_connections_closed`.
//! - No key of the configuration of which nobody has said whether a reload applies it, and whether it shows:
//!   `src/config/tests/effective.rs::every_key_is_listed_with_its_reload_and_its_visibility`; none that a reload treats
//!   otherwise: `src/config/tests/effective.rs::a_reload_applies_exactly_the_listed_keys`; no file that is applied without the
//!   other: `tests/ringback/reloads.rs::a_faulty_settings_file_prevents_the_reload_of_the_accounts_too`.
//! - No hash that differs though the configurations mean the same:
//!   `src/config/tests/effective.rs::equivalent_configurations_have_the_same_hashes`.
//! - No endpoint that a reload builds anew though nothing about it changed, so that its connections and its token are lost:
//!   `tests/ringback/reloads/endpoints.rs::connections_of_an_endpoint_that_did_not_change_stay_open`,
//!   `tests/ringback/reloads/endpoints.rs::a_token_of_an_endpoint_that_did_not_change_is_not_fetched_again`; and none that stays though
//!   its definition, a default or the content of a file changed:
//!   `src/config/tests/kept.rs::an_endpoint_is_rebuilt_when_any_of_its_settings_or_files_changes`.
//! - No source of accounts that needs a signal to be heard:
//!   `src/demo/tests.rs::accounts_of_a_source_are_applied_without_a_signal`.
//! - No key of an earlier version that is refused though it changes nothing, or dropped without a warning:
//!   `tests/ringback/reloads/retired.rs::a_key_that_has_no_effect_any_more_is_one_warning_at_the_start_at_a_reload_and_in_check`.
//! - No SIGHUP that ends a daemon which is still starting:
//!   `tests/ringback/reloads.rs::sighup_during_the_start_reloads_and_does_not_end_the_daemon`; no file that hangs and keeps it from stopping:
//!   `tests/ringback/reloads.rs::a_daemon_can_be_stopped_while_a_file_hangs`; no reload that waits for Kafka before
//!   lanes follow it, and none that is kept though a newer one came:
//!   `src/engine/tests/reloads.rs::lanes_follow_at_once_and_the_newest_configuration_alone_waits`.
//! - No test message that is taken for the daemon's, though that one runs another configuration:
//!   `tests/ringback/reloads.rs::webhook_test_warns_when_the_daemon_runs_another_configuration`.
//! - No secret in what an operator is shown: `tests/ringback/webhooks.rs::an_answer_that_echoes_the_request_shows_no_secrets`; none in the configuration in
//!   force, of whatever kind: `src/config/tests/effective.rs::no_secret_is_shown_and_each_changes_the_hash`; no body of a customer's
//!   that nobody asked for:
//!   `tests/ringback/trace.rs::trace_shows_both_phases_a_failure_and_a_dead_letter_in_order`.
//! - No signature that only our own code can verify: `tests/ringback/bodies.rs::ed25519_keys_sign_beside_a_secret`.
//! - No module that knows a higher floor, or its neighbour: `tests/tidy/floors.rs::modules_import_only_lower_floors`.
//! - No clock, randomness, I/O, serialisation or log in [`domain`]: `tests/tidy/words.rs::the_core_is_pure`.
//! - No accepted report that ends in no webhook, no newer report of its SMS, no event and no dead letter:
//!   `src/domain/tests/ends.rs::without_a_list_all_waiting_reports_except_the_first_final_one_are_late`, and in any history
//!   `src/domain/tests/model.rs::random_histories_keep_the_invariants`; nor one that `ringback verify` does not name:
//!   `src/verify/tests/reports.rs::an_accepted_report_without_an_end_is_lost`.
//! - No fact that only a counter knows: a record that can't be read, a rule that nobody can judge, and a reload that is refused are
//!   an event, a metric and a line: `tests/ringback/logs/lines.rs::many_similar_failures_are_few_lines`,
//!   `tests/ringback/logs/lines.rs::a_rule_that_can_not_be_evaluated_is_an_event_a_metric_and_a_line`,
//!   `tests/ringback/logs/lines.rs::a_refused_reload_is_an_event_a_metric_and_a_line`; nor a key that a reload leaves as it was:
//!   `tests/ringback/reloads.rs::sighup_applies_changes_of_both_files_and_names_the_keys_that_need_a_restart`; and no flood of lines about one fact:
//!   `tests/ringback/logs/lines.rs::an_unreachable_kafka_is_one_line_with_broker_and_cause`.
//! - No header of a producer, and no tombstone, that is lost on the way through a dead letter:
//!   `tests/ringback/dead_letters/headers.rs::headers_and_tombstones_are_kept_in_the_dead_letter_and_in_its_replay`; none that is
//!   taken for one of our own: `tests/ringback/dead_letters/headers.rs::a_foreign_header_is_no_command`.
//! - No dead letter that is shown as open though it was sent after all, delivered, or given up anew, nor the other way round:
//!   `tests/ringback/dead_letters/states.rs`, a test for deliveries, one for records, and one for what is too old to be known; no
//!   open one that a crash, another instance or Kafka's retention counts wrongly:
//!   `tests/ringback/dead_letters/states.rs::open_letters_are_counted_over_crashes_and_shared_among_instances`.
//! - No text from outside that steers a terminal:
//!   `tests/ringback/dead_letters/shown.rs::foreign_text_controls_no_terminal_and_json_keeps_its_value`; no line of a JSON log that
//!   is none: `tests/ringback/logs/lines.rs::every_log_line_is_json`.
//! - No daemon that is ready though it can't commit, and none that does not say why:
//!   `tests/ringback/commits.rs::records_above_a_topics_size_limit_make_the_daemon_unready_until_the_limit_is_raised`,
//!   `tests/ringback/commits.rs::a_clock_that_is_hours_ahead_makes_the_daemon_unready_until_it_is_corrected`; none that a right is
//!   taken from and that does not name it:
//!   `tests/ringback/commits.rs::a_revoked_right_makes_the_daemon_unready_until_it_is_granted_again`.
//! - No page of the guide, nor README, with a command or a program that nobody has run:
//!   `tests/ringback/guide.rs::every_page_has_a_scene_and_stands_in_the_index`, and a test for each page beside it; no link that leads
//!   nowhere: `tests/tidy/documents.rs::every_link_leads_to_an_existing_file`.
//! - No reference that differs from what it describes: `tests/tidy/reference.rs::the_configuration_reference_is_the_generated_one`,
//!   `src/telemetry/tests/reference.rs::the_metrics_reference_is_the_generated_one`.
//! - No client library that sends a record to another partition than the daemon expects, if it is used as the guide says:
//!   `tests/ringback/guide.rs::producers_in_three_languages_choose_the_right_partition`; no signature that the libraries of Standard
//!   Webhooks refuse: `tests/ringback/guide.rs::receivers_in_four_languages_verify_signatures`.
//! - No state that its events do not make, no second phase 1, no delivery that ends twice, no SMS told of twice, no
//!   correlation that never ends, whatever comes in whatever order:
//!   `src/domain/tests/model.rs::random_histories_keep_the_invariants`.
//! - No schema id that is given up for more than the records that waited for the registry's answer, and no answer that says
//!   nothing of the id and is taken for one: `tests/ringback/schemas.rs`, a test for each kind.
//! - No input that seems to lag though all of its records are processed, or not to lag though some are not:
//!   `tests/ringback/lag.rs::an_idle_daemon_has_no_lag_although_markers_follow_the_last_records`,
//!   `tests/ringback/lag.rs::records_behind_an_open_transaction_count_as_lag`; no delivery that seems overdue because its
//!   endpoint holds it back, or not to be old because it waits for its next attempt:
//!   `tests/ringback/lag.rs::a_row_that_waits_for_its_next_attempt_is_old_and_not_overdue`,
//!   `tests/ringback/lag.rs::a_row_that_waits_for_a_slot_of_the_daemon_is_overdue_and_one_of_a_hanging_endpoint_is_not`.
//! - No command that says "try again" of what somebody has to correct:
//!   `tests/ringback/commands.rs::a_wrong_property_is_a_wrong_configuration_for_every_command`,
//!   `src/cli.rs::lasting_errors_exit_with_78_and_others_with_75`.
//! - No record that is read twice because librdkafka hands it out twice, and none that is not read because its offset was
//!   another record's before: `src/log/reader/position.rs::records_that_were_read_are_skipped_until_a_new_one_comes`,
//!   `src/log/reader/position.rs::another_record_at_an_earlier_offset_counts_as_not_read`.
//! - No property of librdkafka that nobody has looked at, and none that breaks a guarantee:
//!   `src/config/settings/build/client/properties.rs::every_property_of_librdkafka_has_a_rule`,
//!   `src/config/tests/client.rs::properties_that_the_guarantees_need_can_not_be_set`.
//! - No right in Kafka that is needed and not in the guide, or in the guide and not needed:
//!   `tests/ringback/rights.rs::commands_need_exactly_the_rights_of_the_guide`; none that is missing and not named:
//!   `tests/ringback/rights.rs::the_daemon_waits_for_each_right_and_names_it`,
//!   `tests/ringback/rights.rs::a_right_that_is_missing_while_partitions_are_restored_is_named`.
//! - No two instances with one `instance_id` that fence each other for ever:
//!   `tests/ringback/instances.rs::of_two_instances_with_one_id_one_exits_with_78_and_the_other_works`; and none that ends
//!   because Kafka executed its own former request to join late:
//!   `tests/ringback/instances.rs::an_instance_that_its_own_earlier_join_fenced_joins_again_once`.
//! - No client that can't log in with tokens, or does not renew them:
//!   `tests/ringback/logins.rs::every_client_logs_in_with_tokens_and_renews_them`.
//! - No offset of an input that is configured no more:
//!   `tests/ringback/routing.rs::an_input_that_is_no_longer_configured_leaves_no_offset_behind`.
//! - No phase 2 before the end of phase 1, where the order is strict:
//!   `src/domain/tests/collection.rs::strict_phase_2_leaves_when_phase_1_was_delivered`.
//! - No outcome that counts twice: `src/domain/tests/attempts.rs::an_outcome_is_stale_if_it_is_known_or_skips_an_attempt_or_has_no_delivery`.
//! - No report that shadows another account's:
//!   `src/domain/tests/waiting.rs::a_report_under_another_account_never_shadows_the_genuine_one`.
//! - No dead letter that an interrupted replay forgets, or sends twice:
//!   `tests/ringback/dead_letters.rs::an_interrupted_replay_resumes_and_sends_each_letter_once`; none that is replayed though it was
//!   delivered since: `tests/ringback/dead_letters.rs::letters_that_were_delivered_since_are_skipped_and_counted`.
//! - No delivery twice in the outbox, whatever is replayed:
//!   `src/domain/tests/replay.rs::a_flow_that_comes_again_after_its_marker_expired_does_not_repeat_its_replay`.
//! - No retry whose jitter differs in a replay:
//!   `src/domain/retry.rs::delays_stay_within_the_factor_and_are_spread_and_repeatable`.
//! - No partition that another client's partitioner would choose otherwise:
//!   `src/domain/id.rs::murmur2_agrees_with_kafkas_own_vectors`.
//! - No condition or webhook that reads the facts of its occasion again:
//!   `src/domain/tests/rules.rs::the_facts_of_an_occasion_are_read_once_for_all_its_conditions_and_webhooks`,
//!   `src/definition/facts/tests.rs::each_part_is_parsed_once_and_only_if_it_is_needed`; and no running size of a row that differs
//!   from its size: `src/domain/decide/room.rs::the_running_size_is_that_of_all_events_from_the_beginning`.
//! - No row that is too large for a record, whatever comes for one uuid, nor one that becomes so by itself:
//!   `src/codec/row/tests/size.rs::no_row_of_long_texts_exceeds_the_limit`; no partition that stands still for it:
//!   `tests/ringback/poison.rs::a_flow_whose_webhooks_would_not_fit_into_a_row_is_a_dead_letter`,
//!   `tests/ringback/poison.rs::reports_that_would_not_fit_into_a_row_together_are_dead_letters`.
//! - No row that is neither in the store nor behind its checkpoint in the changelog:
//!   `src/store/write_back/tests.rs::reads_agree_wherever_rows_are_and_a_restart_finds_the_rest_in_the_changelog`.
//! - No more rows in memory than two generations, whatever is put:
//!   `src/store/write_back/tests.rs::a_full_generation_is_written_before_another_is_full`.
//! - No event with a member that the published schema does not name, and no schema that the reader does not generate:
//!   `src/codec/event/tests/schema.rs`; each event that an integration test reads is checked by `tests/ringback/harness/events.rs`.
//! - No bytes of others that make a decoder panic, hang, or take memory without bound:
//!   `tests/fuzz/main.rs::every_target_withstands_mutations`; none that broke one before and does so again:
//!   `tests/fuzz/main.rs::every_target_withstands_its_corpus`.
//! - No row, store or changelog of an earlier version that is not read as it was meant:
//!   `src/engine/restore/tests.rs::stores_of_every_version_open_and_continue_with_the_changelog`; none of a newer version that is
//!   touched: `tests/ringback/upgrades.rs::a_row_of_a_newer_version_is_refused_and_not_changed`.
//! - No index row that outlives its row, nor one lane's rows in another's:
//!   `src/store/partition/tests.rs::indexes_follow_the_rows_and_lanes_do_not_mix`.
//! - No unsafe code but where librdkafka is asked for what rust-rdkafka does not offer (`log/describe.rs`, `log/headers.rs`,
//!   `log/rights/native.rs`, `log/group.rs` and its one caller in `log/transaction.rs`), and the fuzzer's counters:
//!   `tests/tidy/words.rs::unsafe_code_is_only_in_audited_files`.
//! - No lint allowed, nothing left to do: `tests/tidy/words.rs::no_file_contains_allow_attributes_or_unfinished_code`.
//! - No file of more than 500 lines: `tests/tidy/words.rs::files_are_short`; none that does not say what it is for:
//!   `tests/tidy/words.rs::every_file_says_what_it_is_for`.
//! - No dependency without a reason: `tests/tidy/documents.rs::every_dependency_gives_its_reason`.

pub mod accounts;
pub mod admin;
pub mod app;
pub mod cli;
pub mod clock;
pub mod codec;
pub mod config;
pub mod definition;
pub mod delivery;
pub mod demo;
pub mod document;
pub mod domain;
pub mod engine;
pub mod exit;
pub mod failpoint;
pub mod inspect;
pub mod json;
pub mod log;
pub mod offsets;
pub mod rebuild;
pub mod replay;
pub mod shutdown;
pub mod store;
pub mod system;
pub mod telemetry;
pub mod verify;
pub mod xpath;

/// The daemon's, which matters where a test runs for its speed.
#[cfg(test)]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
