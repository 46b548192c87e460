//! Dispatch beside Alertmanager: alerts accepted, notifications sent, a large state, and what a kill costs.
//!
//! The engine keeps everything durable while it is measured, Alertmanager keeps it in memory.

mod contestant;
mod faults;
mod load;

use anyhow::Result;

use crate::process::Subject;
use crate::sink::Sink;
use contestant::Program;

/// The parts, each of which can be asked for alone.
pub(crate) const PARTS: [&str; 4] = ["accept", "notify", "hold", "faults"];

/// Measures the parts that are wanted.
pub(crate) async fn run(subject: &Subject, wanted: impl Fn(&str) -> bool) -> Result<()> {
    let mut programs = vec![Program::watchfire(&subject.binary)];
    if subject.meets(&["prometheus-alertmanager"]) {
        programs.push(Program::alertmanager());
    }
    let (sink, address) = Sink::start().await?;
    let [accept, notify, hold, faults] = PARTS.map(wanted);
    if accept {
        load::accept(&programs, address).await?;
    }
    if notify {
        load::notify(&programs, &sink, address).await?;
    }
    if hold {
        load::hold(&programs, &sink, address).await?;
    }
    if faults {
        faults::run(&programs, &sink, address).await?;
    }
    Ok(())
}
