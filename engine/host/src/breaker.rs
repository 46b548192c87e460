//! The circuit breaker: leaves a plugin alone that keeps failing.
//!
//! Time is that of the evaluation, so that a replay takes the same decisions.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use watchfire_model::{Duration, Timestamp};
use watchfire_plugin::Kind;

use crate::BreakerSettings;

/// Configurations whose failures are remembered; far more than an installation has.
const BREAKERS_MAX: usize = 10_000;

/// One thing that a plugin offers, opened with one configuration.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    kind: Kind,
    name: String,
    config: String,
}

/// The breakers of one version of a plugin. They outlive what is opened: a formatter is opened for each message.
#[derive(Debug)]
pub(crate) struct Breakers {
    settings: BreakerSettings,
    known: Mutex<BTreeMap<Key, SharedBreaker>>,
}

/// Shared by everything that is opened under the same name with the same configuration.
#[derive(Clone, Debug)]
pub(crate) struct SharedBreaker(Arc<Mutex<Breaker>>);

impl SharedBreaker {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Breaker> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A part of a plugin that is left alone because it kept failing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suspension {
    /// What it is for.
    pub kind: Kind,
    /// The plugin's own name for it.
    pub name: String,
    /// The configuration with which it fails.
    pub config: String,
    /// When one call is let through as a trial.
    pub until: Timestamp,
    /// How often it failed in a row.
    pub failures: u32,
    /// How it failed last.
    pub last: String,
}

impl Breakers {
    pub(crate) fn new(settings: BreakerSettings) -> Breakers {
        Breakers { settings, known: Mutex::default() }
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<Key, SharedBreaker>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn of(&self, kind: Kind, name: &str, config: &str) -> SharedBreaker {
        let key = Key { kind, name: name.to_owned(), config: config.to_owned() };
        let mut known = self.known();
        if known.len() >= BREAKERS_MAX && !known.contains_key(&key) {
            known.retain(|_, breaker| breaker.lock().failures > 0);
        }
        let fresh = || SharedBreaker(Arc::new(Mutex::new(Breaker::new(self.settings))));
        known.entry(key).or_insert_with(fresh).clone()
    }

    /// Forgets what is not used any more.
    pub(crate) fn retain(&self, is_used: impl Fn(Kind, &str, &str) -> bool) {
        self.known().retain(|key, _| is_used(key.kind, &key.name, &key.config));
    }

    /// What is suspended until a success shows that it works again.
    pub(crate) fn suspensions(&self) -> Vec<Suspension> {
        let known = self.known();
        let suspended = known.iter().filter_map(|(key, breaker)| {
            let breaker = breaker.lock();
            Some(Suspension {
                kind: key.kind,
                name: key.name.clone(),
                config: key.config.clone(),
                until: breaker.open_until?,
                failures: breaker.failures,
                last: breaker.last.clone(),
            })
        });
        suspended.collect()
    }
}

/// Counts failures in a row.
#[derive(Debug)]
pub(crate) struct Breaker {
    settings: BreakerSettings,
    failures: u32,
    pause: Duration,
    open_until: Option<Timestamp>,
    last: String,
}

impl Breaker {
    pub(crate) fn new(settings: BreakerSettings) -> Breaker {
        Breaker { settings, failures: 0, pause: Duration::ZERO, open_until: None, last: String::new() }
    }

    /// Why no call may be made at a time, if so. Once the pause is over one call is let through as a trial.
    pub(crate) fn refusal(&self, at: Timestamp) -> Option<String> {
        let until = self.open_until.filter(|until| at < *until)?;
        Some(format!(
            "suspended until {} after {} failures in a row; the last was: {}",
            until.to_rfc3339(),
            self.failures,
            self.last
        ))
    }

    pub(crate) fn succeeded(&mut self) {
        if self.failures > 0 {
            *self = Breaker::new(self.settings);
        }
    }

    /// Whether it has failed and has not succeeded since.
    pub(crate) fn has_failed(&self) -> bool {
        self.failures > 0
    }

    /// Notes that it could not be opened, which happens at no time that anything goes by.
    pub(crate) fn failed_to_open(&mut self, reason: &str) {
        self.failures = self.failures.saturating_add(1);
        reason.clone_into(&mut self.last);
    }

    /// Notes a failure; answers whether it began a suspension.
    pub(crate) fn failed(&mut self, at: Timestamp, reason: &str) -> bool {
        self.failures = self.failures.saturating_add(1);
        reason.clone_into(&mut self.last);
        if self.failures < self.settings.failures_max {
            return false;
        }
        self.pause =
            if self.pause.is_zero() { self.settings.pause } else { self.pause.times(2).min(self.settings.pause_max) };
        self.open_until = Some(at + self.pause);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_end_with_a_success() {
        let settings =
            BreakerSettings { failures_max: 2, pause: Duration::from_secs(10), pause_max: Duration::from_secs(25) };
        let mut breaker = Breaker::new(settings);
        let at = Timestamp::from_secs;
        assert!(!breaker.failed(at(0), "trap"));
        assert_eq!(breaker.refusal(at(0)), None);
        let mut now = 0;
        for pause in [10, 20, 25, 25] {
            assert!(breaker.failed(at(now), "trap"));
            assert!(breaker.refusal(at(now + pause - 1)).is_some());
            now += pause;
            assert_eq!(breaker.refusal(at(now)), None);
        }
        breaker.succeeded();
        assert!(!breaker.failed(at(now), "trap"));
    }

    #[test]
    fn the_refusal_says_until_when_and_why() {
        let mut breaker = Breaker::new(BreakerSettings { failures_max: 1, ..BreakerSettings::STANDARD });
        breaker.failed(Timestamp::from_secs(0), "boom");
        expect_test::expect!["suspended until 1970-01-01T00:00:30.000Z after 1 failures in a row; the last was: boom"]
            .assert_eq(&breaker.refusal(Timestamp::from_secs(1)).unwrap());
    }
}
