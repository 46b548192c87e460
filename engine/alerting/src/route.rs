//! The route tree.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use watchfire_model::{Duration, Labels, Matcher};

use watchfire_plugin::PluginUse;

use crate::Policy;

/// A node of the route tree, with everything that it inherits already filled in.
#[derive(Clone, Debug, PartialEq)]
pub struct Route {
    /// A name that the user gave it, which then is its identity; usually none.
    pub name: Option<String>,
    /// All of them must match. Those of the root are not looked at.
    pub matchers: Vec<Matcher>,
    /// The receiver's name.
    pub receiver: Arc<str>,
    /// By which labels alerts are told together.
    pub group_by: GroupBy,
    /// How long a new group waits for more alerts before it is told.
    pub group_wait: Duration,
    /// How often a group looks whether there is something to tell.
    pub group_interval: Duration,
    /// After what time a group that did not change is told again.
    pub repeat_interval: Duration,
    /// Whether the next siblings are tried after this node matched (`continue` in the configuration).
    pub continue_matching: bool,
    /// Names of intervals in which nothing is told. Not inherited.
    pub mute_time_intervals: Vec<Arc<str>>,
    /// Names of intervals outside of which nothing is told; empty for always. Not inherited.
    pub active_time_intervals: Vec<Arc<str>>,
    /// The plugin that decides for each alert. Not inherited.
    pub router: Option<PluginUse>,
    /// Labels for messages, those of the parents included; the values may be templates.
    pub labels: Arc<BTreeMap<String, String>>,
    /// What it adds to Alertmanager's way. Inherited.
    pub policy: Policy,
    /// The children, in order.
    pub routes: Vec<Route>,
}

/// By which labels alerts are told together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupBy {
    /// `...`: by all of them, so each alert is told alone.
    All,
    /// By these; a label that an alert lacks is absent from the group's labels too. None: all alerts together.
    Labels(BTreeSet<String>),
}

impl GroupBy {
    /// The labels of the group that an alert belongs to.
    pub fn group_labels(&self, labels: &Labels) -> Labels {
        match self {
            GroupBy::All => labels.clone(),
            GroupBy::Labels(names) => labels.filter(|name| names.contains(name)),
        }
    }
}

impl Route {
    /// A root with Alertmanager's defaults: everything in one group, 30 s, 5 min, 4 h.
    pub fn root(receiver: &str) -> Route {
        Route {
            name: None,
            matchers: Vec::new(),
            receiver: receiver.into(),
            group_by: GroupBy::Labels(BTreeSet::new()),
            group_wait: Duration::from_secs(30),
            group_interval: Duration::from_mins(5),
            repeat_interval: Duration::from_hours(4),
            continue_matching: false,
            mute_time_intervals: Vec::new(),
            active_time_intervals: Vec::new(),
            router: None,
            labels: Arc::default(),
            policy: Policy::default(),
            routes: Vec::new(),
        }
    }

    /// A child that has inherited what is inherited: receiver, grouping and waits, but no intervals, router or children.
    pub fn child(&self, matchers: Vec<Matcher>) -> Route {
        Route {
            name: None,
            matchers,
            receiver: self.receiver.clone(),
            group_by: self.group_by.clone(),
            group_wait: self.group_wait,
            group_interval: self.group_interval,
            repeat_interval: self.repeat_interval,
            continue_matching: false,
            mute_time_intervals: Vec::new(),
            active_time_intervals: Vec::new(),
            router: None,
            labels: self.labels.clone(),
            policy: self.policy.clone(),
            routes: Vec::new(),
        }
    }

    /// The nodes at which an alert with these labels ends, for a tree of which `self` is the root.
    ///
    /// Depth first. A node matches only if none of its children did; a child that matched stops its later siblings
    /// unless it says `continue` (alertmanager `dispatch/route.go`, `Match`).
    pub fn match_labels(&self, labels: &Labels) -> Vec<&Route> {
        let mut matched = Vec::new();
        self.match_children(labels, &mut matched);
        matched
    }

    fn match_children<'a>(&'a self, labels: &Labels, matched: &mut Vec<&'a Route>) {
        let before = matched.len();
        for child in &self.routes {
            if !child.matchers.iter().all(|matcher| matcher.matches_labels(labels)) {
                continue;
            }
            child.match_children(labels, matched);
            if !child.continue_matching {
                break;
            }
        }
        if matched.len() == before {
            matched.push(self);
        }
    }
}
