//! A schema registry with Confluent's API (Apicurio): one for the whole run.

use super::child::{self, cache, free_port, mortal, run_dir, tail};
use super::http;
use super::wait_until;
use std::process::Child;
use std::sync::OnceLock;
use std::time::Duration;

/// The registry's process.
pub(crate) struct Registry {
    port: u16,
    _child: Child,
}

const API: &str = "/apis/ccompat/v7";

/// Returns the registry of the whole run, which the first call starts.
pub(crate) fn shared() -> &'static Registry {
    static SHARED: OnceLock<Registry> = OnceLock::new();
    SHARED.get_or_init(Registry::start)
}

impl Registry {
    fn start() -> Self {
        let home = cache().join("apicurio");
        let jar = home.join("apicurio-registry-app-2.6.13.Final-runner.jar");
        assert!(jar.exists(), "{} is missing: run ops/local/setup.sh test", jar.display());
        let port = free_port();
        let log = run_dir().join("registry.log");
        let file = std::fs::File::create(&log).expect("the registry's log");
        let mut command = mortal("java");
        command.env("QUARKUS_HTTP_PORT", port.to_string()).env("QUARKUS_HTTP_HOST", "127.0.0.1");
        command.args(["-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-jar"]).arg(jar);
        command.current_dir(run_dir());
        command.stdout(file.try_clone().expect("a handle")).stderr(file);
        let registry = Self { port, _child: child::spawn(command) };
        let ready = || http::get(port, &format!("{API}/subjects")).ok().filter(|(s, _)| *s == 200);
        let what = || format!("the registry answers; its log: {}", tail(&log, 20));
        wait_until(&what(), Duration::from_secs(90), ready);
        registry
    }

    /// Returns the URL for the configuration.
    pub(crate) fn url(&self) -> String {
        self.url_at(self.port)
    }

    /// Like `url`, with another port, such as that of a proxy.
    pub(crate) fn url_at(&self, port: u16) -> String {
        format!("http://127.0.0.1:{port}{API}")
    }

    /// Creates an Avro schema by Apicurio's own API, and returns its global id.
    pub(crate) fn create(&self, artifact: &str, schema: &str) -> u64 {
        let headers = [
            ("Content-Type", "application/json"),
            ("X-Registry-ArtifactType", "AVRO"),
            ("X-Registry-ArtifactId", artifact),
        ];
        let path = "/apis/registry/v2/groups/default/artifacts";
        let (status, answer) = http::post_with(self.port, path, &headers, schema.as_bytes())
            .expect("the registry answers");
        assert_eq!(status, 200, "{artifact}: {answer}");
        let answer: serde_json::Value = serde_json::from_str(&answer).expect("JSON");
        answer["globalId"].as_u64().expect("a global id")
    }

    /// Connects to the registry.
    pub(crate) fn connect(&self) -> std::net::TcpStream {
        std::net::TcpStream::connect(("127.0.0.1", self.port)).expect("the registry listens")
    }

    /// Registers a schema and returns its id.
    pub(crate) fn register(&self, subject: &str, schema: &str) -> u32 {
        self.register_as(subject, &serde_json::json!({"schema": schema}))
    }

    /// Registers a schema with its type or its references, in the registry's format, and returns its id.
    pub(crate) fn register_as(&self, subject: &str, body: &serde_json::Value) -> u32 {
        let body = body.to_string();
        let (status, answer) =
            http::post(self.port, &format!("{API}/subjects/{subject}/versions"), &body)
                .expect("the registry answers");
        assert_eq!(status, 200, "{subject}: {answer}");
        let answer: serde_json::Value = serde_json::from_str(&answer).expect("JSON");
        answer["id"].as_u64().and_then(|id| u32::try_from(id).ok()).expect("an id")
    }
}
