//! Ringback delivers the two-phase Omnichannel webhooks of a telephony platform from Kafka. The first webhook is sent
//! when a flow completes, the second when the delivery status of its SMS is known. They arrive in this order, each
//! exactly once in effect.
//!
//! # The floors
//!
//! A module imports only modules of lower floors. Modules of the same floor do not know each other.
//!
//! | floor | module | holds |
//! |---|---|---|
//! | 0 | [`domain`] | ids, time, commands, events, state; [`domain::decide`] and [`domain::evolve`]; the retry schedule |
//! | 0 | [`json`] | JSON text without a tree: writing, walking, scanning with a hash, reading strings |
//! | 0 | [`xpath`] | XPath 1.0 over parsed XML, with a limit on the work of each evaluation |
//! | 1 | [`definition`] | webhook definitions: templates, variables and their facts, answer mappings, the catalogue |
//! | 1 | [`codec`] | bytes ↔ domain: source records (JSON, Avro, in envelopes), stored rows, events, dead letters, commands |
//! | 1 | [`telemetry`] | metrics with their names and labels, traces, health, logs, the masking of secrets |
//! | 1 | [`allocator`] | the memory allocator's settings |
//! | 1 | [`clock`] | the time, and waiting |
//! | 1 | [`exit`] | the end of the process, and its exit code |
//! | 1 | [`failpoint`] | points at which a test makes the process die |
//! | 1 | [`system`] | the limit of open files, and its division among the daemon's parts |
//! | 2 | [`store`] | RocksDB: one column family per partition with its rows, indexes and checkpoint |
//! | 2 | [`log`] | Kafka: the poll thread, transactions, restores, topics; the traits that the engine needs of Kafka |
//! | 2 | [`delivery`] | HTTP: one lane per endpoint, the client, the address policy, signatures |
//! | 3 | [`engine`] | the shell: one loop over a closed set of inputs; its parts: partitions, committer, dispatcher, report |
//! | 3 | [`replay`] | finds dead letters for operators, and replays them |
//! | 3 | [`rebuild`] | writes a lost changelog from a store |
//! | 3 | [`sink`] | writes the answers of endpoints into a database |
//! | 3 | [`offsets`] | shows the positions of inputs, and moves them while no daemon runs |
//! | 3 | [`verify`] | checks that inputs, events, dead letters, changelog, offsets and store agree |
//! | 4 | [`repartition`] | copies changelog and inbox to another number of partitions |
//! | 4 | [`document`] | configuration values with their origins; the check against a schema; faults |
//! | 4 | [`inspect`] | typed answers for operators: traces, webhooks, dead letters, verification, previews |
//! | 5 | [`accounts`] | builds accounts with their webhooks, flows and rules from a file or the rows of a database |
//! | 6 | [`config`] | the configuration: reads settings (from file and environment) and accounts together |
//! | 6 | [`console`] | what operators see and change while the daemon runs, as pages and as JSON |
//! | 6 | [`shutdown`] | signals |
//! | 7 | [`admin`] | the operators' HTTP server: metrics, health, who may ask, the console |
//! | 8 | [`app`] | builds the daemon from its configuration, runs it and drains it |
//! | 9 | [`demo`] | all parts in one process, without a server |
//! | 10 | [`cli`] | the commands; `main.rs` calls nothing else |
//!
//! The domain is at the bottom and does no I/O, so that tests can run any history without a broker, a disk or a clock.
//! Store, Kafka and HTTP do not know each other. Only the engine combines them, so one place ensures that a delivery
//! leaves after its row is committed. The operators' tools are beside the engine, not above it, because they work
//! without a daemon. The configuration is above all that it configures: the lower modules get typed values that are
//! already checked.
//!
//! # The path of data
//!
//! ```text
//! bytes ─codec→ Command ─decide→ [Event] ─evolve→ State
//!    └ log: ONE Kafka transaction = changelog + events + dead letters + forwarded records + offsets
//!       └ store: the write-back cache; later, in WriteBatches, the rows that are left + indexes, then the checkpoint
//!          └ wake-up (no data) → dispatcher reads the outbox → delivery → Outcome
//!             └ Command::RecordOutcome → decide … (the same path)
//! ```
//!
//! To follow a record, read these files in this order: `log/reader.rs`, `codec/source.rs`, `engine.rs`,
//! `engine/batch.rs`, `engine/work.rs`, `domain/decide.rs`, `definition.rs` (which renders bodies), `engine/commit.rs`,
//! `engine/dispatcher.rs`, `engine/outbox.rs`, `delivery/schedule.rs`, `delivery/endpoint.rs`.
//!
//! # Folders
//!
//! - `schemas/`: the schemas of records, rows, events and configuration files, and the tables of accounts.
//! - `config/`: the default configuration with comments, the catalogue of the platform's names, and examples.
//! - `benches/`: benchmarks of single steps and of the daemon. `tests/tidy/`: checks that read the text of the sources.
//! - `tests/ringback/`: tests of the real binary on a real Kafka, a module for each capability.
//! - `tests/fuzz/`: mutated input for every decoder. `tests/fixtures/`: data that earlier versions wrote.
//! - `ops/`: guide, decisions, monitoring, container, Helm chart, packages, quick start, Compose, units, development setup.
//!
//! # Glossary
//!
//! - *backlog*, *lease*: a backlog is all outbox rows of one webhook. A lane has a lease on a row until its outcome is
//!   committed.
//! - *lane*: the jobs of one endpoint in memory, with its rate limit, concurrency limit and breaker.
//! - *occasion*, *facts*: an occasion can trigger rules. Its facts are the records and saved answers that variables
//!   read.
//! - *slot*, *pool*: a slot is the right to one unanswered request of the instance. A pool is the slots that jobs of
//!   one kind may use.
//!
//! # What there is not
//!
//! The invariants, each as something that never happens, with the tests that check it.
//!
//! ## Crashes and transactions
//!
//! - A kill loses no fact and no webhook, and repeats only requests that were in flight:
//!   `tests/ringback/crashes.rs::three_kills_under_load_lose_nothing_and_repeat_little`.
//! - A crash at any point of a commit, a restore or an attempt loses nothing: `tests/ringback/failpoints.rs`, a test
//!   for each point.
//! - A long series of kills of three instances and their broker loses nothing and repeats little:
//!   `tests/ringback/torture.rs::many_kills_lose_nothing_and_repeat_little`.
//! - No fault in a simulated world loses, doubles or reorders anything:
//!   `src/engine/tests.rs::no_fault_loses_doubles_or_reorders_anything`.
//! - A commit whose result was not reported is never assumed to have succeeded or failed:
//!   `tests/ringback/proxy.rs::a_commit_whose_success_is_not_reported_is_found_in_the_changelog`,
//!   `tests/ringback/proxy.rs::a_commit_whose_failure_is_not_reported_is_repeated`.
//! - An instance that has lost its partitions commits no outcome for them:
//!   `tests/ringback/instances.rs::zombies_commit_no_outcome_of_deliveries_that_another_instance_made`.
//! - Two instances with the same `instance_id` do not fence each other for ever:
//!   `tests/ringback/instances.rs::of_two_instances_with_one_id_one_exits_with_78_and_the_other_works`.
//! - An instance does not end because Kafka executed its own earlier request to join late:
//!   `tests/ringback/instances.rs::an_instance_that_its_own_earlier_join_fenced_joins_again_once`.
//! - A crash resets no due time and no count of attempts:
//!   `tests/ringback/retries.rs::due_times_and_attempt_counts_survive_a_crash`.
//! - A setting of the system's clock makes no retry late and no delivery expire early: `tests/ringback/clock.rs`, a
//!   test for each direction, and `src/engine/tests.rs::nothing_comes_early_or_late_because_clocks_jump`.
//!
//! ## Correlations and phases
//!
//! - Whatever comes in whatever order, no state differs from its events, no flow has a second phase 1, and no delivery
//!   ends twice. No webhook repeats the status of an SMS, and no correlation lasts for ever:
//!   `src/domain/tests/model.rs::random_histories_keep_the_invariants`.
//! - No accepted report ends without a webhook, a newer report of its SMS, an event or a dead letter:
//!   `src/domain/tests/ends.rs::without_a_list_all_waiting_reports_except_the_first_final_one_are_late`,
//!   `src/domain/tests/model.rs::random_histories_keep_the_invariants`,
//!   `src/verify/tests/reports.rs::an_accepted_report_without_an_end_is_lost`.
//! - No delivery ends without naming the SMS that it is about, whatever happens to their reports meanwhile, and no replay
//!   loses them: `src/domain/tests/about.rs`, a test for each kind of delivery, and
//!   `src/codec/letter/tests.rs::a_deliverys_dead_letter_contains_all_that_a_replay_needs`.
//! - Where the order is strict, phase 2 does not leave before phase 1 has ended:
//!   `src/domain/tests/collection.rs::strict_phase_2_leaves_when_phase_1_was_delivered`.
//! - No rule waits for a delivery that has ended, and none outlives its deliveries:
//!   `src/domain/tests/model.rs::random_histories_keep_the_invariants`.
//! - No rule is lost without an event, however many a decision judges and however little room a row has:
//!   `src/domain/tests/rules/skipped.rs`, a test for each.
//! - No rule about a replayed webhook is judged or skipped before the webhook has ended:
//!   `src/domain/tests/rules/replayed.rs`, `tests/ringback/rules/after.rs::a_replay_after_the_end_of_the_run_triggers_the_rules_whose_facts_are_left`.
//! - No crash and no replay loses the outcome that a later webhook uses:
//!   `tests/ringback/rules/after.rs::the_outcome_of_a_webhook_is_at_hand_for_the_next_over_crashes_and_a_replay`,
//!   `src/domain/tests/rules/after.rs::a_dead_letter_keeps_the_outcome_for_its_replay`.
//! - No outcome counts twice: `src/domain/tests/attempts.rs::an_outcome_is_stale_if_it_is_known_or_skips_an_attempt_or_has_no_delivery`.
//! - No report hides the report of another account:
//!   `src/domain/tests/waiting.rs::a_report_under_another_account_never_shadows_the_genuine_one`.
//! - No retry gets another jitter when its history is replayed:
//!   `src/domain/retry.rs::delays_stay_within_the_factor_and_are_spread_and_repeatable`.
//! - No row is too large for a record, whatever comes for its uuid, and none grows too large later:
//!   `src/codec/row/tests/size.rs::no_row_of_long_texts_exceeds_the_limit`.
//! - The size of a row that is counted delivery by delivery does not differ from its whole size, and no delivery makes a
//!   decision count the others again: `src/domain/tests/room.rs`, a test for each trigger, and
//!   `src/domain/tests/room.rs::the_work_of_a_decision_grows_with_its_deliveries_and_not_with_their_square`,
//!   `src/domain/tests/rules/many.rs::the_work_of_rules_that_wait_grows_with_their_number_and_not_with_its_square`.
//! - No partition stops because records do not fit into a row:
//!   `tests/ringback/poison.rs::a_flow_whose_webhooks_would_not_fit_into_a_row_is_a_dead_letter`,
//!   `tests/ringback/poison.rs::reports_that_would_not_fit_into_a_row_together_are_dead_letters`.
//! - No spelling of a status, no blanks around it and no receipt text around it hide what it means:
//!   `src/domain/status/tests.rs`, a test for each,
//!   `tests/ringback/statuses.rs::statuses_are_read_as_gateways_write_them`.
//! - No documented intermediate word counts as final, and no word has a class without a source:
//!   `src/definition/catalogue/status.rs::each_word_has_one_class_for_all_gateways_and_each_gateway_a_source`,
//!   `src/definition/catalogue/status.rs::words_that_say_that_a_message_is_on_its_way_are_intermediate`.
//! - No crash shortens or forgets the time in which a webhook gathers reports:
//!   `tests/ringback/statuses.rs::three_sms_of_a_flow_without_a_list_make_one_webhook_in_spite_of_a_crash`.
//!
//! ## Definitions and inputs
//!
//! - The facts of a command are not read twice, however many conditions and webhooks use them:
//!   `src/domain/tests/rules.rs::the_facts_of_an_occasion_are_read_once_for_all_its_conditions_and_webhooks`,
//!   `src/domain/tests/rules.rs::the_facts_of_a_command_are_read_once_for_phase_2_and_rules_together`,
//!   `src/definition/facts/tests.rs::facts_with_other_reports_share_all_other_parts`,
//!   `src/definition/facts/tests.rs::each_part_is_parsed_once_and_only_if_it_is_needed`.
//! - No path that found a value when `data` was only a member finds another one:
//!   `src/definition/mapping/tests/json.rs::a_member_data_of_the_answer_is_tried_first`.
//! - No two webhooks come after each other:
//!   `src/config/tests/warnings.rs::webhooks_that_come_after_each_other_are_a_fault`.
//! - No XML answer makes the daemon read a file, and none expands when it is parsed:
//!   `src/definition/mapping/tests/hostile.rs::entities_are_neither_expanded_nor_fetched`.
//! - No name in braces changes the structure of the text around it, whatever characters it has:
//!   `src/definition/template/tests/names.rs::names_in_braces_do_not_change_the_structure_around_them`,
//!   `tests/fuzz/main.rs::every_target_withstands_mutations`.
//! - No value of a call of the platform is sent with a variable as text:
//!   `tests/ringback/definitions/manual.rs::values_of_the_platforms_functions_and_credentials_contain_variables`.
//! - No account uses the template of another group:
//!   `src/config/tests/templates.rs::a_template_is_only_for_its_group_and_exists_once`.
//! - No list of prompts makes a body grow without a limit:
//!   `src/definition/template/tests/prompts.rs::repeated_items_end_at_a_limit`.
//! - No record is processed twice because librdkafka returns it twice, and none is skipped because another record had
//!   its offset before: `src/log/reader/position.rs::records_that_were_read_are_skipped_until_a_new_one_comes`,
//!   `src/log/reader/position.rs::another_record_at_an_earlier_offset_counts_as_not_read`.
//! - A topic that was deleted and created again is not taken for the former one: `src/verify/tests/inputs.rs`, a test
//!   for each kind of change, and `tests/ringback/identity.rs::a_recreated_input_is_verified_against_its_own_records`.
//! - This holds for inputs of a broker that gives topics no ids, too, whether a daemon runs or not:
//!   `tests/ringback/marks.rs`, a test for each case.
//! - No position is moved in only one of the two places that store it:
//!   `tests/ringback/offsets.rs::skipped_records_are_never_delivered_and_the_rest_is`.
//! - No move of positions is made in part because of something else that happens meanwhile:
//!   `tests/ringback/offsets/beside.rs`.
//! - No position is moved to a place without records:
//!   `tests/ringback/offsets/places.rs::positions_are_moved_to_a_time_an_offset_and_the_end_and_nowhere_else`.
//! - No committed offset that can't be read counts as a missing one:
//!   `tests/ringback/rights.rs::an_offset_that_can_not_be_read_is_an_error_and_not_a_missing_offset`.
//! - No changelog of another group hides the group's own positions from operators:
//!   `tests/ringback/offsets/places.rs::the_groups_positions_are_shown_if_the_rows_belong_to_another_group_or_to_an_interrupted_rebuild`.
//! - An input that is no longer configured leaves no offset behind:
//!   `tests/ringback/routing.rs::an_input_that_is_no_longer_configured_leaves_no_offset_behind`.
//! - No client library sends a record to another partition than the daemon expects, if it is used as the guide says:
//!   `tests/ringback/guide.rs::producers_in_three_languages_choose_the_right_partition`,
//!   `src/domain/id.rs::murmur2_agrees_with_kafkas_own_vectors`.
//! - A negative answer of the schema registry about an id affects only the records that waited for it. An answer that
//!   says nothing about the id is not taken for a negative one: `tests/ringback/schemas.rs`, a test for each kind of
//!   answer.
//! - No record of another kind is taken for one of its topic:
//!   `tests/ringback/encodings/kinds.rs::a_record_of_another_kind_is_a_dead_letter_and_the_true_flow_is_delivered`,
//!   `src/codec/source/tests/kinds.rs`, a test for each kind.
//! - No Avro record is read with other values than Java's own library reads:
//!   `tests/ringback/encodings/java.rs::records_that_javas_library_writes_are_read_as_it_reads_them_or_as_json_has_them`.
//! - No field of a flow started record is lost in Avro:
//!   `src/codec/source/tests/avro.rs::a_call_begin_record_loses_no_member`.
//! - No record is sent from partition to partition for ever, even if instances of two versions disagree about its owner:
//!   `src/log/record/tests.rs::instances_of_two_versions_do_not_send_a_record_to_each_other_for_ever`.
//! - No report of an array is decided twice or lost, and none is decided before those in front of it:
//!   `tests/ringback/encodings/arrays.rs`, a test for each case.
//! - No spelling of a UUID separates the records of one run:
//!   `tests/ringback/encodings/spellings.rs::records_of_one_uuid_in_several_spellings_belong_together_and_bodies_keep_the_first`.
//! - No input shows a lag when all of its records are processed, and none shows no lag when some are not:
//!   `tests/ringback/lag.rs::an_idle_daemon_has_no_lag_although_markers_follow_the_last_records`,
//!   `tests/ringback/lag.rs::records_behind_an_open_transaction_count_as_lag`.
//! - No bytes make a decoder panic, hang or use unbounded memory, and no input that once did does so again:
//!   `tests/fuzz/main.rs::every_target_withstands_mutations`, `tests/fuzz/main.rs::every_target_withstands_its_corpus`.
//!
//! ## Stores and changelog
//!
//! - No state is lost with a disk: `tests/ringback/stores.rs::a_deleted_store_is_restored_from_the_changelog`.
//! - No row is missing both from the store and from the changelog behind the store's checkpoint:
//!   `src/store/write_back/tests.rs::reads_agree_wherever_rows_are_and_a_restart_finds_the_rest_in_the_changelog`.
//! - The write-back cache never holds more rows than two generations:
//!   `src/store/write_back/tests.rs::a_full_generation_is_written_before_another_is_full`.
//! - No index entry outlives its row, and no lane reads the rows of another:
//!   `src/store/partition/tests.rs::indexes_follow_the_rows_and_lanes_do_not_mix`.
//! - A restore does not take an open transaction for the end of the changelog:
//!   `tests/ringback/restores.rs::rows_above_an_open_transaction_are_restored_once_it_is_aborted`.
//! - No row, store or changelog of an earlier version is read with another meaning:
//!   `src/engine/restore/tests.rs::stores_of_every_version_open_and_continue_with_the_changelog`.
//! - No row of a newer version is changed:
//!   `tests/ringback/upgrades.rs::a_row_of_a_newer_version_is_refused_and_not_changed`.
//! - A disk never fails without a report:
//!   `tests/ringback/disks.rs::a_full_disk_ends_the_daemon_which_continues_once_there_is_room`,
//!   `tests/ringback/disks.rs::a_failed_write_ends_the_daemon_which_continues_once_writes_succeed`.
//! - A damaged store is not used and not deleted, and does not prevent a restore from the changelog, even if it is
//!   damaged while the daemon runs: `tests/ringback/stores/damaged.rs::each_damaged_store_is_set_aside_and_restored`,
//!   `tests/ringback/stores/damaged.rs::a_store_that_is_damaged_while_the_daemon_runs_is_marked_and_set_aside_at_the_next_start`.
//! - A kill does not leave a damaged store half moved: `src/store/aside/tests.rs::an_interrupted_move_is_finished`.
//! - No store is moved because of its disk, a limit or another instance:
//!   `src/store/damage/tests.rs::an_error_that_another_store_would_also_have_is_not_damage`.
//! - No store is restored again and again:
//!   `src/store/recovery/tests.rs::a_third_damage_within_an_hour_is_not_restored_and_after_it_the_oldest_copy_goes`.
//! - No state is lost with the changelog's topic:
//!   `tests/ringback/rebuild.rs::a_deleted_changelog_is_written_from_the_store`.
//! - Another number of partitions loses no row and no unread record, sends nothing twice, and enables no endpoint:
//!   `tests/ringback/repartition.rs::every_state_survives_more_partitions_under_load`.
//! - A repartition is finished as a whole or not at all, and no daemon uses the former changelog afterwards:
//!   `tests/ringback/repartition/beside.rs`, a test for each kind of interference.
//! - A daemon does not use a changelog whose rebuild was interrupted:
//!   `tests/ringback/rebuild.rs::an_interrupted_rebuild_is_refused_by_the_daemon_and_can_be_continued`.
//! - No rebuild completes if another rebuild, an instance or a producer writes or starts meanwhile:
//!   `tests/ringback/rebuild/beside.rs`.
//! - No rebuild writes the rows of another machine's store:
//!   `tests/ringback/rebuild/machines.rs::each_machine_writes_the_partitions_of_its_own_store`.
//! - If the broker gives topics no ids, a changelog that was deleted and created again is refused, and no row is
//!   committed to it: `tests/ringback/marks.rs::a_changelog_without_an_id_that_was_recreated_is_refused`,
//!   `tests/ringback/marks.rs::a_daemon_whose_changelog_without_an_id_is_recreated_ends_and_its_store_has_all_rows`.
//! - `check --online` does not accept the changelog of another group:
//!   `tests/ringback/identity.rs::check_online_names_the_group_that_owns_the_changelog`.
//!
//! ## Delivery
//!
//! - No secret of a body is stored, and none is kept from an answer that repeats it:
//!   `tests/ringback/definitions/functions.rs::a_secret_of_a_function_is_sent_with_each_attempt_and_stored_nowhere`,
//!   `src/definition/body_secrets.rs::a_placeholder_is_never_sent_in_place_of_a_secret_that_is_gone`.
//! - No call of a platform's function leaves without a variable that the function needs:
//!   `tests/ringback/definitions/functions.rs::a_call_without_a_variable_that_the_function_needs_is_a_dead_letter`.
//! - No attempt or replay sends a multipart body with another boundary:
//!   `tests/ringback/definitions/platform.rs::a_multipart_form_is_the_same_in_every_attempt_and_replay`.
//! - No endpoint delays another one, whether it hangs or answers slowly:
//!   `tests/ringback/retries.rs::an_endpoint_that_hangs_times_out_and_does_not_affect_others`,
//!   `tests/ringback/lanes/neighbours.rs`, a test for each kind of slow answer.
//! - No lane waits for a slot that goes to a lane with more slots:
//!   `src/delivery/queues.rs::a_free_slot_goes_to_the_lane_that_holds_the_fewest`,
//!   `src/delivery/schedule/tests/fairness.rs::a_healthy_lane_gets_a_slot_at_once_beside_forty_slow_lanes`.
//! - Retries do not delay fresh deliveries:
//!   `tests/ringback/lanes.rs::a_storm_of_retries_leaves_fresh_deliveries_their_slots`.
//! - A name look-up that hangs delays no other endpoint:
//!   `tests/ringback/names.rs::names_whose_look_up_hangs_delay_no_other_endpoint`,
//!   `src/delivery/names/tests.rs::names_that_hang_do_not_delay_others`.
//! - A token server, proxy or registry whose name look-up hangs delays no other delivery:
//!   `src/delivery/names/tests/answers.rs::a_proxy_or_token_server_whose_name_hangs_does_not_delay_others`,
//!   `tests/ringback/names.rs::a_registry_whose_name_hangs_delays_no_delivery`.
//! - No look-up outlives the attempts that wait for it:
//!   `src/delivery/names/tests.rs::a_look_up_ends_with_the_last_attempt_that_waits_for_it`.
//! - Calls do not stay at the former address of a name that has moved:
//!   `tests/ringback/names.rs::deliveries_follow_a_name_that_moves_under_a_steady_flow`.
//! - No endpoint gets more requests than its limits and its answers allow:
//!   `tests/ringback/lanes.rs::retry_after_holds_the_whole_lane`,
//!   `tests/ringback/lanes/busy.rs::a_request_for_a_pause_is_obeyed_in_every_spelling`,
//!   `tests/ringback/lanes/busy.rs::a_burst_gets_through_a_limiter_that_answers_429_without_a_time`,
//!   `tests/ringback/lanes.rs::three_instances_keep_to_a_rate_together_and_use_it`.
//! - An endpoint that has answered 410 Gone gets no more requests until it is enabled:
//!   `tests/ringback/lanes.rs::an_endpoint_that_is_gone_is_disabled_in_every_partition_until_it_is_enabled`.
//! - A delivery that an open breaker holds back counts no attempt:
//!   `tests/ringback/lanes.rs::the_breaker_opens_sends_single_probes_closes_and_counts_no_attempt_of_held_rows`.
//! - A resource that the daemon itself lacks costs no attempt, opens no breaker and makes no dead letter:
//!   `tests/ringback/shortages.rs::a_shortage_of_files_costs_no_attempt_and_health_is_answered`,
//!   `tests/ringback/shortages.rs::limits_are_reduced_to_the_available_files_and_everything_is_delivered`,
//!   `src/delivery/tests/shortages.rs::every_way_to_an_endpoint_reports_a_shortage_of_files`.
//! - No failure of an endpoint counts as such a shortage:
//!   `src/delivery/shortage.rs::errors_that_an_endpoint_or_the_network_can_cause_are_no_shortages`,
//!   `src/delivery/tests/shortages.rs::a_shortage_of_ports_differs_from_an_address_without_a_route`.
//! - No attempt fails because a kept connection ended or refused the request:
//!   `src/delivery/tests/again.rs::an_exchange_lost_with_a_kept_connection_is_repeated_at_once`,
//!   `src/delivery/tests/http2.rs::an_unprocessed_stream_is_repeated_on_a_fresh_connection`,
//!   `tests/ringback/exchanges.rs::connections_that_end_cost_no_attempt`.
//! - No request is repeated more than once in this way, and none whose answer had begun:
//!   `src/delivery/tests/again.rs::an_exchange_is_repeated_only_once`,
//!   `src/delivery/tests/again.rs::an_answer_that_has_begun_is_an_answer_on_a_kept_connection_too`.
//! - No other part of an answer's head makes its status ineffective:
//!   `src/delivery/tests/heads.rs::the_status_of_an_unreadable_head_counts`,
//!   `tests/ringback/exchanges.rs::a_status_decides_whatever_else_is_wrong_with_its_head`.
//! - The status of an earlier exchange never decides:
//!   `src/delivery/tests/again.rs::no_status_of_an_earlier_exchange_decides`.
//! - No row waits for ever for a webhook that is no longer configured:
//!   `tests/ringback/lanes.rs::deliveries_of_a_removed_webhook_do_not_wait_for_ever`.
//! - No delivery that its endpoint holds back shows as overdue, and none that waits for its next attempt shows as new:
//!   `tests/ringback/lag.rs::a_row_that_waits_for_its_next_attempt_is_old_and_not_overdue`,
//!   `tests/ringback/lag.rs::a_row_that_waits_for_a_slot_of_the_daemon_is_overdue_and_one_of_a_hanging_endpoint_is_not`.
//! - No forbidden address is called, however a URL or a look-up spells it:
//!   `tests/ringback/addresses.rs::an_address_that_is_not_allowed_is_never_called`,
//!   `src/delivery/names/tests/answers.rs::an_endpoint_whose_name_has_forbidden_addresses_only_is_not_called`.
//! - No second look-up happens between the check of an address and the connection:
//!   `src/delivery/tests.rs::a_name_is_resolved_once_per_connection_and_only_checked_addresses_are_called`.
//! - No proxy from the environment bypasses the check:
//!   `tests/ringback/addresses.rs::a_proxy_of_the_environment_is_not_used`.
//! - The configured proxy gets no request to a forbidden address, as far as the daemon can resolve the name:
//!   `src/delivery/tests/proxies.rs::requests_to_forbidden_addresses_are_never_sent_to_a_proxy`.
//! - No redirect is followed: `src/delivery/tests/answers.rs::a_redirect_is_final_and_not_followed`.
//! - No answer is awaited beyond its deadline or kept beyond its limit, compressed or not:
//!   `src/delivery/tests/bodies.rs::endless_packed_answers_are_cut_and_their_connections_closed`.
//! - An endpoint that refuses every token does not make the daemon request tokens again and again:
//!   `src/delivery/tests/tokens.rs::a_request_with_a_refused_token_is_repeated_only_when_the_token_is_old_enough`.
//! - No signature can be verified by our own code only, and no library of Standard Webhooks refuses one:
//!   `tests/ringback/bodies.rs::ed25519_keys_sign_beside_a_secret`,
//!   `tests/ringback/guide.rs::receivers_in_four_languages_verify_signatures`.
//!
//! ## Dead letters and replay
//!
//! - An interrupted replay skips no dead letter and sends none twice:
//!   `tests/ringback/dead_letters.rs::an_interrupted_replay_resumes_and_sends_each_letter_once`.
//! - No dead letter is replayed if its delivery has succeeded since:
//!   `tests/ringback/dead_letters.rs::letters_that_were_delivered_since_are_skipped_and_counted`.
//! - No replay puts a delivery into the outbox twice:
//!   `src/domain/tests/replay.rs::a_flow_that_comes_again_after_its_marker_expired_does_not_repeat_its_replay`.
//! - No dead letter loses a header of its producer, or the fact that it was a tombstone:
//!   `tests/ringback/dead_letters/headers.rs::headers_and_tombstones_are_kept_in_the_dead_letter_and_in_its_replay`.
//! - No header of a producer is taken for one of our own:
//!   `tests/ringback/dead_letters/headers.rs::a_foreign_header_is_no_command`.
//! - No dead letter shows a wrong state: `tests/ringback/dead_letters/states.rs`, a test for deliveries, one for
//!   records, and one for letters too old for their state to be known.
//! - No crash, other instance or retention makes the number of open dead letters wrong:
//!   `tests/ringback/dead_letters/states.rs::open_letters_are_counted_over_crashes_and_shared_among_instances`.
//! - No kill of the sink or of its database loses an answer, no older answer replaces a newer one, and no refused
//!   document stops a partition: `tests/ringback/sink.rs`, a test for each, and
//!   `tests/ringback/sink/kills.rs::three_kills_of_the_sink_and_two_of_the_database_leave_every_answer_right`.
//!
//! ## Configuration
//!
//! - No key lacks a decision whether a reload applies it and whether operators may see it, and no reload differs from
//!   that: `src/config/tests/effective.rs::every_key_is_listed_with_its_reload_and_its_visibility`,
//!   `src/config/tests/effective.rs::a_reload_applies_exactly_the_listed_keys`.
//! - No file is applied without the other:
//!   `tests/ringback/reloads.rs::a_faulty_settings_file_prevents_the_reload_of_the_accounts_too`.
//! - No two configurations with the same meaning have different hashes:
//!   `src/config/tests/effective.rs::equivalent_configurations_have_the_same_hashes`.
//! - No reload rebuilds an endpoint that did not change, so connections and tokens stay:
//!   `tests/ringback/reloads/endpoints.rs::connections_of_an_endpoint_that_did_not_change_stay_open`,
//!   `tests/ringback/reloads/endpoints.rs::a_token_of_an_endpoint_that_did_not_change_is_not_fetched_again`.
//! - No reload keeps an endpoint whose definition, defaults or files changed:
//!   `src/config/tests/kept.rs::an_endpoint_is_rebuilt_when_any_of_its_settings_or_files_changes`.
//! - No wrong row of a database changes more than its own webhook or account:
//!   `tests/ringback/databases/rows.rs::a_wrong_row_leaves_its_last_good_definition_in_force_and_all_others_apply`.
//! - No outage of the database delays a delivery or makes a dead letter of an account that is seconds old:
//!   `tests/ringback/databases/outages.rs::deliveries_go_on_and_changes_apply_again_whatever_happens_to_the_database`,
//!   `tests/ringback/databases.rs::an_account_that_is_stored_a_second_after_its_first_record_is_delivered`.
//! - No key of an earlier version that has no effect is refused, and none is ignored without a warning:
//!   `tests/ringback/reloads/retired.rs::a_key_that_has_no_effect_any_more_is_one_warning_at_the_start_at_a_reload_and_in_check`.
//! - SIGHUP does not end a daemon that is still starting:
//!   `tests/ringback/reloads.rs::sighup_during_the_start_reloads_and_does_not_end_the_daemon`.
//! - A file that hangs does not keep the daemon from stopping:
//!   `tests/ringback/reloads.rs::a_daemon_can_be_stopped_while_a_file_hangs`.
//! - No lane waits for Kafka before it follows a reload, and no configuration is kept after a newer one:
//!   `src/engine/tests/reloads.rs::lanes_follow_at_once_and_the_newest_configuration_alone_waits`.
//! - No property of librdkafka lacks a rule, and none that breaks a guarantee can be set:
//!   `src/config/settings/build/client/properties.rs::every_property_of_librdkafka_has_a_rule`,
//!   `src/config/tests/client.rs::properties_that_the_guarantees_need_can_not_be_set`.
//! - No Kafka client fails to log in with tokens or to renew them:
//!   `tests/ringback/logins.rs::every_client_logs_in_with_tokens_and_renews_them`.
//! - No setting of statuses is without effect and without a fault or a warning that says so:
//!   `src/config/tests/statuses.rs::a_setting_without_effect_is_a_fault`.
//!
//! ## Operators
//!
//! - No damage to topics or store escapes `ringback verify`: `src/verify/tests/damage.rs`, a test for each kind, and
//!   `tests/ringback/verify.rs::verify_accepts_an_eventful_day_and_names_later_damage`.
//! - `ringback verify` reports no violation because of a daemon that runs meanwhile, retention, or offsets that were
//!   moved: `src/verify/tests/random.rs::a_scan_beside_a_running_daemon_finds_no_violation`,
//!   `src/verify/tests/random.rs::records_that_retention_removed_cause_no_violation`,
//!   `tests/ringback/identity.rs::offsets_that_kafkas_tool_moves_back_are_a_note_and_no_violation`.
//! - No daemon is ready while it can't commit, and none is unready without its reason, such as a missing right:
//!   `tests/ringback/commits.rs::records_above_a_topics_size_limit_make_the_daemon_unready_until_the_limit_is_raised`,
//!   `tests/ringback/commits.rs::a_clock_that_is_hours_ahead_makes_the_daemon_unready_until_it_is_corrected`,
//!   `tests/ringback/commits.rs::a_revoked_right_makes_the_daemon_unready_until_it_is_granted_again`.
//! - No right in Kafka is needed and absent from the guide, or in the guide and not needed:
//!   `tests/ringback/rights.rs::commands_need_exactly_the_rights_of_the_guide`.
//! - No missing right goes unnamed: `tests/ringback/rights.rs::the_daemon_waits_for_each_right_and_names_it`,
//!   `tests/ringback/rights.rs::a_right_that_is_missing_while_partitions_are_restored_is_named`.
//! - No fact shows in a counter only. An unreadable record, a rule that can't be evaluated and a refused reload are an
//!   event, a metric and a line each: `tests/ringback/logs/lines.rs::many_similar_failures_are_few_lines`,
//!   `tests/ringback/logs/lines.rs::a_rule_that_can_not_be_evaluated_is_an_event_a_metric_and_a_line`,
//!   `tests/ringback/logs/lines.rs::a_refused_reload_is_an_event_a_metric_and_a_line`.
//! - No changed key that needs a restart goes unnamed at a reload:
//!   `tests/ringback/reloads.rs::sighup_applies_changes_of_both_files_and_names_the_keys_that_need_a_restart`.
//! - No single fact floods the log:
//!   `tests/ringback/logs/lines.rs::an_unreachable_kafka_is_one_line_with_broker_and_cause`.
//! - No collector of traces that fails costs a delivery: `tests/ringback/traces.rs`, a test for each kind of failure.
//! - No line of a JSON log is anything but JSON: `tests/ringback/logs/lines.rs::every_log_line_is_json`.
//! - A log whose disk is full or whose pipe is closed does not end the daemon:
//!   `tests/ringback/logs.rs::a_full_disk_loses_log_lines_only_and_the_log_continues_once_there_is_room`,
//!   `tests/ringback/logs.rs::a_closed_log_pipe_does_not_end_the_daemon`,
//!   `tests/tidy/words.rs::no_macro_panics_because_of_its_output`.
//! - No secret is shown to an operator, from whatever source:
//!   `tests/ringback/webhooks.rs::an_answer_that_echoes_the_request_shows_no_secrets`,
//!   `src/config/tests/effective.rs::no_secret_is_shown_and_each_changes_the_hash`.
//! - No body of a customer is shown unless the operator asks for it:
//!   `tests/ringback/trace.rs::trace_shows_both_phases_a_failure_and_a_dead_letter_in_order`.
//! - No text from outside controls a terminal:
//!   `tests/ringback/dead_letters/shown.rs::foreign_text_controls_no_terminal_and_json_keeps_its_value`.
//! - No test message passes without a warning if the daemon runs another configuration:
//!   `tests/ringback/reloads.rs::webhook_test_warns_when_the_daemon_runs_another_configuration`.
//! - No command says "try again" about something that an operator has to correct:
//!   `tests/ringback/commands.rs::a_wrong_property_is_a_wrong_configuration_for_every_command`,
//!   `src/cli.rs::lasting_errors_exit_with_78_and_others_with_75`.
//! - Neither the README nor a page of the guide contains a command or program that is not tested: a test for each page,
//!   and `tests/ringback/guide.rs::every_page_has_a_scene_and_stands_in_the_index`.
//! - No link leads to a missing file or heading: `tests/tidy/documents.rs::every_link_leads_to_an_existing_file`.
//! - No reference page differs from the code that it describes:
//!   `tests/tidy/reference.rs::the_configuration_reference_is_the_generated_one`,
//!   `src/telemetry/tests/reference.rs::the_metrics_reference_is_the_generated_one`.
//! - No event has a member that its published schema lacks, and the published schema does not differ from the generated
//!   one: `src/codec/event/tests/schema.rs`. `tests/ringback/harness/events.rs` checks each event that an integration
//!   test reads.
//!
//! ## The source code
//!
//! - No module imports a module of its own floor or of a higher one:
//!   `tests/tidy/floors.rs::modules_import_only_lower_floors`.
//! - [`domain`] contains no clock, randomness, I/O, serialisation or log: `tests/tidy/words.rs::the_core_is_pure`.
//! - No code is unsafe, except in the files that call librdkafka where rust-rdkafka has no function (`log/native.rs`,
//!   `log/headers.rs`, `log/group.rs` and its one caller in `log/transaction.rs`), in `allocator.rs`, and in the fuzzer's counters:
//!   `tests/tidy/words.rs::unsafe_code_is_only_in_audited_files`.
//! - No file allows a lint or contains unfinished code:
//!   `tests/tidy/words.rs::no_file_contains_allow_attributes_or_unfinished_code`.
//! - No file has more than 500 lines, and none lacks a first line that says its purpose:
//!   `tests/tidy/words.rs::files_are_short`, `tests/tidy/words.rs::every_file_says_what_it_is_for`.
//! - No dependency lacks a reason: `tests/tidy/documents.rs::every_dependency_gives_its_reason`.

pub mod accounts;
pub mod admin;
pub mod allocator;
pub mod app;
pub mod cli;
pub mod clock;
pub mod codec;
pub mod config;
pub mod console;
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
pub mod repartition;
pub mod replay;
pub mod shutdown;
pub mod sink;
pub mod store;
pub mod system;
pub mod telemetry;
pub mod verify;
pub mod xpath;
