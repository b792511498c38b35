//! `ringback webhook extract`

use crate::cli::terminal::print;
use crate::cli::{FAILED, USAGE};
use crate::definition::example::{definition, leaves, template};
use crate::exit::ExitCode;
use crate::telemetry::err_line;
use clap::Args;
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// Reads an example of an answer, and prints the part of a definition that maps each of its values
///
/// The example is JSON or XML, recognised by its first character. The output belongs below a [[webhook]] of the
/// accounts file: keep the entries that you want, give their variables the names that flows use, and add `mandatory =
/// true` if an answer without the value is of no use.
#[derive(Args)]
#[command(after_help = "\
Example:
  ringback webhook extract answer.json
  ringback webhook extract --template lead.json >> accounts.toml
  curl -s https://api.example.com/leads/1 | ringback webhook extract - >> accounts.toml")]
pub(in crate::cli) struct Arguments {
    /// The example; `-` reads it from stdin
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Takes the example for a body, which may also be a form, and prints a [[template]] with a token for each value
    #[arg(long)]
    template: bool,
}

pub(super) fn run(arguments: &Arguments) -> ExitCode {
    let file = &arguments.file;
    let bytes = if file == Path::new("-") {
        let mut bytes = Vec::new();
        std::io::stdin().lock().read_to_end(&mut bytes).map(|_| bytes)
    } else {
        std::fs::read(file)
    };
    let bytes = match bytes {
        Ok(bytes) => bytes,
        Err(error) => {
            err_line!(
                "{} can't be read: {error}; name a file that this user may read",
                file.display()
            );
            return ExitCode::from(USAGE);
        }
    };
    if arguments.template {
        return made(file, &bytes);
    }
    match leaves(&bytes) {
        Ok((kind, leaves)) => {
            print([definition(kind, &leaves).trim_end().to_owned()]);
            ExitCode::SUCCESS
        }
        Err(fault) => {
            err_line!("{}:{}:{}: {}", file.display(), fault.line, fault.column, fault.problem);
            ExitCode::from(FAILED)
        }
    }
}

/// Prints the template that the example makes.
fn made(file: &Path, bytes: &[u8]) -> ExitCode {
    match template(bytes) {
        Ok(made) => {
            if let Some(fault) = made.fault() {
                err_line!("{}: no template can contain this example: {fault}", file.display());
                return ExitCode::from(FAILED);
            }
            let name = file.file_stem().map(|name| name.to_string_lossy());
            let name = name.filter(|name| name != "-").unwrap_or("NAME".into());
            let name: String = name.chars().take(64).collect();
            print([made.definition(&name).trim_end().to_owned()]);
            ExitCode::SUCCESS
        }
        Err(fault) => {
            err_line!("{}:{}:{}: {}", file.display(), fault.line, fault.column, fault.problem);
            ExitCode::from(FAILED)
        }
    }
}
