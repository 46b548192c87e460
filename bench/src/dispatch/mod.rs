//! Dispatch beside Alertmanager: alerts accepted, notifications sent, a large state, and what a kill costs.
//!
//! The engine keeps everything durable while it is measured, Alertmanager keeps it in memory.

mod contestant;
mod faults;
mod load;

use anyhow::Result;

use crate::process::installed;
use crate::sink::Sink;
use contestant::Program;

pub(crate) async fn run(binary: &str) -> Result<()> {
    let mut programs = vec![Program::watchfire(binary)];
    if installed("prometheus-alertmanager") {
        programs.push(Program::alertmanager());
    } else {
        println!("prometheus-alertmanager: not installed, no ratio");
    }
    let (sink, address) = Sink::start().await?;
    load::accept(&programs, address).await?;
    load::notify(&programs, &sink, address).await?;
    load::hold(&programs, &sink, address).await?;
    faults::run(&programs, &sink, address).await
}
