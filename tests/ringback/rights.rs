//! The list of rights in `ops/guide/rights.md`, on a real broker with its authorizer on. With exactly these rights
//! every command works. Without any one of them the command that needs it fails and names it.

use crate::harness::broker::java;
use crate::harness::daemon::{Done, EX_CONFIG};
use crate::harness::database;
use crate::harness::door::{Grant, grant, nobody, revoke, secured};
use crate::harness::receiver::Answer;
use crate::harness::samples::{flow, report};
use crate::harness::stage::Stage;
use crate::harness::{PATIENCE, wait_until};
use crate::logs::delivers;
use ringback::config::Loaded;
use ringback::log::{PositionReader, TopicPartition};
use std::collections::BTreeMap;
use std::process::Command;

const GUIDE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/ops/guide/rights.md");
const OWN: [&str; 4] = ["changelog", "inbox", "events", "dead-letter"];

/// A command that a user runs on a stage with all of its rights, or with all but one.
struct Case {
    user: String,
    command: String,
    grants: Vec<Grant>,
    lacks: Option<Grant>,
}

impl Case {
    /// Returns the text by which messages name the missing right.
    fn named(&self) -> String {
        let Grant { operation, kind, name, is_prefix } =
            self.lacks.as_ref().expect("a right is missing");
        match *kind {
            "TOPIC" => format!("{operation} on topic {name}"),
            "GROUP" if *is_prefix => format!("{operation} on groups {name}*"),
            "GROUP" => format!("{operation} on group {name}"),
            _ => format!("{operation} on transactional id {name}"),
        }
    }
}

/// Returns the rights of each command in the guide, with the names of this stage and of instance `number`.
pub(crate) fn listed(stage: &Stage, number: u8) -> BTreeMap<String, Vec<Grant>> {
    let mut all: BTreeMap<String, Vec<Grant>> = BTreeMap::new();
    let guide = std::fs::read_to_string(GUIDE).expect("the guide");
    let rows = guide.lines().filter(|line| line.starts_with("| ")).skip(1);
    for row in rows {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [operation, _, name, commands] = cells[..] else { panic!("{row}") };
        for (kind, name, is_prefix) in resources(stage, number, name) {
            let grant = Grant { operation: operation.to_owned(), kind, name, is_prefix };
            for command in commands.split(", ") {
                all.entry(command.to_owned()).or_default().push(grant.clone());
            }
        }
    }
    all
}

fn resources(stage: &Stage, number: u8, name: &str) -> Vec<(&'static str, String, bool)> {
    let topics = |kinds: &[&str]| {
        kinds.iter().map(|kind| ("TOPIC", stage.topic(kind), false)).collect::<Vec<_>>()
    };
    let group = stage.group();
    let id = |end: &str| vec![("TRANSACTIONAL_ID", format!("{group}.{end}"), false)];
    match name {
        "each input" => topics(&["flow-complete", "sms-delivery-report"]),
        "each own topic" => topics(&OWN),
        "each new topic" => {
            let new = |kind: &str| ("TOPIC", format!("{}-2", stage.topic(kind)), false);
            ["changelog", "inbox"].map(new).to_vec()
        }
        "`topics.inbox`" => topics(&["inbox"]),
        "`topics.changelog`" => topics(&["changelog"]),
        "`topics.events`" => topics(&["events"]),
        "`topics.dead_letter`" => topics(&["dead-letter"]),
        "`group_id`" => vec![("GROUP", group, false)],
        "`group_id.repartition`" => vec![("GROUP", format!("{group}.repartition"), false)],
        "prefix `group_id.replay.`" => vec![("GROUP", format!("{group}.replay."), true)],
        // The names of the stage's instances begin with the stage's name.
        "`group_id.instance_id`" => id(&format!("{}-{number}", group.trim_end_matches(".group"))),
        "`group_id.instance_id~2`" => {
            id(&format!("{}-{number}~2", group.trim_end_matches(".group")))
        }
        "`group_id.operator`" => id("operator"),
        "`group_id.dead-letter.replay`" => id("dead-letter.replay"),
        "`group_id.rebuild`" => id("rebuild"),
        "`group_id.sink.mongodb`" => vec![("GROUP", format!("{group}.sink.mongodb"), false)],
        "`group_id.sink.mongodb.instance_id`" => {
            id(&format!("sink.mongodb.{}-{number}", group.trim_end_matches(".group")))
        }
        other => panic!("the guide names {other}"),
    }
}

/// Returns each command with all of its rights, and once without each of them. For each command the cases without
/// Create come first and the complete one last, because they must not find topics that other cases have created.
fn cases(stage: &Stage) -> Vec<Case> {
    let mut cases = Vec::new();
    for (command, grants) in listed(stage, 0) {
        let mut without: Vec<usize> = (0..grants.len()).collect();
        without.sort_by_key(|index| grants[*index].operation != "Create");
        for lacks in without.into_iter().map(Some).chain([None]) {
            let mut grants = grants.clone();
            let lacks = lacks.map(|index| grants.remove(index));
            // Alter includes Describe. Without Alter, the missing right is named only if the resource can be described.
            if let Some(alter) = lacks.as_ref().filter(|lacks| lacks.operation == "Alter") {
                grants.push(Grant { operation: "Describe".to_owned(), ..alter.clone() });
            }
            cases.push(Case { user: nobody(), command: command.clone(), grants, lacks });
        }
    }
    cases
}

/// Runs the command as the case's user.
fn perform(stage: &mut Stage, case: &Case, arguments: &[&str]) -> Done {
    stage.log_in("PLAIN", &case.user);
    stage.alone(arguments)
}

fn arguments(stage: &Stage, command: &str) -> Vec<String> {
    let mut arguments: Vec<String> = command.split(' ').map(str::to_owned).collect();
    let mut add = |more: &[&str]| arguments.extend(more.iter().map(|it| (*it).to_owned()));
    match command {
        "trace" => add(&["u-1"]),
        "webhook enable" => add(&["crm", "--yes"]),
        "offsets reset" => {
            add(&["--topic", &stage.topic("flow-complete"), "--to", "end", "--yes"]);
        }
        "dead-letter replay" | "changelog rebuild" => add(&["--yes"]),
        "repartition" => add(&["--partitions", "2", "--yes"]),
        _ => {}
    }
    arguments
}

fn words(arguments: &[String]) -> Vec<&str> {
    arguments.iter().map(String::as_str).collect()
}

/// Panics unless `command`, without each of its rights in turn, exits with 78 and names only that right.
fn assert_each_right_is_needed(stage: &mut Stage, cases: &[Case], command: &str) {
    for case in cases.iter().filter(|case| case.command == command && case.lacks.is_some()) {
        let arguments = arguments(stage, command);
        let done = perform(stage, case, &words(&arguments));
        let named = format!("the right {} is missing; grant it: kafka-acls.sh ", case.named());
        assert!(
            done.code == Some(EX_CONFIG) && done.err.contains(&named),
            "{command} without {}: {done:?}",
            case.named()
        );
        let others = done.err.matches("is missing").count();
        assert_eq!(others, 1, "{command} lacks only this right: {done:?}");
    }
}

fn assert_works(stage: &mut Stage, cases: &[Case], command: &str) -> Done {
    let whole = cases.iter().find(|case| case.command == command && case.lacks.is_none());
    let arguments = arguments(stage, command);
    let done = perform(stage, whole.expect("the guide lists the command"), &words(&arguments));
    assert_eq!(done.code, Some(0), "{command} with all of its rights: {done:?}");
    done
}

fn grant_all(cases: &[Case]) {
    grant(
        cases.iter().flat_map(|case| case.grants.iter().map(|grant| (case.user.as_str(), grant))),
    );
}

/// Creates a stage that has only its input topics.
fn stage(name: &str) -> Stage {
    let stage = Stage::without_topics(secured().kafka(), name);
    let inputs = ["flow-complete", "sms-delivery-report"].map(|kind| stage.topic(kind));
    stage.kafka.create_topics(&inputs.each_ref().map(|name| (name.as_str(), 1, &[][..])));
    stage
}

fn delete(stage: &Stage, topics: &[String]) {
    stage.kafka.delete_topics(&topics.iter().map(String::as_str).collect::<Vec<_>>());
    wait_until("the topics are deleted", PATIENCE, || {
        topics.iter().all(|name| stage.kafka.partitions(name) == 0).then_some(())
    });
}

#[test]
fn commands_need_exactly_the_rights_of_the_guide() {
    let mut stage = stage("rights-commands");
    stage.set("delivery.attempts_max", 1);
    stage
        .receiver
        .script(|request, _| Answer::status(if request.uuid() == "u-bad" { 400 } else { 200 }));
    let cases = cases(&stage);
    grant_all(&cases);

    // A user without the right Create creates no topic. Afterwards the topics are created with wrong settings, and
    // corrected.
    assert_each_right_is_needed(&mut stage, &cases, "topics --create");
    let own = OWN.map(|kind| stage.topic(kind));
    delete(&stage, &own);
    let wrong: &[(&str, &str)] = &[("retention.ms", "1000"), ("delete.retention.ms", "1000")];
    assert_works(&mut stage, &cases, "topics --create");
    delete(&stage, &own);
    // The changelog has two partitions, and so the inbox lacks one.
    let changelog = stage.topic("changelog");
    let partitions = |name: &String| if *name == changelog { 2 } else { 1 };
    stage.kafka.create_topics(&own.each_ref().map(|name| (name.as_str(), partitions(name), wrong)));
    assert_each_right_is_needed(&mut stage, &cases, "topics --mend");
    assert_works(&mut stage, &cases, "topics --mend");
    assert_each_right_is_needed(&mut stage, &cases, "topics");
    assert_works(&mut stage, &cases, "topics");
    // From here on, all topics have one partition.
    delete(&stage, &own);
    assert_works(&mut stage, &cases, "topics --create");

    // A daemon with exactly its rights delivers, and writes dead letters of records that it can't deliver.
    let run = cases.iter().find(|case| case.command == "run" && case.lacks.is_none());
    stage.log_in("PLAIN", &run.expect("the guide lists the command").user);
    let mut daemon = stage.start();
    stage.send_flows(&[flow("u-1", &[]), flow("u-bad", &[])]);
    stage
        .kafka
        .produce(&[stage.raw("flow-complete", "{no"), stage.raw("sms-delivery-report", "{no")]);
    stage.receiver.wait_for(2, PATIENCE);
    stage.dead_letters(3, PATIENCE);
    daemon.stop();

    for command in [
        "verify",
        "trace",
        "dead-letter list",
        "webhook list",
        "webhook enable",
        "dead-letter replay",
        "offsets show",
        "offsets reset",
    ] {
        assert_each_right_is_needed(&mut stage, &cases, command);
        assert_works(&mut stage, &cases, command);
    }
    let letters =
        cases.iter().find(|case| case.command == "dead-letter list" && case.lacks.is_none());
    let shown = perform(&mut stage, letters.expect("the guide lists it"), &["dead-letter", "show"]);
    assert_eq!(shown.code, Some(0), "{shown:?}");

    // A daemon with the same rights delivers the replayed dead letters.
    stage.log_in("PLAIN", &run.expect("the guide lists the command").user);
    let mut daemon = stage.start();
    stage.receiver.wait_for(3, PATIENCE);
    let online = stage.command(&["check", "--online"]);
    assert_eq!(online.code, Some(0), "{online:?}");
    assert!(
        online.err.contains("note: `ringback verify` needs the right Read on topic"),
        "{online:?}"
    );
    daemon.stop();

    assert_each_right_is_needed(&mut stage, &cases, "repartition");
    assert_works(&mut stage, &cases, "repartition");
    let new = ["changelog", "inbox"].map(|kind| format!("{}-2", stage.topic(kind)));
    delete(&stage, &new);

    // The new changelog has no rows, so that the rebuild has something to write.
    stage.recreate("changelog", 1);
    assert_each_right_is_needed(&mut stage, &cases, "changelog rebuild");
    assert_works(&mut stage, &cases, "changelog rebuild");
}

#[test]
fn creating_the_inputs_needs_the_right_create_on_each_of_them() {
    let mut stage = Stage::without_topics(secured().kafka(), "rights-inputs");
    let guide = std::fs::read_to_string(GUIDE).expect("the guide");
    assert!(guide.contains("`topics --create --with-inputs` needs Create on each input too"));
    let user = nobody();
    stage.log_in("PLAIN", &user);
    let rights = listed(&stage, 0).remove("topics --create").expect("the guide lists it");
    grant(rights.iter().map(|right| (user.as_str(), right)));
    let arguments = ["topics", "--create", "--with-inputs", "1"];
    for kind in ["flow-complete", "sms-delivery-report"] {
        let input = stage.topic(kind);
        let refused = stage.command(&arguments);
        assert_eq!(refused.code, Some(EX_CONFIG), "{refused:?}");
        assert!(refused.err.contains(&format!("Create on topic {input}")), "{refused:?}");
        let operation = "Create".to_owned();
        let right = Grant { operation, kind: "TOPIC", name: input, is_prefix: false };
        grant([(user.as_str(), &right)]);
    }
    stage.command(&arguments).succeeds();
}

#[test]
fn the_daemon_waits_for_each_right_and_names_it() {
    let mut stage = stage("rights-run");
    let own = OWN.map(|kind| stage.topic(kind));
    let good: &[(&str, &str)] = &[("cleanup.policy", "compact")];
    let settings = |name: &str| if name.ends_with("changelog") { good } else { &[] };
    stage.kafka.create_topics(&own.each_ref().map(|name| (name.as_str(), 1, settings(name))));
    let count = listed(&stage, 0)["run"].len();
    let cases: Vec<Case> = (0..count)
        .map(|index| {
            let number = u8::try_from(index).expect("few");
            let mut grants = listed(&stage, number).remove("run").expect("the guide lists it");
            let lacks = Some(grants.remove(index));
            Case { user: nobody(), command: "run".to_owned(), grants, lacks }
        })
        .collect();
    grant_all(&cases);
    for (number, case) in (0_u8..).zip(&cases) {
        stage.log_in("PLAIN", &case.user);
        let mut daemon = stage.spawn(number);
        let named = format!("the right {} is missing; grant it: kafka-acls.sh", case.named());
        daemon.wait_logged(&named, 0);
        // With one transactional id, the daemon is slower.
        let works = case.named().ends_with("~2");
        if works {
            daemon.wait_ready();
            daemon.wait_logged("one transactional producer instead of two", 0);
        } else {
            let waits = daemon.wait_answer("/readyz", 503);
            assert!(waits.contains(&format!("the right {}", case.named())), "{waits}: {named}");
        }
        let online = stage.command_of(number, &["check", "--online"]);
        assert_eq!(online.code, Some(EX_CONFIG), "{online:?}");
        assert!(online.err.contains(&named), "{named}: {online:?}");
        assert_eq!(daemon.logged().matches("is missing").count(), 1, "{}", daemon.logged());
        if number == 0 || (case.named().contains("transactional") && !works) {
            // The daemon goes on without a restart.
            grant([(case.user.as_str(), case.lacks.as_ref().expect("a right is missing"))]);
            daemon.wait_ready();
        }
        daemon.kill();
    }
}

#[test]
fn the_sink_waits_for_each_right_and_names_it() {
    let mut stage = stage("rights-sink");
    database::shared().of(&stage).configure(&mut stage);
    let topics = ["events", "dead-letter"].map(|kind| stage.topic(kind));
    stage.kafka.create_topics(&topics.each_ref().map(|name| (name.as_str(), 1, &[][..])));
    let count = listed(&stage, 0)["sink mongodb"].len();
    for number in 0..count {
        let instance = u8::try_from(number).expect("few");
        let grants = listed(&stage, instance).remove("sink mongodb").expect("the guide lists it");
        let user = nobody();
        let granted = grants.iter().enumerate().filter(|(index, _)| *index != number);
        grant(granted.map(|(_, right)| (user.as_str(), right)));
        stage.log_in("PLAIN", &user);
        let mut sink = stage.spawn_sink(instance);
        let lacks = Some(grants[number].clone());
        let case = Case { user, command: String::new(), grants: Vec::new(), lacks };
        sink.wait_logged(&format!("the right {} is missing; grant it:", case.named()), 0);
        let waits = sink.wait_answer("/readyz", 503);
        assert!(waits.contains(&format!("the right {}", case.named())), "{waits}");
        // The sink goes on without a restart.
        grant([(case.user.as_str(), &grants[number])]);
        sink.wait_ready();
        sink.stop();
    }
}

/// The daemon reads the changelog only while it restores partitions. A recreated input causes a restore.
#[test]
fn a_right_that_is_missing_while_partitions_are_restored_is_named() {
    let mut stage = Stage::on(secured().kafka(), "rights-restore", 1);
    let user = nobody();
    stage.log_in("PLAIN", &user);
    let all = listed(&stage, 0).remove("run").expect("the guide lists the command");
    grant(all.iter().map(|grant| (user.as_str(), grant)));
    let mut daemon = stage.start();
    delivers(&stage, "u-1");
    let changelog = stage.topic("changelog");
    let is_it = |grant: &&Grant| grant.operation == "Read" && grant.name == changelog;
    let right = all.iter().find(is_it).expect("run reads the changelog");
    revoke([(user.as_str(), right)]);
    stage.recreate("flow-complete", 1);
    let named = format!("Read on topic {changelog}");
    wait_until("/readyz names the right", PATIENCE, || {
        let (status, says) = daemon.get("/readyz").ok()?;
        (status == 503 && says.contains("restoring fails") && says.contains(&named)).then_some(())
    });
    grant([(user.as_str(), right)]);
    daemon.wait_ready();
    delivers(&stage, "u-2");
    daemon.stop();
}

/// A client that may describe its group but not a topic gets an error for each partition of that topic.
#[test]
fn an_offset_that_can_not_be_read_is_an_error_and_not_a_missing_offset() {
    let mut stage = stage("rights-offsets");
    let topics = ["flow-complete", "sms-delivery-report"].map(|kind| stage.topic(kind));
    for topic in &topics {
        stage.kafka.reset_offsets(&stage.group(), topic, 0);
    }
    let user = nobody();
    stage.log_in("PLAIN", &user);
    let describe = |kind, name: &str| Grant {
        operation: "Describe".to_owned(),
        kind,
        name: name.to_owned(),
        is_prefix: false,
    };
    let rights = [describe("GROUP", &stage.group()), describe("TOPIC", &topics[0])];
    grant(rights.iter().map(|right| (user.as_str(), right)));
    let settings = Loaded::load(&stage.write_config(0, 1)).expect("a good configuration").settings;
    let reader = PositionReader::new(&settings.kafka).expect("a client");
    let places = topics.map(|topic| TopicPartition { topic: topic.into(), partition: 0 });
    let committed = reader.committed(&places[..1]).expect("the topic can be described");
    assert_eq!(committed.into_iter().collect::<Vec<_>>(), [(places[0].clone(), 0)]);
    let error = reader.committed(&places).expect_err("one topic can not be described");
    assert_eq!(error.to_string(), "the group's offsets can't be read");
}

/// Kafka's own tool runs the commands below "Granting them" in the guide.
#[test]
fn the_grants_of_the_guide_are_enough() {
    let mut stage = stage("rights-guide");
    let user = nobody();
    let guide = std::fs::read_to_string(GUIDE).expect("the guide");
    let blocks: Vec<&str> = guide.split("```").skip(1).step_by(2).collect();
    let [for_the_daemon, for_commands, for_a_repartition, for_the_sink] = blocks[..] else {
        panic!("four blocks of commands")
    };
    let (function, _) = for_the_daemon.split_once("\ngrant --").expect("a function comes first");
    run_script(&stage, &user, for_the_daemon);
    stage.log_in("PLAIN", &user);
    let refused = stage.command(&["check", "--online"]);
    assert!(refused.err.contains("the right Create on topic"), "no topics exist yet: {refused:?}");
    let add = |user: &str, block: &str| {
        let commands = block.strip_prefix("sh").expect("a script");
        run_script(&stage, user, &format!("{function}{commands}"));
    };
    let user_of_sink = nobody();
    add(&user, for_commands);
    add(&user, for_a_repartition);
    add(&user_of_sink, for_the_sink);
    stage.command(&["topics", "--create"]).succeeds();
    let mut daemon = stage.start();
    stage.send_flows(&[flow("u-1", &[])]);
    stage.receiver.wait_for(1, PATIENCE);
    let checked = stage.command(&["check", "--online"]);
    checked.succeeds();
    assert!(!checked.err.contains("needs the right"), "{checked:?}");

    let documents = database::shared().of(&stage);
    documents.configure(&mut stage);
    documents.insert_sms(&["s-1"]);
    stage.log_in("PLAIN", &user_of_sink);
    let mut sink = stage.start_sink(20);
    stage.send_flows(&[flow("u-2", &["s-1"])]);
    stage.send_reports(&[report("u-2", "s-1", "DELIVERED")]);
    documents.wait("the document has its answer", PATIENCE, |all| {
        all["s-1"].get_document("notify_on_delivery").is_ok_and(|answers| answers.len() == 1)
    });
    sink.stop();
    daemon.stop();
    stage.log_in("PLAIN", &user);
    stage.command(&["repartition", "--partitions", "24", "--yes"]).succeeds();
}

/// Runs a block of the guide with this stage's names.
fn run_script(stage: &Stage, user: &str, block: &str) {
    let block = block.strip_prefix("sh").unwrap_or(block);
    let group = stage.group();
    let named = |word: &str| match word {
        "flow-complete" | "sms-delivery-report" => stage.topic(word),
        "ringback" => group.clone(),
        "ringback." => format!("{group}."),
        "ringback.repartition" => format!("{group}.repartition"),
        "ringback.sink.mongodb" => format!("{group}.sink.mongodb"),
        "ringback.sink.mongodb." => format!("{group}.sink.mongodb."),
        "ringback.replay." => format!("{group}.replay."),
        "User:ringback" => format!("User:{user}"),
        _ => match word.strip_prefix("ringback.") {
            Some(kind) => stage.topic(kind),
            None => word.to_owned(),
        },
    };
    let lines = block.lines().map(|line| line.split(' ').map(named).collect::<Vec<_>>().join(" "));
    let script = lines.collect::<Vec<_>>().join("\n");
    let tool = java("-Xmx128m");
    let words = tool.get_args().map(|word| format!("'{}'", word.to_string_lossy()));
    let tool = words.collect::<Vec<_>>().join(" ");
    let prelude = format!(
        "set -e\nBROKERS={}\nkafka-acls.sh() {{ setpriv {tool} org.apache.kafka.tools.AclCommand \
         \"${{@/admin.properties//dev/null}}\"; }}\n",
        stage.kafka.bootstrap()
    );
    let output = Command::new("bash").arg("-c").arg(prelude + &script).output().expect("bash");
    assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
}
