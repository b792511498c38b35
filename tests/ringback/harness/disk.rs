//! Small disks in memory, which only root may mount.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A mounted disk.
pub(crate) struct Disk {
    dir: PathBuf,
    sudo: bool,
}

impl Disk {
    /// Mounts a disk of `mib` MiB. Without the permission it prints a line that says why, and returns `None`.
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

    /// Mounts the disk again with another option, such as `size=64m` or `ro`.
    pub(crate) fn remount(&self, option: &str) {
        let options = format!("remount,{option}");
        assert!(run(self.sudo, &["mount", "-o", &options], &self.dir), "remount with {option}");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily, because the daemon of a failed test may still have files open.
        run(self.sudo, &["umount", "--lazy"], &self.dir);
    }
}

fn run(sudo: bool, words: &[&str], dir: &Path) -> bool {
    let words = if sudo { [&["sudo", "-n"], words].concat() } else { words.to_vec() };
    let output = Command::new(words[0]).args(&words[1..]).arg(dir).output();
    output.is_ok_and(|output| output.status.success())
}
