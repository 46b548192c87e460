//! What a kill at the wrong moment costs: pages lost, pages doubled, silences lost, delays.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::Value;

use super::contestant::{Contestant, Program, alert, now};
use crate::process::Service;
use crate::sink::Sink;

/// Kills of each kind.
const TRIALS: usize = 10;

/// How long a page is waited for that should be there by then.
const PATIENCE: Duration = Duration::from_secs(4);

/// How an engine is made to end.
#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    Kill,
    Terminate,
}

fn config(address: SocketAddr, group_wait: &str) -> String {
    format!(
        "route: {{receiver: hook, group_by: ['...'], group_wait: {group_wait}, group_interval: 1s}}\n\
         receivers: [{{name: hook, webhook_configs: [{{url: 'http://{address}/'}}]}}]\n"
    )
}

fn one(name: &str) -> Result<Vec<Value>> {
    Ok(vec![alert(&[("trial", name.to_owned())])?])
}

async fn restart(service: &mut Service, end: End) -> Result<()> {
    match end {
        End::Kill => service.kill()?,
        End::Terminate => service.terminate()?,
    }
    service.start().await
}

/// Waits for the arrivals of an alert, or until they should have come.
async fn arrivals(sink: &Sink, name: &str) -> usize {
    drop(tokio::time::timeout(PATIENCE, sink.arrival(name)).await);
    sink.arrivals(name).len()
}

pub(super) async fn run(programs: &[Program], sink: &Sink, address: SocketAddr) -> Result<()> {
    println!("\nDispatch: faults, {TRIALS} trials each");
    for program in programs {
        let mut contestant = program.start(&config(address, "1s")).await?;
        let lost = after_accepting(&mut contestant, sink, End::Kill).await?;
        println!("{:<14}kill -9 right after it answered 200, group_wait 1s: {lost} pages lost", program.name);
        let lost = after_accepting(&mut contestant, sink, End::Terminate).await?;
        println!("{:<14}SIGTERM at the same moment: {lost} pages lost", program.name);
        let mut contestant = program.start(&config(address, "0s")).await?;
        let doubled = after_notifying(&mut contestant, sink).await?;
        println!("{:<14}kill -9 after notifying, the alert posted again: {doubled} told twice", program.name);
        let lost = after_silencing(&mut contestant).await?;
        println!("{:<14}kill -9 after a silence was made: {lost} silences lost", program.name);
        let mut contestant = program.start(&config(address, "3s")).await?;
        let beyond = inside_group_wait(&mut contestant, sink).await?;
        match beyond {
            Some(seconds) => println!(
                "{:<14}kill -9 inside group_wait: page {seconds:.1} s after it was due or the start, whichever was later",
                program.name
            ),
            None => println!("{:<14}kill -9 inside group_wait: no page until the sender repeats", program.name),
        }
    }
    Ok(())
}

/// Whoever got a 200 need not care any more.
async fn after_accepting(contestant: &mut Contestant, sink: &Sink, end: End) -> Result<usize> {
    let mut lost = 0;
    for trial in 0..TRIALS {
        let name = format!("{}-accepted-{end:?}-{trial}", contestant.name);
        contestant.post(one(&name)?).await?;
        restart(&mut contestant.service, end).await?;
        lost += usize::from(arrivals(sink, &name).await == 0);
    }
    Ok(lost)
}

/// Whoever was told need not be told again because the teller died.
async fn after_notifying(contestant: &mut Contestant, sink: &Sink) -> Result<usize> {
    let mut doubled = 0;
    for trial in 0..TRIALS {
        let name = format!("{}-notified-{trial}", contestant.name);
        contestant.post(one(&name)?).await?;
        ensure!(arrivals(sink, &name).await == 1, "{name} was not told once");
        tokio::time::sleep(Duration::from_secs(1)).await;
        restart(&mut contestant.service, End::Kill).await?;
        contestant.post(one(&name)?).await?;
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        doubled += sink.arrivals(&name).len() - 1;
    }
    Ok(doubled)
}

async fn after_silencing(contestant: &mut Contestant) -> Result<usize> {
    let mut lost = 0;
    for trial in 0..TRIALS {
        let id = contestant.silence("trial", &format!("silenced-{trial}")).await?;
        restart(&mut contestant.service, End::Kill).await?;
        lost += usize::from(contestant.get(&format!("/api/v2/silence/{id}")).await?.0 != 200);
    }
    Ok(lost)
}

/// The longest time from the moment at which the page was due, or the engine was back, to the page.
async fn inside_group_wait(contestant: &mut Contestant, sink: &Sink) -> Result<Option<f64>> {
    let mut longest = Some(0.0f64);
    for trial in 0..TRIALS.min(5) {
        let name = format!("{}-waiting-{trial}", contestant.name);
        let due = now() + Duration::from_secs(3);
        contestant.post(one(&name)?).await?;
        tokio::time::sleep(Duration::from_secs(1)).await;
        restart(&mut contestant.service, End::Kill).await?;
        let due = due.max(now());
        arrivals(sink, &name).await;
        let arrived = sink.arrivals(&name).first().copied();
        let late = arrived.map(|at| at.saturating_duration_since(due).as_secs_f64());
        longest = longest.zip(late).map(|(longest, late)| longest.max(late));
    }
    Ok(longest)
}
