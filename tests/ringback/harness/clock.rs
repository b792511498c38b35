//! A clock for the daemon that a test can set. The clock of the machine stays unchanged.

use super::child::run_dir;
use super::stage::Stage;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

const SOURCE: &str = include_str!("clock.c");

/// The file that says how far the clock of a stage's daemons is ahead of the real one.
pub(crate) struct Clock(File);

impl Clock {
    /// Gives this clock to all daemons that the stage starts from now on. It shows the real time until it is set.
    pub(crate) fn of(stage: &mut Stage) -> Self {
        let dir = stage.instance_dir(0);
        std::fs::create_dir_all(&dir).expect("a directory for the instance");
        let path = dir.join("clock");
        let clock = Self(File::create(&path).expect("a file"));
        clock.set(0);
        stage.set_variable("LD_PRELOAD", library().to_str().expect("a plain path"));
        stage.set_variable("RINGBACK_TEST_CLOCK", path.to_str().expect("a plain path"));
        clock
    }

    /// Sets the clock `ahead_s` seconds ahead of the real one, with immediate effect.
    pub(crate) fn set(&self, ahead_s: i64) {
        self.0.write_all_at(&ahead_s.to_ne_bytes(), 0).expect("the file can be written");
    }
}

/// Returns the library to preload. The first call compiles it.
fn library() -> &'static PathBuf {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let (source, library) = (run_dir().join("clock.c"), run_dir().join("clock.so"));
        std::fs::write(&source, SOURCE).expect("a file");
        let mut compiler = Command::new("cc");
        compiler.args(["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o"]).arg(&library);
        let output = compiler.arg(&source).output().expect("a C compiler, as RocksDB needs one");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        library
    })
}
