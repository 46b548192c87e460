//! Notifications to build requests from.

use watchfire_delivery::Notification;
use watchfire_model::{Alert, Annotations, Labels, Timestamp};
use watchfire_plugin::AlertView;

pub(crate) const NOW: Timestamp = Timestamp::from_millis(1_795_209_600_000);

/// An alert that began `minutes` ago.
pub(crate) fn alert(labels: &[(&str, &str)], annotations: &[(&str, &str)], minutes: i64) -> Alert {
    let starts_at = NOW - watchfire_model::Duration::from_mins(minutes);
    Alert {
        labels: labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
        annotations: annotations.iter().copied().collect(),
        starts_at,
        ends_at: None,
        updated_at: NOW,
        timeout: false,
        generator_url: "http://prom.example/graph?g0.expr=up%3E0&g0.tab=1".into(),
        value: None,
    }
}

pub(crate) fn resolved(mut alert: Alert) -> Alert {
    alert.ends_at = Some(NOW - watchfire_model::Duration::from_secs(30));
    alert
}

pub(crate) fn notification(alerts: Vec<Alert>) -> Notification {
    let views: Vec<_> = alerts.into_iter().map(|alert| AlertView::new(alert, NOW)).collect();
    let by = |name: &str| matches!(name, "alertname" | "cluster");
    let group_labels = views.first().map_or_else(Labels::empty, |view| view.alert.labels.filter(by));
    let key = format!("{{}}:{group_labels}");
    let mut notification = Notification::new("on-call", &key, group_labels, views);
    notification.id = "6f1c2a".to_owned();
    notification.at = NOW;
    notification.external_url = "https://watchfire.example".to_owned();
    notification
}

/// Two alerts of one rule.
pub(crate) fn pair() -> Notification {
    let annotation = |instance: &str| {
        Annotations::from([
            ("summary", &*format!("Latency is high on {instance}")),
            ("description", "p99 > 1s & \"rising\" <b>ü\nline2"),
            ("runbook_url", "https://runbooks.example/latency"),
        ])
    };
    let mut alerts = Vec::new();
    for (instance, severity, minutes) in [("a:9090", "critical", 12), ("b:9090", "warning", 5)] {
        let labels = [("alertname", "HighLatency"), ("cluster", "eu"), ("instance", instance), ("severity", severity)];
        let mut one = alert(&labels, &[], minutes);
        one.annotations = annotation(instance);
        alerts.push(one);
    }
    notification(alerts)
}

/// One alert with a value.
pub(crate) fn single() -> Notification {
    let labels = [
        ("alertname", "DiskWillFillIn4Hours"),
        ("cluster", "eu"),
        ("device", "/dev/sda1"),
        ("instance", "db-1.eu.example:9100"),
        ("severity", "warning"),
    ];
    let annotations = [
        ("summary", "The disk of db-1.eu.example will be full at 16:40"),
        ("description", "It has 12.3 GiB left and loses 52 MiB a minute."),
        ("dashboard_url", "https://grafana.example/d/disk?var-host=db-1"),
    ];
    let mut one = alert(&labels, &annotations, 3);
    one.value = Some(0.0714);
    notification(vec![one])
}
