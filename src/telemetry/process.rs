//! What the process takes from its host.

use prometheus::core::{Collector, Desc};
use prometheus::process_collector::ProcessCollector;
use prometheus::proto::{Counter, MetricFamily};
use rustix::time::{ClockId, clock_gettime};
use std::time::Duration;

/// The library counts whole seconds of CPU time, and its rate over a minute would jump.
const CPU_SECONDS: &str = "process_cpu_seconds_total";

/// The library's metrics of a process, with its CPU time as exact as the system knows it.
pub(super) struct Process(ProcessCollector);

impl Default for Process {
    fn default() -> Self {
        Self(ProcessCollector::for_self())
    }
}

impl Collector for Process {
    fn desc(&self) -> Vec<&Desc> {
        self.0.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let mut families = self.0.collect();
        let cpu = families.iter_mut().filter(|family| family.name() == CPU_SECONDS);
        for metric in cpu.flat_map(|family| family.mut_metric()) {
            let mut counter = Counter::default();
            counter.set_value(cpu_time().as_secs_f64());
            metric.set_counter(counter);
        }
        families
    }
}

fn cpu_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ProcessCPUTime)).unwrap_or_default()
}
