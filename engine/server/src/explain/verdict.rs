//! The sentence of an explanation: whether an alert is told, to whom, and why it is not.

use std::sync::Arc;

use watchfire_alerting::{
    AlertView, DeliveryReason, HistoryEntry, Instance, InstanceState, Notify, OWN_GROUP_LABELS, OutboxView, Reason,
    RuleHealth, RuleView, StandingView, SuppressReason, TargetKey, TargetView,
};
use watchfire_model::{AlertStatus, Labels, Timestamp};

/// Receivers that are named in one sentence for one outcome; the others stand below it.
const NAMED_MAX: usize = 3;

/// An alert in dispatch, and what is known about telling it.
pub(super) struct Asked<'a> {
    pub(super) view: &'a AlertView,
    /// How it stands in its groups.
    pub(super) standings: &'a [StandingView],
    pub(super) history: &'a [Arc<HistoryEntry>],
    pub(super) now: Timestamp,
}

/// What became of telling an alert.
#[derive(Debug)]
enum Outcome {
    /// The receiver has it.
    Told {
        at: Timestamp,
        /// In the words of the history.
        what: String,
        /// That it was told in other words than its own, if so.
        instead: String,
    },
    /// Something keeps it from being told, or kept it.
    Untold(String),
    /// It is told at the next look at its group.
    Next(Timestamp),
    /// It is on its way.
    UnderWay(String),
}

/// What became of telling an alert, and whom.
type Line = (String, Outcome);

pub(super) fn said(reason: &SuppressReason) -> String {
    Reason::from(reason.clone()).to_string()
}

/// A receiver, and which of its integrations where that is asked for.
pub(super) fn name(target: &TargetKey, with_integration: bool) -> String {
    let TargetKey { receiver, integration, .. } = target;
    if with_integration { format!("{receiver}/{integration}") } else { receiver.to_string() }
}

/// One sentence about an alert in dispatch. `held_back` is what keeps it quiet wherever it is routed.
pub(super) fn of_alert(asked: &Asked<'_>, held_back: Vec<String>, undecided: Option<String>) -> String {
    let sentence = asked.of_telling(held_back);
    undecided.into_iter().fold(sentence, |sentence, why| format!("{sentence}; {why}"))
}

/// What is said of a rule whose last evaluation did not come to an answer of its own.
pub(super) fn undecided(rule: &RuleView) -> Option<String> {
    let at = rule.last_evaluation.map_or_else(String::new, |at| format!(" at {}", at.to_rfc3339()));
    match &rule.health {
        RuleHealth::Error(error) => {
            Some(format!("the evaluation of its rule failed{at}, which leaves the alert as it was: {error}"))
        }
        RuleHealth::Ok | RuleHealth::Unknown => rule.stand_in.as_ref().map(|why| format!("its rule{at}: {why}")),
    }
}

/// The intervals that keep routes of an alert quiet now, with the receivers if not all of its routes are quiet for the
/// same reason.
pub(crate) fn muted(standings: &[StandingView]) -> Vec<String> {
    let here = || standings.iter().filter(|standing| !standing.detached);
    let reasons = || here().map(intervals);
    if reasons().all(|why| Some(why) == reasons().next()) {
        return reasons().next().flatten().into_iter().collect();
    }
    let mut said: Vec<String> = Vec::new();
    for standing in here() {
        let Some(why) = intervals(standing) else { continue };
        let is_told = here().any(|other| other.receiver == standing.receiver && other.muted.is_none());
        let one = if is_told { " through one of its routes" } else { "" };
        let why = format!("{why} for {}{one}", standing.receiver);
        if !said.contains(&why) {
            said.push(why);
        }
    }
    said
}

/// The intervals that keep a route quiet now.
fn intervals(standing: &StandingView) -> Option<String> {
    let what = match standing.muted.as_ref()? {
        SuppressReason::OutsideActiveIntervals => "outside",
        _ => "muted by",
    };
    let plural = if standing.muted_by.len() == 1 { "" } else { "s" };
    Some(format!("{what} the interval{plural} {}", standing.muted_by.join(", ")))
}

impl Asked<'_> {
    /// One sentence about whether the alert is told.
    fn of_telling(&self, mut held_back: Vec<String>) -> String {
        let Asked { view, standings, .. } = self;
        if view.status == AlertStatus::Resolved {
            let ended = view.alert.ends_at.map_or_else(String::new, |at| format!(" at {}", at.to_rfc3339()));
            let mut reasons = standings.iter().filter_map(|standing| standing.suppressed.as_ref());
            let flaps = reasons.find(|reason| matches!(reason, SuppressReason::Flapping { .. }));
            let untold = flaps.map_or_else(String::new, |reason| format!(", which is not told: {}", said(reason)));
            return format!("it has ended{ended}{untold}");
        }
        let here: Vec<&StandingView> = standings.iter().filter(|standing| !standing.detached).collect();
        let router = view.router_suppressed.as_ref().map(|why| format!("held back by the router: {why}"));
        let all_muted = here.iter().all(|standing| standing.muted.is_some());
        if !held_back.is_empty() || all_muted && (router.is_some() || !here.is_empty()) {
            held_back.extend(muted(standings));
            held_back.extend(router);
            let told = self.told_before(&here);
            return format!("it fires and is not told: {}{told}", held_back.join(", "));
        }
        let mut lines: Vec<Line> = here.iter().flat_map(|standing| self.of_group(standing, &here)).collect();
        lines.extend(router.map(|why| ("another route".to_owned(), Outcome::Untold(why))));
        let sentence = sentence(lines);
        let rest = [self.flapping(&here), self.repeated(&here)].concat();
        format!("{sentence}{rest}")
    }

    /// What became of telling the alert as one of its groups does.
    fn of_group(&self, standing: &StandingView, here: &[&StandingView]) -> Vec<Line> {
        let of_group = |outcome| vec![(standing.receiver.to_string(), outcome)];
        if let Some(why) = intervals(standing) {
            let twice = here.iter().any(|other| other.key != standing.key && other.receiver == standing.receiver);
            let one = if twice { " through another route" } else { "" };
            let before = standing.targets.iter().find_map(|target| self.told_at(target));
            let why = format!("not told, {why}{}", before_that(before));
            return vec![(format!("{}{one}", standing.receiver), Outcome::Untold(why))];
        }
        let targets: Vec<&TargetView> = standing.targets.iter().filter(|target| target.current).collect();
        if targets.is_empty() {
            return of_group(Outcome::Untold(said(&SuppressReason::NoIntegration(standing.receiver.clone()))));
        }
        let mut lines = Vec::new();
        for of_receiver in targets.chunk_by(|a, b| a.target.receiver == b.target.receiver) {
            let outcomes: Vec<Outcome> = of_receiver.iter().map(|target| self.outcome(standing, target)).collect();
            let (outcomes, named) = match together(&outcomes) {
                Some(outcome) => (vec![outcome], false),
                None => (outcomes, of_receiver.len() > 1),
            };
            let names = of_receiver.iter().map(|target| name(&target.target, named));
            lines.extend(names.zip(outcomes));
        }
        lines
    }

    /// When an integration was last told that the alert fires, if it knows that.
    fn told_at(&self, target: &TargetView) -> Option<Timestamp> {
        target.entry.notified_at.filter(|_| target.entry.firing.contains(self.view.fingerprint))
    }

    /// What became of telling the alert to one integration. What it knows is in the notification log, which is durable
    /// before the history is.
    fn outcome(&self, standing: &StandingView, target: &TargetView) -> Outcome {
        let told_at = self.told_at(target);
        // One that knows it and that nothing has gone wrong with is being told again, or of others.
        let pending = target.pending.as_ref().filter(|pending| told_at.is_none() || !pending.error.is_empty());
        if let Some(OutboxView { attempt, in_flight, next_attempt, error, .. }) = pending {
            let attempt = if *in_flight {
                format!("attempt {attempt} is under way")
            } else if error.is_empty() && *next_attempt <= self.now {
                "it waits for its turn".to_owned()
            } else {
                format!("attempt {} is next, at {}", attempt + 1, next_attempt.to_rfc3339())
            };
            if error.is_empty() {
                return Outcome::UnderWay(attempt);
            }
            let before = before_that(told_at);
            return Outcome::Untold(format!("{attempt}, because the one before failed: {error}{before}"));
        }
        let is_news = |at: Timestamp| told_at.is_none_or(|told_at| at > told_at);
        let refused = target.entry.refused.as_ref().filter(|refused| refused.firing.contains(self.view.fingerprint));
        if let Some(refused) = refused.filter(|refused| is_news(refused.at)) {
            let why = DeliveryReason::Rejected { error: refused.reason.clone() };
            return Outcome::Untold(at(&Reason::from(why), refused.at) + &before_that(told_at));
        }
        let of_it = || self.history.iter().rev().filter(|entry| entry.target.as_deref() == Some(&target.target));
        if let Some(at_log) = told_at {
            let is_it = |entry: &&Arc<HistoryEntry>| {
                // Where only changes are told the last notification may have been about others.
                let delivered = matches!(entry.reason, Reason::Delivery(DeliveryReason::Delivered { .. }));
                delivered && (standing.notify == Notify::Changes || entry.at == at_log)
            };
            return match of_it().find(is_it) {
                Some(entry) => Outcome::Told {
                    at: entry.at,
                    what: at(&entry.reason, entry.at),
                    instead: stood_in(self.history, entry),
                },
                None => {
                    let delivered = DeliveryReason::Delivered { receipt: target.entry.receipt.clone() };
                    Outcome::Told { at: at_log, what: at(&Reason::from(delivered), at_log), instead: String::new() }
                }
            };
        }
        if standing.labels.get(OWN_GROUP_LABELS[0]).is_some() {
            return Outcome::Untold(said(&SuppressReason::RateLimited { until: standing.next_flush }));
        }
        let last = of_it().find(|entry| matches!(entry.reason, Reason::Notify(_) | Reason::Delivery(_)));
        let given_up =
            |entry: &&Arc<HistoryEntry>| matches!(entry.reason, Reason::Delivery(DeliveryReason::GivenUp { .. }));
        match last.filter(given_up) {
            Some(entry) => Outcome::Untold(format!(
                "{}, tried again at {}",
                at(&entry.reason, entry.at),
                standing.next_flush.to_rfc3339()
            )),
            None => Outcome::Next(standing.next_flush),
        }
    }

    /// Who was told before it became quiet.
    fn told_before(&self, here: &[&StandingView]) -> String {
        let targets = here.iter().flat_map(|standing| &standing.targets);
        let mut told: Vec<(&str, Timestamp)> =
            targets.filter_map(|target| Some((&*target.target.receiver, self.told_at(target)?))).collect();
        told.dedup_by_key(|(receiver, _)| *receiver);
        let told = told.iter().map(|(receiver, at)| format!("{receiver} ({})", at.to_rfc3339()));
        match &shortened(told.collect())[..] {
            [] => String::new(),
            told => format!("; it was told before, to {}", told.join(", ")),
        }
    }

    fn flapping(&self, here: &[&StandingView]) -> String {
        let until = here.iter().filter_map(|standing| standing.damped_until).max();
        until.map_or_else(String::new, |until| format!("; {}", said(&SuppressReason::Flapping { until })))
    }

    /// Whether those who know it are told again, though nothing changes. A group is repeated as a whole, for as long as
    /// nobody looks after something that it tells.
    fn repeated(&self, here: &[&StandingView]) -> String {
        let due = |standing: &&StandingView| {
            let told = standing.targets.iter().filter(|target| target.current && target.pending.is_none());
            let told_at = told.filter_map(|target| self.told_at(target)).min()?;
            let due = told_at + standing.repeat_interval;
            Some(if due <= self.now { standing.next_flush } else { due })
        };
        let is_known = |standing: &&&StandingView| standing.targets.iter().any(|target| self.told_at(target).is_some());
        let known: Vec<&StandingView> = here.iter().filter(is_known).copied().collect();
        let open: Vec<&StandingView> = known.iter().filter(|standing| standing.open).copied().collect();
        let next = open.iter().filter_map(due).min();
        let next = next.map_or_else(String::new, |at| format!(" at {} at the earliest", at.to_rfc3339()));
        match &self.view.acknowledgement {
            None if next.is_empty() => String::new(),
            None => format!("; if nothing changes it is repeated{next}"),
            Some(_) if known.is_empty() => String::new(),
            Some(acknowledgement) if open.is_empty() => {
                format!("; {} looks after it, so it is not repeated", acknowledgement.by)
            }
            Some(acknowledgement) => {
                let mut receivers: Vec<&str> = open.iter().map(|standing| &*standing.receiver).collect();
                receivers.dedup();
                let escalates =
                    open.iter().filter_map(|standing| standing.escalates.as_ref()).min_by_key(|(_, at)| *at);
                let escalates = escalates.map_or_else(String::new, |(receiver, at)| {
                    format!(", and {receiver} is told too at {}", at.to_rfc3339())
                });
                format!(
                    "; {} looks after it, but nobody after all of its group, so {} is told of it again with the \
                     others{next}{escalates}",
                    acknowledgement.by,
                    receivers.join(", "),
                )
            }
        }
    }
}

/// What was done and when, in the words of the history.
fn at(reason: &Reason, at: Timestamp) -> String {
    format!("{reason} ({})", at.to_rfc3339())
}

fn before_that(told_at: Option<Timestamp>) -> String {
    told_at.map_or_else(String::new, |at| format!(" (it was told before, at {})", at.to_rfc3339()))
}

/// What became of telling all integrations of a receiver, if that is the same.
fn together(outcomes: &[Outcome]) -> Option<Outcome> {
    let [first, _, ..] = outcomes else { return None };
    match first {
        Outcome::Told { .. } => {
            let mut last = Timestamp::MIN;
            let mut reasons: Vec<&str> = Vec::new();
            for outcome in outcomes {
                let Outcome::Told { at, instead, .. } = outcome else { return None };
                last = last.max(*at);
                if !reasons.contains(&&**instead) {
                    reasons.push(instead);
                }
            }
            let delivered = DeliveryReason::Delivered { receipt: "".into() };
            Some(Outcome::Told { at: last, what: at(&Reason::from(delivered), last), instead: reasons.concat() })
        }
        Outcome::Next(at) => {
            outcomes.iter().all(|outcome| matches!(outcome, Outcome::Next(_))).then_some(Outcome::Next(*at))
        }
        Outcome::Untold(_) | Outcome::UnderWay(_) => None,
    }
}

/// Who was told, who was not, and who will be.
fn sentence(lines: Vec<Line>) -> String {
    if lines.is_empty() {
        return "it fires, and no route has taken it yet".to_owned();
    }
    let next = |at: &Timestamp| format!("told when its group is looked at next, at {}", at.to_rfc3339());
    let soonest = lines.iter().map(|(_, outcome)| if let Outcome::Next(at) = outcome { Some(at) } else { None });
    if let Some(at) = soonest.collect::<Option<Vec<_>>>().and_then(|times| times.into_iter().min()) {
        return format!("it fires and is {}", next(at));
    }
    let is_certain = lines.iter().any(|(_, outcome)| matches!(outcome, Outcome::Told { .. } | Outcome::Untold(_)));
    let (mut told, mut others) = (Vec::new(), Vec::new());
    for (to, outcome) in lines {
        let (list, words) = match &outcome {
            Outcome::Told { what, instead, .. } => (&mut told, format!("{what}{instead}")),
            Outcome::Untold(why) | Outcome::UnderWay(why) => (&mut others, why.clone()),
            Outcome::Next(at) => (&mut others, next(at)),
        };
        let line = format!("{to}: {words}");
        if !list.contains(&line) {
            list.push(line);
        }
    }
    let all = [shortened(told), shortened(others)].concat();
    format!("it fires{}; {}", if is_certain { "" } else { " and is being told" }, all.join("; "))
}

/// The first few of a list that is read in one sentence, and how many more there are.
fn shortened(mut list: Vec<String>) -> Vec<String> {
    let more = list.len().saturating_sub(NAMED_MAX);
    if more > 0 {
        list.truncate(NAMED_MAX);
        list.push(format!("and {more} more, which stand below"));
    }
    list
}

/// One sentence about an alert that is not in dispatch, and perhaps was.
pub(super) fn of_past(
    history: &[Arc<HistoryEntry>],
    last_to: Option<String>,
    name: &str,
    evaluated: &[(&RuleView, Option<&Instance>)],
    similar: &[Labels],
) -> String {
    let is_over = evaluated.iter().all(|(_, instance)| instance.is_none());
    let Some(last) = history.last().filter(|_| is_over) else { return of_rules(name, evaluated, similar) };
    let why = if evaluated.is_empty() { String::new() } else { format!(": {}", of_rules(name, evaluated, similar)) };
    let receiver = last_to.map_or_else(String::new, |to| format!("{to}: "));
    let (told, at, instead) = (&last.reason, last.at.to_rfc3339(), stood_in(history, last));
    format!("it is over{why}; its history ends with: {receiver}{told} ({at}){instead}")
}

/// That the built-in message went in place of the receiver's own words, if it did.
fn stood_in(history: &[Arc<HistoryEntry>], delivered: &HistoryEntry) -> String {
    let of_it = history.iter().rev().filter(|entry| entry.notification == delivered.notification);
    let mut reasons = of_it.map(|entry| &entry.reason);
    let why = reasons.find(|reason| matches!(reason, Reason::Delivery(DeliveryReason::StoodIn { .. })));
    why.map_or_else(String::new, |why| format!("; {why}"))
}

/// One sentence about an alert that rules say something about, or nothing.
fn of_rules(name: &str, evaluated: &[(&RuleView, Option<&Instance>)], similar: &[Labels]) -> String {
    if let Some(instance) = evaluated.iter().find_map(|(_, instance)| *instance) {
        return match instance.state {
            InstanceState::Pending => {
                format!(
                    "its condition holds since {}, but not yet for as long as `for` says",
                    instance.active_at.to_rfc3339()
                )
            }
            InstanceState::Firing => "it fires and is about to be told".to_owned(),
            InstanceState::Resolved => "it has ended".to_owned(),
        };
    }
    let Some((rule, _)) = evaluated.first() else {
        if !similar.is_empty() {
            return format!("nobody sent an alert with just these labels; {} of that name are known", similar.len());
        }
        return format!("no rule raises an alert named {name:?}, and nobody sent one with these labels");
    };
    let mut last = rule.last_evaluation.map_or_else(String::new, |at| format!(" at {}", at.to_rfc3339()));
    if let Some(due) = rule.made_up_for {
        last += &format!(", which stood in for {}, when it could not be evaluated", due.to_rfc3339());
    }
    if let (RuleHealth::Ok, Some(why)) = (&rule.health, &rule.stand_in) {
        return format!("its rule has no result with these labels{last}: {why}");
    }
    if let (RuleHealth::Ok, Some(complaint)) = (&rule.health, rule.complaint()) {
        return format!("its rule has no result with these labels, or it was left out{last}: {complaint}");
    }
    match (&rule.health, similar.is_empty()) {
        (RuleHealth::Unknown, _) => "its rule was not evaluated by this engine yet".to_owned(),
        (RuleHealth::Error(error), _) => format!("the evaluation of its rule failed{last}: {error}"),
        (RuleHealth::Ok, true) => format!("the expression of its rule had no result{last}"),
        (RuleHealth::Ok, false) => format!("the expression of its rule had results{last}, but none with these labels"),
    }
}

#[cfg(test)]
mod tests {
    use watchfire_alerting::{
        Acknowledgement, AlertViewState, FingerprintSet, GroupKey, IntegrationKey, LogEntry, NotificationId,
        NotifyReason, Refusal,
    };
    use watchfire_model::{Alert, Annotations, Duration};

    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_000_000_000);

    fn minutes(ago: i64) -> Timestamp {
        NOW - Duration::from_mins(ago)
    }

    fn alert() -> Alert {
        Alert {
            labels: Labels::from_pairs([("alertname", "A")]),
            annotations: Annotations::default(),
            starts_at: minutes(60),
            ends_at: None,
            updated_at: minutes(60),
            timeout: false,
            generator_url: "".into(),
            value: None,
        }
    }

    fn view() -> AlertView {
        let alert = alert();
        AlertView {
            fingerprint: alert.fingerprint(),
            alert,
            expires_at: NOW,
            status: AlertStatus::Firing,
            state: AlertViewState::Active,
            rules: Vec::new(),
            silenced_by: Vec::new(),
            inhibited_by: Vec::new(),
            muted_by: Vec::new(),
            router_suppressed: None,
            acknowledgement: None,
            receivers: Vec::new(),
        }
    }

    fn looked_after() -> AlertView {
        let (by, comment) = ("Ada".to_owned(), String::new());
        let acknowledgement = Acknowledgement { by, comment, at: minutes(1), until: None, snooze: false };
        AlertView { acknowledgement: Some(acknowledgement), ..view() }
    }

    /// A group that is looked at in a minute and repeated after an hour.
    fn group(receiver: &str, targets: Vec<TargetView>) -> StandingView {
        StandingView {
            key: GroupKey::from_text(receiver),
            receiver: receiver.into(),
            labels: Labels::default(),
            created_at: minutes(60),
            next_flush: minutes(-1),
            repeat_interval: Duration::from_hours(1),
            notify: Notify::All,
            detached: false,
            suppressed: None,
            muted: None,
            muted_by: Vec::new(),
            damped_until: None,
            open: true,
            escalates: None,
            targets,
        }
    }

    fn muted_group(receiver: &str, muted: SuppressReason, interval: &str) -> StandingView {
        let muted_by = vec![interval.into()];
        StandingView { muted: Some(muted), muted_by, open: false, ..group(receiver, vec![target(receiver, 0)]) }
    }

    /// An integration that knows of nothing.
    fn target(receiver: &str, number: u32) -> TargetView {
        let integration = IntegrationKey { kind: "webhook".into(), number };
        let target = TargetKey { group: GroupKey::from_text(receiver), receiver: receiver.into(), integration };
        TargetView { target, current: true, entry: LogEntry::default(), pending: None }
    }

    fn all() -> FingerprintSet {
        std::iter::once(alert().fingerprint()).collect()
    }

    /// One that was told ten minutes ago.
    fn told(receiver: &str, number: u32) -> TargetView {
        let entry =
            LogEntry { firing: all(), notified_at: Some(minutes(10)), receipt: "ok".into(), ..LogEntry::default() };
        TargetView { entry, ..target(receiver, number) }
    }

    fn failing(target: TargetView, error: &str, in_flight: bool) -> TargetView {
        let pending = OutboxView {
            id: NotificationId(1),
            target: target.target.clone(),
            reason: NotifyReason::FirstNotification,
            alerts: 1,
            created_at: minutes(5),
            attempt: 2,
            in_flight,
            next_attempt: minutes(-3),
            error: error.into(),
        };
        TargetView { pending: Some(pending), ..target }
    }

    fn refused(target: TargetView, ago: i64) -> TargetView {
        let at = minutes(ago);
        let refusal = Refusal { firing: all(), resolved: FingerprintSet::new(), since: at, at, reason: "no".into() };
        let entry = LogEntry { refused: Some(Box::new(refusal)), ..target.entry };
        TargetView { entry, ..target }
    }

    fn verdict(view: &AlertView, standings: &[StandingView], held_back: &[&str]) -> String {
        let asked = Asked { view, standings, history: &[], now: NOW };
        let held_back = held_back.iter().copied().map(str::to_owned).collect();
        // The minutes are what differs.
        of_alert(&asked, held_back, None).replace("2001-09-09T", "").replace(":40.000Z", "")
    }

    #[test]
    fn who_was_told_and_who_was_not_and_why() {
        let muted = || muted_group("a", SuppressReason::Muted("always".into()), "always");
        let outside = |receiver| muted_group(receiver, SuppressReason::OutsideActiveIntervals, "never");
        let repeat = "; if nothing changes it is repeated at 02:36 at the earliest";
        let table: [(&str, Vec<StandingView>, String); 17] = [
            ("no route", vec![], "it fires, and no route has taken it yet".into()),
            (
                "one is told and one is muted",
                vec![muted(), group("b", vec![told("b", 0)])],
                format!("it fires; b: delivered: ok (01:36); a: not told, muted by the interval always{repeat}"),
            ),
            (
                "the same receiver is told by another route",
                vec![muted(), StandingView { key: GroupKey::from_text("other"), ..group("a", vec![told("a", 0)]) }],
                format!(
                    "it fires; a: delivered: ok (01:36); a through another route: not told, muted by the interval \
                     always{repeat}"
                ),
            ),
            ("all are muted", vec![muted()], "it fires and is not told: muted by the interval always".into()),
            ("outside", vec![outside("a")], "it fires and is not told: outside the interval never".into()),
            (
                "for different reasons",
                vec![muted(), outside("b")],
                "it fires and is not told: muted by the interval always for a, outside the interval never for b".into(),
            ),
            (
                "it was told before the night began",
                vec![StandingView { targets: vec![told("a", 0)], ..muted() }],
                "it fires and is not told: muted by the interval always; it was told before, to a (01:36)".into(),
            ),
            (
                "nobody",
                vec![group("nobody", vec![])],
                "it fires; nobody: receiver \"nobody\" has no integrations".into(),
            ),
            (
                "next",
                vec![group("a", vec![target("a", 0), target("a", 1)])],
                "it fires and is told when its group is looked at next, at 01:47".into(),
            ),
            (
                "under way",
                vec![group("a", vec![failing(target("a", 0), "", true)])],
                "it fires and is being told; a: attempt 2 is under way".into(),
            ),
            (
                "one integration of two fails",
                vec![group("a", vec![told("a", 0), failing(target("a", 1), "refused", false)])],
                format!(
                    "it fires; a/webhook[0]: delivered: ok (01:36); a/webhook[1]: attempt 3 is next, at 01:49, because \
                     the one before failed: refused{repeat}"
                ),
            ),
            (
                "the repetition fails",
                vec![group("a", vec![failing(told("a", 0), "refused", true)])],
                "it fires; a: attempt 2 is under way, because the one before failed: refused (it was told before, at \
                 01:36)"
                    .into(),
            ),
            (
                "all integrations were told",
                vec![group("a", vec![told("a", 0), told("a", 1)])],
                format!("it fires; a: delivered (01:36){repeat}"),
            ),
            ("refused", vec![group("a", vec![refused(target("a", 0), 5)])], "it fires; a: refused: no (01:41)".into()),
            (
                "others were refused",
                vec![group("a", vec![refused(told("a", 0), 10)])],
                format!("it fires; a: delivered: ok (01:36){repeat}"),
            ),
            (
                "overdue",
                vec![StandingView { repeat_interval: Duration::from_mins(5), ..group("a", vec![told("a", 0)]) }],
                "it fires; a: delivered: ok (01:36); if nothing changes it is repeated at 01:47 at the earliest".into(),
            ),
            (
                "many",
                ["a", "b", "c", "d", "e"].map(|one| group(one, vec![told(one, 0)])).into(),
                format!(
                    "it fires; a: delivered: ok (01:36); b: delivered: ok (01:36); c: delivered: ok (01:36); and 2 \
                     more, which stand below{repeat}"
                ),
            ),
        ];
        for (what, standings, expected) in table {
            assert_eq!(verdict(&view(), &standings, &[]), expected, "{what}");
        }
    }

    #[test]
    fn what_somebody_looks_after_is_repeated_with_what_nobody_does() {
        let closed = StandingView { open: false, ..group("a", vec![told("a", 0)]) };
        let open = StandingView { escalates: Some(("lead".into(), minutes(-2))), ..group("a", vec![told("a", 0)]) };
        let told = "it fires; a: delivered: ok (01:36); Ada looks after it, ";
        assert_eq!(verdict(&looked_after(), &[closed], &[]), format!("{told}so it is not repeated"));
        let with_others = "but nobody after all of its group, so a is told of it again with the others at 02:36 at the \
                           earliest, and lead is told too at 01:48";
        assert_eq!(verdict(&looked_after(), &[open], &[]), format!("{told}{with_others}"));
    }

    #[test]
    fn what_keeps_it_quiet_everywhere_comes_first() {
        let here = [group("a", vec![target("a", 0)])];
        assert_eq!(verdict(&view(), &here, &["silenced by x"]), "it fires and is not told: silenced by x");
        let routed = AlertView { router_suppressed: Some("no".into()), ..view() };
        assert_eq!(verdict(&routed, &[], &[]), "it fires and is not told: held back by the router: no");
        let beside = "it fires; a: told when its group is looked at next, at 01:47; another route: held back by the \
                      router: no";
        assert_eq!(verdict(&routed, &here, &[]), beside);
    }

    #[test]
    fn what_routes_are_quiet_is_said_of_those_alone() {
        let quiet = muted_group("a", SuppressReason::Muted("night".into()), "night");
        assert_eq!(muted(std::slice::from_ref(&quiet)), ["muted by the interval night"]);
        let loud = group("b", vec![]);
        assert_eq!(muted(&[quiet.clone(), loud]), ["muted by the interval night for a"]);
        let twice = group("a", vec![]);
        assert_eq!(muted(&[quiet, twice]), ["muted by the interval night for a through one of its routes"]);
    }

    #[test]
    fn an_alert_that_is_over_is_explained_by_its_history() {
        let reason = Reason::from(SuppressReason::Muted("night".into()));
        let last = Arc::new(HistoryEntry { at: Timestamp::EPOCH, reason, target: None, notification: None });
        let said = of_past(&[last], None, "Gone", &[], &[]);
        assert!(said.starts_with("it is over; its history ends with: "), "{said}");
        assert!(said.ends_with("night (1970-01-01T00:00:00.000Z)"), "{said}");
        let unheard = of_past(&[], None, "Gone", &[], &[]);
        assert!(unheard.starts_with("no rule raises an alert named \"Gone\""), "{unheard}");
    }
}
