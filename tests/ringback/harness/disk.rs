//! Small disks, which only root may mount.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A disk of its own, in memory.
pub(crate) struct Disk {
    dir: PathBuf,
    sudo: bool,
}

impl Disk {
    /// Mounts one of so many MiB; `None`, and a line that says why, where that is not allowed.
    pub(crate) fn mount(dir: &Path, mib: u32) -> Option<Self> {
        std::fs::create_dir_all(dir).expect("a directory");
        let options = format!("size={mib}m");
        for sudo in [false, true] {
            if run(sudo, &["mount", "-t", "tmpfs", "-o", &options, "ringback-tests"], dir) {
                return Some(Self { dir: dir.to_owned(), sudo });
            }
        }
        println!("SKIPPED: no disk can be mounted in {}: run as root, or with sudo", dir.display());
        None
    }

    /// Mounts it anew, with other options such as `size=64m` or `ro`.
    pub(crate) fn remount(&self, option: &str) {
        let options = format!("remount,{option}");
        assert!(run(self.sudo, &["mount", "-o", &options], &self.dir), "remount with {option}");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: a daemon that a failed test leaves behind may still hold files.
        run(self.sudo, &["umount", "--lazy"], &self.dir);
    }
}

fn run(sudo: bool, words: &[&str], dir: &Path) -> bool {
    let words = if sudo { [&["sudo", "-n"], words].concat() } else { words.to_vec() };
    let output = Command::new(words[0]).args(&words[1..]).arg(dir).output();
    output.is_ok_and(|output| output.status.success())
}
