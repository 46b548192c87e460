//! The route tree as the engine uses it: flat, indexed, and with identities that outlive edits.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use watchfire_model::{Duration, Labels, Matcher};

use crate::id::StableHash;
use crate::match_index::{MatchIndex, all_match};
use watchfire_plugin::PluginUse;

use crate::{FlapDamping, GroupBy, Policy, Route, RouteId, RouteIdentity};

/// A node without its children.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) id: RouteId,
    pub(crate) matchers: Vec<Matcher>,
    pub(crate) receiver: Arc<str>,
    pub(crate) group_by: GroupBy,
    pub(crate) group_wait: Duration,
    pub(crate) group_interval: Duration,
    pub(crate) repeat_interval: Duration,
    pub(crate) continue_matching: bool,
    pub(crate) mute_time_intervals: Vec<Arc<str>>,
    pub(crate) active_time_intervals: Vec<Arc<str>>,
    pub(crate) router: Option<PluginUse>,
    pub(crate) labels: Arc<BTreeMap<String, String>>,
    pub(crate) policy: Policy,
    /// The children, by position in the table; ascending, which is their order.
    children: MatchIndex<u32>,
}

/// All nodes, parents before children and siblings in order.
#[derive(Debug, Default)]
pub(crate) struct RouteTable {
    nodes: Vec<Node>,
    by_id: BTreeMap<RouteId, u32>,
    flap_damping: Option<FlapDamping>,
    shortest_interval: Option<Duration>,
}

impl RouteTable {
    /// `identities` are those of the nodes, breadth first, as [`identify`] gives them.
    pub(crate) fn new(root: &Route, identities: &[RouteIdentity]) -> RouteTable {
        let order = breadth_first(root);
        let mut nodes = Vec::with_capacity(order.len());
        for (visit, identity) in order.iter().zip(identities) {
            let route = visit.route;
            let children = visit.children.clone().zip(route.routes.iter().map(|r| r.matchers.as_slice()));
            nodes.push(Node {
                id: identity.id.clone(),
                matchers: route.matchers.clone(),
                receiver: route.receiver.clone(),
                group_by: route.group_by.clone(),
                group_wait: route.group_wait,
                group_interval: at_least_a_millisecond(route.group_interval),
                repeat_interval: route.repeat_interval,
                continue_matching: route.continue_matching,
                mute_time_intervals: route.mute_time_intervals.clone(),
                active_time_intervals: route.active_time_intervals.clone(),
                router: route.router.clone(),
                labels: route.labels.clone(),
                policy: route.policy.clone(),
                children: MatchIndex::build(children),
            });
        }
        let by_id = nodes.iter().zip(0..).map(|(node, i)| (node.id.clone(), i)).collect();
        let damped = order.iter().filter_map(|visit| visit.route.policy.flap_damping);
        let flap_damping = damped.reduce(|a, b| FlapDamping {
            times: a.times.max(b.times).min(FlapDamping::TIMES_MAX),
            within: a.within.max(b.within),
        });
        let shortest_interval = nodes.iter().map(|node| node.group_interval).min();
        RouteTable { nodes, by_id, flap_damping, shortest_interval }
    }

    pub(crate) fn find(&self, id: &RouteId) -> Option<&Node> {
        self.by_id.get(id).and_then(|i| self.nodes.get(*i as usize))
    }

    /// The nodes where a router plugin decides, with what it is.
    pub(crate) fn routers(&self) -> Vec<(RouteId, PluginUse)> {
        self.nodes.iter().filter_map(|node| Some((node.id.clone(), node.router.clone()?))).collect()
    }

    /// How many beginnings of an alert must be remembered and for how long; absent if no route damps what flaps.
    pub(crate) fn flap_damping(&self) -> Option<FlapDamping> {
        self.flap_damping
    }

    /// The shortest `group_interval` of any route; absent only without a configuration.
    pub(crate) fn shortest_interval(&self) -> Option<Duration> {
        self.shortest_interval
    }

    /// The longest limit that any route has for a severity.
    pub(crate) fn rate_limit(&self, severity: &str) -> Option<Duration> {
        self.nodes.iter().filter_map(|node| node.policy.rate_limits.of(severity)).max()
    }

    /// The same as [`Route::match_labels`], by index.
    pub(crate) fn match_labels(&self, labels: &Labels) -> Vec<&Node> {
        let mut matched = Vec::new();
        if let Some(root) = self.nodes.first() {
            self.match_children(root, labels, &mut matched);
        }
        matched
    }

    fn match_children<'a>(&'a self, node: &'a Node, labels: &Labels, matched: &mut Vec<&'a Node>) {
        let before = matched.len();
        for child in node.children.candidates(labels) {
            let child = &self.nodes[child as usize];
            if !all_match(&child.matchers, labels) {
                continue;
            }
            self.match_children(child, labels, matched);
            if !child.continue_matching {
                break;
            }
        }
        if matched.len() == before {
            matched.push(node);
        }
    }
}

/// A timer that is always due would keep the engine busy for ever.
fn at_least_a_millisecond(interval: Duration) -> Duration {
    interval.max(Duration::from_millis(1))
}

struct Visit<'a> {
    route: &'a Route,
    parent: Option<usize>,
    /// The positions of its children in the same order.
    children: std::ops::Range<u32>,
}

fn breadth_first(root: &Route) -> Vec<Visit<'_>> {
    let mut order = Vec::new();
    let mut queue = VecDeque::from([(root, None)]);
    let mut next_child = 1;
    while let Some((route, parent)) = queue.pop_front() {
        let end = next_child + u32::try_from(route.routes.len()).unwrap_or(0);
        let own = order.len();
        order.push(Visit { route, parent, children: next_child..end });
        queue.extend(route.routes.iter().map(|child| (child, Some(own))));
        next_child = end;
    }
    order
}

/// Finds the nodes of an edited tree again.
///
/// Alertmanager identifies a group by the matchers on its path, so editing one matcher forgets what was told and opens
/// new incidents beside orphaned ones. Here a node of the new tree is, among the children of the same parent, the old
/// one of the same name; else of the same matchers and receiver; else of the same matchers; else of the same receiver,
/// in order. What moved to another parent is recognised by matchers and receiver. Anything else is new.
pub(crate) fn identify(old: &[RouteIdentity], root: &Route) -> Vec<RouteIdentity> {
    let order = breadth_first(root);
    let sorted: Vec<Vec<Matcher>> = order
        .iter()
        .map(|visit| {
            let mut matchers = visit.route.matchers.clone();
            matchers.sort();
            matchers
        })
        .collect();
    let mut ids: Vec<Option<RouteId>> = vec![None; order.len()];
    let mut free: Vec<Option<&RouteIdentity>> = old.iter().map(Some).collect();
    let mut taken: BTreeSet<RouteId> = old.iter().map(|identity| identity.id.clone()).collect();
    let root_id = RouteId("root".into());
    taken.insert(root_id.clone());
    ids[0] = Some(root_id);
    for parent in 0..order.len() {
        let children = order[parent].children.clone().map(|i| i as usize);
        let (parent_id, new_parent) = match &ids[parent] {
            Some(id) => (id.clone(), false),
            None => (new_id(&order, &sorted, &ids, parent, &mut taken), true),
        };
        ids[parent] = Some(parent_id.clone());
        if new_parent {
            continue;
        }
        for rule in 0..4 {
            for child in children.clone().filter(|child| order[*child].route.name.is_some() || rule > 0) {
                if ids[child].is_some() {
                    continue;
                }
                let route = order[child].route;
                let same = |identity: &RouteIdentity| {
                    identity.parent.as_ref() == Some(&parent_id)
                        && match rule {
                            0 => identity.name == route.name,
                            1 => identity.matchers == sorted[child] && identity.receiver == route.receiver,
                            2 => identity.matchers == sorted[child],
                            _ => identity.receiver == route.receiver,
                        }
                };
                ids[child] = take(&mut free, same);
            }
        }
        // What was moved under this parent from elsewhere.
        for child in children {
            if ids[child].is_none() {
                let receiver = &order[child].route.receiver;
                ids[child] = take(&mut free, |old| {
                    old.matchers == sorted[child] && old.receiver == *receiver && old.parent.is_some()
                });
            }
        }
    }
    let parent_of = |visit: &Visit<'_>| visit.parent.and_then(|parent| ids[parent].clone());
    let identities = order.iter().zip(&sorted).zip(&ids).map(|((visit, matchers), id)| RouteIdentity {
        id: id.clone().unwrap_or_else(|| RouteId("root".into())),
        parent: parent_of(visit),
        name: visit.route.name.clone(),
        matchers: matchers.clone(),
        receiver: visit.route.receiver.clone(),
    });
    identities.collect()
}

fn take(free: &mut [Option<&RouteIdentity>], same: impl Fn(&RouteIdentity) -> bool) -> Option<RouteId> {
    let slot = free.iter_mut().find(|slot| slot.is_some_and(&same))?;
    slot.take().map(|identity| identity.id.clone())
}

/// The user's name, or a hash of what the node is now; it need not follow what the node becomes.
fn new_id(
    order: &[Visit<'_>],
    sorted: &[Vec<Matcher>],
    ids: &[Option<RouteId>],
    node: usize,
    taken: &mut BTreeSet<RouteId>,
) -> RouteId {
    let visit = &order[node];
    let parent = visit.parent.and_then(|parent| ids[parent].clone());
    let base = match &visit.route.name {
        Some(name) => name.clone(),
        None => {
            let path = format!("{:?} {:?} {}", parent, sorted[node], visit.route.receiver);
            format!("{:08x}", StableHash::default().part(path).finish() >> 96)
        }
    };
    let mut candidate = RouteId(base.as_str().into());
    let mut n = 2;
    while !taken.insert(candidate.clone()) {
        candidate = RouteId(format!("{base}-{n}").into());
        n += 1;
    }
    candidate
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(children: &[(&str, &str)]) -> Route {
        let mut root = Route::root("default");
        root.routes = children
            .iter()
            .map(|(value, receiver)| Route {
                receiver: (*receiver).into(),
                ..root.child(vec![Matcher::equal("team", *value)])
            })
            .collect();
        root
    }

    fn ids(identities: &[RouteIdentity]) -> Vec<&str> {
        identities.iter().map(|identity| &*identity.id.0).collect()
    }

    #[test]
    fn a_node_keeps_its_identity_through_edits_of_others_and_of_its_own_matchers() {
        let before = identify(&[], &tree(&[("a", "slack"), ("b", "page"), ("c", "mail")]));
        let [root, a, b, c] = ids(&before)[..] else { panic!("{before:?}") };
        // A new first sibling, a changed matcher, a changed receiver, another order.
        let after = identify(&before, &tree(&[("new", "chat"), ("c", "mail"), ("b2", "page"), ("a", "hook")]));
        let after = ids(&after);
        assert_eq!([after[0], after[2], after[3], after[4]], [root, c, b, a]);
        assert!(!ids(&before).contains(&after[1]));
        assert_eq!(ids(&identify(&before, &tree(&[("a", "slack"), ("b", "page"), ("c", "mail")]))), [root, a, b, c]);
    }

    #[test]
    fn a_node_moved_under_another_parent_keeps_its_identity() {
        let before = identify(&[], &tree(&[("a", "slack"), ("b", "page")]));
        let mut edited = tree(&[("a", "slack")]);
        let moved = Route { receiver: "page".into(), ..edited.child(vec![Matcher::equal("team", "b")]) };
        edited.routes[0].routes.push(moved);
        let after = identify(&before, &edited);
        assert_eq!(ids(&after), ids(&before));
    }

    #[test]
    fn equal_nodes_get_different_identities() {
        let all = identify(&[], &tree(&[("a", "slack"), ("a", "slack")]));
        assert_eq!(ids(&all).iter().collect::<BTreeSet<_>>().len(), 3);
    }

    #[test]
    fn the_table_answers_as_the_tree() {
        let mut root = tree(&[("a", "slack"), ("b", "page")]);
        root.routes[0].continue_matching = true;
        let catch_all = Route { receiver: "mail".into(), ..root.child(vec![]) };
        let deep = Route { receiver: "deep".into(), ..root.child(vec![Matcher::equal("x", "1")]) };
        root.routes[1].routes.push(deep);
        root.routes.push(catch_all);
        let table = RouteTable::new(&root, &identify(&[], &root));
        for pairs in [vec![], vec![("team", "a")], vec![("team", "b")], vec![("team", "b"), ("x", "1")]] {
            let labels = Labels::from_pairs(pairs);
            let by_table: Vec<_> = table.match_labels(&labels).iter().map(|node| node.receiver.clone()).collect();
            let by_tree: Vec<_> = root.match_labels(&labels).iter().map(|route| route.receiver.clone()).collect();
            assert_eq!(by_table, by_tree, "{labels}");
        }
    }
}
