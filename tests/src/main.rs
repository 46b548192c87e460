//! The tests that run the engine itself: end to end, crash, reload, hostile plugins, broken files, browser, tidiness.
//!
//! One package and one binary, because every further test binary would be linked again. A test names what it needs;
//! what is not installed is reported as `SKIPPED name: reason` and counted by `cargo xtask test`.

mod acceptance;
mod alertmanager;
mod api;
mod author;
mod broken;
mod browser;
mod channels;
mod commands;
mod compliance;
mod contracts;
mod crash;
mod database;
mod deliveries;
mod differential;
#[path = "../../engine/host/tests/support/fixture.rs"]
#[expect(dead_code, unreachable_pub, reason = "shared with the host's own tests, which use the rest")]
mod fixture;
mod hostile;
mod intake;
mod otlp;
mod pair;
mod pipeline;
mod query_api;
mod quiet;
mod reload;
mod serving;
mod soak;
mod sources;
mod support;
mod templates;
mod tidy;
mod traces;
mod trust;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};
use support::Tool;

/// One test.
pub(crate) struct Case {
    /// `area::what_holds`.
    pub(crate) name: &'static str,
    /// Programs and files without which it cannot run.
    pub(crate) needs: &'static [Tool],
    /// The test; an error is its failure.
    pub(crate) run: fn() -> anyhow::Result<()>,
}

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // Most cases start an engine and load it; more than two at a time only measure the scheduler.
    arguments.test_threads = arguments.test_threads.or(Some(2));
    let cases = [
        tidy::CASES,
        commands::CASES,
        crash::CASES,
        pair::CASES,
        database::CASES,
        deliveries::CASES,
        quiet::CASES,
        reload::CASES,
        serving::CASES,
        pipeline::CASES,
        query_api::CASES,
        intake::CASES,
        sources::CASES,
        otlp::CASES,
        browser::CASES,
        channels::CASES,
        broken::CASES,
        hostile::CASES,
        traces::CASES,
        trust::CASES,
        soak::CASES,
        differential::CASES,
        templates::CASES,
        compliance::CASES,
        author::CASES,
        acceptance::CASES,
        alertmanager::CASES,
        api::CASES,
        &contracts::cases(),
    ]
    .concat();
    let trials = cases.into_iter().map(|case| {
        Trial::test(case.name, move || {
            if let Some(missing) = case.needs.iter().find_map(Tool::missing) {
                println!("SKIPPED {}: {missing}", case.name);
                return Ok(());
            }
            (case.run)().map_err(|error| format!("{error:#}").into())
        })
    });
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}

impl Clone for Case {
    fn clone(&self) -> Case {
        Case { ..*self }
    }
}
