//! Alerts by the key under which services know them: the hash of their group's key, or that of an incident of their own.

use axum::http::StatusCode;
use axum::response::Response;
use watchfire::alerting::{AcknowledgeWhat, AlertGroupView, AlertView, Engine, Reason, StateReason};
use watchfire::delivery::group_hash;
use watchfire::delivery::pagerduty::alert_key;
use watchfire_model::{Alert, AlertStatus, Timestamp};

use crate::receivers::refused;
use crate::{App, push_refused};

/// The firing alerts that a service names by its key.
pub(crate) struct Named {
    /// The group, if the key is a group's.
    pub(crate) group: Option<AlertGroupView>,
    /// The alerts.
    pub(crate) alerts: Vec<NamedAlert>,
    /// Whether some were left out.
    partial: bool,
}

/// One of them.
pub(crate) struct NamedAlert {
    /// The alert.
    pub(crate) alert: Alert,
    /// Whether a rule raised it; another program sent the others, which can be ended here.
    pub(crate) of_rule: bool,
    /// Since when it has been firing here, whatever its sender says about that.
    pub(crate) began: Timestamp,
    /// Whether somebody looks after it.
    pub(crate) acknowledged: bool,
}

impl NamedAlert {
    fn of(engine: &Engine, view: AlertView) -> NamedAlert {
        let begins = |reason: &Reason| matches!(reason, Reason::State(StateReason::Firing | StateReason::Received));
        let history = engine.history(view.fingerprint);
        let began = history.iter().rev().find(|entry| begins(&entry.reason)).map(|entry| entry.at);
        NamedAlert {
            of_rule: !view.rules.is_empty(),
            began: began.unwrap_or(view.alert.starts_at),
            acknowledged: view.acknowledgement.is_some_and(|acknowledgement| !acknowledgement.snooze),
            alert: view.alert,
        }
    }
}

impl Named {
    /// Leaves out what does not fit.
    pub(crate) fn retain(&mut self, fits: impl Fn(&NamedAlert) -> bool) {
        let before = self.alerts.len();
        self.alerts.retain(fits);
        self.partial |= self.alerts.len() < before;
    }

    /// Those that fit, for an acknowledgement.
    pub(crate) fn what(&self, fits: impl Fn(&NamedAlert) -> bool) -> Vec<AcknowledgeWhat> {
        match &self.group {
            Some(group) if !self.partial && !self.alerts.is_empty() && self.alerts.iter().all(&fits) => {
                vec![AcknowledgeWhat::Group(group.key.clone())]
            }
            _ => {
                let fitting = self.alerts.iter().filter(|named| fits(named));
                fitting.map(|named| AcknowledgeWhat::Alert(named.alert.fingerprint())).collect()
            }
        }
    }

    /// Those that another program sent.
    pub(crate) fn sent(self) -> Vec<Alert> {
        self.alerts.into_iter().filter(|named| !named.of_rule).map(|named| named.alert).collect()
    }
}

/// What fires behind a deduplication key: the hash of a group's key, or that of an alert of its own.
pub(crate) async fn behind(app: &App, key: &str) -> Result<Named, Response> {
    let (key, now) = (key.to_owned(), app.engine.now());
    let named = app.engine.view(move |engine| {
        let group = engine.alert_groups(now).into_iter().find(|group| group_hash(group.key.as_str()) == key);
        let members: Vec<_> = match &group {
            Some(group) => group.alerts.iter().filter_map(|member| engine.alert(now, member.fingerprint)).collect(),
            None => engine.alerts(now).into_iter().filter(|view| alert_key(&view.alert) == key).collect(),
        };
        let firing = members.into_iter().filter(|view| view.status == AlertStatus::Firing);
        Named { group, alerts: firing.map(|view| NamedAlert::of(engine, view)).collect(), partial: false }
    });
    named.await.ok_or_else(|| refused(StatusCode::SERVICE_UNAVAILABLE, "the engine is stopping"))
}

/// The same, refused if it is nothing.
pub(crate) async fn firing(app: &App, key: &str) -> Result<Named, Response> {
    let named = behind(app, key).await?;
    if named.alerts.is_empty() {
        return Err(refused(StatusCode::NOT_FOUND, "nothing fires under this key"));
    }
    Ok(named)
}

/// Ends alerts that another program sent.
pub(crate) async fn end(app: &App, alerts: Vec<Alert>) -> Result<usize, Response> {
    let now = app.engine.now();
    let count = alerts.len();
    if count > 0 {
        let ended = alerts.into_iter().map(|alert| Alert { ends_at: Some(now), ..alert }).collect();
        app.engine.push_alerts(ended).await.map_err(push_refused)?;
    }
    Ok(count)
}
