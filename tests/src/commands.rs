//! The commands of the binary beside `serve`.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::Case;
use crate::support::{Engine, Tool, block_on, variable};

pub(crate) const CASES: &[Case] = &[
    Case { name: "commands::check_looks_for_series_on_a_server_and_in_its_data", needs: &[Tool::Binary], run: check },
    Case { name: "commands::a_reader_who_has_seen_enough_is_no_failure", needs: &[Tool::Binary], run: closed },
    Case { name: "commands::test_runs_what_is_named_as_promtool_does", needs: &[Tool::Binary], run: test },
    Case { name: "commands::backtest_plays_what_was_recorded", needs: &[Tool::Binary], run: backtest },
    Case {
        name: "commands::paths_are_relative_to_the_configuration_wherever_it_is",
        needs: &[Tool::Binary],
        run: elsewhere,
    },
    Case { name: "commands::route_tests_and_draws_the_tree", needs: &[Tool::Binary], run: routes },
    Case { name: "commands::silences_and_alerts_from_the_command_line", needs: &[Tool::Binary], run: silences },
    Case { name: "commands::a_server_is_asked_with_the_login_of_a_file", needs: &[Tool::Binary], run: logins },
    Case { name: "commands::c4_explain_says_why_and_why_not", needs: &[Tool::Binary], run: explain },
];

const QUIET: &str = "route: {receiver: none}\nreceivers: [{name: none}]\nevaluation: {keep_unread: true}\n";

/// What a command said and how it ended.
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Said {
    /// Its output as JSON, one value per line.
    fn lines(&self) -> Result<Vec<Value>> {
        let parse = |line| serde_json::from_str(line).with_context(|| format!("{}{}", self.out, self.err));
        self.out.lines().map(parse).collect()
    }
}

fn watchfire(engine: &Engine, arguments: &[&str]) -> Result<Said> {
    watchfire_in(engine.folder(), arguments)
}

pub(crate) fn watchfire_in(folder: &Path, arguments: &[&str]) -> Result<Said> {
    let binary = variable("WATCHFIRE_BINARY").context("WATCHFIRE_BINARY is not set")?;
    let output = Command::new(binary).args(arguments).current_dir(folder).output()?;
    Ok(Said {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

fn check() -> Result<()> {
    block_on(async {
        let rules = "groups:\n- name: g\n  rules:\n  - alert: A\n    expr: there{job=\"x\"} > 1\n  - alert: B\n    \
                     expr: gone > 1\n  - alert: C\n    expr: there{team=\"a\"} > 1\n  - alert: D\n    \
                     expr: there{job=\"y\"} > 1 # watchfire ignore missing-series -- comes tomorrow\n";
        let engine = Engine::start(&[("watchfire.yml", QUIET), ("rules.yml", rules)]).await?;
        engine.push("there{job=\"x\"} 1\n").await?;
        for place in [["--server", &engine.url("")], ["--data", "data"]] {
            let said = watchfire(&engine, &[&["check", "--json", "rules.yml"], &place[..]].concat())?;
            let found: Vec<_> = said.lines()?.iter().map(|line| (line["line"].clone(), line["code"].clone())).collect();
            let expected =
                [(7, "missing-series"), (9, "missing-series")].map(|(line, code)| (line.into(), code.into()));
            ensure!(said.code == 0 && found == expected, "{place:?}: {}: {found:?}", said.code);
        }
        let strict = watchfire(&engine, &["check", "--strict", "rules.yml", "--data", "data"])?;
        ensure!(strict.code == 1 && strict.out.contains("1 file checked, 0 errors, 2 warnings"), "{}", strict.out);
        let alone = watchfire(&engine, &["check", "--strict", "rules.yml"])?;
        ensure!(alone.code == 0, "{}", alone.out);
        std::fs::create_dir(engine.folder().join("more"))?;
        std::fs::write(engine.folder().join("more/copy.yml"), rules)?;
        std::fs::write(engine.folder().join("more/test.yml"), "tests: []\n")?;
        for arguments in [["check", "rules.yml", "more"], ["check", "rules.yml", "more/c*.yml"]] {
            let twice = watchfire(&engine, &arguments)?;
            let told = "more/copy.yml:4:12: warning: A is the same alert as in rules.yml:4 [duplicate-rule]";
            ensure!(twice.out.contains(told) && twice.out.contains("2 files checked"), "{}", twice.out);
        }
        let nowhere = watchfire(&engine, &["check", "rules.yml", "--data", "."])?;
        ensure!(nowhere.code == 1 && nowhere.err.contains("nothing is recorded here"), "{}", nowhere.err);
        engine.write("mail.yml", "templates: ['*.tmpl']\nroute: {receiver: r}\nreceivers: [{name: r}]\n")?;
        engine.write("mail.tmpl", "{{ define \"mine\" }}\n{{ .Com\n")?;
        let broken = watchfire(&engine, &["check", "mail.yml"])?;
        let told = "mail.tmpl:3:1: error: unclosed action started at mail.tmpl:2 [bad-template]";
        ensure!(broken.code == 1 && broken.out.contains(told), "{}", broken.out);
        let own =
            "route: {receiver: r}\nreceivers:\n- name: r\n  webhook_configs: [{url: 'http://h/', template: m.hbs}]\n";
        engine.write("own.yml", own)?;
        engine.write("m.hbs", "{{headline}}\n{{#if x}}\n")?;
        let broken = watchfire(&engine, &["check", "own.yml"])?;
        ensure!(
            broken.code == 1 && broken.out.contains("m.hbs:3:1: error: invalid handlebars syntax"),
            "{}",
            broken.out
        );
        engine.write("m.hbs", "{{headline}}\n")?;
        let whole = watchfire(&engine, &["check", "own.yml"])?;
        ensure!(whole.code == 0, "{}", whole.out);
        Ok(())
    })
}

/// Half an hour of two series in the OpenMetrics format, of which one is above ten for ten minutes, twice.
/// As behind `| head`: the reader is gone before all is said.
fn closed() -> Result<()> {
    let binary = variable("WATCHFIRE_BINARY").context("WATCHFIRE_BINARY is not set")?;
    let mut command =
        Command::new(binary).args(["schema", "config"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    // A schema is longer than what a pipe holds.
    drop(command.stdout.take());
    let output = command.wait_with_output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.code() == Some(141) && said.is_empty(), "{:?}: {said}", output.status);
    Ok(())
}

fn recorded() -> String {
    let mut text = String::from("# TYPE load gauge\n");
    for step in 0..120 {
        let at = 1_760_000_000 + step * 15;
        let high = (20..60).contains(&step) || (80..120).contains(&step);
        text.push_str(&format!("load{{host=\"a\"}} {} {at}\nload{{host=\"b\"}} 1 {at}\n", if high { 20 } else { 1 }));
    }
    text + "# EOF\n"
}

/// Selection, output and exit codes of `watchfire test`. What promtool says to the same files stands in
/// `engine/scenario/tests/all/upstream.rs`.
fn test() -> Result<()> {
    let folder = tempfile::TempDir::new()?;
    let rules = "groups:\n- name: g\n  rules: [{alert: Down, expr: up == 0, runbook: r, labels: {severity: page}}]\n";
    let test = |name: &str, severity: &str| {
        format!(
            "- name: {name}\n  input_series: [{{series: 'up{{job=\"a\"}}', values: 0x5}}]\n  alert_rule_test:\n  \
             - {{eval_time: 1m, alertname: Down, exp_alerts: [{{exp_labels: {{job: a, severity: {severity}}}}}]}}\n"
        )
    };
    let tests = format!("rule_files: [rules.yml]\ntests:\n{}{}", test("good", "page"), test("bad", "ticket"));
    std::fs::create_dir(folder.path().join("deep"))?;
    for (name, text) in [("rules.yml", rules), ("deep/rules.yml", rules), ("deep/down_test.yml", &tests)] {
        std::fs::write(folder.path().join(name), text)?;
    }
    let run = |arguments: &[&str]| watchfire_in(folder.path(), &[&["test"], arguments].concat());
    let allow = "--ignore-unknown-fields";
    // Arguments, exit code, and what is said.
    let unknown = "deep/rules.yml:3:40: error: unknown key \"runbook\"";
    let table: &[(&[&str], i32, &str)] = &[
        (&["."], 1, unknown),
        (&[".", allow], 1, "1 of 2 tests"),
        (&["deep/*_test.yml", allow], 1, "-   severity=\"ticket\"\n    +   severity=\"page\""),
        (&["deep/down_test.yml", allow, "--run", "^goo"], 0, "(1 test, 1 check)"),
        (&["deep", allow, "--run", "bad", "--run", "good"], 1, "1 file with 2 tests: 0 passed, 1 failed"),
        // Rules that no test needs are not read, as in promtool.
        (&["deep", "--run", "neither"], 0, "1 file with 0 tests: 1 passed, 0 failed"),
        (&["deep", "--run", "("], 2, "regex parse error"),
        (&["nothing.yml"], 1, "no such file"),
        (&["deep/rules.yml/"], 1, "no such file"),
        (&["deep", allow, "--junit", "gone/report.xml"], 1, "cannot write gone/report.xml"),
        (&["deep", allow, "--junit", "report.xml"], 1, "1 of 2 tests"),
    ];
    for (arguments, code, text) in table {
        let said = run(arguments)?;
        let all = format!("{}{}", said.out, said.err);
        ensure!(said.code == *code && all.contains(text), "{arguments:?} ends with {}:\n{all}", said.code);
    }
    let junit = std::fs::read_to_string(folder.path().join("report.xml"))?;
    ensure!(junit.contains("tests=\"2\" failures=\"1\" errors=\"0\""), "{junit}");
    Ok(())
}

fn backtest() -> Result<()> {
    block_on(async {
        let rules = "groups:\n- name: g\n  interval: 15s\n  rules:\n  - alert: High\n    expr: load > 10\n    for: 2m\n    \
                     labels: {severity: page}\n  - alert: Never\n    expr: load > 100\n  - alert: Seen\n    \
                     events: {match: {type: deploy}, count: {over: 5m, op: '>=', value: 1}}\n";
        let config = "route: {receiver: quiet, group_wait: 0s, routes: [{matchers: [severity=page], receiver: loud}]}\n\
                      receivers: [{name: quiet, webhook_configs: [{url: 'http://127.0.0.1:1/'}]}, \
                      {name: loud, webhook_configs: [{url: 'http://127.0.0.1:1/'}]}]\nevaluation: {keep_unread: true}\n";
        let event = "{\"type\":\"deploy\",\"time\":\"2025-10-09T08:55:00Z\"}\n";
        let files =
            [("watchfire.yml", config), ("rules.yml", rules), ("past/a.om", &recorded()), ("past/e.jsonl", event)];
        let engine = Engine::start(&files).await?;
        let past = ["backtest", "rules.yml", "--config", "watchfire.yml", "--data", "past"];
        let said = watchfire(&engine, &[&past[..], &["--json"]].concat())?;
        let found = &said.lines()?[0];
        let high = &found["alerts"][0];
        ensure!(said.code == 0 && found["samples"] == 240 && found["events"] == 1, "{}{}", said.out, said.err);
        ensure!(
            high["alert"] == "High" && high["fired"] == 2 && high["instances"] == 1 && high["flaps"] == 1,
            "{high}"
        );
        ensure!(high["messages"]["loud"].as_u64() >= Some(2) && high["messages"]["quiet"].is_null(), "{high}");
        // Ten minutes and eight, less two minutes of `for`, plus the lookback: what counts is that it is close.
        ensure!(high["firingSeconds"].as_f64().is_some_and(|seconds| (900.0..1_200.0).contains(&seconds)), "{high}");
        ensure!(
            found["alerts"][1]["alert"] == "Seen",
            "an event counts, and an alert that never fires is left out: {found}"
        );
        let later = watchfire(&engine, &[&past[..], &["--json", "--from", "2025-10-09T09:10:00Z"]].concat())?;
        ensure!(later.lines()?[0]["alerts"][0]["fired"] == 1, "only the second time is after --from: {}", later.out);
        let table = watchfire(&engine, &[&past[..], &["--messages"]].concat())?;
        ensure!(
            table.out.contains("ALERT") && table.out.contains("loud") && table.out.contains("first_notification"),
            "{}",
            table.out
        );
        // What an engine has logged while it runs is a recording, too.
        engine.push("load{host=\"c\"} 50\n").await?;
        let own = watchfire(&engine, &["backtest", "rules.yml", "--data", "data", "--json"])?;
        ensure!(
            own.lines()?[0]["samples"] == 1 && own.lines()?[0]["alerts"] == serde_json::json!([]),
            "{}{}",
            own.out,
            own.err
        );
        Ok(())
    })
}

/// A configuration in another folder than that in which a command runs.
fn elsewhere() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let there = folder.path().join("etc");
    std::fs::create_dir_all(there.join("plugins"))?;
    let config = "route: {receiver: hook}\ntemplates: ['*.tmpl']\nplugins: {dir: plugins, lock: plugins.lock}\n\
                  receivers: [{name: hook, slack_configs: [{api_url_file: key, text: '{{ template \"own\" . }}'}]}]\n";
    for (name, text) in [
        ("watchfire.yml", config),
        ("own.tmpl", "{{ define \"own\" }}in our words{{ end }}"),
        ("key", "https://hooks.example/x"),
    ] {
        std::fs::write(there.join(name), text)?;
    }
    let run = |arguments: &[&str]| watchfire_in(folder.path(), arguments);
    let shown = run(&["notify", "preview", "hook", "--config", "etc/watchfire.yml"])?;
    ensure!(shown.code == 0 && shown.out.contains("in our words"), "{}{}", shown.out, shown.err);
    let locked = run(&["plugin", "lock", "etc/watchfire.yml"])?;
    ensure!(locked.code == 0 && there.join("plugins.lock").is_file(), "{}{}", locked.out, locked.err);
    let verified = run(&["plugin", "verify", "etc/watchfire.yml"])?;
    ensure!(verified.code == 0, "{}{}", verified.out, verified.err);
    let routed = run(&["route", "test", "--config", "etc/watchfire.yml", "a=b"])?;
    ensure!(routed.code == 0 && routed.out == "hook\n", "{}{}", routed.out, routed.err);
    Ok(())
}

fn routes() -> Result<()> {
    block_on(async {
        let config = "route:\n  receiver: all\n  routes:\n  - {matchers: ['team=\"db\"'], receiver: db, continue: true}\n  \
                      - {matchers: ['severity=~\"page|critical\"'], receiver: pager}\nreceivers: [{name: all}, {name: db}, {name: pager}]\n";
        let engine = Engine::start(&[("watchfire.yml", config)]).await?;
        let url = engine.url("");
        for source in [["--config", "watchfire.yml"], ["--url", &url]] {
            let test = |labels: &[&str]| watchfire(&engine, &[&["route", "test"], &source[..], labels].concat());
            for (labels, receivers) in [
                (&["team=db", "severity=page"][..], "db\npager\n"),
                (&["team=web"], "all\n"),
                (&["severity=critical", "x=\"y z\""], "pager\n"),
            ] {
                let said = test(labels)?;
                ensure!(said.code == 0 && said.out == receivers, "{source:?} {labels:?}: {}{}", said.out, said.err);
            }
            ensure!(test(&["--verify", "db,pager", "team=db", "severity=page"])?.code == 0, "{source:?}");
            ensure!(test(&["--verify", "all", "team=db"])?.code == 1, "{source:?}");
            let wrong = test(&["team=~db"])?;
            ensure!(wrong.code == 1 && wrong.err.contains("a label is NAME=VALUE"), "{}", wrong.err);
            let shown = watchfire(&engine, &[&["route", "show"], &source[..]].concat())?;
            let drawn = "everything  ->  all  by []\n├── {team=\"db\"}  ->  db  by []  continue\n└── {severity=~\"page|critical\"}  ->  pager  by []\n";
            ensure!(shown.out == drawn, "{source:?}: {}{}", shown.out, shown.err);
        }
        Ok(())
    })
}

fn silences() -> Result<()> {
    block_on(async {
        let engine = Engine::start(&[("watchfire.yml", QUIET)]).await?;
        let url = engine.url("");
        let run = |arguments: &[&str]| watchfire(&engine, &[arguments, &["--url", &url]].concat());
        ensure!(run(&["alert", "add", "Disk", "instance=a", "--annotation", "summary=full"])?.code == 0, "add");
        let until = ["alert", "add", "Disk", "instance=b", "--end", "2099-01-01T00:00:00Z"];
        ensure!(run(&until)?.code == 0, "add");
        let added = run(&["alert", "query", "instance=b", "--json"])?.lines()?;
        ensure!(added[0][0]["startsAt"].as_str().is_some_and(|begin| begin < "2099"), "it has begun: {added:?}");
        let listed = run(&["alert", "query", "Disk", "instance=~a|b"])?;
        ensure!(listed.out.lines().count() == 3 && listed.out.contains("full"), "{}{}", listed.out, listed.err);
        let id = run(&["silence", "add", "Disk", "instance=a", "--comment", "c", "--author", "me", "-d", "30m"])?;
        ensure!(id.code == 0, "{}", id.err);
        let id = id.out.trim().to_owned();
        ensure!(run(&["silence", "query", "-q"])?.out.trim() == id, "query");
        ensure!(run(&["alert", "query", "--json"])?.lines()?[0].as_array().is_some_and(|l| l.len() == 1), "hidden");
        ensure!(
            run(&["alert", "query", "--silenced", "--active", "--json"])?.lines()?[0]
                .as_array()
                .is_some_and(|l| l.len() == 2),
            "shown"
        );
        let why = run(&["explain", "Disk", "instance=a"])?;
        ensure!(
            why.out.contains(&format!("not told: silenced by {id}")) && why.out.contains("received from outside"),
            "{}{}",
            why.out,
            why.err
        );
        let exported = run(&["silence", "query", "--json"])?.out;
        ensure!(run(&["silence", "expire", &id])?.code == 0, "expire");
        ensure!(run(&["silence", "query", "-q", "--expired"])?.out.trim() == id, "it has ended");
        engine.write("silences.json", &exported)?;
        let imported = run(&["silence", "import", "silences.json"])?;
        ensure!(
            imported.code == 0 && imported.out.trim() != id && !imported.out.trim().is_empty(),
            "{}{}",
            imported.out,
            imported.err
        );
        for (wrong, words) in [
            (&["silence", "add", "a=~.*", "--comment", "c", "--author", "me"][..], "every alert"),
            (&["silence", "expire", "nothing"], "must be of type uuid"),
            (&["silence", "expire", "00000000-0000-4000-8000-000000000000"], "not found"),
            (&["alert", "query", "a=b", "Disk"], "Disk"),
            (&["alert", "query", "\"no such"], "not closed"),
        ] {
            let said = run(wrong)?;
            ensure!(said.code == 1 && said.err.contains(words), "{wrong:?}: {}: {}", said.code, said.err);
        }
        ensure!(run(&["alert", "add", "Odd", "\"mount point\"=/", "text=zero\u{200b}width"])?.code == 0, "add");
        for matcher in ["\"mount point\"=/", "text=\"zero\u{200b}width\""] {
            let odd = run(&["alert", "query", matcher])?;
            ensure!(odd.out.contains("Odd"), "{matcher}: {}{}", odd.out, odd.err);
        }
        let usage = run(&["silence", "add", "a=b", "--author", "me"])?;
        ensure!(usage.code == 2 && usage.err.contains("--comment"), "{}", usage.err);
        Ok(())
    })
}

/// The file is the one that `amtool --http.config.file` takes; what it names stands beside it.
fn logins() -> Result<()> {
    let config = format!(
        "{QUIET}server: {{auth: {{bearer_tokens: [{{token: look, role: viewer}}, act-on-it], basic: {{root: rule}}}}}}\n"
    );
    block_on(async {
        let mut engine = Engine::prepare(&[
            ("watchfire.yml", &config),
            ("login/viewer.yml", "authorization: {credentials_file: token}\n"),
            ("login/token", "look\n"),
            ("login/root.yml", "basic_auth: {username: root, password: rule}\n"),
            ("login/wrong.yml", "bearer_tokne: look\n"),
        ])?;
        engine.run(&[]).await?;
        let (url, with_token) = (engine.url("/"), engine.url("/").replace("http://", "http://root:rule@"));
        let add = ["silence", "add", "alertname=A", "--comment", "c", "--author", "a"];
        for (address, file, code, part) in [
            (&url, None, 1, "answers 401"),
            (&url, Some("login/viewer.yml"), 1, "answers 403"),
            (&url, Some("login/root.yml"), 0, ""),
            // Who writes a login into the address means that one.
            (&with_token, Some("login/viewer.yml"), 0, ""),
            (&url, Some("login/wrong.yml"), 1, "login/wrong.yml:1:1"),
            (&url, Some("login/none.yml"), 1, "login/none.yml"),
        ] {
            let login = file.map(|file| ["--http-config", file]);
            let arguments = [&add[..], &["--url", address], login.as_ref().map_or(&[], |login| &login[..])].concat();
            let said = watchfire(&engine, &arguments)?;
            ensure!(said.code == code && said.err.contains(part), "{file:?}: {} {}{}", said.code, said.out, said.err);
        }
        let look = ["silence", "query", "--json", "--url", &url, "--http-config", "login/viewer.yml"];
        let silences = watchfire(&engine, &look)?.lines()?;
        ensure!(silences[0].as_array().is_some_and(|silences| silences.len() == 2), "{silences:?}");
        Ok(())
    })
}

fn explain() -> Result<()> {
    block_on(async {
        let rules = "groups:\n- name: g\n  interval: 1s\n  rules:\n  - alert: High\n    expr: load > 10\n    for: 1h\n  \
                     - alert: Bad\n    expr: load > on (x) group_left load\n  - alert: Told\n    expr: load > 10\n  \
                     - alert: Blind\n    expr: load\n    condition: {plugin: absent, on_error: fire}\n  \
                     - alert: Unseen\n    expr: load\n    condition: {plugin: absent}\n";
        let sink = crate::support::Sink::start().await?;
        let config = format!(
            "rules: {{paths: [rules.yml]}}\nroute: {{receiver: all, group_by: [alertname], group_wait: 0s}}\n\
             receivers: [{{name: all, webhook_configs: [{{url: '{}', formatter: {{plugin: absent}}}}]}}]\n",
            sink.url("/")
        );
        let engine = Engine::start(&[("watchfire.yml", &config), ("rules.yml", rules)]).await?;
        engine.push("load{host=\"a\"} 50\nload{host=\"b\"} 50\n").await?;
        sink.until("it is told", |received| !received.is_empty()).await?;
        let url = engine.url("");
        let explain = |alert: &[&str]| watchfire(&engine, &[&["explain", "--url", &url], alert].concat());
        for (alert, words) in [
            (&["High", "host=a"][..], &["not yet for as long as `for` says", "pending since", "value 50"][..]),
            (&["High", "host=gone"], &["none with these labels", "Alerts of that name", "host=\"a\""]),
            (&["Bad"], &["the evaluation of its rule failed"]),
            (&["Unseen", "host=a"], &["the evaluation of its rule failed", "absent"]),
            (&["Unheard", "a=b"], &["no rule raises an alert named \"Unheard\""]),
        ] {
            crate::support::eventually(&format!("{alert:?} is explained"), async || {
                let said = explain(alert)?;
                Ok((said.code == 0 && words.iter().all(|word| said.out.contains(word))).then_some(()))
            })
            .await
            .map_err(|error| {
                error.context(explain(alert).map_or_else(|e| e.to_string(), |said| said.out + &said.err))
            })?;
        }
        let told = crate::support::eventually("the delivery is in the history", async || {
            let said = explain(&["Told", "host=a"])?;
            Ok(said.out.contains("it fires; all:").then_some(said))
        })
        .await?;
        ensure!(told.out.contains("Told\n") && told.out.contains("-> all"), "{}", told.out);
        // What stood in for a plugin is said in the sentence and in the history, and with the attempt.
        let instead = "the formatter absent failed, the built-in message is sent: ";
        ensure!(told.out.matches(instead).count() == 2, "{}", told.out);
        let page = engine.text("/notifications").await?;
        ensure!(page.contains(instead), "{page}");
        let fires = "the condition absent failed, so every series fires (`on_error: fire`): ";
        let blind = explain(&["Blind", "host=a"])?;
        ensure!(blind.out.matches(fires).count() >= 3, "{}", blind.out);
        let found = watchfire(&engine, &["explain", "--url", &url, "--json", "Told", "host=a"])?;
        let fingerprint = found.lines()?[0]["fingerprint"].as_str().context("a fingerprint")?.to_owned();
        ensure!(explain(&[&fingerprint])?.out.contains("alertname=\"Told\""), "by fingerprint");
        let unknown = explain(&["0123456789abcdef"])?;
        ensure!(unknown.code == 1 && unknown.err.contains("ask with its labels"), "{}", unknown.err);
        let wrong = engine.post("/api/watchfire/v1/explain", &[], "").await?;
        ensure!(wrong.status() == 405, "{wrong:?}");
        Ok(())
    })
}
