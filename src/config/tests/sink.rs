//! `[sink.mongodb]`, and its faults.

use super::{check, settings};
use crate::sink::{MissingDocument, WriteConcern};
use std::time::Duration;

#[test]
fn a_sink_has_defaults_for_all_but_its_database() {
    assert_eq!(settings("").sink, None);
    let sink = settings(
        r#"
        [sink.mongodb]
        uri = "mongodb://ringback:hush@a:27018,b"
        database = "phonon"
        "#,
    );
    let sink = sink.sink.unwrap();
    assert_eq!((sink.shown.as_str(), sink.database.as_str()), ("a:27018,b:27017", "phonon"));
    assert_eq!(sink.uri.reveal(), "mongodb://ringback:hush@a:27018,b");
    assert!(!format!("{sink:?}").contains("hush"));
    assert_eq!(sink.collection, "SMSDetailDocument");
    assert_eq!((sink.id_field.as_str(), sink.field.as_str()), ("_id", "notify_on_delivery"));
    assert_eq!(sink.missing, MissingDocument::Skip);
    assert_eq!(sink.write_concern, WriteConcern::Majority);
    assert_eq!((sink.batch_documents_max, sink.batch_bytes_max), (1000, 4 << 20));
    assert_eq!(sink.request_timeout, Duration::from_secs(10));
    assert_eq!(sink.listen.port(), 9465);
}

#[test]
fn every_part_of_a_sink_can_be_set() {
    let sink = settings(
        r#"
        [sink.mongodb]
        uri = "mongodb+srv://cluster.example.com"
        database = "p-1"
        collection = "sms.details"
        id_field = "sms.id"
        field = "sms.answers"
        missing = "upsert"
        write_concern = 2
        batch_documents_max = 1
        batch_bytes_max = 1
        request_timeout_ms = 1
        listen = "[::1]:0"
        "#,
    );
    let sink = sink.sink.unwrap();
    assert_eq!((sink.collection.as_str(), sink.field.as_str()), ("sms.details", "sms.answers"));
    assert_eq!(sink.missing, MissingDocument::Upsert);
    assert_eq!(sink.write_concern, WriteConcern::Servers(2));
    assert_eq!(sink.request_timeout, Duration::from_millis(1));
}

#[test]
fn faults_of_a_sink_name_their_key_and_the_fix() {
    check(
        "[sink.mongodb]\nuri = \"http://u:hush@a\"\ndatabase = \"a b\"\ncollection = \"system.x\"\n\
         id_field = \"$a\"\nfield = \"a..b\"\nlisten = \"0.0.0.0:1\"\n",
        "",
        &[
            "ringback.toml:2: sink.mongodb.uri: is not a connection string: unsupported connection string scheme: http; write mongodb://user:password@host:27017 or mongodb+srv://user:password@host",
            "ringback.toml:3: sink.mongodb.database: is not a database's name; use 1 to 63 letters, digits, hyphens and underscores",
            "ringback.toml:4: sink.mongodb.collection: is not a collection's name; use letters, digits, dots, hyphens and underscores; it must not begin with `system.`",
            "ringback.toml:5: sink.mongodb.id_field: is not the path of a field; write names as in \"notify_on_delivery\" or \"answers.webhooks\": none is empty or begins with $",
            "ringback.toml:6: sink.mongodb.field: is not the path of a field; write names as in \"notify_on_delivery\" or \"answers.webhooks\": none is empty or begins with $",
            "ringback.toml:7: sink.mongodb.listen: 0.0.0.0 can be reached from other hosts, and there is no `http.token`; set token = { env = \"NAME\" } under [http], or listen on 127.0.0.1",
        ],
    );
    let at = "uri = \"mongodb://a\"\ndatabase = \"p\"\n";
    for (keys, wanted) in [
        (
            "field = \"_id.x\"",
            "ringback.toml:4: sink.mongodb.field: is the field that contains the id; name a field of its own, such as \"notify_on_delivery\"",
        ),
        (
            "field = \"a.b\"\nid_field = \"a\"",
            "ringback.toml:4: sink.mongodb.field: is the field that contains the id; name a field of its own, such as \"notify_on_delivery\"",
        ),
        (
            "listen = \"127.0.0.1:9464\"",
            "ringback.toml:4: sink.mongodb.listen: is the address of `http.listen` too; give the sink a port of its own, such as \"127.0.0.1:9465\"",
        ),
        (
            "listen = \"here\"",
            "ringback.toml:4: sink.mongodb.listen: is not an address and a port; write them as in \"127.0.0.1:9465\" or \"[::]:9465\"",
        ),
    ] {
        check(&format!("[sink.mongodb]\n{at}{keys}\n"), "", &[wanted]);
    }
}
