//! `ringback webhook tokens`

use crate::cli::terminal::{json, print, table};
use crate::definition::catalogue::{TokenRow, token_rows};
use crate::exit::ExitCode;
use clap::Args;
use clap::builder::PossibleValuesParser;
use serde::Serialize;

/// Lists the tokens of call-tracking templates, each with its group, meaning, example and source
///
/// The source is the variable that gives the value, and what is derived from the record if that has none. `tokens` of a
/// webhook or a template, and `values` of an account, replace them.
#[derive(Args)]
#[command(after_help = "\
Example:
  ringback webhook tokens --group dni
  ringback webhook tokens --json | jq -r .token")]
pub(in crate::cli) struct Arguments {
    /// Lists only the tokens of this group
    #[arg(long, value_name = "GROUP", value_parser = PossibleValuesParser::new(GROUPS))]
    group: Option<String>,
    /// Prints a JSON object per token, each on a line
    #[arg(long)]
    json: bool,
}

const GROUPS: [&str; 4] = ["call_begin", "call_end", "dni", "location_info"];

const HEAD: [&str; 5] = ["TOKEN", "GROUP", "MEANING", "EXAMPLE", "SOURCE"];

/// A token as it is listed.
#[derive(Serialize)]
struct Token<'a> {
    token: String,
    group: &'a str,
    meaning: &'a str,
    example: &'a str,
    source: String,
}

pub(super) fn run(arguments: &Arguments) -> ExitCode {
    let is_wanted = |row: &TokenRow| arguments.group.as_ref().is_none_or(|it| *it == row.group);
    let rows = token_rows().iter().filter(|(_, row)| is_wanted(row));
    let tokens = rows.map(|(name, row)| Token {
        token: format!("%{name}%"),
        group: &row.group,
        meaning: &row.meaning,
        example: &row.example,
        source: row.source(),
    });
    print(if arguments.json {
        tokens.map(|token| json(&token)).collect()
    } else {
        let cells = tokens.map(|Token { token, group, meaning, example, source }| {
            [token, group.to_owned(), meaning.to_owned(), example.to_owned(), source]
        });
        table(&std::iter::once(HEAD.map(str::to_owned)).chain(cells).collect::<Vec<_>>())
    });
    ExitCode::SUCCESS
}
