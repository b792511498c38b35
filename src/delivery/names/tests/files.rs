//! Tests of the system's files `/etc/hosts` and `/etc/resolv.conf`: present, changed, or missing.

use super::server::Server;
use super::{Asker, HERE, Names, first, run};
use crate::delivery::names::system::Files;
use std::path::Path;
use std::sync::Arc;

fn files(dir: &Path) -> Files {
    Files { hosts: dir.join("hosts"), resolv_conf: dir.join("resolv.conf") }
}

fn names(dir: &Path, server: &Server) -> Names {
    Names::build(Asker::reading(files(dir), &[server.address]), 8, Arc::new(|_| {}))
}

#[test]
fn the_hosts_file_comes_first_and_is_read_again_when_it_changes() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let server = Server::start();
        server.set("name.test", HERE, 0);
        let names = names(dir.path(), &server);
        assert_eq!(first(&names, "name.test").await.as_deref(), Some("127.0.0.1"));
        std::fs::write(dir.path().join("hosts"), "# ours\n192.0.2.7 other name.test\n").unwrap();
        assert_eq!(first(&names, "name.test").await.as_deref(), Some("192.0.2.7"));
        assert_eq!(first(&names, "other").await.as_deref(), Some("192.0.2.7"));
    });
}

#[test]
fn search_domains_and_ndots_count_and_invalid_lines_are_ignored() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let server = Server::start();
        server.set("db.one.test", HERE, 60);
        let text = "nonsense\noptions ndots:2 unknown:7\nsearch one.test two.test\n";
        std::fs::write(dir.path().join("resolv.conf"), text).unwrap();
        let names = names(dir.path(), &server);
        assert_eq!(first(&names, "db").await.as_deref(), Some("127.0.0.1"));
        assert_eq!((server.asked("db.one.test"), server.asked("db")), (1, 0));
        // With `ndots:2`, both search domains are tried before a name with one dot.
        assert_eq!(first(&names, "no.db").await, None);
        for name in ["no.db.one.test", "no.db.two.test", "no.db"] {
            assert_eq!(server.asked(name), 1, "{name}");
        }
    });
}

/// As in a container without a network: the daemon starts, and names that need no name server are resolved.
#[test]
fn without_files_or_name_servers_localhost_and_the_hosts_file_work() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let names = Names::build(Asker::reading(files(dir.path()), &[]), 8, Arc::new(|_| {}));
        for resolv_conf in [None, Some(""), Some("search one.test\n")] {
            if let Some(text) = resolv_conf {
                std::fs::write(dir.path().join("resolv.conf"), text).unwrap();
            }
            let localhost = first(&names, "localhost").await.unwrap();
            assert!(["127.0.0.1", "::1"].contains(&localhost.as_str()), "{localhost}");
            std::fs::write(dir.path().join("hosts"), "192.0.2.7 known.test\n").unwrap();
            assert_eq!(first(&names, "known.test").await.as_deref(), Some("192.0.2.7"));
        }
    });
}
