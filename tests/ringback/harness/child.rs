//! Children that die with the tests, even when those are killed, and the directory that goes with them.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, OnceLock, mpsc};

/// Where `ops/local/setup.sh` put what it fetched.
pub(crate) fn cache() -> PathBuf {
    if let Some(cache) = std::env::var_os("RINGBACK_CACHE") {
        return cache.into();
    }
    let base = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).unwrap_or_else(|| {
        Path::new(&std::env::var_os("HOME").expect("HOME is set")).join(".cache")
    });
    base.join("ringback")
}

/// A command whose process gets SIGKILL when its parent ends. `setpriv` replaces itself, so the process id is the program's.
pub(crate) fn mortal(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).arg(program).stdin(Stdio::null());
    command
}

/// Spawns on a thread that lives as long as the process: the kernel's parent-death signal is sent at the end of the
/// spawning *thread*, and test threads come and go.
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
    spawner.lock().expect("no panic inside").send((command, answer)).expect("it never ends");
    let child = result.recv().expect("it answers");
    child.unwrap_or_else(|error| panic!("{what}: {error}"))
}

/// The directory of this run. A shell that waits for the end of the tests removes it, unless `RINGBACK_KEEP` is set.
pub(crate) fn run_dir() -> &'static Path {
    static DIR: OnceLock<(PathBuf, Option<Child>)> = OnceLock::new();
    let (dir, _reaper) = DIR.get_or_init(|| {
        let dir = std::env::temp_dir().join(format!("ringback-tests-{}", std::process::id()));
        std::fs::create_dir_all(&dir).expect("a directory for the run");
        if std::env::var_os("RINGBACK_KEEP").is_some() {
            return (dir, None);
        }
        let mut reaper = Command::new("setsid");
        // The end of its input is the end of the tests; a second later the last child has let go of its files.
        reaper.args(["sh", "-c", "cat >/dev/null; sleep 1; rm -rf \"$1\"", "reaper"]).arg(&dir);
        reaper.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let reaper = reaper.spawn().expect("a reaper");
        (dir, Some(reaper))
    });
    dir
}

/// A port of the loopback that nobody listens on and that was not given out before.
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

/// The last lines of a log, for a failure's message.
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
