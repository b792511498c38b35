//! The table of figures at the end of the benchmark.

/// A figure, with its target if it has one.
pub(crate) struct Figure {
    name: String,
    value: f64,
    unit: &'static str,
    target: Option<Target>,
}

/// The target of a figure.
#[derive(Clone, Copy)]
pub(crate) enum Target {
    /// At most this.
    AtMost(f64),
    /// Less than this.
    Below(f64),
    /// At least this.
    AtLeast(f64),
}

impl Figure {
    /// Creates a figure without a target.
    pub(crate) fn new(name: impl Into<String>, value: f64, unit: &'static str) -> Self {
        Self { name: name.into(), value, unit, target: None }
    }

    /// Adds a target.
    pub(crate) fn target(self, target: Target) -> Self {
        Self { target: Some(target), ..self }
    }

    fn show_target(&self) -> String {
        match self.target {
            None => String::new(),
            Some(Target::AtMost(limit)) => format!("≤ {limit}"),
            Some(Target::Below(limit)) => format!("< {limit}"),
            Some(Target::AtLeast(limit)) => format!("≥ {limit}"),
        }
    }

    fn verdict(&self) -> &'static str {
        let met = match self.target {
            None => return "",
            Some(Target::AtMost(limit)) => self.value <= limit,
            Some(Target::Below(limit)) => self.value < limit,
            Some(Target::AtLeast(limit)) => self.value >= limit,
        };
        if met { "ok" } else { "missed" }
    }
}

/// Prints the table. A missed target is shown but is no failure, because a benchmark only measures.
pub(crate) fn print(figures: &[Figure]) {
    println!("\n{:<58} {:>12} {:<6} {:>10}  verdict", "figure", "measured", "", "target");
    for figure in figures {
        let digits = if figure.value < 100.0 { 2 } else { 0 };
        let target = figure.show_target();
        println!(
            "{:<58} {:>12.digits$} {:<6} {target:>10}  {}",
            figure.name,
            figure.value,
            figure.unit,
            figure.verdict()
        );
    }
}
