//! A real Prometheus, and its HTTP API.

use crate::harness::child::{self, free_port, mortal, tail};
use crate::harness::http;
use crate::harness::{PATIENCE, wait_until};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Child;

/// The name of the job under which the daemon is scraped.
pub(super) const JOB: &str = "ringback";

/// The server's process. Dropping it sends SIGKILL.
pub(super) struct Prometheus {
    child: Child,
    port: u16,
    log: PathBuf,
}

impl Prometheus {
    /// Starts a server that scrapes `target` (a port of 127.0.0.1) each second and evaluates `rules` as often.
    pub(super) fn start(dir: &Path, target: u16, rules: &Path) -> Self {
        std::fs::create_dir_all(dir).expect("a directory for the server");
        let config = format!(
            "global: {{scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}}\n\
             rule_files: ['{}']\n\
             scrape_configs:\n\
             - job_name: {JOB}\n  static_configs: [{{targets: ['127.0.0.1:{target}']}}]\n",
            rules.display()
        );
        let file = dir.join("prometheus.yml");
        std::fs::write(&file, config).expect("a file");
        let (port, log) = (free_port(), dir.join("stderr.log"));
        let mut command = mortal("/usr/bin/prometheus");
        command.arg(format!("--config.file={}", file.display()));
        command.arg(format!("--storage.tsdb.path={}", dir.join("data").display()));
        command.arg(format!("--web.listen-address=127.0.0.1:{port}"));
        let errors = std::fs::File::create(&log).expect("a log");
        command.stdout(errors.try_clone().expect("a handle")).stderr(errors);
        let prometheus = Self { child: child::spawn(command), port, log };
        wait_until("Prometheus is ready", PATIENCE, || {
            let ready = http::get(prometheus.port, "/-/ready");
            ready.ok().filter(|(status, _)| *status == 200)
        });
        prometheus
    }

    /// Evaluates an expression now. Returns its series, or the error message of an expression that can't be evaluated.
    pub(super) fn query(&self, expr: &str) -> Result<Vec<Value>, String> {
        let encoded: String = expr.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let form = [("Content-Type", "application/x-www-form-urlencoded")];
        let body = format!("query={encoded}");
        let (_, answer) = http::post_with(self.port, "/api/v1/query", &form, body.as_bytes())
            .unwrap_or_else(|error| panic!("{error}: {}", tail(&self.log, 20)));
        let answer: Value = serde_json::from_str(&answer).expect("JSON");
        match answer["error"].as_str() {
            Some(error) => Err(error.to_owned()),
            None => Ok(answer["data"]["result"].as_array().cloned().unwrap_or_default()),
        }
    }

    /// Returns all rules with their health.
    pub(super) fn rules(&self) -> Vec<Value> {
        let (_, answer) = http::get(self.port, "/api/v1/rules").expect("Prometheus answers");
        let answer: Value = serde_json::from_str(&answer).expect("JSON");
        let groups = answer["data"]["groups"].as_array().expect("groups").iter();
        groups.flat_map(|group| group["rules"].as_array().cloned().unwrap_or_default()).collect()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // The process may have ended already.
        let _ended = self.child.kill().and_then(|()| self.child.wait());
    }
}
