//! Values without a fixed shape: plugin configurations, custom payloads.

use crate::config::Source;
use crate::decode::Decoder;
use crate::diagnostic::{Diagnostic, Level};
use crate::yaml::{Kind, Node, Style};

/// A value of any shape, in the order of the file.
#[derive(Clone, Debug, PartialEq)]
pub enum Tree {
    /// Nothing.
    Null,
    /// A truth value.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// Any other number; never NaN or infinite.
    Float(f64),
    /// A text.
    Text(String),
    /// A list.
    List(Vec<Tree>),
    /// Names and values.
    Map(Vec<(String, Tree)>),
}

impl Tree {
    /// Reads the first document of a text; nothing where it is empty.
    ///
    /// # Errors
    /// Everything that is wrong with the YAML, with its place.
    pub fn parse(source: Source<'_>) -> Result<Tree, Vec<Diagnostic>> {
        let mut decoder = Decoder::new(source, None);
        let tree = match decoder.parse() {
            Some(root) => decoder.tree(&root),
            None => Tree::Null,
        };
        if decoder.diagnostics.iter().any(|diagnostic| diagnostic.severity == Level::Error) {
            return Err(decoder.diagnostics);
        }
        Ok(tree)
    }

    /// As JSON text.
    pub fn to_json(&self) -> String {
        self.to_value().to_string()
    }

    pub(crate) fn to_value(&self) -> serde_json::Value {
        match self {
            Tree::Null => serde_json::Value::Null,
            Tree::Bool(value) => (*value).into(),
            Tree::Int(value) => (*value).into(),
            Tree::Float(value) => (*value).into(),
            Tree::Text(value) => value.as_str().into(),
            Tree::List(items) => items.iter().map(Tree::to_value).collect(),
            Tree::Map(entries) => {
                serde_json::Value::Object(entries.iter().map(|(key, value)| (key.clone(), value.to_value())).collect())
            }
        }
    }
}

impl Decoder<'_> {
    /// Reads a value of any shape; plain scalars become what YAML's core schema says.
    pub(crate) fn tree(&mut self, node: &Node) -> Tree {
        match &node.kind {
            Kind::Sequence(items) => Tree::List(items.iter().map(|item| self.tree(item)).collect()),
            Kind::Mapping(entries) => {
                Tree::Map(entries.iter().map(|entry| (entry.key.clone(), self.tree(&entry.value))).collect())
            }
            Kind::Scalar { style, .. } => {
                if node.is_null() {
                    return Tree::Null;
                }
                match self.scalar(node, "the value") {
                    Some(scalar) if *style == Style::Plain => core_schema(scalar.text),
                    Some(scalar) => Tree::Text(scalar.text),
                    None => Tree::Null,
                }
            }
        }
    }
}

fn core_schema(text: String) -> Tree {
    match text.as_str() {
        "true" | "True" | "TRUE" => return Tree::Bool(true),
        "false" | "False" | "FALSE" => return Tree::Bool(false),
        _ => {}
    }
    let numeric = text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.'));
    if numeric && let Ok(number) = text.parse::<i64>() {
        return Tree::Int(number);
    }
    if numeric
        && let Ok(number) = text.parse::<f64>()
        && number.is_finite()
    {
        return Tree::Float(number);
    }
    Tree::Text(text)
}
