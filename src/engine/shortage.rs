//! Reports that the daemon itself lacks a resource: once when the shortage begins, once when it is over.

use crate::delivery::{Shortage, ShortageNote};
use crate::system;
use crate::telemetry::{Metrics, ShortageKind};

/// Counts and logs a shortage.
pub(super) fn report(note: ShortageNote, metrics: &Metrics) {
    match note {
        ShortageNote::PutBack(shortage) => metrics.own_shortage(kind(shortage)),
        ShortageNote::Began(shortage) => tracing::warn!(
            "deliveries wait because {shortage}: {}. Attempts that could not be made are put back and not counted, \
             and fewer requests are sent at a time; see ops/guide/too-few-files.md",
            advice(shortage)
        ),
        ShortageNote::Ended(put_back) => tracing::info!(
            put_back,
            "the shortage is over: deliveries are sent as before; attempts that were put back were not counted"
        ),
    }
}

fn kind(shortage: Shortage) -> ShortageKind {
    match shortage {
        Shortage::OpenFiles | Shortage::HostFiles => ShortageKind::Files,
        Shortage::Memory => ShortageKind::Memory,
        Shortage::Ports => ShortageKind::Ports,
        Shortage::Buffers => ShortageKind::Buffers,
    }
}

/// Returns the limit that was reached, and how to raise it.
fn advice(shortage: Shortage) -> String {
    let known = match shortage {
        Shortage::OpenFiles => return system::open_files_advice(),
        Shortage::HostFiles => {
            "files of the whole host: raise the sysctl fs.file-max, or find the process that has them open in \
             /proc/sys/fs/file-nr and `lsof`"
        }
        Shortage::Memory => {
            "memory: raise MemoryMax= of the systemd unit or the container's limit, or lower [delivery] in_flight_max"
        }
        Shortage::Ports => {
            "local ports: widen the sysctl net.ipv4.ip_local_port_range, have the endpoint keep connections alive, or lower the \
             webhook's in_flight_max or rate_per_second"
        }
        Shortage::Buffers => {
            "buffers: raise the sysctls net.ipv4.tcp_mem and fs.epoll.max_user_watches, or lower [delivery] in_flight_max"
        }
    };
    known.to_owned()
}

#[cfg(test)]
mod tests {
    use super::{advice, kind};
    use crate::delivery::Shortage;

    #[test]
    fn every_shortage_names_its_limit_and_no_directory() {
        let soft = crate::system::OpenFiles::now().soft;
        for shortage in Shortage::ALL {
            let advice = advice(shortage);
            let named = ["RLIMIT_NOFILE", "sysctl", "MemoryMax="];
            assert!(named.iter().any(|name| advice.contains(name)), "{shortage:?}: {advice}");
            assert!(!advice.contains("delete"), "{advice}");
            assert!(!kind(shortage).as_str().is_empty());
        }
        let files = advice(Shortage::OpenFiles);
        assert!(files.starts_with(&format!("open files: soft limit {soft}")), "{files}");
        assert!(
            files.contains("LimitNOFILE=") && files.contains("[delivery] in_flight_max"),
            "{files}"
        );
    }
}
