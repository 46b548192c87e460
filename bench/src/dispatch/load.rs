//! What accepting, notifying and holding alerts costs.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::Value;

use super::contestant::{Contestant, Program, alert, now, settled};
use crate::quantile;
use crate::sink::Sink;

/// Alerts that are accepted, and alerts that are told one by one.
const ALERTS: usize = 20_000;

/// The large state.
const HELD: usize = 50_000;
const GROUPS: usize = 5_000;
const ROUTES: usize = 500;
const SILENCES: usize = 100;
const INHIBIT_RULES: usize = 1_000;

/// New alerts whose first notification is waited for.
const NEW: usize = 200;
/// How long it is watched while nothing happens, which is as long as the groups' interval: each looks once.
const IDLE: Duration = Duration::from_secs(60);

fn ratio(what: &str, costs: &[f64]) {
    if let [own, theirs] = costs {
        println!("ratio, {what}: 1 to {:.1}", theirs / own);
    }
}

/// Alerts in a hundred groups that wait for longer than the measurement takes.
pub(super) async fn accept(programs: &[Program], address: SocketAddr) -> Result<()> {
    println!("\nDispatch: {ALERTS} alerts accepted by POST /api/v2/alerts, CPU until it is quiet again");
    let config = format!(
        "route: {{receiver: hook, group_by: [service], group_wait: 1h}}\n\
         receivers: [{{name: hook, webhook_configs: [{{url: 'http://{address}/count'}}]}}]\n"
    );
    let (mut first, mut again) = (Vec::new(), Vec::new());
    for program in programs {
        let contestant = program.start(&config).await?;
        for (what, costs) in [("new", &mut first), ("sent again", &mut again)] {
            let alerts = (0..ALERTS).map(|number| {
                alert(&[("instance", format!("10.0.0.1:{number}")), ("service", format!("service-{}", number % 100))])
            });
            let alerts = alerts.collect::<Result<Vec<Value>>>()?;
            let (cpu, begin) = (contestant.server()?.cpu_seconds()?, now());
            contestant.post(alerts).await?;
            let took = begin.elapsed().as_secs_f64();
            settled(std::slice::from_ref(&contestant)).await?;
            let each = (contestant.server()?.cpu_seconds()? - cpu) / ALERTS as f64 * 1e6;
            println!(
                "{:<14}{what:<12}{each:>8.1} µs CPU each{:>10.0} accepted/s",
                contestant.name,
                ALERTS as f64 / took
            );
            costs.push(each);
        }
    }
    ratio("CPU per new alert", &first);
    ratio("CPU per alert sent again", &again);
    Ok(())
}

/// Every alert a notification of its own.
pub(super) async fn notify(programs: &[Program], sink: &Sink, address: SocketAddr) -> Result<()> {
    println!("\nDispatch: {ALERTS} alerts, each with a notification of its own, CPU until it is quiet again");
    let config = format!(
        "route: {{receiver: hook, group_by: ['...'], group_wait: 0s, group_interval: 1h}}\n\
         receivers: [{{name: hook, webhook_configs: [{{url: 'http://{address}/count'}}]}}]\n"
    );
    let mut costs = Vec::new();
    for program in programs {
        let contestant = program.start(&config).await?;
        let alerts = (0..ALERTS).map(|number| alert(&[("instance", format!("10.0.0.1:{number}"))]));
        let alerts = alerts.collect::<Result<Vec<Value>>>()?;
        let (cpu, counted, begin) = (contestant.server()?.cpu_seconds()?, sink.counted(), now());
        contestant.post(alerts).await?;
        while sink.counted() < counted + ALERTS {
            ensure!(begin.elapsed() < Duration::from_secs(120), "{} notifications came", sink.counted() - counted);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let took = begin.elapsed().as_secs_f64();
        let busy = contestant.server()?.cpu_seconds()? - cpu;
        settled(std::slice::from_ref(&contestant)).await?;
        let each = (contestant.server()?.cpu_seconds()? - cpu) / ALERTS as f64 * 1e6;
        let doubled = sink.counted() - counted - ALERTS;
        println!(
            "{:<14}{each:>8.1} µs CPU each{:>10.0} notifications/s on {:.2} cores{:>10.0} per second of CPU, {doubled} doubled",
            contestant.name,
            ALERTS as f64 / took,
            busy / took,
            1e6 / each,
        );
        costs.push(each);
    }
    ratio("CPU per alert and notification", &costs);
    Ok(())
}

fn large(address: SocketAddr) -> Result<String> {
    let mut config = "route:\n  {receiver: hook, group_by: [team, service], group_wait: 0s, group_interval: 1m, \
                      routes: ["
        .to_owned();
    for route in 0..ROUTES {
        write!(config, "{{matchers: ['team=\"team-{route}\"'], receiver: hook}}, ")?;
    }
    config.push_str("{matchers: ['team=\"new\"'], receiver: trials, group_by: ['...']}]}\ninhibit_rules:\n");
    for rule in 0..INHIBIT_RULES {
        writeln!(
            config,
            "- {{source_matchers: ['alertname=\"Down{rule}\"'], target_matchers: ['severity=\"warning\"'], equal: [cluster]}}"
        )?;
    }
    write!(
        config,
        "receivers:\n- {{name: hook, webhook_configs: [{{url: 'http://{address}/count'}}]}}\n\
         - {{name: trials, webhook_configs: [{{url: 'http://{address}/'}}]}}\n"
    )?;
    Ok(config)
}

/// Starts a program and makes the silences.
async fn with_silences(program: &Program, config: &str) -> Result<Contestant> {
    let contestant = program.start(config).await?;
    for silence in 0..SILENCES {
        contestant.silence("service", &format!("service-x{silence}")).await?;
    }
    Ok(contestant)
}

/// A state as large as a large company's. The programs hold it side by side, because most of the time goes by with
/// waiting; what they do under load is measured one after the other.
pub(super) async fn hold(programs: &[Program], sink: &Sink, address: SocketAddr) -> Result<()> {
    println!(
        "\nDispatch: {HELD} alerts in {GROUPS} groups, {ROUTES} routes, {SILENCES} silences, {INHIBIT_RULES} inhibition rules"
    );
    let config = large(address)?;
    let mut table: Vec<(&str, Vec<f64>)> = Vec::new();
    let mut note = |what: &'static str, value: f64| match table.iter_mut().find(|(name, _)| *name == what) {
        Some((_, values)) => values.push(value),
        None => table.push((what, vec![value])),
    };
    let mut contestants = Vec::new();
    for program in programs {
        contestants.push(with_silences(program, &config).await?);
    }
    settled(&contestants).await?;
    let mut empty = Vec::new();
    for contestant in &contestants {
        empty.push(contestant.server()?.memory_bytes()?);
        let held = (0..HELD).map(|number| {
            let group = number % GROUPS;
            let instance = format!("10.0.{}.{}:8080", number / 250, number % 250);
            let (service, team) = (format!("service-{group}"), format!("team-{}", group % ROUTES));
            alert(&[("instance", instance), ("service", service), ("team", team)])
        });
        contestant.post(held.collect::<Result<Vec<Value>>>()?).await?;
    }
    settled(&contestants).await?;
    // What began while the first alerts of a group were told is told with the group's next look.
    tokio::time::sleep(IDLE).await;
    settled(&contestants).await?;
    let (mut cpu, begin) = (Vec::new(), now());
    for (contestant, empty) in contestants.iter().zip(empty) {
        note("memory per alert, B", (contestant.server()?.memory_bytes()? - empty) / HELD as f64);
        cpu.push(contestant.server()?.cpu_seconds()?);
    }
    tokio::time::sleep(IDLE).await;
    for (contestant, cpu) in contestants.iter().zip(cpu) {
        let share = (contestant.server()?.cpu_seconds()? - cpu) / begin.elapsed().as_secs_f64() * 100.0;
        note("idle, % of a core", share);
    }
    for contestant in &mut contestants {
        let cpu = contestant.server()?.cpu_seconds()?;
        let mut times = Vec::new();
        for _ in 0..10 {
            let begin = now();
            let (status, bytes) = contestant.get("/api/v2/alerts/groups").await?;
            ensure!(status == 200 && bytes > HELD * 100, "alerts/groups answers {status} with {bytes} bytes");
            times.push(begin.elapsed().as_secs_f64() * 1e3);
        }
        times.sort_by(f64::total_cmp);
        note("GET alerts/groups, ms", quantile(&times, 0.5));
        note("GET alerts/groups, ms of CPU", (contestant.server()?.cpu_seconds()? - cpu) * 100.0);

        let mut times = Vec::new();
        for trial in 0..NEW {
            let name = format!("{}-new-{trial}", contestant.name);
            let new = vec![alert(&[("team", "new".to_owned()), ("trial", name.clone())])?];
            let begin = now();
            contestant.post(new).await?;
            times.push(sink.arrival(&name).await.duration_since(begin).as_secs_f64() * 1e3);
        }
        times.sort_by(f64::total_cmp);
        note("first notification p50, ms", quantile(&times, 0.5));
        note("first notification p99, ms", quantile(&times, 0.99));

        contestant.service.kill()?;
        let begin = now();
        contestant.service.start().await?;
        note("start after kill -9, s", begin.elapsed().as_secs_f64());
        note("start after kill -9, s of CPU", contestant.server()?.cpu_seconds()?);
    }
    let names: String = programs.iter().fold(String::new(), |line, program| format!("{line}{:>14}", program.name));
    println!("{:<34}{names}", "");
    for (what, values) in table {
        let figures = values.iter().fold(String::new(), |line, value| format!("{line}{value:>14.2}"));
        println!("{what:<34}{figures}");
    }
    Ok(())
}
