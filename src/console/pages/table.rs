//! Tables, and lists that are shown in parts.

use maud::{Markup, html};

/// The number of rows on a page.
pub(super) const ROWS_MAX: usize = 200;

/// A column with its heading.
pub(super) enum Column {
    Text(&'static str),
    Number(&'static str),
}

/// Returns a table that can be scrolled where the window is too narrow. Each row is a `tr`.
pub(super) fn table(
    label: &str,
    columns: &[Column],
    rows: impl IntoIterator<Item = Markup>,
) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-label=(label) {
            table {
                thead {
                    tr {
                        @for column in columns {
                            @match column {
                                Column::Text(heading) => th scope="col" { (heading) },
                                Column::Number(heading) => th.number scope="col" { (heading) },
                            }
                        }
                    }
                }
                tbody { @for row in rows { (row) } }
            }
        }
    }
}

/// Returns a part of a list: the table of at most [`ROWS_MAX`] rows, and a link to the next part if `found` has more.
/// `next` returns the address of the part behind an entry.
pub(super) fn list<T>(
    (label, columns): (&str, &[Column]),
    found: &[T],
    row: impl Fn(&T) -> Markup,
    next: impl Fn(&T) -> String,
) -> Markup {
    let (shown, rest) = found.split_at(found.len().min(ROWS_MAX));
    html! {
        @if shown.is_empty() { p { "None is found." } } @else { (table(label, columns, shown.iter().map(row))) }
        @if let (Some(last), false) = (shown.last(), rest.is_empty()) { p { a href=(next(last)) { "Next page" } } }
    }
}
