//! The loop: one task owns the state machine, gives it inputs and does what it says.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{broadcast, mpsc, oneshot};
use watchfire_alerting::{Change, Engine, Input, Output, Record, SilenceCommand, Term};
use watchfire_model::Timestamp;

use crate::clock::Clock;
use crate::data::Data;
use crate::evaluate::Evaluators;
use crate::forward::Forwarder;
use crate::persist::Decided;
use crate::remembered::Remembered;
use crate::tenure;

/// Requests that are handled before their outputs are drained: one commit then covers them all.
const REQUESTS_PER_TURN: usize = 256;

/// What can wake the owner.
pub(crate) enum Request {
    /// Something has happened, in this order.
    Inputs(Vec<Input>),
    /// Something has happened and the caller waits until it is durable.
    Durable(Input, oneshot::Sender<Result<(), String>>),
    /// Somebody wants to look.
    Act(Box<dyn FnOnce(&mut Engine, Timestamp) + Send>),
    /// Somebody wants to act and take an answer with them, and is told when what it led to is durable. Where another
    /// engine decides it is asked for the input and for the silences that come out here.
    Ask(Option<Input>, Box<dyn FnOnce(&mut Engine, Timestamp) + Send>, oneshot::Sender<Result<(), String>>),
    /// This engine decides in a term from now on, or another one does; what is kept.
    Turn { term: Option<Term>, records: Vec<Record> },
    /// What other engines were asked for, and the numbers of what cannot be read of it.
    Requested { inputs: Vec<(i64, Input)>, unreadable: Vec<i64> },
    /// The end: the sender is dropped when everything decided before is on its way.
    Stop(oneshot::Sender<()>),
}

/// Everything that the owner uses.
pub(crate) struct Owner {
    pub(crate) engine: Engine,
    /// The term in which it decides; nothing while another engine does.
    pub(crate) term: Option<Term>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) data: Arc<Data>,
    pub(crate) evaluators: Evaluators,
    pub(crate) forwarder: Forwarder,
    pub(crate) decided: mpsc::UnboundedSender<Decided>,
    pub(crate) changes: broadcast::Sender<Arc<Change>>,
    pub(crate) remembered: Arc<Remembered>,
    /// Whether what arrives starts evaluations.
    pub(crate) on_ingest: bool,
}

impl Owner {
    /// Runs until it is told to stop, nobody is left who could tell it anything, or nothing can be persisted any more.
    pub(crate) async fn run(mut self, mut requests: mpsc::UnboundedReceiver<Request>) {
        let mut turn = Decided::default();
        loop {
            let request = tokio::select! {
                request = requests.recv() => match request {
                    Some(request) => Some(request),
                    None => return,
                },
                () = sleep_until(self.engine.next_deadline(), self.clock.now()) => None,
                // Who persists outlives the owner. To decide what nobody is told would hide that.
                () = self.decided.closed() => return tracing::error!("the task that persists decisions has ended"),
            };
            let now = self.clock.now();
            if self.engine.next_deadline().is_some_and(|deadline| deadline <= now) {
                self.engine.handle(now, Input::Tick);
            }
            let mut stop = None;
            let more = std::iter::from_fn(|| requests.try_recv().ok());
            for request in request.into_iter().chain(more).take(REQUESTS_PER_TURN) {
                match request {
                    Request::Inputs(inputs) => {
                        inputs.into_iter().for_each(|input| self.handle(now, input, &mut turn));
                    }
                    Request::Durable(input, reply) => {
                        self.handle(now, input, &mut turn);
                        turn.replies.push(reply);
                    }
                    Request::Act(act) => act(&mut self.engine, now),
                    Request::Ask(input, act, reply) => {
                        act(&mut self.engine, now);
                        if self.term.is_none() {
                            turn.requests.extend(input);
                        }
                        turn.replies.push(reply);
                    }
                    Request::Requested { inputs, unreadable } => {
                        turn.done.extend(unreadable);
                        for (number, input) in inputs {
                            turn.done.push(number);
                            self.engine.handle(now, input);
                        }
                    }
                    Request::Turn { term, records } => {
                        // What was decided until here belongs to the term that ends.
                        self.drain(now, std::mem::take(&mut turn));
                        self.turn(now, term, records);
                    }
                    Request::Stop(done) => {
                        stop = Some(done);
                        break;
                    }
                }
            }
            self.drain(now, std::mem::take(&mut turn));
            if let Some(done) = stop {
                // After what is more important, and in commits of a size that a slow database takes in time.
                let mut more = true;
                while more {
                    more = self.engine.keep_more_histories();
                    self.drain(now, Decided::default());
                }
                // Whoever asked may have gone away.
                let _gone = done.send(());
                return;
            }
        }
    }

    /// An engine that does not decide passes alerts on and takes only new definitions itself.
    fn handle(&mut self, now: Timestamp, input: Input, turn: &mut Decided) {
        match input {
            // In compatibility mode rules are evaluated at their interval only.
            Input::Touched(_) if !self.on_ingest => {}
            Input::Alerts(_) if self.term.is_none() => turn.requests.push(input),
            Input::Reload(_) => self.engine.handle(now, input),
            _ if self.term.is_none() => {}
            input => self.engine.handle(now, input),
        }
    }

    /// Begins anew with what is kept, as after a restart, deciding or only showing it.
    fn turn(&mut self, now: Timestamp, term: Option<Term>, records: Vec<Record>) {
        let (settings, definitions) = (self.engine.settings().clone(), self.engine.definitions().cloned());
        let mut engine = if term.is_some() { Engine::new(settings) } else { Engine::watching(settings) };
        engine.takes_the_place_of(&self.engine);
        self.engine = engine;
        self.term = term;
        self.engine.handle(now, Input::Restore(records));
        if let Some(definitions) = definitions {
            self.engine.handle(now, Input::Reload(definitions));
        }
        self.drain(now, Decided::default());
    }

    /// What an engine that does not decide says means nothing but for the silences that it was asked for: these are for
    /// the one that does.
    fn drain_watching(&mut self, mut decided: Decided) {
        let mut records = Vec::new();
        while let Some(output) = self.engine.poll_output() {
            if let Output::Persist(record) = output {
                records.push(*record);
            }
        }
        let silences = if decided.replies.is_empty() { Vec::new() } else { tenure::silences(records) };
        if !silences.is_empty() {
            decided.requests.push(Input::Silence(SilenceCommand::Adopt(silences)));
        }
        if !decided.is_empty() {
            drop(self.decided.send(decided));
        }
    }

    /// Does what the engine says, in its order.
    fn drain(&mut self, now: Timestamp, mut decided: Decided) {
        let Some(term) = self.term else { return self.drain_watching(decided) };
        decided.term = term;
        let mut requests = Vec::new();
        while let Some(output) = self.engine.poll_output() {
            match output {
                Output::Evaluate(request) => requests.push(request),
                Output::Route(request) => self.evaluators.route(request, now),
                Output::Append(samples) => {
                    // Written before the evaluations of the same turn are handed out, so that they see them.
                    let touched = self.data.append_derived(&samples, now);
                    if self.on_ingest && !touched.is_empty() {
                        self.engine.handle(now, Input::Touched(touched));
                    }
                }
                Output::Forward(alerts) => self.forwarder.forward(alerts),
                Output::TookOver { old, new } => self.remembered.hand_over(old, new),
                Output::Persist(record) => decided.records.push(record),
                Output::Confirm => decided.confirm = true,
                Output::Deliver(delivery) => decided.deliveries.push(delivery),
                Output::Changed(change) => {
                    tracing::debug!(?change, "changed");
                    // Nobody may be listening; then nothing is kept for anybody.
                    if self.changes.receiver_count() > 0 {
                        drop(self.changes.send(change));
                    }
                }
            }
        }
        self.evaluators.evaluate(requests);
        if !decided.is_empty() {
            // The receiver lives as long as the runtime; when it is gone the process is ending.
            drop(self.decided.send(decided));
        }
    }
}

async fn sleep_until(deadline: Option<Timestamp>, now: Timestamp) {
    match deadline {
        Some(deadline) if deadline <= now => {}
        // The clock may be set while we sleep, so that no sleep is longer than a second.
        Some(deadline) => tokio::time::sleep(deadline.since(now).to_std().min(Duration::from_secs(1))).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
