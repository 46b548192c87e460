//! Alerts by the key under which services know them: the hash of their group's key, or that of an incident of their own.

use axum::http::StatusCode;
use axum::response::Response;
use watchfire::alerting::AlertGroupView;
use watchfire::delivery::group_hash;
use watchfire::delivery::pagerduty::alert_key;
use watchfire_model::{Alert, AlertStatus};

use crate::receivers::refused;
use crate::{App, push_refused};

/// The alerts that a service names by its key.
pub(crate) struct Named {
    /// The group, if the key is a group's.
    pub(crate) group: Option<AlertGroupView>,
    /// The firing ones that another program sent, which can be ended here.
    pub(crate) sent: Vec<Alert>,
    /// The firing ones that a rule raised.
    pub(crate) ruled: Vec<watchfire_model::Fingerprint>,
}

/// The alerts behind a deduplication key: the hash of a group's key, or that of an alert of its own.
pub(crate) async fn firing(app: &App, key: &str) -> Result<Named, Response> {
    let (key, now) = (key.to_owned(), app.engine.now());
    let named = app.engine.view(move |engine| {
        let group = engine.alert_groups(now).into_iter().find(|group| group_hash(group.key.as_str()) == key);
        let members: Vec<_> = match &group {
            Some(group) => group.alerts.iter().filter_map(|member| engine.alert(now, member.fingerprint)).collect(),
            None => engine.alerts(now).into_iter().filter(|view| alert_key(&view.alert) == key).collect(),
        };
        let firing = members.into_iter().filter(|view| view.status == AlertStatus::Firing);
        let (sent, ruled): (Vec<_>, Vec<_>) = firing.partition(|view| view.rules.is_empty());
        let ruled = ruled.iter().map(|view| view.fingerprint).collect();
        Named { group, sent: sent.into_iter().map(|view| view.alert).collect(), ruled }
    });
    let named = named.await.ok_or_else(|| refused(StatusCode::SERVICE_UNAVAILABLE, "the engine is stopping"))?;
    if named.sent.is_empty() && named.ruled.is_empty() {
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
