//! How much goes on at one time (contract C7): places that are taken and given back. How many there are is configured,
//! and a reload changes it for whoever comes next.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;
use watchfire_config::ServerLimits;

/// Webhooks of services at one time. They show no credentials before they are read, so that whoever sends many of them takes
/// no place from anybody else.
const WEBHOOKS_MAX: usize = 16;

/// What takes a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// A request, `server.limits.requests_max`.
    Requests,
    /// A page that stays open for changes, `server.limits.streams_max`.
    Streams,
    /// A query, `server.limits.queries_max`.
    Queries,
    /// A connection, `server.limits.connections_max`.
    Connections,
    /// A request that a service signs; 16 at one time.
    Webhooks,
}

impl Bound {
    const ALL: [Bound; 5] = [Bound::Requests, Bound::Streams, Bound::Queries, Bound::Connections, Bound::Webhooks];

    /// The name in metrics.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Bound::Requests => "requests",
            Bound::Streams => "streams",
            Bound::Queries => "queries",
            Bound::Connections => "connections",
            Bound::Webhooks => "webhooks",
        }
    }

    pub(crate) fn max(self, limits: &ServerLimits) -> usize {
        let max = match self {
            Bound::Requests => limits.requests_max,
            Bound::Streams => limits.streams_max,
            Bound::Queries => limits.queries_max,
            Bound::Connections => limits.connections_max,
            Bound::Webhooks => return WEBHOOKS_MAX,
        };
        usize::try_from(max).unwrap_or(usize::MAX)
    }
}

/// How many places are taken.
#[derive(Debug, Default)]
pub(crate) struct Bounds {
    taken: [AtomicUsize; Bound::ALL.len()],
    freed: Notify,
}

/// A place, given back when it is dropped.
#[derive(Debug)]
pub struct Place {
    bounds: Arc<Bounds>,
    bound: Bound,
}

impl Bounds {
    /// A place, unless `max` are taken.
    pub(crate) fn try_take(self: &Arc<Self>, bound: Bound, max: usize) -> Option<Place> {
        let taken = &self.taken[bound as usize];
        let more = |taken: usize| (taken < max).then_some(taken + 1);
        taken.fetch_update(Ordering::AcqRel, Ordering::Acquire, more).ok()?;
        Some(Place { bounds: Arc::clone(self), bound })
    }

    /// Waits for a place while `max` are taken.
    pub(crate) async fn take(self: &Arc<Self>, bound: Bound, max: impl Fn() -> usize) -> Place {
        loop {
            // Listening begins before looking, so that a place freed in between is not missed.
            let freed = self.freed.notified();
            if let Some(place) = self.try_take(bound, max()) {
                return place;
            }
            freed.await;
        }
    }

    /// Name, places taken and places there are, for the metrics.
    pub(crate) fn usage(&self, limits: &ServerLimits) -> [(&'static str, usize, usize); Bound::ALL.len()] {
        Bound::ALL.map(|bound| (bound.as_str(), self.taken[bound as usize].load(Ordering::Acquire), bound.max(limits)))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.bounds.taken[self.bound as usize].fetch_sub(1, Ordering::AcqRel);
        // Only queries wait.
        if self.bound == Bound::Queries {
            self.bounds.freed.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_as_many_places_as_configured_now() {
        let bounds = Arc::new(Bounds::default());
        let first = bounds.try_take(Bound::Streams, 1);
        assert!(first.is_some() && bounds.try_take(Bound::Streams, 1).is_none());
        assert!(bounds.try_take(Bound::Requests, 1).is_some(), "each bound has its own places");
        let second = bounds.try_take(Bound::Streams, 2);
        assert!(second.is_some(), "a reload gives more places at once");
        drop(first);
        assert!(bounds.try_take(Bound::Streams, 1).is_none(), "one is still taken");
        drop(second);
        assert!(bounds.try_take(Bound::Streams, 1).is_some());
    }

    #[tokio::test]
    async fn who_waits_comes_in_when_a_place_is_free() {
        let bounds = Arc::new(Bounds::default());
        let first = bounds.take(Bound::Queries, || 1).await;
        let waiting = tokio::spawn({
            let bounds = Arc::clone(&bounds);
            async move { bounds.take(Bound::Queries, || 1).await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(first);
        assert!(waiting.await.is_ok());
    }
}
