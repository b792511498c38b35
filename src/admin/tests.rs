//! Tests of the API through a real socket.

mod console;
mod lists;

use super::*;
use crate::codec::source::Unwrap;
use crate::console::{Current, InForce};
use crate::domain::AccountId;
use crate::inspect::accounts::{AccountLine, AccountView, FaultView};
use crate::log::{KafkaSettings, TopicNames};
use crate::system::spare_file;
use crate::telemetry::{Metrics, STALL_DEADLINE, SourceResult, Waiting};
use reqwest::{Client, Response, StatusCode, Url};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::collections::BTreeMap;
use std::os::fd::AsRawFd as _;
use std::time::Instant;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// A running API with a client.
struct Api {
    base: Url,
    client: Client,
    metrics: Arc<Metrics>,
    health: Arc<Health>,
}

/// The accounts of a daemon with one account.
struct OneAccount;

impl InForce for OneAccount {
    fn current(&self) -> Option<Current> {
        None
    }

    fn lines(&self, after: Option<AccountId>, max: usize) -> Vec<AccountLine> {
        let line = AccountLine {
            id: 28,
            notify_on_delivery: true,
            attach_flow_keys: false,
            webhook_enabled: None,
            // Foreign text must be escaped wherever it shows.
            default_webhook: Some(format!("<script>{after:?} {max}</script>")),
            webhooks: 1,
            flows: 0,
            rules: 0,
            faults: 0,
        };
        vec![line]
    }

    fn faults(&self, _max: usize) -> Vec<FaultView> {
        Vec::new()
    }

    fn account(&self, account: AccountId) -> Option<AccountView> {
        let settings = Vec::new();
        let view = AccountView { id: 28, is_configured: true, settings, faults: Vec::new() };
        (account == AccountId(28)).then_some(view)
    }
}

/// Returns the console of a daemon with these accounts that can't reach Kafka.
fn console(
    in_force: Arc<dyn InForce>,
    metrics: &Arc<Metrics>,
    health: &Arc<Health>,
) -> Arc<Console> {
    let kafka = KafkaSettings {
        bootstrap_servers: "127.0.0.1:1".to_owned(),
        group_id: "ringback".to_owned(),
        instance_id: "ringback-0".to_owned(),
        commit_interval_ms: 100,
        client: BTreeMap::new(),
    };
    let topics = TopicNames {
        flow_complete: vec!["flow-complete".to_owned()],
        delivery_report: vec!["sms-delivery-report".to_owned()],
        flow_started: Vec::new(),
        events: "ringback.events".to_owned(),
        dead_letter: "ringback.dead-letter".to_owned(),
        changelog: "ringback.changelog".to_owned(),
        inbox: "ringback.inbox".to_owned(),
        unwrap: Unwrap::default(),
    };
    Console::new((&kafka, &topics), metrics.clone(), health.clone(), in_force)
}

impl Api {
    async fn get(&self, path: &str) -> Response {
        self.client.get(self.base.join(path).unwrap()).send().await.unwrap()
    }

    async fn get_with(&self, path: &str, header: &str, value: &str) -> Response {
        let request = self.client.get(self.base.join(path).unwrap()).header(header, value);
        request.send().await.unwrap()
    }
}

fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// Starts an API, runs `test` with it, and checks that the API stops when asked to.
fn with_api<F: Future<Output = ()>>(token: Option<&str>, test: impl FnOnce(Arc<Api>) -> F) {
    with_console(Some(Arc::new(OneAccount)), token, test);
}

/// Like `with_api`, for a process with these accounts, or for one without a console.
fn with_console<F: Future<Output = ()>>(
    in_force: Option<Arc<dyn InForce>>,
    token: Option<&str>,
    test: impl FnOnce(Arc<Api>) -> F,
) {
    // Fails when a provider is already installed, which is fine.
    let _ = rustls::crypto::ring::default_provider().install_default();
    block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = Url::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
        let metrics = Metrics::new(&["flow-complete".to_owned()]);
        let health = Health::new(STALL_DEADLINE);
        let admin = Admin {
            metrics: metrics.clone(),
            health: Arc::clone(&health),
            config: Arc::default(),
            console: in_force.map(|in_force| console(in_force, &metrics, &health)),
            token: token.map(|text| Secret::new(text.to_owned())),
        };
        let (stop, stopped) = oneshot::channel::<()>();
        let server = tokio::spawn(serve(listener, admin, async { stopped.await.unwrap() }));
        let no_redirects = reqwest::redirect::Policy::none();
        let client = Client::builder().no_proxy().redirect(no_redirects).build().unwrap();
        test(Arc::new(Api { base, client, metrics, health })).await;
        stop.send(()).unwrap();
        let ended = tokio::time::timeout(SHUTDOWN_GRACE * 2, server).await;
        ended.expect("the server stops in time").unwrap().unwrap();
    });
}

fn header<'a>(response: &'a Response, name: &str) -> &'a str {
    response.headers().get(name).map_or("", |value| value.to_str().unwrap())
}

async fn check(response: Response, status: u16, body: &str) {
    assert_eq!(response.status().as_u16(), status, "{}", response.url());
    assert_eq!(response.text().await.unwrap(), body);
}

#[test]
fn accounts_are_served_in_parts_and_one_by_one() {
    with_api(None, async |api| {
        let accounts = async |query: &str| {
            let text = api.get(&format!("/api/v1/accounts{query}")).await.text().await.unwrap();
            let page: serde_json::Value = serde_json::from_str(&text).unwrap();
            page["accounts"][0]["default_webhook"].as_str().unwrap().to_owned()
        };
        assert_eq!(accounts("").await, "<script>None 1000</script>");
        let part = accounts("?after=28&limit=10").await;
        assert_eq!(part, "<script>Some(AccountId(28)) 10</script>");
        assert_eq!(accounts("?limit=5000").await, "<script>None 1000</script>");
        for (query, problem) in [
            ("after=x", "after: it is no number of the allowed range"),
            ("limit=-1", "limit: it is no number of the allowed range"),
            ("page=2", "the parameter page is unknown; the parameters are after, limit"),
            ("limit=1&limit=2", "the parameter limit occurs twice"),
        ] {
            let answer = api.get(&format!("/api/v1/accounts?{query}")).await;
            check(answer, 400, &format!("{{\"error\":\"{problem}\"}}\n")).await;
        }
        let account = api.get("/api/v1/accounts/28").await.text().await.unwrap();
        assert!(account.starts_with("{\"id\":28,\"is_configured\":true"), "{account}");
        for id in ["29", "x"] {
            let answer = api.get(&format!("/api/v1/accounts/{id}")).await;
            check(answer, 404, "{\"error\":\"no such account\"}\n").await;
        }
    });
}

#[test]
fn probes_report_why_the_daemon_is_not_ready() {
    with_api(None, |api| async move {
        check(api.get("/livez").await, 200, "ok\n").await;
        check(api.get("/readyz").await, 503, "starting\n").await;
        let kafka = Waiting::Kafka("127.0.0.1:9092".to_owned());
        api.health.wait_only([kafka.clone(), Waiting::Topic("flow-complete".to_owned())]);
        let both = "waiting for Kafka at 127.0.0.1:9092\nwaiting for topic flow-complete\n";
        check(api.get("/readyz").await, 503, both).await;
        api.health.wait_only([]);
        check(api.get("/readyz").await, 503, "no partitions assigned\n").await;
        api.health.assign(3);
        api.health.restoring(3, 1200);
        let restoring = "restoring partition 3: 1200 records left\n";
        check(api.get("/readyz").await, 503, restoring).await;
        api.health.restored(3);
        check(api.get("/readyz").await, 200, "ok\n").await;
    });
}

#[test]
fn a_stalled_partition_fails_the_liveness_probe() {
    with_api(None, |api| async move {
        let metrics = Metrics::new(&[]);
        let health = Health::new(Duration::from_millis(20));
        health.assign(0);
        health.restored(0);
        health.work_pending(0, Instant::now());
        tokio::time::sleep(Duration::from_millis(40)).await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/livez", listener.local_addr().unwrap());
        let admin = Admin {
            metrics,
            health: Arc::clone(&health),
            config: Arc::default(),
            console: None,
            token: None,
        };
        let server = tokio::spawn(serve(listener, admin, std::future::pending()));
        let stalled = "partition 0 has had work for 0 s without making progress\n";
        check(api.client.get(&url).send().await.unwrap(), 503, stalled).await;
        health.progress(0);
        check(api.client.get(&url).send().await.unwrap(), 200, "ok\n").await;
        server.abort();
    });
}

#[test]
fn metrics_have_the_requested_format() {
    with_api(None, |api| async move {
        api.metrics.source_record("flow-complete", SourceResult::Accepted);
        api.health.assign(3);
        api.health.restoring(3, 7);
        let sample = "ringback_source_records_total{result=\"accepted\",topic=\"flow-complete\"} 1";

        let text = api.get("/metrics").await;
        assert_eq!(text.status(), StatusCode::OK);
        assert_eq!(header(&text, "content-type"), "text/plain; version=0.0.4; charset=utf-8");
        let text = text.text().await.unwrap();
        assert!(text.contains("# TYPE ringback_source_records_total counter"), "{text}");
        assert!(text.contains(sample) && !text.contains("# EOF"), "{text}");
        assert!(text.contains("ringback_restore_remaining{partition=\"3\"}"), "{text}");

        let accept = "application/openmetrics-text;version=1.0.0;q=0.6,text/plain;q=0.3";
        let open = api.get_with("/metrics", "accept", accept).await;
        assert_eq!(
            header(&open, "content-type"),
            "application/openmetrics-text; version=1.0.0; charset=utf-8"
        );
        let open = open.text().await.unwrap();
        assert!(open.contains("# TYPE ringback_source_records counter"), "{open}");
        assert!(open.contains(sample) && open.ends_with("# EOF\n"), "{open}");
    });
}

#[test]
fn the_status_is_json() {
    with_api(None, |api| async move {
        api.health.wait_only([]);
        api.health.assign(1);
        api.health.restored(1);
        api.health.assign(3);
        api.health.restoring(3, 7);
        let response = api.get("/api/v1/status").await;
        assert_eq!(header(&response, "content-type"), "application/json");
        let text = response.text().await.unwrap();
        let mut status: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert!(status["uptime_seconds"].take().is_u64(), "{text}");
        assert_eq!(
            status,
            serde_json::json!({
                "version": env!("CARGO_PKG_VERSION"),
                "uptime_seconds": null,
                "ready": false,
                "standby": false,
                "not_ready": ["restoring partition 3: 7 records left"],
                "live": true,
                "not_live": [],
                "accounts_outdated": null,
                "partitions": [
                    {"partition": 1, "state": "running", "restore_remaining": null, "stalled_seconds": 0},
                    {"partition": 3, "state": "restoring", "restore_remaining": 7, "stalled_seconds": 0},
                ],
            })
        );
    });
}

#[test]
fn a_process_without_a_console_has_an_index_that_links_to_existing_pages() {
    with_console(None, None, |api| async move {
        let page = api.get("/").await;
        assert_eq!(header(&page, "content-type"), "text/html; charset=utf-8");
        let page = page.text().await.unwrap();
        let links: Vec<&str> =
            page.split("href=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
        let expected = ["/readyz", "/livez", "/api/v1/status", "/api/v1/config", "/metrics"];
        assert_eq!(links, expected);
        for link in links {
            assert_ne!(api.get(link).await.status(), StatusCode::NOT_FOUND, "{link}");
        }
        for path in ["/api/v1/accounts", "/api/v1/accounts/28", "/webhooks"] {
            check(api.get(path).await, 404, "no such page\n").await;
        }
    });
}

#[test]
fn unknown_paths_and_methods_are_rejected() {
    with_api(None, |api| async move {
        check(api.get("/nothing").await, 404, "no such page\n").await;
        check(api.get("/api/v1/nothing").await, 404, "no such page\n").await;
        let post = api.client.post(api.base.join("/metrics").unwrap()).send().await.unwrap();
        assert_eq!(post.status(), StatusCode::METHOD_NOT_ALLOWED);
    });
}

#[test]
fn every_answer_has_the_security_headers() {
    with_api(Some("t0ken"), |api| async move {
        for path in ["/", "/livez", "/readyz", "/nothing"] {
            let response = api.get(path).await;
            let policy = header(&response, "content-security-policy");
            assert!(policy.starts_with("default-src 'none'"), "{path}: {policy}");
            assert_eq!(header(&response, "x-content-type-options"), "nosniff", "{path}");
            assert_eq!(header(&response, "x-frame-options"), "DENY", "{path}");
            assert_eq!(header(&response, "referrer-policy"), "no-referrer", "{path}");
            assert_eq!(header(&response, "cache-control"), "no-store", "{path}");
        }
    });
}

#[test]
fn all_pages_but_the_probes_need_the_token() {
    with_api(Some("t0ken"), |api| async move {
        let paths = [
            "/",
            "/metrics",
            "/api/v1/status",
            "/api/v1/config",
            "/api/v1/config/hash",
            "/nothing",
        ];
        for path in paths {
            let response = api.get(path).await;
            assert_eq!(header(&response, "www-authenticate"), "Bearer", "{path}");
            check(response, 401, "a bearer token is needed\n").await;
            for wrong in
                ["Bearer", "Bearer ", "Bearer t0ke", "Bearer t0kenn", "Basic t0ken", "t0ken", ""]
            {
                let response = api.get_with(path, "authorization", wrong).await;
                assert_eq!(response.status(), StatusCode::UNAUTHORIZED, "{path}: {wrong:?}");
            }
        }
        for (path, then) in paths.into_iter().zip([200, 200, 200, 200, 200, 404]) {
            for right in ["Bearer t0ken", "bearer  t0ken"] {
                let response = api.get_with(path, "authorization", right).await;
                assert_eq!(response.status().as_u16(), then, "{path}");
            }
        }
        assert_eq!(api.get("/livez").await.status(), StatusCode::OK);
        assert_eq!(api.get("/readyz").await.status(), StatusCode::SERVICE_UNAVAILABLE);
    });
}

#[test]
fn an_empty_token_is_never_accepted() {
    with_api(Some(""), |api| async move {
        let response = api.get_with("/metrics", "authorization", "Bearer ").await;
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    });
}

#[test]
fn a_hanging_client_does_not_delay_the_shutdown() {
    with_api(None, |api| async move {
        let address = (api.base.host_str().unwrap().to_owned(), api.base.port().unwrap());
        let mut client = tokio::net::TcpStream::connect(address).await.unwrap();
        client.write_all(b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\nGET /livez HT").await.unwrap();
        let mut answer = [0; 12];
        client.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 200");
        // The connection stays open longer than the API, with half a request sent.
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs(60)).await;
            drop(client);
        });
    });
}

#[test]
fn surplus_clients_wait_until_a_silent_client_is_closed() {
    block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut bounded = listener::Bounded::with_limits(listener, 1, Duration::from_millis(150));
        let silent = tokio::net::TcpStream::connect(address).await.unwrap();
        let surplus = tokio::net::TcpStream::connect(address).await.unwrap();
        let (mut first, _) = axum::serve::Listener::accept(&mut bounded).await;
        let second = axum::serve::Listener::accept(&mut bounded);
        let early = tokio::time::timeout(Duration::from_millis(50), second).await;
        assert!(early.is_err(), "there is only one place");
        let error = first.read(&mut [0; 1]).await.unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
        drop(first);
        axum::serve::Listener::accept(&mut bounded).await;
        drop((silent, surplus));
    });
}

/// Runs in a separate process, which has no descriptor left except for the spare file.
#[test]
fn without_a_free_descriptor_a_client_is_accepted_and_closed_soon_when_silent() {
    const INSIDE: &str = "RINGBACK_TEST_INSIDE";
    if std::env::var_os(INSIDE).is_none() {
        let name = "admin::tests::without_a_free_descriptor_a_client_is_accepted_and_closed_soon_when_silent";
        let mut command = std::process::Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", name, "--test-threads=1"]).env(INSIDE, "1");
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success() && said.contains("1 passed"), "{said}");
        return;
    }
    block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut bounded = listener::Bounded::with_limits(listener, 4, Duration::from_secs(90));
        let waiting = [
            tokio::net::TcpStream::connect(address).await.unwrap(),
            tokio::net::TcpStream::connect(address).await.unwrap(),
        ];
        let before = getrlimit(Resource::Nofile);
        let lowest = u64::try_from(spare_file().unwrap().as_raw_fd()).unwrap();
        setrlimit(Resource::Nofile, Rlimit { current: Some(lowest), ..before }).unwrap();
        let soon = Duration::from_secs(10);
        for turn in 0..2 {
            assert!(spare_file().is_err(), "{turn}: the spare file is open again");
            let accepted = axum::serve::Listener::accept(&mut bounded);
            let (mut client, _) = tokio::time::timeout(soon, accepted).await.expect("answered");
            let read = tokio::time::timeout(soon, client.read(&mut [0; 1])).await;
            let error = read.expect("a silent client is closed soon").unwrap_err();
            assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
        }
        setrlimit(Resource::Nofile, before).unwrap();
        drop(waiting);
    });
}
