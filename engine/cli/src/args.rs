//! What can be typed: commands, options and the help that teaches them.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use watchfire_model::{Duration, Timestamp};

use crate::plugin::Plugin;
use crate::schema::Schema;
use crate::traces::Collector;

const AFTER_HELP: &str = "\
Examples:
  watchfire demo                                see it work, with an inbox on this machine
  watchfire check watchfire.yml rules/*.yml     every mistake at once, with its line and its remedy
  watchfire test scenarios/*.yml                run rules, routes and messages on a virtual clock
  watchfire backtest rules.yml --data data      what these rules would have said about the past
  watchfire serve --config watchfire.yml        run the engine
  watchfire explain DiskFull instance=web1      why nobody was paged

Exit codes: 0 all is well, 1 something was found or failed, 2 the command line is wrong.";

/// Alerting rules over metrics and events, with plugins, delivered without loss.
#[derive(Debug, Parser)]
#[command(name = "watchfire", version, about, after_help = AFTER_HELP, max_term_width = 110, propagate_version = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,

    #[command(flatten)]
    pub(crate) log: Log,
}

/// The log on standard error, the same for all commands.
#[derive(Debug, Args)]
#[command(next_help_heading = "Log, on standard error")]
pub(crate) struct Log {
    /// A level, or levels by module such as `info,watchfire=debug`
    #[arg(id = "log", long = "log", default_value = "info", env = "WATCHFIRE_LOG", value_name = "FILTER")]
    #[arg(global = true, hide_env_values = true)]
    pub(crate) filter: String,

    /// `text`, a line per record for people, or `json`, an object per record for machines
    #[arg(id = "log_format", long = "log-format", value_enum, default_value_t = LogFormat::Text, global = true)]
    #[arg(env = "WATCHFIRE_LOG_FORMAT", value_name = "FORM", hide_possible_values = true, hide_env_values = true)]
    pub(crate) format: LogFormat,
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
    /// Run the engine under Alertmanager's command line, in its place
    #[command(after_help = crate::alertmanager::HELP)]
    Alertmanager(crate::alertmanager::Alertmanager),
    /// Check rule files and configurations; every mistake at once, with file, line, column and remedy
    #[command(after_help = check_help())]
    Check(Check),
    /// Run test files on a virtual clock: scenarios, and files in the format of `promtool test rules`
    #[command(after_help = TEST_HELP)]
    Test(Test),
    /// Play recorded samples and events through rules, and say which alerts and messages they would have caused
    #[command(after_help = BACKTEST_HELP)]
    Backtest(Backtest),
    /// Say why an alert was told, or why not
    #[command(after_help = EXPLAIN_HELP)]
    Explain(Explain),
    /// Show the route tree, or who is told about which labels
    #[command(subcommand)]
    Route(RouteCommand),
    /// Set, list, end and import silences
    #[command(subcommand)]
    Silence(SilenceCommand),
    /// Send and list alerts
    #[command(subcommand)]
    Alert(AlertCommand),
    /// Start, build, try and measure plugins
    Plugin(Plugin),
    /// Look at what receivers would get
    Notify(crate::notify::Notify),
    /// Print a JSON Schema, with which editors complete and check keys
    Schema(Schema),
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
Files are in the format of `promtool test rules`, or scenarios, which have `steps`.
Where an expectation does not hold, what was expected has a - before it and what came a +.

Examples:
  watchfire test rules/                       every test file in the folder and below
  watchfire test 'rules/**/*_test.yml' --run 'disk|memory'
  watchfire test rules/ --junit report.xml    for a pipeline

Exit code 1 if a test fails or a file cannot be read.";

const EXPLAIN_HELP: &str = "\
Examples:
  watchfire explain 2d1f0a3b4c5d6e7f                    by the fingerprint, as APIs and pages show it
  watchfire explain DiskFull instance=web1 job=node     by name and labels, all of them, also of one that never came

The first sentence is the answer; below it stands what it follows from: the rule's last evaluation, routes, groups,
silences, what was told to whom and what waits, and the history of the alert for as long as it is kept.";

const MATCHERS_HELP: &str = "\
Matchers are written as for amtool: NAME=VALUE, !=, =~ and !~ for regular expressions, {a=b, c!=d} for several.
A first word without an operator is the alert's name.";

const BACKTEST_HELP: &str = "\
DIR is the data folder of an engine, which may be running, or a folder with
  samples in the OpenMetrics or Prometheus text format, each with its timestamp (*.om, *.txt, *.prom)
  events as JSON lines, each with its time (*.jsonl, *.ndjson)

The very code of the engine runs on a clock that follows the recording; nothing is sent.
Without --config every alert is a message of its own, to one receiver called `default`.
FLAPS counts how often an alert fired again within ten minutes of its end.

Exit code 1 if an evaluation failed.";

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

    #[command(flatten)]
    pub(crate) traces: Traces,
}

/// Where traces go.
#[derive(Debug, Args)]
pub(crate) struct Traces {
    /// Send traces of evaluations, plugin calls and deliveries to an OpenTelemetry collector, by OTLP over HTTP: its
    /// address with the path, such as http://127.0.0.1:4318/v1/traces
    #[arg(
        long,
        value_name = "URL",
        env = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
        hide_env_values = true,
        value_parser = address
    )]
    traces: Option<reqwest::Url>,

    /// A header of what goes there, such as 'X-Scope-OrgID: ops'; may stand several times
    #[arg(long = "traces-header", value_name = "NAME: VALUE", requires = "traces")]
    headers: Vec<String>,

    /// A file with more of them, one a line, for credentials, which others could see on a command line; it is read again
    /// for each request
    #[arg(long = "traces-headers-file", value_name = "FILE", requires = "traces")]
    headers_file: Option<PathBuf>,
}

impl Traces {
    /// The collector, if there is one.
    ///
    /// # Errors
    /// If a header is none, or the file with headers cannot be read.
    pub(crate) fn collector(&self) -> anyhow::Result<Option<Collector>> {
        let Some(url) = &self.traces else { return Ok(None) };
        Collector::new(url, &self.headers, self.headers_file.clone()).map(Some)
    }
}

/// The address of a collector of traces.
fn address(text: &str) -> Result<reqwest::Url, String> {
    let help = "write it like http://127.0.0.1:4318/v1/traces";
    let url = reqwest::Url::parse(text).map_err(|error| format!("{error}; {help}"))?;
    if matches!(url.scheme(), "http" | "https") { Ok(url) } else { Err(format!("traces go over HTTP; {help}")) }
}

#[derive(Debug, Args)]
pub(crate) struct Check {
    /// Rule files and configurations, patterns with * ? [...] and **, or folders, whose rule files are checked
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,

    /// Fail on warnings, too
    #[arg(long)]
    pub(crate) strict: bool,

    /// Ask this server, Watchfire or Prometheus, whether the series exist and which of them are gauges
    #[arg(long, value_name = "URL", conflicts_with = "data")]
    pub(crate) server: Option<String>,

    #[command(flatten)]
    pub(crate) login: Login,

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
    /// Test files, patterns with * ? [...] and **, or folders, whose test files are run
    #[arg(required = true, value_name = "FILE|DIR")]
    pub(crate) files: Vec<PathBuf>,

    /// Run only tests and scenarios whose name has a match; may be repeated
    #[arg(long, value_name = "REGEX", value_parser = regex::Regex::new)]
    pub(crate) run: Vec<regex::Regex>,

    /// Show what is expected and what came whole, and not only where they differ
    #[arg(long)]
    pub(crate) diff: bool,

    /// Write the verdicts in the format of JUnit, too
    #[arg(long, value_name = "FILE")]
    pub(crate) junit: Option<PathBuf>,

    /// Let rule files have keys that nobody knows
    #[arg(long)]
    pub(crate) ignore_unknown_fields: bool,

    /// Where the plugins are that the files name
    #[arg(long, value_name = "DIR")]
    pub(crate) plugins: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Backtest {
    /// Rule files, patterns with * ? [...] and **, or folders, whose rule files are taken
    #[arg(required = true, value_name = "RULES")]
    pub(crate) rules: Vec<PathBuf>,

    /// Where samples and events are recorded
    #[arg(long, value_name = "DIR")]
    pub(crate) data: PathBuf,

    /// A configuration, for its routes, receivers and `evaluation`
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    /// Begin here; what was recorded before only fills the windows [default: the first that was recorded]
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(crate) from: Option<Timestamp>,

    /// End here [default: the last that was recorded]
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(crate) to: Option<Timestamp>,

    /// Where the plugins are that the rules name
    #[arg(long, value_name = "DIR")]
    pub(crate) plugins: Option<PathBuf>,

    /// Show each message
    #[arg(long, conflicts_with = "json")]
    pub(crate) messages: bool,

    /// Everything as one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// How a server is asked.
#[derive(Debug, Args)]
pub(crate) struct Login {
    /// An `http_config` in a file of its own (token, certificates, proxy), as for `amtool --http.config.file`
    #[arg(long, value_name = "FILE", env = "WATCHFIRE_HTTP_CONFIG", hide_env_values = true)]
    pub(crate) http_config: Option<PathBuf>,
}

/// A running server.
#[derive(Debug, Args)]
pub(crate) struct Server {
    /// The server, Watchfire or an Alertmanager; user and password may stand in it
    #[arg(
        long,
        value_name = "URL",
        default_value = "http://127.0.0.1:9494",
        env = "WATCHFIRE_URL",
        hide_env_values = true
    )]
    pub(crate) url: String,

    #[command(flatten)]
    pub(crate) login: Login,
}

#[derive(Debug, Args)]
pub(crate) struct Explain {
    #[command(flatten)]
    pub(crate) server: Server,

    /// The fingerprint, or the name and the labels
    #[arg(required = true, value_name = "ALERT")]
    pub(crate) alert: Vec<String>,

    /// Everything as one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// Where a route tree is.
#[derive(Debug, Args)]
pub(crate) struct RouteSource {
    /// The configuration
    #[arg(long, value_name = "FILE", default_value = "watchfire.yml", env = "WATCHFIRE_CONFIG")]
    pub(crate) config: PathBuf,

    /// A running engine instead of the configuration
    #[arg(long, value_name = "URL")]
    pub(crate) url: Option<String>,

    #[command(flatten)]
    pub(crate) login: Login,
}

#[derive(Debug, Subcommand)]
pub(crate) enum RouteCommand {
    /// Print the receivers for these labels in order, one per line
    #[command(after_help = "Exit code 1 if --verify names others.")]
    Test {
        #[command(flatten)]
        source: RouteSource,

        /// Fail unless these are the receivers, in this order
        #[arg(long, value_name = "RECEIVER,...")]
        verify: Option<String>,

        /// The labels of an alert
        #[arg(value_name = "NAME=VALUE")]
        labels: Vec<String>,
    },
    /// Draw the route tree
    Show {
        #[command(flatten)]
        source: RouteSource,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum SilenceCommand {
    /// Set a silence and print its id
    #[command(after_help = MATCHERS_HELP)]
    Add(SilenceAdd),
    /// List silences
    #[command(after_help = MATCHERS_HELP)]
    Query {
        #[command(flatten)]
        server: Server,

        /// Those that have ended instead of those that have not
        #[arg(long)]
        expired: bool,

        /// Only the ids, one per line
        #[arg(short, long, conflicts_with = "json")]
        quiet: bool,

        /// As a JSON list, which `import` reads
        #[arg(long)]
        json: bool,

        /// Only silences with such matchers
        #[arg(value_name = "MATCHER")]
        matchers: Vec<String>,
    },
    /// End silences
    #[command(
        after_help = "End all of an author's team:\n  watchfire silence expire $(watchfire silence query -q team=search)"
    )]
    Expire {
        #[command(flatten)]
        server: Server,

        /// The silences
        #[arg(required = true, value_name = "ID")]
        ids: Vec<String>,
    },
    /// Set the silences of a JSON list, as `query --json` writes it; prints their ids
    Import {
        #[command(flatten)]
        server: Server,

        /// Change the silences of the same ids instead of setting new ones
        #[arg(short, long)]
        force: bool,

        /// The list [default: standard input]
        #[arg(value_name = "FILE")]
        file: Option<PathBuf>,
    },
}

#[derive(Debug, Args)]
pub(crate) struct SilenceAdd {
    #[command(flatten)]
    pub(crate) server: Server,

    /// Why; whoever finds the silence will want to know
    #[arg(short, long, value_name = "TEXT")]
    pub(crate) comment: String,

    /// Who
    #[arg(short, long, value_name = "NAME", env = "USER", hide_env_values = true)]
    pub(crate) author: String,

    /// How long
    #[arg(short, long, default_value = "1h", conflicts_with = "end")]
    pub(crate) duration: Duration,

    /// When it begins [default: now]
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(crate) start: Option<Timestamp>,

    /// When it ends
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(crate) end: Option<Timestamp>,

    /// Which alerts
    #[arg(required = true, value_name = "MATCHER")]
    pub(crate) matchers: Vec<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AlertCommand {
    /// Send an alert
    #[command(
        after_help = "A first word without `=` is the alert's name. The alert ends unless it is sent again in time, or at --end."
    )]
    Add {
        #[command(flatten)]
        server: Server,

        /// An annotation, as often as there are some
        #[arg(long = "annotation", value_name = "NAME=VALUE")]
        annotations: Vec<String>,

        /// When it began [default: now]
        #[arg(long, value_name = "TIME", value_parser = time)]
        start: Option<Timestamp>,

        /// When it ends or ended
        #[arg(long, value_name = "TIME", value_parser = time)]
        end: Option<Timestamp>,

        /// Where it comes from
        #[arg(long, value_name = "URL")]
        generator_url: Option<String>,

        /// The labels
        #[arg(required = true, value_name = "NAME=VALUE")]
        labels: Vec<String>,
    },
    /// List alerts: those that are told, unless others are asked for
    #[command(after_help = MATCHERS_HELP)]
    Query {
        #[command(flatten)]
        server: Server,

        /// Those that are silenced
        #[arg(short, long)]
        silenced: bool,

        /// Those that are inhibited
        #[arg(short, long)]
        inhibited: bool,

        /// Those that are told
        #[arg(short, long)]
        active: bool,

        /// Those whose receivers are not known yet
        #[arg(short, long)]
        unprocessed: bool,

        /// Only those of receivers that match this regular expression
        #[arg(short, long, value_name = "REGEX")]
        receiver: Option<String>,

        /// As a JSON list
        #[arg(long)]
        json: bool,

        /// Only alerts with such labels
        #[arg(value_name = "MATCHER")]
        matchers: Vec<String>,
    },
}

/// RFC 3339, or seconds since the epoch.
fn time(text: &str) -> Result<Timestamp, String> {
    match text.parse::<i64>() {
        Ok(seconds) => Ok(Timestamp::from_secs(seconds)),
        Err(_) => Timestamp::parse_rfc3339(text)
            .map_err(|_| "write it like 2026-01-05T09:00:00Z, or as seconds since the epoch".to_owned()),
    }
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
