//! A server that speaks MongoDB's protocol: FerretDB, with SQLite behind it.

use super::child::{self, cache, free_port, mortal, run_dir, tail};
use super::stage::Stage;
use super::{PATIENCE, runtime, wait_until};
use mongodb::bson::{Document, doc};
use mongodb::{Client, Collection};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::OnceLock;
use std::time::Duration;

/// The collection of the tests, which is the default of the configuration.
const COLLECTION: &str = "SMSDetailDocument";

/// The server's process. Dropping it sends SIGKILL.
pub(crate) struct Database {
    port: u16,
    dir: PathBuf,
    child: Child,
}

/// Returns the server of the whole run, which the first call starts.
pub(crate) fn shared() -> &'static Database {
    static SHARED: OnceLock<Database> = OnceLock::new();
    SHARED.get_or_init(|| Database::start("database"))
}

fn program() -> PathBuf {
    let program = cache().join("ferretdb/ferretdb");
    assert!(program.exists(), "{} is missing: run ops/local/setup.sh test", program.display());
    program
}

fn spawn(port: u16, dir: &Path) -> Child {
    let log = std::fs::File::options().append(true).create(true).open(dir.join("server.log"));
    let log = log.expect("the server's log");
    let mut command = mortal(program());
    command.args(["serve", &format!("127.0.0.1:{port}")]).arg(dir);
    command.stdout(log.try_clone().expect("a handle")).stderr(log);
    child::spawn(command)
}

impl Database {
    /// Starts a server with a directory of its own.
    pub(crate) fn start(name: &str) -> Self {
        let dir = run_dir().join(name);
        std::fs::create_dir_all(&dir).expect("a directory for the server");
        let port = free_port();
        let database = Self { port, child: spawn(port, &dir), dir };
        database.wait_ready();
        database
    }

    fn wait_ready(&self) {
        let log = self.dir.join("server.log");
        let what = || format!("the database answers; its log: {}", tail(&log, 20));
        wait_until(&what(), PATIENCE, || {
            runtime().block_on(async {
                let client = Client::with_uri_str(self.uri()).await.expect("a URI");
                client.database("admin").run_command(doc! { "ping": 1 }).await.ok()
            })
        });
    }

    /// Sends SIGKILL and waits for the end of the process.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("the database runs");
        self.child.wait().expect("the database ends");
    }

    /// Sends `signal`: after STOP, the server accepts connections and does not answer until CONT.
    pub(crate) fn signal(&self, signal: &str) {
        child::signal(&self.child, signal);
    }

    /// Starts the server again, with its data and at its port.
    pub(crate) fn restart(&mut self) {
        self.child = spawn(self.port, &self.dir);
        self.wait_ready();
    }

    /// Returns the connection string.
    pub(crate) fn uri(&self) -> String {
        format!("mongodb://127.0.0.1:{}/?serverSelectionTimeoutMS=2000", self.port)
    }

    /// Returns the database of a stage.
    pub(crate) fn of<'a>(&'a self, stage: &Stage) -> Documents<'a> {
        Documents { database: self, name: stage.group().replace('.', "-") }
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // The process may have ended already.
        let _ended = self.child.kill().and_then(|()| self.child.wait());
    }
}

/// The documents of one test.
pub(crate) struct Documents<'a> {
    database: &'a Database,
    name: String,
}

impl Documents<'_> {
    /// Sets `[sink.mongodb]` of the stage to this database.
    pub(crate) fn configure(&self, stage: &mut Stage) {
        stage.set("sink.mongodb.uri", self.database.uri());
        stage.set("sink.mongodb.database", self.name.clone());
        stage.set("sink.mongodb.request_timeout_ms", 5000);
    }

    async fn collection(&self) -> Collection<Document> {
        let client = Client::with_uri_str(self.database.uri()).await.expect("a URI");
        client.database(&self.name).collection(COLLECTION)
    }

    /// Inserts documents, and an index that makes updates of many documents fast.
    pub(crate) fn insert(&self, documents: &[Document]) {
        runtime().block_on(async {
            let inserted = self.collection().await.insert_many(documents).await;
            inserted.expect("the documents are inserted");
        });
        let mut index = mortal(program());
        index.arg("index").arg(&self.database.dir);
        assert!(index.status().expect("it runs").success(), "the index can't be created");
    }

    /// Inserts a document for each SMS, as the platform has it before a webhook.
    pub(crate) fn insert_sms(&self, ids: &[&str]) {
        let document = |id: &&str| doc! { "_id": *id, "to": "919999999999", "length": 46 };
        self.insert(&ids.iter().map(document).collect::<Vec<_>>());
    }

    /// Returns all documents by their `_id`.
    pub(crate) fn all(&self) -> BTreeMap<String, Document> {
        runtime().block_on(async {
            let mut found = self.collection().await.find(doc! {}).await.expect("an answer");
            let mut all = BTreeMap::new();
            while found.advance().await.expect("a document") {
                let document: Document = found.deserialize_current().expect("BSON");
                let id = document.get_str("_id").expect("a text").to_owned();
                all.insert(id, document);
            }
            all
        })
    }

    /// Waits until the documents fulfil `condition`, and returns them.
    pub(crate) fn wait(
        &self,
        what: &str,
        timeout: Duration,
        condition: impl Fn(&BTreeMap<String, Document>) -> bool,
    ) -> BTreeMap<String, Document> {
        wait_until(what, timeout, || Some(self.all()).filter(|all| condition(all)))
    }
}
