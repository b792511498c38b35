//! The Debian package: it installs on a clean Debian 12, its daemon delivers webhooks, and it is removed again.

use crate::harness::child::{cache, free_port, mortal, run_dir, spawn, tail};
use crate::harness::daemon::binary;
use crate::harness::stage::{Stage, TOPICS};
use crate::harness::{PATIENCE, broker, http, signature, wait_until};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::OnceLock;

/// Returns the root of the repository.
fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Runs a command to its end, and panics unless it ends with 0. Returns its output.
#[track_caller]
fn done(command: &mut Command) -> String {
    let output = command.output().expect("the program is installed");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{command:?}: {}\n{out}\n{err}", output.status);
    out
}

/// Returns the directory with the packages of the binary under test, which the first call makes.
fn packages() -> &'static Path {
    static PACKAGES: OnceLock<PathBuf> = OnceLock::new();
    PACKAGES.get_or_init(|| {
        let directory = run_dir().join("packages");
        let mut build = mortal(repository().join("ops/package/build.sh"));
        build.arg("--fast").arg(binary()).arg(&directory).env("RINGBACK_CACHE", cache());
        done(&mut build);
        directory
    })
}

/// Returns the only file of the packages whose name ends like this.
fn package(end: &str) -> PathBuf {
    let files = std::fs::read_dir(packages())
        .expect("a directory")
        .map(|file| file.expect("a file").path());
    let mut files = files.filter(|file| file.to_string_lossy().ends_with(end));
    let file = files.next().unwrap_or_else(|| panic!("no file *{end}"));
    assert_eq!(files.next(), None);
    file
}

/// Returns a command that runs as root.
fn as_root(program: &str) -> Command {
    let is_root = done(Command::new("id").arg("-u")).trim() == "0";
    if is_root {
        return mortal(program);
    }
    let mut command = mortal("sudo");
    command.arg(program);
    command
}

/// A unit of the package.
struct Unit {
    file: &'static str,
    /// What `/usr/bin/ringback` does.
    does: &'static str,
}

/// The units of the daemon and of the sink.
const UNITS: [Unit; 2] = [
    Unit { file: "ringback.service", does: "run" },
    Unit { file: "ringback-sink-mongodb.service", does: "sink mongodb" },
];

impl Unit {
    fn path(&self) -> String {
        format!("/usr/lib/systemd/system/{}", self.file)
    }

    fn command(&self) -> String {
        format!("/usr/bin/ringback {} --config /etc/ringback/ringback.toml", self.does)
    }

    /// Checks the installed unit. This machine's systemd checks it too, if there is one. The clean Debian has none.
    fn check(&self, debian: &Debian) {
        let unit = debian.runs(&format!("cat {}", self.path()));
        let start = format!("\nExecStart={}\n", self.command());
        assert!(unit.contains(&start) && !unit.contains("useradd"), "{unit}");
        let file = run_dir().join(self.file);
        let here = unit.replace("/usr/bin/ringback", &binary().to_string_lossy());
        std::fs::write(&file, here).expect("a file");
        match Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(&file).output() {
            Ok(output) => {
                let said = String::from_utf8_lossy(&output.stderr).into_owned();
                assert!(!said.contains(self.file), "{said}");
            }
            Err(error) => println!("the unit is not verified: systemd-analyze: {error}"),
        }
    }
}

/// A clean Debian 12 in a directory. Dropping it removes it.
struct Debian(PathBuf);

impl Debian {
    fn new() -> Self {
        let root = run_dir().join("debian");
        std::fs::create_dir_all(&root).expect("a directory");
        let archive = cache().join("debian/12.tar");
        assert!(archive.exists(), "{} is missing: run ops/local/setup.sh test", archive.display());
        let mut unpack = as_root("tar");
        done(
            unpack
                .args(["--extract", "--numeric-owner", "--file"])
                .arg(archive)
                .arg("-C")
                .arg(&root),
        );
        Self(root)
    }

    /// Returns the command that runs a line of a shell in the system, with its own /proc and as root.
    fn shell(&self, line: &str) -> Command {
        self.command("mount -t proc proc \"$0/proc\"", "root", line)
    }

    /// Returns a command that first prepares the directory `$0`, and then runs a line of a shell in the system. What it
    /// mounts and starts ends with it.
    fn command(&self, before: &str, user: &str, line: &str) -> Command {
        let mut command = as_root("unshare");
        command.args(["--mount", "--pid", "--fork", "--kill-child=KILL", "sh", "-ec"]);
        // The shell stays: a process that changes its user loses the signal that ends it with its parent.
        let inside =
            format!("{before}; chroot --userspec={user} \"$0\" /usr/bin/env -i \"$@\"; exit 0");
        command.arg(inside).arg(&self.0);
        command.args(["PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LC_ALL=C.UTF-8"]);
        command.args(["DEBIAN_FRONTEND=noninteractive", "sh", "-ec", line]);
        command
    }

    /// Runs a line of a shell, and panics unless it ends with 0.
    #[track_caller]
    fn runs(&self, line: &str) -> String {
        done(&mut self.shell(line))
    }

    /// Returns the files whose paths name the package.
    fn traces(&self) -> Vec<String> {
        let find = "find / -xdev -path /proc -prune -o -name '*ringback*' -print | sort";
        self.runs(find).lines().map(str::to_owned).collect()
    }

    /// Starts the installed daemon as the unit does: as its user, and unable to write except into its store.
    fn daemon(&self, log: &Path, variables: &str) -> Child {
        let read_only = "mount --bind \"$0\" \"$0\"; mount -o remount,ro,bind \"$0\"
            mount --bind \"$0/var/lib/ringback\" \"$0/var/lib/ringback\"
            mount -o remount,rw,bind \"$0/var/lib/ringback\"
            mount -t proc proc \"$0/proc\"";
        let [daemon, _] = UNITS;
        let run = daemon.command();
        let line = format!("! touch /tmp/x 2>/dev/null; exec env {variables} {run}");
        let mut command = self.command(read_only, "ringback:ringback", &line);
        command.stderr(std::fs::File::create(log).expect("a log"));
        spawn(command)
    }
}

impl Drop for Debian {
    fn drop(&mut self) {
        let _ = as_root("rm").arg("-rf").arg(&self.0).output();
    }
}

/// Checks what the installation of the package has made.
fn is_installed(debian: &Debian) {
    let modes = "stat -c '%A %U:%G %n' /etc/ringback /etc/ringback/environment /var/lib/ringback /usr/bin/ringback";
    assert_eq!(
        debian.runs(modes),
        "drwxr-s--- root:ringback /etc/ringback\n\
         -rw-r----- root:root /etc/ringback/environment\n\
         drwx------ ringback:ringback /var/lib/ringback\n\
         -rwxr-xr-x root:root /usr/bin/ringback\n"
    );
    let user = debian.runs("getent passwd ringback");
    assert!(user.trim().ends_with(":/var/lib/ringback:/usr/sbin/nologin"), "{user}");
    let version = debian.runs("ringback --version");
    assert_eq!(version, format!("ringback {}\n", env!("CARGO_PKG_VERSION")));
    let files = debian.runs("dpkg -L ringback");
    for file in [
        "/usr/share/man/man1/ringback.1.gz",
        "/usr/share/man/man1/ringback-dead-letter-replay.1.gz",
        "/usr/share/bash-completion/completions/ringback",
        "/usr/share/zsh/vendor-completions/_ringback",
        "/usr/share/fish/vendor_completions.d/ringback.fish",
        "/usr/share/doc/ringback/copyright",
    ] {
        assert!(files.lines().any(|line| line == file), "no {file} in {files}");
    }
    let page = debian.runs("zcat /usr/share/man/man1/ringback.1.gz");
    assert!(page.contains(".TH ringback 1"), "{page}");
    debian.runs("bash -n /usr/share/bash-completion/completions/ringback");
    let conffiles = debian.runs("dpkg-query --show --showformat '${Conffiles}' ringback");
    assert!(conffiles.trim().starts_with("/etc/ringback/environment "), "{conffiles}");
    assert_eq!(conffiles.trim().lines().count(), 1, "{conffiles}");
    for unit in UNITS {
        unit.check(debian);
    }
    // Neither is enabled or started, because both need a configuration first: a unit is enabled again only if the
    // administrator had enabled it, and restarted only if it runs.
    let script = debian.runs("cat /var/lib/dpkg/info/ringback.postinst");
    for unit in UNITS {
        let asks = format!("if deb-systemd-helper debian-installed {}; then", unit.file);
        assert!(script.contains(&asks) && !script.contains("=start"), "{script}");
    }
}

#[test]
fn a_binary_that_is_too_large_is_not_packaged() {
    let directory = run_dir().join("too-large");
    let mut build = mortal(repository().join("ops/package/build.sh"));
    build.args(["--fast", "--most", "1000000"]).arg(binary()).arg(&directory);
    let output = build.env("RINGBACK_CACHE", cache()).output().expect("a shell");
    let err = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && err.contains("not fewer than 1000000"), "{err}");
    let files = std::fs::read_dir(&directory).expect("a directory").count();
    assert_eq!(files, 0);
}

#[test]
fn the_package_installs_on_a_clean_debian_and_its_daemon_delivers_webhooks() {
    let stage = Stage::without_topics(broker::shared(), "package");
    let debian = Debian::new();
    done(as_root("cp").arg(package(".deb")).arg(debian.0.join("tmp/ringback.deb")));
    let before = debian.traces();
    assert_eq!(before, ["/tmp/ringback.deb"]);
    // The system has the archives of the dependencies, and nothing is downloaded.
    debian.runs(
        "apt-get install -y -qq --no-install-recommends -o Dpkg::Use-Pty=0 \
         -o Acquire::http::Proxy=http://127.0.0.1:1 /tmp/ringback.deb",
    );
    is_installed(&debian);

    let url = stage.receiver.url("/hooks");
    let kafka = stage.kafka.bootstrap();
    debian.runs(&format!("ringback init /etc/ringback --kafka {kafka} --url {url}"));
    let port = free_port();
    let mut variables = format!(
        "RINGBACK__KAFKA__GROUP_ID={} RINGBACK__HTTP__LISTEN=127.0.0.1:{port} \
         RINGBACK__STORE__DIRECTORY=/var/lib/ringback",
        stage.group()
    );
    for (key, kind) in TOPICS {
        let name = format!("RINGBACK__TOPICS__{}", key.to_uppercase());
        variables.push_str(&format!(" {name}={}", stage.topic(kind)));
    }
    for command in ["check", "topics --create --with-inputs 2", "check --online"] {
        debian.runs(&format!("env {variables} ringback {command}"));
    }
    let log = stage.instance_dir(0).with_extension("log");
    let mut daemon = debian.daemon(&log, &variables);
    wait_until("the installed daemon is ready", PATIENCE, || {
        let ended = daemon.try_wait().expect("a child");
        assert!(ended.is_none(), "{ended:?}: {}", tail(&log, 40));
        http::get(port, "/readyz").is_ok_and(|(status, _)| status == 200).then_some(())
    });
    debian.runs(&format!("env {variables} ringback healthcheck"));
    // The sink needs a section of the configuration that this one lacks.
    let [_, sink] = UNITS;
    let refused = debian.runs(&format!("{} 2>&1 || test $? = 78", sink.command()));
    assert!(refused.contains("sink.mongodb"), "{refused}");
    debian.runs(&format!("env {variables} ringback send --sample"));
    let requests = stage.receiver.wait_for(2, PATIENCE);
    let secret = debian.runs("cat /etc/ringback/crm.secret");
    signature::verify(secret.trim(), &requests);
    daemon.kill().expect("the daemon runs");
    daemon.wait().expect("it has ended");

    debian.runs("dpkg --remove ringback");
    let kept = debian.runs("ls /etc/ringback");
    assert!(kept.contains("environment\n") && kept.contains("ringback.toml\n"), "{kept}");
    debian.runs("dpkg --purge ringback");
    let left = debian.traces();
    assert_eq!(left, ["/tmp/ringback.deb", "/var/lib/ringback"], "only the store is left");
    assert!(!debian.runs("ls -A /var/lib/ringback").is_empty());
}

#[test]
fn the_archive_has_a_binary_that_runs_and_its_checksum() {
    let sums =
        done(Command::new("sha256sum").args(["--check", "SHA256SUMS"]).current_dir(packages()));
    assert_eq!(sums.matches(": OK\n").count(), 2, "{sums}");
    let to = run_dir().join("unpacked");
    std::fs::create_dir_all(&to).expect("a directory");
    done(Command::new("tar").arg("-xzf").arg(package(".tar.gz")).arg("-C").arg(&to));
    let name = package(".tar.gz");
    let name = name.file_name().and_then(|name| name.to_str()).expect("UTF-8");
    let root = to.join(name.trim_end_matches(".tar.gz"));
    let version = done(Command::new(root.join("bin/ringback")).arg("--version"));
    assert!(version.contains(env!("CARGO_PKG_VERSION")), "{version}");
    for file in [
        "LICENSE",
        "config/ringback.toml",
        "share/man/man1/ringback-run.1.gz",
        "systemd/ringback.service",
        "systemd/ringback-sink-mongodb.service",
    ] {
        assert!(root.join(file).exists(), "{file}");
    }
}
