//! From what is loaded to what runs: rules made ready, plugins opened, and what the state machine needs to know.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use watchfire_alerting::{Definitions, RuleGroupSpec, RuleSpec};
use watchfire_config::{Config, Diagnostic, Level, ServerConfig};
use watchfire_events::CompiledQuery;
use watchfire_host::Host;
use watchfire_model::{Duration, RuleId};
use watchfire_plugin::{Condition, Failing, Limits, PluginError, Provider, StateLimits};
use watchfire_promql::{Options, Tracked};
use watchfire_rules::dataflow::{Reader, Written, is_chain};
use watchfire_rules::{ConditionUse, Prepared, Rule, RuleFile, RuleGroup, Source};

use crate::data::lock;
use crate::evaluate::{OpenedCondition, Ready, RuleSet};
use crate::remembered::Remembered;
use crate::remote::{self, Server};

/// Everything that follows from what is loaded.
pub(crate) struct Compiled {
    pub(crate) rules: RuleSet,
    pub(crate) readers: Vec<Arc<Reader>>,
    /// Whether series are stored that none of the readers reads.
    pub(crate) keep_unread: bool,
    pub(crate) queries: BTreeMap<RuleId, Arc<CompiledQuery>>,
    pub(crate) definitions: Definitions,
    /// All rules that are defined, those among them that are left out.
    pub(crate) defined: BTreeSet<RuleId>,
    /// What went wrong; the rules concerned are left out or run with what they had.
    pub(crate) diagnostics: Vec<Diagnostic>,
    /// Rules that are left out.
    pub(crate) quarantined: usize,
}

/// Compiles all rules. `before` is what runs now: opened plugins go on where nothing about them has changed, and stand
/// in where the new version cannot be opened.
pub(crate) fn compile(
    config: &Config,
    files: &[RuleFile],
    before: &RuleSet,
    providers: &dyn Provider,
    host: &Host,
    remembered: &Remembered,
) -> Compiled {
    let mut compiled = Compiled {
        rules: RuleSet {
            external_labels: config.evaluation.external_labels.clone(),
            external_url: external_url(config),
            options: Options { lookback: config.evaluation.lookback, ..Options::default() },
            windows: Arc::clone(&before.windows),
            receivers: config.dispatch.receivers.iter().map(|receiver| Arc::clone(&receiver.name)).collect(),
            ..RuleSet::default()
        },
        readers: Vec::new(),
        keep_unread: config.evaluation.keep_unread,
        queries: BTreeMap::new(),
        definitions: Definitions {
            groups: Vec::new(),
            dispatch: config.dispatch.clone(),
            resend_delay: (!config.alerting.alertmanagers.is_empty()).then_some(config.alerting.resend_delay),
        },
        defined: files
            .iter()
            .flat_map(|file| &file.groups)
            .flat_map(|group| &group.rules)
            .map(|rule| rule.id)
            .collect(),
        diagnostics: Vec::new(),
        quarantined: 0,
    };
    for group in files.iter().flat_map(|file| &file.groups) {
        let mut rules = Vec::with_capacity(group.rules.len());
        let server = group
            .source
            .as_ref()
            .map(|source| remote::resolve(group, source, config, &before.servers, &mut compiled.rules.servers));
        let server = server.transpose().map_err(|diagnostic| compiled.diagnostics.push(diagnostic));
        for rule in &group.rules {
            // With an unknown server a rule goes on asking the one that it had.
            let server = match (&server, before.rules.get(&rule.id).and_then(|ready| ready.server.clone())) {
                (Ok(server), _) => server.clone(),
                (Err(()), Some(running)) => Some(running),
                (Err(()), None) => {
                    compiled.quarantined += 1;
                    continue;
                }
            };
            rules.push(compiled.add(config, group, rule, server, before, providers, host, remembered));
        }
        compiled.definitions.groups.push(RuleGroupSpec {
            id: group.id,
            file: group.file.as_str().into(),
            name: group.name.as_str().into(),
            interval: group.interval.unwrap_or(config.evaluation.interval),
            query_offset: group.query_offset.unwrap_or(config.evaluation.query_offset),
            limit: group.limit,
            in_order: group.source.is_some() || compiled.is_chain(&rules),
            rules,
        });
    }
    compiled
}

/// Where a reader of a message reaches this engine, without a slash at the end.
pub fn external_url(config: &Config) -> String {
    config.server.external_url.clone().unwrap_or_else(|| {
        let ServerConfig { listen, route_prefix, .. } = &config.server;
        let listen = listen.first().map_or("", String::as_str);
        let everywhere = [":", "0.0.0.0:", "[::]:"].iter().find_map(|all| listen.strip_prefix(all));
        match everywhere {
            // Who listens on all addresses is reached by the name of the machine.
            Some(port) => {
                let name = hostname::get().ok().and_then(|name| name.into_string().ok());
                format!("http://{}:{port}{route_prefix}", name.as_deref().unwrap_or("localhost"))
            }
            None => format!("http://{listen}{route_prefix}"),
        }
    })
}

impl Compiled {
    #[expect(clippy::too_many_arguments, reason = "the wiring of one rule, called from one place")]
    fn add(
        &mut self,
        config: &Config,
        group: &RuleGroup,
        rule: &Arc<Rule>,
        server: Option<Arc<Server>>,
        before: &RuleSet,
        providers: &dyn Provider,
        host: &Host,
        remembered: &Remembered,
    ) -> RuleSpec {
        let query_offset = group.query_offset.unwrap_or(config.evaluation.query_offset);
        if let Some(ready) = self.unchanged(rule, query_offset, server.as_ref(), before) {
            lock(&ready.state.load()).set_limits(state_limits(config, None, host));
            self.readers.extend(ready.reader.clone());
            let spec = ready.spec.clone();
            self.rules.rules.insert(rule.id, ready);
            return spec;
        }
        let condition = match &rule.condition {
            None => None,
            Some(wanted) => {
                let plugin = &wanted.usage.plugin;
                let running = before.rules.get(&rule.id).and_then(|ready| ready.condition.clone());
                let generation = host.generation(plugin);
                let unchanged =
                    |opened: &&Arc<OpenedCondition>| opened.condition_use == *wanted && opened.generation == generation;
                // What stood in before says why the plugin failed then, which may not be why it fails now.
                let version_before = || running.clone().filter(|opened| opened.generation != STANDS_IN);
                match running.as_ref().filter(unchanged) {
                    Some(opened) => Some(Arc::clone(opened)),
                    None => match open(wanted, generation, providers) {
                        Ok(opened) => Some(opened),
                        // Nothing is wrong: it is opened as soon as it is compiled.
                        Err(error @ PluginError::Compiling(_)) => {
                            Some(version_before().unwrap_or_else(|| failing(wanted, error)))
                        }
                        // The rule stays, with the version before or with a failure, which `on_error` has an answer to and
                        // which tells whoever asks about the rule.
                        Err(error) => {
                            self.diagnostics.push(Diagnostic {
                                file: group.file.clone(),
                                line: rule.position.line,
                                column: rule.position.column,
                                severity: Level::Error,
                                code: "plugin",
                                message: format!("rule {:?}: plugin {plugin:?}: {error}", rule.name),
                                help: None,
                            });
                            self.quarantined += 1;
                            Some(version_before().unwrap_or_else(|| failing(wanted, error)))
                        }
                    },
                }
            }
        };
        if let Source::Events(source) = &rule.source {
            self.queries.insert(rule.id, Arc::clone(&source.query));
        }
        // What a server elsewhere answers reads nothing here.
        let reader = if server.is_none() { Reader::of(rule).map(Arc::new) } else { None };
        self.readers.extend(reader.clone());
        let state_limits = state_limits(config, rule.condition.as_ref(), host);
        let state = remembered.place(rule.id, state_limits);
        lock(&state.load()).set_limits(state_limits);
        let options = &self.rules.options;
        let running =
            before.rules.get(&rule.id).filter(|ready| before.options == *options && same_query(&ready.rule, rule));
        let (prepared, tracked) = match running {
            Some(ready) => (Arc::clone(&ready.prepared), Arc::clone(&ready.tracked)),
            None => {
                let tracked = Tracked::sharing(&self.rules.windows);
                (Arc::new(Prepared::new(rule, options)), Arc::new(Mutex::new(tracked)))
            }
        };
        let spec = RuleSpec {
            id: rule.id,
            name: rule.name.as_str().into(),
            kind: rule.life(),
            generator_url: format!("{}/rules#{}", self.rules.external_url, rule.id).into(),
        };
        let (rule, quiet) = (Arc::clone(rule), Mutex::default());
        let ready = Ready {
            rule,
            spec: spec.clone(),
            query_offset,
            reader,
            prepared,
            tracked,
            server,
            condition,
            state,
            quiet,
        };
        self.rules.rules.insert(spec.id, Arc::new(ready));
        spec
    }

    /// Whether one of these rules may read what one before it writes.
    fn is_chain(&self, rules: &[RuleSpec]) -> bool {
        is_chain(rules.iter().map(|spec| {
            let reader = self.rules.rules.get(&spec.id).and_then(|ready| ready.reader.as_deref());
            (Written::by(&spec.name, &spec.kind), reader)
        }))
    }

    /// What runs now, if it may stay as it is. Of events and conditions there is more to be looked at.
    fn unchanged(
        &self,
        rule: &Arc<Rule>,
        query_offset: Duration,
        server: Option<&Arc<Server>>,
        before: &RuleSet,
    ) -> Option<Arc<Ready>> {
        let ready = before.rules.get(&rule.id).filter(|ready| Arc::ptr_eq(&ready.rule, rule))?;
        let stays = matches!(rule.source, Source::Expr(_))
            && rule.condition.is_none()
            && ready.query_offset == query_offset
            && ready.server.as_ref().map(Arc::as_ptr) == server.map(Arc::as_ptr)
            && before.options == self.rules.options
            && before.external_url == self.rules.external_url;
        stays.then(|| Arc::clone(ready))
    }
}

/// How much a rule may remember: the least of what the server, the operator, the plugin and the rule say.
fn state_limits(config: &Config, condition: Option<&ConditionUse>, host: &Host) -> StateLimits {
    let plugin = condition.and_then(|condition| host.limits(&condition.usage.plugin));
    let rule = condition.map_or(Limits::UNLIMITED, |condition| condition.limits);
    plugin.unwrap_or(config.plugins.limits).least(rule).state()
}

/// Whether two rules ask the series the same, so that what one knows about them serves the other.
fn same_query(a: &Rule, b: &Rule) -> bool {
    let asks = |rule: &Rule| {
        let alerting = rule.alerting();
        let recovery = alerting.and_then(|alerting| alerting.resolve_when.as_ref()).map(|source| source.expr.clone());
        (recovery, alerting.is_some_and(|alerting| !alerting.ignore_missing.is_zero()))
    };
    match (&a.source, &b.source) {
        (Source::Expr(first), Source::Expr(second)) => {
            (Arc::ptr_eq(&first.expr, &second.expr) || first.expr == second.expr) && asks(a) == asks(b)
        }
        _ => false,
    }
}

fn open(
    wanted: &ConditionUse,
    generation: Option<u64>,
    providers: &dyn Provider,
) -> Result<Arc<OpenedCondition>, PluginError> {
    let mut condition = providers.open_condition(&wanted.usage.plugin, &wanted.usage.config_json)?;
    condition.limit(wanted.limits);
    Ok(Arc::new(OpenedCondition { condition_use: wanted.clone(), generation, condition: Mutex::new(condition) }))
}

/// The generation of what stands in: none that the host counts, so that the next reload tries again.
const STANDS_IN: Option<u64> = Some(u64::MAX);

/// In the place of a condition that cannot be opened.
fn failing(wanted: &ConditionUse, error: PluginError) -> Arc<OpenedCondition> {
    let condition: Box<dyn Condition> = Box::new(Failing(error));
    Arc::new(OpenedCondition { condition_use: wanted.clone(), generation: STANDS_IN, condition: Mutex::new(condition) })
}
