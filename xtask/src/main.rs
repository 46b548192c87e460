//! Tasks of the project, run as `cargo xtask <task>`.
//!
//! Everything that a person or a machine does with a checkout is here, in the project's own language: no shell, no
//! make. It is not part of what is shipped.

mod bench;
mod compliance;
mod demo;
mod dist;
mod fuzz;
mod plugins;
mod postgres;
mod step;
mod test;

use std::process::ExitCode;

const HELP: &str = "\
Tasks of the project.

  cargo xtask demo      set everything up, start the engine on real input and open a local inbox
  cargo xtask test      run every test; lists at the end what was skipped and why
  cargo xtask plugins   build the plugins into target/plugins
  cargo xtask dist      build what is shipped, optimised by a profile of how it runs, which takes two builds
  cargo xtask bench [detection] [ingest] [rules] [steady] [evaluator] [recovery] [dispatch] [plugins]
                        measure these, or all of them, beside Prometheus and Alertmanager if installed; plugins
                        beside Extism, which needs npm and componentize-py and is built for it
  cargo xtask fuzz promql --minutes N [--seed S]
                        ask a real Prometheus and the engine the same generated queries
  cargo xtask fuzz templates --minutes N [--seed S]
                        render the same generated templates with Go and with the engine
  cargo xtask fuzz plugins --minutes N [--seed S]
                        mutated components for the loader, generated answers for the border
  cargo xtask soak plugins --minutes N
                        replace a plugin every second under load
  cargo xtask compliance  run the alert generator compliance suite, which takes 40 minutes

Options after the task are passed on: `cargo xtask demo --listen 127.0.0.1:8080`.
";

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let task = arguments.next();
    let rest: Vec<String> = arguments.collect();
    let outcome = match task.as_deref() {
        Some("demo") => demo::run(&rest),
        Some("test") => test::run(&rest),
        Some("plugins") => step::binary()
            .and_then(|binary| plugins::build(&binary))
            .map(|built| println!("{}", built.folder.display())),
        Some("dist") => dist::run(),
        Some("bench") => bench::run(&rest),
        Some("fuzz") => fuzz::run(&rest),
        Some("soak") => fuzz::soak(&rest),
        Some("compliance") => compliance::run(&rest),
        None | Some("help" | "--help" | "-h") => {
            print!("{HELP}");
            Ok(())
        }
        Some(other) => {
            eprint!("There is no task {other:?}.\n\n{HELP}");
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
