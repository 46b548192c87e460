//! The first version of most twins. Field for field what the records are; what is as it usually is may be left out.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use watchfire_alerting as alerting;
use watchfire_alerting::{
    AlertRecord, GoneIntegration, GroupKey, GroupRecord, InstanceRecord, InstanceState, Integration, IntegrationKey,
    IntegrationsRecord, Membership, RateLimitRecord, RouteId, RouteIdentity, RoutesRecord, ScheduleRecord,
    SettingsDigest, SilenceId,
};
use watchfire_model as model;
use watchfire_model::Matcher;

use super::values::{AnnotationSet, LabelSet, MatcherTwin, Millis, Number, is_default, read_rule};

fn matchers(twins: Vec<MatcherTwin>) -> Result<Vec<Matcher>, String> {
    twins.into_iter().map(Matcher::try_from).collect()
}

#[derive(Debug, Deserialize)]
pub(super) struct Instance {
    rule: String,
    labels: LabelSet,
    annotations: AnnotationSet,
    value: Number,
    state: State,
    active_at: Millis,
    fired_at: Option<Millis>,
    resolved_at: Option<Millis>,
    keep_firing_since: Option<Millis>,
    #[serde(default)]
    missing_since: Option<Millis>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum State {
    Pending,
    Firing,
    Resolved,
}

impl TryFrom<Instance> for InstanceRecord {
    type Error = String;

    fn try_from(twin: Instance) -> Result<InstanceRecord, String> {
        let instance = alerting::Instance {
            labels: twin.labels.0,
            annotations: twin.annotations.0,
            value: twin.value.0,
            state: match twin.state {
                State::Pending => InstanceState::Pending,
                State::Firing => InstanceState::Firing,
                State::Resolved => InstanceState::Resolved,
            },
            active_at: twin.active_at.into(),
            fired_at: twin.fired_at.map(Into::into),
            resolved_at: twin.resolved_at.map(Into::into),
            keep_firing_since: twin.keep_firing_since.map(Into::into),
            missing_since: twin.missing_since.map(Into::into),
        };
        Ok(InstanceRecord { rule: read_rule(&twin.rule)?, instance })
    }
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Alert<'a> {
    labels: LabelSet,
    annotations: AnnotationSet,
    starts_at: Millis,
    ends_at: Option<Millis>,
    updated_at: Millis,
    #[serde(default, skip_serializing_if = "is_default")]
    timeout: bool,
    generator_url: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    value: Option<Number>,
}

impl<'a> From<&'a model::Alert> for Alert<'a> {
    fn from(alert: &'a model::Alert) -> Alert<'a> {
        Alert {
            labels: LabelSet(alert.labels.clone()),
            annotations: AnnotationSet(alert.annotations.clone()),
            starts_at: alert.starts_at.into(),
            ends_at: alert.ends_at.map(Millis::from),
            updated_at: alert.updated_at.into(),
            timeout: alert.timeout,
            generator_url: Cow::Borrowed(&alert.generator_url),
            value: alert.value.map(Number),
        }
    }
}

impl From<Alert<'_>> for model::Alert {
    fn from(twin: Alert<'_>) -> model::Alert {
        model::Alert {
            labels: twin.labels.0,
            annotations: twin.annotations.0,
            starts_at: twin.starts_at.into(),
            ends_at: twin.ends_at.map(Into::into),
            updated_at: twin.updated_at.into(),
            timeout: twin.timeout,
            generator_url: twin.generator_url.into(),
            value: twin.value.map(|number| number.0),
        }
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct AlertRow<'a> {
    #[serde(default)]
    since: Millis,
    alert: Alert<'a>,
    #[serde(default)]
    rules: Vec<String>,
    #[serde(default)]
    resolved: bool,
    memberships: Vec<MembershipTwin>,
    #[serde(default)]
    acknowledgement: Option<AcknowledgementTwin>,
    #[serde(default)]
    begins: Vec<Millis>,
}

#[derive(Debug, Deserialize)]
struct AcknowledgementTwin {
    by: String,
    comment: String,
    at: Millis,
    until: Option<Millis>,
    snooze: bool,
}

#[derive(Debug, Deserialize)]
struct MembershipTwin {
    group: Arc<str>,
    #[serde(default)]
    detached: bool,
}

impl TryFrom<AlertRow<'_>> for AlertRecord {
    type Error = String;

    fn try_from(twin: AlertRow<'_>) -> Result<AlertRecord, String> {
        let membership = |m: MembershipTwin| Membership { group: GroupKey::from_text(m.group), detached: m.detached };
        Ok(AlertRecord {
            since: twin.since.into(),
            alert: twin.alert.into(),
            rules: twin.rules.iter().map(|rule| read_rule(rule)).collect::<Result<_, _>>()?,
            resolved: twin.resolved,
            memberships: twin.memberships.into_iter().map(membership).collect(),
            acknowledgement: twin.acknowledgement.map(|a| alerting::Acknowledgement {
                by: a.by,
                comment: a.comment,
                at: a.at.into(),
                until: a.until.map(Into::into),
                snooze: a.snooze,
            }),
            begins: twin.begins.into_iter().map(Into::into).collect(),
        })
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct Group {
    #[serde(default)]
    since: Millis,
    key: Arc<str>,
    route: Arc<str>,
    receiver: Arc<str>,
    #[serde(default)]
    routed_by_plugin: bool,
    labels: LabelSet,
    created_at: Millis,
    next_flush: Millis,
    #[serde(default)]
    flushed: bool,
    #[serde(default)]
    changed: bool,
    #[serde(default)]
    unanswered_since: Option<Millis>,
    #[serde(default)]
    escalated: Vec<Arc<str>>,
}

impl From<Group> for GroupRecord {
    fn from(twin: Group) -> GroupRecord {
        GroupRecord {
            since: twin.since.into(),
            key: GroupKey::from_text(twin.key),
            route: RouteId(twin.route),
            receiver: twin.receiver,
            routed_by_plugin: twin.routed_by_plugin,
            labels: twin.labels.0,
            created_at: twin.created_at.into(),
            next_flush: twin.next_flush.into(),
            flushed: twin.flushed,
            changed: twin.changed,
            unanswered_since: twin.unanswered_since.map(Into::into),
            escalated: twin.escalated,
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Silence {
    id: Arc<str>,
    matcher_sets: Vec<Vec<MatcherTwin>>,
    starts_at: Millis,
    ends_at: Millis,
    updated_at: Millis,
    created_by: String,
    comment: String,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    recurrence: Option<RecurrenceTwin>,
}

#[derive(Debug, Serialize, Deserialize)]
struct RecurrenceTwin {
    cron: String,
    location: String,
    lasts: i64,
}

impl From<&alerting::Silence> for Silence {
    fn from(silence: &alerting::Silence) -> Silence {
        let set = |matchers: &Vec<Matcher>| matchers.iter().map(MatcherTwin::from).collect();
        Silence {
            id: silence.id.0.clone(),
            matcher_sets: silence.matcher_sets.iter().map(set).collect(),
            starts_at: silence.starts_at.into(),
            ends_at: silence.ends_at.into(),
            updated_at: silence.updated_at.into(),
            created_by: silence.created_by.clone(),
            comment: silence.comment.clone(),
            annotations: silence.annotations.clone(),
            recurrence: silence.recurrence.as_ref().map(|r| RecurrenceTwin {
                cron: r.cron().to_owned(),
                location: r.location().to_owned(),
                lasts: r.lasts().as_millis(),
            }),
        }
    }
}

impl TryFrom<Silence> for alerting::Silence {
    type Error = String;

    fn try_from(twin: Silence) -> Result<alerting::Silence, String> {
        let recurrence = twin.recurrence.map(|r| {
            let lasts = model::Duration::from_millis(r.lasts);
            alerting::Recurrence::kept(&r.cron, &r.location, lasts).map_err(|error| error.to_string())
        });
        Ok(alerting::Silence {
            id: SilenceId(twin.id),
            matcher_sets: twin.matcher_sets.into_iter().map(matchers).collect::<Result<_, _>>()?,
            starts_at: twin.starts_at.into(),
            ends_at: twin.ends_at.into(),
            updated_at: twin.updated_at.into(),
            created_by: twin.created_by,
            comment: twin.comment,
            annotations: twin.annotations,
            recurrence: recurrence.transpose()?,
        })
    }
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct RateLimit {
    receiver: Arc<str>,
    name: String,
    severity: String,
    told_at: Millis,
}

impl From<&RateLimitRecord> for RateLimit {
    fn from(record: &RateLimitRecord) -> RateLimit {
        let alerting::SimilarKey { receiver, name, severity } = record.key.clone();
        RateLimit { receiver, name, severity, told_at: record.told_at.into() }
    }
}

impl From<RateLimit> for RateLimitRecord {
    fn from(twin: RateLimit) -> RateLimitRecord {
        let RateLimit { receiver, name, severity, told_at } = twin;
        RateLimitRecord { key: alerting::SimilarKey { receiver, name, severity }, told_at: told_at.into() }
    }
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Schedule {
    rule: String,
    until: Millis,
}

impl From<&ScheduleRecord> for Schedule {
    fn from(record: &ScheduleRecord) -> Schedule {
        Schedule { rule: record.rule.to_string(), until: record.until.into() }
    }
}

impl TryFrom<Schedule> for ScheduleRecord {
    type Error = String;

    fn try_from(twin: Schedule) -> Result<ScheduleRecord, String> {
        Ok(ScheduleRecord { rule: read_rule(&twin.rule)?, until: twin.until.into() })
    }
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Routes {
    routes: Vec<Route>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Route {
    id: Arc<str>,
    parent: Option<Arc<str>>,
    name: Option<String>,
    matchers: Vec<MatcherTwin>,
    receiver: Arc<str>,
}

impl From<&RoutesRecord> for Routes {
    fn from(record: &RoutesRecord) -> Routes {
        let twin = |route: &RouteIdentity| Route {
            id: route.id.0.clone(),
            parent: route.parent.as_ref().map(|parent| parent.0.clone()),
            name: route.name.clone(),
            matchers: route.matchers.iter().map(MatcherTwin::from).collect(),
            receiver: route.receiver.clone(),
        };
        Routes { routes: record.routes.iter().map(twin).collect() }
    }
}

impl TryFrom<Routes> for RoutesRecord {
    type Error = String;

    fn try_from(twin: Routes) -> Result<RoutesRecord, String> {
        let identity = |twin: Route| {
            Ok::<_, String>(RouteIdentity {
                id: RouteId(twin.id),
                parent: twin.parent.map(RouteId),
                name: twin.name,
                matchers: matchers(twin.matchers)?,
                receiver: twin.receiver,
            })
        };
        Ok(RoutesRecord { routes: twin.routes.into_iter().map(identity).collect::<Result<_, _>>()? })
    }
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Integrations {
    receivers: BTreeMap<Arc<str>, Vec<IntegrationTwin>>,
    /// Not there in what earlier versions wrote.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    gone: BTreeMap<Arc<str>, Vec<GoneTwin>>,
}

#[derive(Debug, Serialize, Deserialize)]
struct GoneTwin {
    #[serde(flatten)]
    integration: IntegrationTwin,
    since: Millis,
}

#[derive(Debug, Serialize, Deserialize)]
struct IntegrationTwin {
    kind: Arc<str>,
    number: u32,
    settings: String,
    send_resolved: bool,
    /// Not there in what earlier versions wrote.
    #[serde(default)]
    takes_acknowledgements: bool,
}

impl From<&Integration> for IntegrationTwin {
    fn from(integration: &Integration) -> IntegrationTwin {
        IntegrationTwin {
            kind: integration.key.kind.clone(),
            number: integration.key.number,
            settings: integration.settings.to_string(),
            send_resolved: integration.send_resolved,
            takes_acknowledgements: integration.takes_acknowledgements,
        }
    }
}

impl TryFrom<IntegrationTwin> for Integration {
    type Error = String;

    fn try_from(twin: IntegrationTwin) -> Result<Integration, String> {
        let settings = SettingsDigest::parse(&twin.settings);
        Ok(Integration {
            key: IntegrationKey { kind: twin.kind, number: twin.number },
            settings: settings.ok_or_else(|| format!("{:?} is no digest of settings", twin.settings))?,
            send_resolved: twin.send_resolved,
            takes_acknowledgements: twin.takes_acknowledgements,
        })
    }
}

impl From<&IntegrationsRecord> for Integrations {
    fn from(record: &IntegrationsRecord) -> Integrations {
        let gone = |one: &GoneIntegration| GoneTwin { integration: (&one.integration).into(), since: one.since.into() };
        Integrations {
            receivers: by_receiver(&record.receivers, |own| own.iter().map(Into::into).collect()),
            gone: by_receiver(&record.gone, |own| own.iter().map(gone).collect()),
        }
    }
}

fn by_receiver<T, U>(all: &BTreeMap<Arc<str>, T>, twins: impl Fn(&T) -> U) -> BTreeMap<Arc<str>, U> {
    all.iter().map(|(name, own)| (name.clone(), twins(own))).collect()
}

impl TryFrom<Integrations> for IntegrationsRecord {
    type Error = String;

    fn try_from(twin: Integrations) -> Result<IntegrationsRecord, String> {
        let gone = |twin: GoneTwin| {
            Ok::<_, String>(GoneIntegration { integration: twin.integration.try_into()?, since: twin.since.into() })
        };
        let mut record = IntegrationsRecord::default();
        for (name, own) in twin.receivers {
            let own = own.into_iter().map(Integration::try_from).collect::<Result<_, _>>()?;
            record.receivers.insert(name, own);
        }
        for (name, own) in twin.gone {
            record.gone.insert(name, own.into_iter().map(gone).collect::<Result<_, _>>()?);
        }
        Ok(record)
    }
}
