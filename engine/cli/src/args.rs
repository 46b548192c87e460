//! What can be typed: commands, options and the help that teaches them.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use watchfire_model::Duration;

const AFTER_HELP: &str = "\
Examples:
  watchfire demo                                see it work, with an inbox on this machine
  watchfire check watchfire.yml rules/*.yml     every mistake at once, with its line and its remedy
  watchfire test scenarios/*.yml                run rules, routes and messages on a virtual clock
  watchfire serve --config watchfire.yml        run the engine

Exit codes: 0 all is well, 1 something was found or failed, 2 the command line is wrong.";

/// Alerting rules over metrics and events, with plugins, delivered without loss.
#[derive(Debug, Parser)]
#[command(name = "watchfire", version, about, after_help = AFTER_HELP, max_term_width = 110, propagate_version = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,

    /// Form of the log on standard error
    #[arg(long, value_enum, default_value_t = LogFormat::Text, global = true, env = "WATCHFIRE_LOG_FORMAT")]
    pub(crate) log_format: LogFormat,

    /// What is logged: a level, or levels by module such as `info,watchfire=debug`
    #[arg(long, default_value = "info", global = true, env = "WATCHFIRE_LOG", value_name = "FILTER")]
    pub(crate) log: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// One line per record, for people
    Text,
    /// One JSON object per record, for machines
    Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the engine
    #[command(after_help = SERVE_HELP)]
    Serve(Serve),
    /// Check rule files and configurations; every mistake at once, with file, line, column and remedy
    #[command(after_help = check_help())]
    Check(Check),
    /// Run test files on a virtual clock: scenarios, and files in the format of `promtool test rules`
    #[command(after_help = TEST_HELP)]
    Test(Test),
    /// Start an engine on this machine's own metrics, with an inbox that shows what it delivers
    Demo(Demo),
}

const SERVE_HELP: &str = "\
While it runs:
  SIGHUP, or POST /-/reload    read the configuration, rules, templates and plugins again (saving a file does it too)
  SIGTERM                      stop taking input, finish what is under way, exit
  GET /-/ready  /-/healthy     for load balancers and supervisors
  GET /metrics                 its own metrics, for Prometheus

An existing alertmanager.yml is a valid configuration; add
  rules: {paths: [rules/*.yml]}
to evaluate rules as well. Point Prometheus' remote_write at http://ADDRESS/api/v1/write.";

/// What `check` looks at, with every lint.
fn check_help() -> String {
    let mut help = "\
A file with `groups:` is read as rules, any other as a configuration.
Rules that a configuration names are checked too.
All files are looked at together: what one records, another may read.

Lints, each a warning:
"
    .to_owned();
    for (id, what) in watchfire::config::lint::LINTS {
        help.push_str(&format!("  {id:<16} {what}\n"));
    }
    help.push_str(
        "
A comment silences one of them: for the rule in which or above which it stands,
or, above `groups:`, for the whole file:
  # watchfire ignore rate-of-gauge -- this one counts, whatever its name says

With --server or --data, missing-series also looks for the series that each rule reads.

Exit code 1 if there is an error, with --strict also if there is a warning.",
    );
    help
}

const TEST_HELP: &str = "\
Every expectation that does not hold is shown with what was expected and what came.
Exit code 1 if a test fails.";

#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// The configuration
    #[arg(long, value_name = "FILE", default_value = "watchfire.yml", env = "WATCHFIRE_CONFIG")]
    pub(crate) config: PathBuf,

    /// The address to listen on [default: the configuration's `server.listen`, else 127.0.0.1:9494]
    #[arg(long, value_name = "ADDR")]
    pub(crate) listen: Option<SocketAddr>,

    /// Where state is kept [default: the configuration's `storage.path`, else `data` beside the configuration]
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,

    /// Listen beyond this machine although no authentication is configured
    #[arg(long)]
    pub(crate) insecure: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Check {
    /// Rule files and configurations
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,

    /// Fail on warnings, too
    #[arg(long)]
    pub(crate) strict: bool,

    /// Ask this server, Watchfire or Prometheus, whether the series exist and which of them are gauges
    #[arg(long, value_name = "URL", conflicts_with = "data")]
    pub(crate) server: Option<String>,

    /// Look for the series in what an engine has recorded here, or in text files
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,

    /// How often series get a sample, to find ranges that are too short for it
    #[arg(long, value_name = "DURATION", default_value = "15s")]
    pub(crate) scrape_interval: Duration,

    /// One JSON object per finding
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Test {
    /// Test files
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,

    /// Where the plugins are that the files name
    #[arg(long, value_name = "DIR")]
    pub(crate) plugins: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// The address of the engine; the inbox takes the next free ports
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9494")]
    pub(crate) listen: SocketAddr,

    /// Where the plugins are; without it the rules that need plugins are left out
    #[arg(long, value_name = "DIR")]
    pub(crate) plugins: Option<PathBuf>,

    /// Where state is kept [default: a folder of its own for each run]
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
}
