//! `watchfire schema`: JSON Schemas for editors, made by the code that reads the files.

use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, ValueEnum};
use watchfire::config::{config_schema, rules_schema};

use crate::output::say;

#[derive(Debug, Args)]
pub(crate) struct Schema {
    /// Of which file
    #[arg(value_enum)]
    file: File,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum File {
    /// The configuration, `watchfire.yml` or `alertmanager.yml`
    Config,
    /// A rule file
    Rules,
}

pub(crate) fn run(options: &Schema) -> Result<ExitCode> {
    let schema = match options.file {
        File::Config => config_schema(),
        File::Rules => rules_schema(),
    };
    say!("{schema}");
    Ok(ExitCode::SUCCESS)
}
