//! Evaluations: threads that answer the owner's requests, so that a slow query or a spinning plugin stalls nobody.

use std::collections::{BTreeSet, HashMap};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, Weak};

use arc_swap::ArcSwap;
use tokio::sync::mpsc;
use tracing::field::Empty;
use watchfire_alerting::{EvaluateRequest, Evaluation, EvaluationResult, Input, RouteRequest, RuleSpec};
use watchfire_host::Host;
use watchfire_model::{Duration, Labels, RuleId, Timestamp};
use watchfire_plugin::{AlertView, Condition, Decision, PluginError, PluginUse, Provider, Router, State};
use watchfire_promql::{Answer, Options, Tracked, Value, Windows};
use watchfire_rules::dataflow::Reader;
use watchfire_rules::{ConditionUse, EvaluateError, Evaluator, OpenCondition, Prepared, Remote, Rule, Series, Source};
use watchfire_tsdb::{SeriesId, Tsdb};

use crate::clock::{Clock, Stopwatch};
use crate::data::{Data, lock};
use crate::metrics::{Metrics, label};
use crate::owner::Request;
use crate::remembered::Place;
use crate::remote::{Server, Servers};
use crate::screen::{Arrivals, Screen};

/// A plugin opened for one rule, with what it remembers.
pub(crate) struct OpenedCondition {
    pub(crate) condition_use: ConditionUse,
    /// The version of the plugin that was opened.
    pub(crate) generation: Option<u64>,
    pub(crate) condition: Mutex<Box<dyn Condition>>,
}

/// What an evaluation came to.
struct Answered {
    result: EvaluationResult,
    /// What decided in place of a condition that gave no answer.
    stand_in: Option<String>,
    writes: Vec<watchfire_plugin::StateWrite>,
}

/// The rules in force, ready to be evaluated.
#[derive(Default)]
pub(crate) struct RuleSet {
    pub(crate) rules: HashMap<RuleId, Arc<Ready>>,
    pub(crate) external_labels: Labels,
    pub(crate) external_url: String,
    pub(crate) options: Options,
    /// What all rules know about windows over series; a reload hands it on.
    pub(crate) windows: Arc<Windows>,
    /// Who answers the queries of groups with a `source`.
    pub(crate) servers: Servers,
    /// The receivers that routers may name.
    pub(crate) receivers: BTreeSet<Arc<str>>,
    /// Routers, opened when they are asked first; a reload starts with none, so that a new version takes over.
    pub(crate) routers: Mutex<HashMap<PluginUse, Box<dyn Router>>>,
}

/// One rule, ready to be evaluated.
pub(crate) struct Ready {
    pub(crate) rule: Arc<Rule>,
    /// How far in the past its query looks.
    pub(crate) query_offset: Duration,
    /// The same for the state machine.
    pub(crate) spec: RuleSpec,
    /// What it reads, if it reads series.
    pub(crate) reader: Option<Arc<Reader>>,
    pub(crate) prepared: Arc<Prepared>,
    /// The series that its selectors match, kept up to date by its evaluations; a reload hands it on with the plan.
    pub(crate) tracked: Arc<Mutex<Tracked>>,
    /// Who answers its queries, if not the series here.
    pub(crate) server: Option<Arc<Server>>,
    pub(crate) condition: Option<Arc<OpenedCondition>>,
    /// What it remembers.
    pub(crate) state: Arc<Place>,
    /// Set while the rule is [quiet](crate::screen): how many arrivals it has been found to be so after.
    pub(crate) quiet: Mutex<Option<Arrivals>>,
}

impl Ready {
    /// Whether finding nothing says everything: conditions and servers
    /// decide for themselves, and what remembers is to be asked.
    fn can_be_quiet(&self) -> bool {
        let alerting = self.rule.alerting().is_some_and(|alerting| alerting.absent.is_none());
        alerting
            && self.server.is_none()
            && self.rule.condition.is_none()
            && matches!(self.rule.source, Source::Expr(_))
    }
}

/// An evaluation on its way; that of a rule with a server goes from a thread to the server and back until it has all
/// answers.
struct Pending {
    request: EvaluateRequest,
    watch: Stopwatch,
    remote: Remote,
}

enum Job {
    Evaluate(Vec<EvaluateRequest>),
    /// The server has answered.
    Resume(Pending),
    Route(RouteRequest, Timestamp),
    Screen,
}

/// Evaluations that one thread does in a row: to wake a thread, and the owner by its answer, costs as much as several of
/// them.
const EVALUATED_TOGETHER: usize = 64;

/// Answers do not wait for each other longer than this, and what is left by then may be done by another thread.
const TOLD_AFTER: std::time::Duration = std::time::Duration::from_millis(5);

/// Rules that are screened before other jobs have their turn.
const SCREENED_AT_ONCE: usize = 512;

/// Rules that are screened before samples that wait to be stored have their turn.
const SCREENED_UNDER_ONE_LOCK: usize = 32;

/// When rules are screened together.
#[derive(Clone, Copy, Debug)]
struct Round {
    arrivals: Arrivals,
    now: Timestamp,
}

/// The threads, for the owner and for what arrives.
#[derive(Clone)]
pub(crate) struct Evaluators {
    jobs: Arc<Sender<Job>>,
    screen: Arc<Screen>,
    rules: Arc<ArcSwap<RuleSet>>,
    owner: mpsc::UnboundedSender<Request>,
    working: Arc<Working>,
}

/// Held for reading by each thread while it does something and tells the owner of it. Whoever holds it for writing knows
/// that all that was begun is told, and that nothing else begins.
pub(crate) type Working = tokio::sync::RwLock<()>;

/// What a thread needs.
struct Worker {
    rules: Arc<ArcSwap<RuleSet>>,
    providers: Arc<dyn Provider>,
    host: Host,
    data: Arc<Data>,
    owner: mpsc::UnboundedSender<Request>,
    metrics: Arc<Metrics>,
    clock: Arc<dyn Clock>,
    screen: Arc<Screen>,
    working: Arc<Working>,
    /// For evaluations that come back with answers, and for screening that lets others have their turn; weak, because the
    /// threads end with the last sender.
    jobs: Weak<Sender<Job>>,
    runtime: tokio::runtime::Handle,
}

impl Evaluators {
    /// Starts as many threads as there are cores. They end when the `Evaluators` are gone. Called within a runtime.
    pub(crate) fn start(
        rules: Arc<ArcSwap<RuleSet>>,
        providers: Arc<dyn Provider>,
        host: Host,
        data: Arc<Data>,
        owner: mpsc::UnboundedSender<Request>,
        metrics: Arc<Metrics>,
        clock: Arc<dyn Clock>,
    ) -> std::io::Result<Evaluators> {
        let (jobs, receiver) = channel();
        let receiver = Arc::new(Mutex::new(receiver));
        let screen = Arc::new(Screen::default());
        let working = Arc::new(Working::default());
        let evaluators = Evaluators {
            jobs: Arc::new(jobs),
            screen: Arc::clone(&screen),
            rules: Arc::clone(&rules),
            owner: owner.clone(),
            working: Arc::clone(&working),
        };
        let runtime = tokio::runtime::Handle::current();
        let jobs = Arc::downgrade(&evaluators.jobs);
        let worker =
            Arc::new(Worker { rules, providers, host, data, owner, metrics, clock, screen, working, jobs, runtime });
        for number in 0..std::thread::available_parallelism().map_or(2, usize::from) {
            let (receiver, worker) = (Arc::clone(&receiver), Arc::clone(&worker));
            std::thread::Builder::new().name(format!("evaluate-{number}")).spawn(move || worker.run(&receiver))?;
        }
        Ok(evaluators)
    }

    /// What the threads hold while they work.
    pub(crate) fn working(&self) -> Arc<Working> {
        Arc::clone(&self.working)
    }

    /// Hands out evaluations; their answers reach the owner as inputs.
    pub(crate) fn evaluate(&self, requests: Vec<EvaluateRequest>) {
        let mut requests = requests.into_iter().peekable();
        while requests.peek().is_some() {
            let together = requests.by_ref().take(EVALUATED_TOGETHER);
            // The threads live as long as this sender.
            drop(self.jobs.send(Job::Evaluate(together.collect())));
        }
    }

    /// Data of these rules have changed, through these series if any. Quiet rules are looked at first; the owner hears of
    /// the others at once.
    pub(crate) fn touched(&self, rules: BTreeSet<RuleId>, series: &[SeriesId]) {
        if rules.is_empty() {
            return;
        }
        self.screen.changed(series);
        let ready = self.rules.load();
        let is_quiet = |rule: &RuleId| ready.rules.get(rule).is_some_and(|ready| lock(&ready.quiet).is_some());
        let (quiet, others): (Vec<RuleId>, Vec<RuleId>) = rules.into_iter().partition(is_quiet);
        if self.screen.add(quiet) {
            drop(self.jobs.send(Job::Screen));
        }
        if !others.is_empty() {
            // Without an owner the process is ending; the log has what it needs to go on.
            drop(self.owner.send(Request::Inputs(vec![Input::Touched(others)])));
        }
    }

    /// Hands out a question to a router plugin.
    pub(crate) fn route(&self, request: RouteRequest, now: Timestamp) {
        drop(self.jobs.send(Job::Route(request, now)));
    }
}

impl Worker {
    fn run(&self, jobs: &Mutex<Receiver<Job>>) {
        loop {
            // Only the wait for a job is under the lock, never the job.
            let job = lock(jobs).recv();
            let _working = self.working.blocking_read();
            match job {
                Ok(Job::Evaluate(requests)) => self.evaluate_all(requests),
                Ok(Job::Resume(pending)) => {
                    let mut answers = Vec::new();
                    self.evaluate(pending, &mut answers);
                    self.tell(answers);
                }
                Ok(Job::Route(request, now)) => self.route(request, now),
                Ok(Job::Screen) => self.screen(),
                Err(_) => return,
            }
        }
    }

    fn tell(&self, inputs: Vec<Input>) {
        if !inputs.is_empty() {
            // Without an owner the process is ending.
            drop(self.owner.send(Request::Inputs(inputs)));
        }
    }

    /// Evaluates one after the other. Answers that say nothing new are told together.
    fn evaluate_all(&self, requests: Vec<EvaluateRequest>) {
        let mut answers = Vec::with_capacity(requests.len());
        let watch = Stopwatch::start();
        let mut requests = requests.into_iter();
        for request in requests.by_ref() {
            let pending = Pending { request, watch: Stopwatch::start(), remote: Remote::default() };
            self.evaluate(pending, &mut answers);
            if watch.elapsed() >= TOLD_AFTER {
                break;
            }
        }
        self.tell(answers);
        if requests.len() > 0
            && let Some(jobs) = self.jobs.upgrade()
        {
            drop(jobs.send(Job::Evaluate(requests.collect())));
        }
    }

    /// Adds to `answers`, and tells them if this one says something new. There is none yet if the rule's server has to be
    /// asked first.
    fn evaluate(&self, mut pending: Pending, answers: &mut Vec<Input>) {
        let request = &pending.request;
        let (rule, at) = (request.rule, request.at);
        let span = tracing::debug_span!("evaluate", %rule, name = Empty, at = %at.to_rfc3339(), error = Empty);
        let _entered = span.enter();
        let rules = self.rules.load();
        let ready = rules.rules.get(&rule);
        let state = ready.map(|ready| ready.state.load_full());
        // Held until what is written is told: another rule may share it that took this one's place, and what is written
        // last has to be told last.
        let mut state = state.as_ref().map(|state| lock(state));
        let (mut state_writes, mut stand_in) = (Vec::new(), None);
        let result = match ready.zip(state.as_deref_mut()) {
            // A reload took the rule away while the request was waiting.
            None => Err("the rule is no longer defined".to_owned()),
            Some((ready, state)) => {
                span.record("name", &*ready.rule.name);
                let (request, remote) = (&pending.request, &mut pending.remote);
                // A panic in one evaluation must not take the thread, and with it other rules, down.
                let evaluation =
                    std::panic::AssertUnwindSafe(|| self.evaluate_rule(&rules, ready, request, remote, state));
                match (std::panic::catch_unwind(evaluation), &ready.server) {
                    (Ok(Ok(answered)), _) => {
                        state_writes = answered.writes;
                        stand_in = answered.stand_in;
                        Ok(answered.result)
                    }
                    (Ok(Err(EvaluateError::Unanswered)), Some(server)) => {
                        self.ask(server, pending);
                        return;
                    }
                    (Ok(Err(error)), _) => Err(error.to_string()),
                    (Err(_), _) => {
                        state.rollback();
                        Err("the evaluation panicked; this is a defect, please report it".to_owned())
                    }
                }
            }
        };
        let Pending { request, watch, .. } = pending;
        let took = watch.elapsed();
        self.metrics.evaluations.get_or_create(&label("cause", request.cause.as_str())).inc();
        self.metrics.evaluation_seconds.observe(took.as_secs_f64());
        if let Err(error) = &result {
            span.record("error", &**error);
            self.metrics.evaluation_failures.inc();
        }
        let finds_nothing = matches!(&result, Ok(EvaluationResult::Instances { active, .. }) if active.is_empty());
        let is_news = !(request.idle && finds_nothing && state_writes.is_empty());
        answers.push(Input::Evaluated(Evaluation {
            id: request.id,
            rule: request.rule,
            at: request.at,
            took: Duration::from_millis(i64::try_from(took.as_millis()).unwrap_or(i64::MAX)),
            result,
            stand_in,
            state_writes,
        }));
        if is_news {
            self.tell(std::mem::take(answers));
        }
    }

    /// Lets the server answer what an evaluation lacks, and the evaluation come back.
    fn ask(&self, server: &Arc<Server>, mut pending: Pending) {
        let (server, metrics, jobs) = (Arc::clone(server), Arc::clone(&self.metrics), Weak::clone(&self.jobs));
        self.runtime.spawn(async move {
            server.answer(&mut pending.remote, &pending.watch, &metrics).await;
            if let Some(jobs) = jobs.upgrade() {
                drop(jobs.send(Job::Resume(pending)));
            }
        });
    }

    fn evaluate_rule(
        &self,
        rules: &RuleSet,
        ready: &Ready,
        request: &EvaluateRequest,
        remote: &mut Remote,
        state: &mut State,
    ) -> Result<Answered, EvaluateError> {
        let mut tracked = lock(&ready.tracked);
        // Until it has an answer, whatever arrives is told to the owner.
        *lock(&ready.quiet) = None;
        let arrivals = self.screen.arrivals();
        let mut opened = ready.condition.as_ref().map(|opened| lock(&opened.condition));
        let mut hits = self.data.windows(request.rule).map(|windows| lock(&windows).evaluate(request.at));
        let mut failure = None;
        let computes = opened.is_some();
        let mut evaluate = |series: Series<'_>| {
            let mut evaluator = Evaluator::new(series, &rules.external_labels, &rules.options);
            evaluator.prepared = Some(&ready.prepared);
            evaluator.tracked = Some(&mut tracked);
            evaluator.hits = hits.take();
            evaluator.remote = ready.server.is_some().then_some(remote);
            match opened.as_deref_mut() {
                Some(condition) => {
                    evaluator.condition = Some(OpenCondition { condition: condition.as_mut(), state });
                }
                None => evaluator.memory = Some(state),
            }
            evaluator.instances = &request.instances;
            evaluator.query_offset = request.query_offset;
            evaluator.external_url = &rules.external_url;
            let outcome = watchfire_rules::evaluate(&ready.rule, request.at, &mut evaluator);
            failure = evaluator.failure.take();
            outcome
        };
        // What arrives waits for no plugin.
        let result = match computes {
            true => evaluate(Series::Shared(&self.data.tsdb)),
            false => self.data.with_tsdb(|db| evaluate(Series::Held(db))),
        };
        if let Err(EvaluateError::Condition { plugin, error }) = &result {
            self.failed(plugin, error);
        }
        if let (Some(error), Some(condition)) = (&failure, &ready.rule.condition)
            && !matches!(result, Err(EvaluateError::Unanswered))
        {
            self.failed(&condition.usage.plugin, error);
        }
        // What a failed call wrote was staged only, and is forgotten.
        let outcome = result.inspect_err(|_| state.rollback())?;
        let writes = state.commit();
        if request.idle && ready.can_be_quiet() && outcome.is_nothing() {
            *lock(&ready.quiet) = Some(arrivals);
        }
        let stand_in = failure.zip(ready.rule.condition.as_ref()).and_then(|(error, used)| used.stand_in(&error));
        Ok(Answered { result: outcome.into(), stand_in, writes })
    }

    /// Looks at some of the quiet rules whose data have changed, all of them at one time, so that they share what they
    /// have in common.
    fn screen(&self) {
        let chosen = self.screen.take(SCREENED_AT_ONCE);
        if chosen.is_empty() {
            return;
        }
        let rules = self.rules.load();
        // What arrives from here on lets the rules wait again.
        let round = Round { arrivals: self.screen.arrivals(), now: self.clock.now() };
        for some in chosen.chunks(SCREENED_UNDER_ONE_LOCK) {
            let stays_quiet = |db: &Tsdb, rule: &RuleId| {
                // The owner's evaluation tells what is wrong with a rule that cannot be looked at.
                let ready = rules.rules.get(rule);
                let look =
                    std::panic::AssertUnwindSafe(|| ready.is_some_and(|ready| self.stays_quiet(ready, db, round)));
                std::panic::catch_unwind(look).unwrap_or(false)
            };
            let touched: Vec<RuleId> =
                self.data.with_tsdb(|db| some.iter().filter(|rule| !stays_quiet(db, rule)).copied().collect());
            if !touched.is_empty() {
                self.tell(vec![Input::Touched(touched)]);
            }
        }
        self.metrics.evaluations.get_or_create(&label("cause", "screening")).inc_by(chosen.len() as u64);
        if let Some(jobs) = self.jobs.upgrade() {
            drop(jobs.send(Job::Screen));
        }
    }

    /// Whether a quiet rule finds nothing still.
    fn stays_quiet(&self, ready: &Ready, db: &Tsdb, round: Round) -> bool {
        // Who evaluates the rule right now may have missed the change, and cannot be waited for: it may wait for the
        // series, which are locked here.
        let Ok(mut tracked) = ready.tracked.try_lock() else { return false };
        let (Some(seen), Some(plan)) = (*lock(&ready.quiet), ready.prepared.plan()) else { return false };
        let at = round.now - ready.query_offset;
        let changed = plan.is_worth_splitting(&tracked).then(|| self.screen.changed_since(seen)).flatten();
        let answer = match changed {
            Some(changed) => plan.instant_of_changed(db, &mut tracked, &changed, at, &|| None),
            None => plan.instant_tracked(db, &mut tracked, at, &|| None),
        };
        let nothing = matches!(&answer, Ok(Answer { value: Value::Vector(found), .. }) if found.is_empty());
        if let (true, Some(quiet)) = (nothing, lock(&ready.quiet).as_mut()) {
            *quiet = round.arrivals;
        }
        nothing
    }

    fn route(&self, request: RouteRequest, now: Timestamp) {
        let views: Vec<AlertView> = request.alerts.into_iter().map(|alert| AlertView::new(alert, request.at)).collect();
        let rules = self.rules.load();
        // A router that takes its time keeps no other one waiting.
        let opened = lock(&rules.routers).remove(&request.plugin);
        let ask = std::panic::AssertUnwindSafe(|| -> Result<_, PluginError> {
            let mut router = match opened {
                Some(router) => router,
                None => self.providers.open_router(&request.plugin.plugin, &request.plugin.config_json)?,
            };
            let decisions = router.route(now, &views)?;
            lock(&rules.routers).insert(request.plugin.clone(), router);
            Ok(decisions)
        });
        // Neither must a panic of a router take the thread down.
        let result = std::panic::catch_unwind(ask).unwrap_or_else(|_| {
            Err(PluginError::Internal("it panicked; this is a defect, please report it".to_owned()))
        });
        match &result {
            Ok(decisions) => self.look_for_strays(&request.plugin.plugin, decisions, &rules.receivers),
            Err(error) => self.failed(&request.plugin.plugin, error),
        }
        self.tell(vec![Input::Routed { id: request.id, result }]);
    }

    /// A router that names a receiver which is not defined has failed, although it has answered: the route's own is told.
    fn look_for_strays(&self, plugin: &str, decisions: &[Decision], receivers: &BTreeSet<Arc<str>>) {
        let named = decisions.iter().filter(|decision| decision.suppress.is_none()).flat_map(|one| &one.receivers);
        let unknown: BTreeSet<&str> = named.map(String::as_str).filter(|name| !receivers.contains(*name)).collect();
        if !unknown.is_empty() {
            let names: Vec<&str> = unknown.into_iter().collect();
            let what = format!("it named receivers that are not defined: {}", names.join(", "));
            let error = PluginError::InvalidOutput(what);
            tracing::warn!(plugin, %error, "a plugin failed");
            self.host.count_failure(plugin, &error);
        }
    }

    fn failed(&self, plugin: &str, error: &PluginError) {
        if matches!(error, PluginError::Compiling(_) | PluginError::Suspended(_)) {
            // Whoever made it so has told it once.
            tracing::debug!(plugin, %error, "a plugin was not called");
            return;
        }
        tracing::warn!(plugin, %error, "a plugin failed");
        // What the host has called it has counted.
        if self.host.generation(plugin).is_none() {
            self.host.count_failure(plugin, error);
        }
    }
}

#[cfg(test)]
mod tests;
