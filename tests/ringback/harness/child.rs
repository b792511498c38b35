//! Child processes that end with the tests, even if the tests are killed, and the directory of the run.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, OnceLock, mpsc};

/// Returns the directory to which `ops/local/setup.sh` downloads.
pub(crate) fn cache() -> PathBuf {
    if let Some(cache) = std::env::var_os("RINGBACK_CACHE") {
        return cache.into();
    }
    let base = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).unwrap_or_else(|| {
        Path::new(&std::env::var_os("HOME").expect("HOME is set")).join(".cache")
    });
    base.join("ringback")
}

/// Returns a command whose process gets SIGKILL when its parent ends. `setpriv` replaces itself, so the process id is
/// the program's.
pub(crate) fn mortal(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).arg(program).stdin(Stdio::null());
    command
}

/// Spawns the command on a thread that lives as long as the process. The kernel sends the parent-death signal when the
/// spawning *thread* ends, and test threads end early.
pub(crate) fn spawn(command: Command) -> Child {
    type Job = (Command, mpsc::Sender<std::io::Result<Child>>);
    static SPAWNER: OnceLock<Mutex<mpsc::Sender<Job>>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (jobs, inbox) = mpsc::channel::<Job>();
        let spawn_all = move || {
            for (mut command, answer) in inbox {
                answer.send(command.spawn()).expect("the caller waits");
            }
        };
        std::thread::Builder::new().name("spawner".into()).spawn(spawn_all).expect("a thread");
        Mutex::new(jobs)
    });
    let what = format!("{command:?}");
    let (answer, result) = mpsc::channel();
    spawner
        .lock()
        .expect("no panic inside")
        .send((command, answer))
        .expect("the thread never ends");
    let child = result.recv().expect("the thread answers");
    child.unwrap_or_else(|error| panic!("{what}: {error}"))
}

/// Returns the directory of this run. A shell removes it when the tests have ended, unless `RINGBACK_KEEP` is set.
pub(crate) fn run_dir() -> &'static Path {
    static DIR: OnceLock<(PathBuf, Option<Child>)> = OnceLock::new();
    let (dir, _reaper) = DIR.get_or_init(|| {
        let dir = std::env::temp_dir().join(format!("ringback-tests-{}", std::process::id()));
        std::fs::create_dir_all(&dir).expect("a directory for the run");
        if std::env::var_os("RINGBACK_KEEP").is_some() {
            return (dir, None);
        }
        let mut reaper = Command::new("setsid");
        // The shell's input ends with the tests. One second later the last child has closed its files.
        reaper.args(["sh", "-c", "cat >/dev/null; sleep 1; rm -rf \"$1\"", "reaper"]).arg(&dir);
        reaper.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let reaper = reaper.spawn().expect("a reaper");
        (dir, Some(reaper))
    });
    dir
}

/// Returns a free port of the loopback address that was not returned before.
pub(crate) fn free_port() -> u16 {
    static GIVEN: Mutex<Vec<u16>> = Mutex::new(Vec::new());
    let mut given = GIVEN.lock().expect("no panic inside");
    loop {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        if !given.contains(&port) {
            given.push(port);
            return port;
        }
    }
}

/// Returns the last lines of a log, for the message of a failure.
pub(crate) fn tail(path: &Path, lines_max: usize) -> String {
    let text = String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()).into_owned();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(lines_max)..].join("\n")
}

/// Sends `signal` (such as `TERM`) to the child.
pub(crate) fn signal(child: &Child, signal: &str) {
    let kill = Command::new("kill").args(["-s", signal, &child.id().to_string()]).output();
    assert!(kill.expect("kill runs").status.success(), "SIG{signal} to {}", child.id());
}
