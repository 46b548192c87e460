//! Routers: who is to be told?

use watchfire_model::{Alert, AlertStatus, Severity, Timestamp};

use crate::PluginError;

/// A router opened for one route with that route's configuration.
pub trait Router: Send {
    /// Decides for each alert; the answer has the length and order of `alerts`.
    ///
    /// # Errors
    /// On a failure the caller falls back to the route's own receiver, so that a broken router never costs a page.
    fn route(&mut self, at: Timestamp, alerts: &[AlertView]) -> Result<Vec<Decision>, PluginError>;
}

/// An alert as routers and formatters see it.
#[derive(Clone, Debug, PartialEq)]
pub struct AlertView {
    /// The alert.
    pub alert: Alert,
    /// Firing or resolved at the time of the call.
    pub status: AlertStatus,
    /// The label `severity` as a level, or the default where it is absent or unknown.
    pub severity: Severity,
}

impl AlertView {
    /// Looks at `alert` at a time.
    pub fn new(alert: Alert, at: Timestamp) -> AlertView {
        let status = alert.status(at);
        let severity = alert.labels.get("severity").and_then(|text| text.parse().ok()).unwrap_or_default();
        AlertView { alert, status, severity }
    }

    /// The annotation that sums the alert up: `summary`, else `message`, else `description`, else nothing.
    pub fn summary(&self) -> &str {
        ["summary", "message", "description"].iter().find_map(|key| self.alert.annotations.get(key)).unwrap_or("")
    }
}

/// Where one alert goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decision {
    /// Names of receivers; empty means the route's own receiver.
    pub receivers: Vec<String>,
    /// Why nobody is to be told; `None` to tell them.
    pub suppress: Option<String>,
    /// Replaces the group labels of the route, so that alerts with the same key are told together.
    pub group_key: Option<String>,
}
