//! `watchfire route`: who is told about which labels.

use std::process::ExitCode;

use anyhow::Result;
use serde_json::Value;
use watchfire::alerting::{GroupBy, Route};

use crate::args::{RouteCommand, RouteSource};
use crate::client::Client;
use crate::configuration::configuration;
use crate::matchers::labels;
use crate::output::say;

pub(crate) async fn run(command: RouteCommand) -> Result<ExitCode> {
    match command {
        RouteCommand::Test { source, verify, labels: given } => {
            let receivers = receivers(&source, &given).await?;
            for receiver in &receivers {
                say!("{receiver}");
            }
            let expected: Vec<&str> = verify.iter().flat_map(|list| list.split(',')).collect();
            if !expected.is_empty() && expected != receivers {
                eprintln!("expected {}", expected.join(", "));
                return Ok(ExitCode::FAILURE);
            }
        }
        RouteCommand::Show { source } => {
            let tree = match &source.url {
                Some(url) => from_json(&Client::new(url, &source.login)?.get("api/watchfire/v1/routes", &[]).await?),
                None => from_route(&dispatch(&source)?.route),
            };
            crate::output::write(format_args!("{}", drawn(&tree)));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The receivers in the order of their routes.
async fn receivers(source: &RouteSource, given: &[String]) -> Result<Vec<String>> {
    let labels = labels(given)?;
    let Some(url) = &source.url else {
        let dispatch = dispatch(source)?;
        return Ok(dispatch.route.match_labels(&labels).iter().map(|route| route.receiver.to_string()).collect());
    };
    let pairs: Vec<String> = labels.iter().map(|label| format!("{}={}", label.name, label.value)).collect();
    let query: Vec<(&str, &str)> = pairs.iter().map(|pair| ("label", pair.as_str())).collect();
    let answer = Client::new(url, &source.login)?.get("api/watchfire/v1/explain", &query).await?;
    let routes = answer["routes"].as_array().into_iter().flatten();
    Ok(routes.filter_map(|route| route["receiver"].as_str().map(str::to_owned)).collect())
}

fn dispatch(source: &RouteSource) -> Result<watchfire::alerting::Dispatch> {
    Ok(configuration(&source.config)?.dispatch)
}

/// A node as it is drawn.
struct Node {
    text: String,
    below: Vec<Node>,
}

fn node(matchers: &[String], receiver: &str, more: &[String], below: Vec<Node>) -> Node {
    let matchers = if matchers.is_empty() { "everything".to_owned() } else { format!("{{{}}}", matchers.join(", ")) };
    let mut text = format!("{matchers}  ->  {receiver}");
    for part in more {
        text.push_str("  ");
        text.push_str(part);
    }
    Node { text, below }
}

fn from_route(route: &Route) -> Node {
    let matchers: Vec<String> = route.matchers.iter().map(ToString::to_string).collect();
    let mut more = vec![match &route.group_by {
        GroupBy::All => "by ...".to_owned(),
        GroupBy::Labels(labels) => format!("by [{}]", labels.iter().cloned().collect::<Vec<_>>().join(", ")),
    }];
    if route.continue_matching {
        more.push("continue".to_owned());
    }
    more.extend(route.router.iter().map(|router| format!("router {}", router.plugin)));
    node(&matchers, &route.receiver, &more, route.routes.iter().map(from_route).collect())
}

fn from_json(route: &Value) -> Node {
    let texts = |value: &Value| -> Vec<String> {
        value.as_array().into_iter().flatten().filter_map(|text| text.as_str().map(str::to_owned)).collect()
    };
    let mut more = vec![match route["groupBy"].as_array() {
        None => "by ...".to_owned(),
        Some(_) => format!("by [{}]", texts(&route["groupBy"]).join(", ")),
    }];
    if route["continue"] == true {
        more.push("continue".to_owned());
    }
    more.extend(route["router"].as_str().map(|router| format!("router {router}")));
    let below = route["routes"].as_array().into_iter().flatten().map(from_json).collect();
    node(&texts(&route["matchers"]), route["receiver"].as_str().unwrap_or_default(), &more, below)
}

/// The tree, one node a line.
fn drawn(root: &Node) -> String {
    let mut out = format!("{}\n", root.text);
    draw(&root.below, "", &mut out);
    out
}

fn draw(nodes: &[Node], indent: &str, out: &mut String) {
    for (index, node) in nodes.iter().enumerate() {
        let last = index + 1 == nodes.len();
        out.push_str(&format!("{indent}{}{}\n", if last { "└── " } else { "├── " }, node.text));
        draw(&node.below, &format!("{indent}{}", if last { "    " } else { "│   " }), out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_is_drawn() {
        let leaf = |text: &str| Node { text: text.to_owned(), below: Vec::new() };
        let tree = Node {
            text: "root".to_owned(),
            below: vec![Node { text: "a".to_owned(), below: vec![leaf("b")] }, leaf("c")],
        };
        assert_eq!(drawn(&tree), "root\n├── a\n│   └── b\n└── c\n");
    }
}
