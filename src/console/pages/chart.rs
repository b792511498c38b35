//! Small charts, drawn as SVG.

use maud::{Markup, html};

const WIDTH: f64 = 240.0;
const HEIGHT: f64 = 48.0;

/// Draws the values of the last hour as a line, with the latest and the largest value as text.
pub(super) fn line(title: &str, unit: &str, values: &[f64]) -> Markup {
    html! {
        figure.chart {
            figcaption { (title) }
            p.value { (values.last().map_or_else(|| "–".to_owned(), |latest| short(*latest))) " " small { (unit) } }
            (curve(title, unit, values))
        }
    }
}

/// Draws the line alone. Readers that can't see it get the latest and the largest value.
pub(super) fn curve(title: &str, unit: &str, values: &[f64]) -> Markup {
    let max = values.iter().copied().fold(0.0, f64::max);
    let text = values.last().map_or_else(
        || "no value yet".to_owned(),
        |latest| format!("{} {unit}, at most {} in the last hour", short(*latest), short(max)),
    );
    html! {
        svg viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } preserveAspectRatio="none" role="img" aria-label={ (title) ": " (text) } {
            polyline fill="none" points=(points(values, max)) {}
        }
    }
}

/// Returns the points of the line. The latest value is at the right end.
fn points(values: &[f64], max: f64) -> String {
    let top = if max > 0.0 { max } else { 1.0 };
    let step = WIDTH / values.len().saturating_sub(1).max(1) as f64;
    let mut text = String::new();
    for (place, value) in values.iter().enumerate() {
        let x = place as f64 * step;
        let y = HEIGHT - 2.0 - value / top * (HEIGHT - 4.0);
        text.push_str(&format!("{x:.1},{y:.1} "));
    }
    text
}

/// Returns a number with at most one digit behind the point.
fn short(value: f64) -> String {
    if value.fract() == 0.0 { format!("{value:.0}") } else { format!("{value:.1}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_spans_the_chart_and_its_text_has_the_values() {
        assert_eq!(points(&[0.0, 5.0, 10.0], 10.0), "0.0,46.0 120.0,24.0 240.0,2.0 ");
        assert_eq!(points(&[], 0.0), "");
        let drawn = line("Attempts", "per second", &[1.0, 12.5]).into_string();
        assert!(
            drawn.contains("Attempts: 12.5 per second, at most 12.5 in the last hour"),
            "{drawn}"
        );
        assert!(line("Attempts", "per second", &[]).into_string().contains("no value yet"));
    }
}
