//! Go's text/template language: parse once, execute often.
//!
//! Everything of the language is here except complex numbers, functions as values and custom delimiters. Errors read as
//! in Go, with the same positions.

mod error;
mod exec;
mod float;
mod html;
mod lexer;
mod node;
mod number;
mod parser;
mod printf;
mod quote;

use std::collections::BTreeMap;
use std::sync::Arc;

pub use error::TemplateError;
pub use exec::Escape;
pub(crate) use exec::bounded;
pub(crate) use float::{Precision, format_float};
pub(crate) use number::parse_float;
pub(crate) use printf::{sprint, sprintf, sprintln};
pub(crate) use quote::{is_printable, quote};

use crate::functions::{Context, Functions};
use crate::value::Value;
use node::{Source, Tree, is_blank};

/// A name that a template calls and that nothing defines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Undefined {
    /// The name.
    pub name: String,
    /// The name of the text that calls it.
    pub source: String,
    /// The line of that text, from 1.
    pub line: usize,
    /// Bytes before the place on its line.
    pub column: usize,
}

/// Templates that can refer to one another by name.
///
/// Adding a text adds the template of the given name and everything that it defines inside. A later definition replaces
/// an earlier one of the same name, as when several files are read one after the other.
#[derive(Clone, Debug)]
pub struct Set {
    functions: Functions,
    trees: BTreeMap<String, Arc<Tree>>,
}

impl Set {
    /// Without templates yet.
    pub fn new(functions: Functions) -> Set {
        Set { functions, trees: BTreeMap::new() }
    }

    /// Parses a text under a name.
    ///
    /// Answers the names that the text defines, its own among them.
    ///
    /// # Errors
    /// If the text is not a template; the set stays as it was.
    pub fn add(&mut self, name: &str, text: &str) -> Result<Vec<String>, TemplateError> {
        let source = Arc::new(Source { name: name.to_owned(), text: text.to_owned() });
        let parsed = parser::parse(&source, &self.functions).map_err(|failure| {
            // Where a token runs over several lines, the line that Go names need not be the one on which it begins.
            let (line, column) = source.position(failure.at);
            let column = if line == failure.line { column } else { 0 };
            TemplateError::parse(name, (failure.line, column), failure.message)
        })?;
        let names = parsed.iter().map(|tree| tree.name.clone()).collect();
        for tree in parsed {
            // An empty body does not replace a template: files that only define others have one.
            let replaces = !is_blank(&tree.root) || !self.trees.contains_key(&tree.name);
            if replaces {
                self.trees.insert(tree.name.clone(), Arc::new(tree));
            }
        }
        Ok(names)
    }

    /// The names that are called and that nothing defines: whatever reaches such a call fails.
    pub fn undefined(&self) -> Vec<Undefined> {
        let mut undefined = Vec::new();
        for tree in self.trees.values() {
            tree.root.iter().for_each(|node| {
                node.visit_calls(&mut |at, name| {
                    if !self.contains(name) {
                        let (line, column) = tree.source.position(at);
                        let source = tree.source.name.clone();
                        undefined.push(Undefined { name: name.to_owned(), source, line, column });
                    }
                });
            });
        }
        undefined
    }

    /// Whether there is a template of this name.
    pub fn contains(&self, name: &str) -> bool {
        self.trees.contains_key(name)
    }

    /// The names of all templates, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.trees.keys().map(String::as_str)
    }

    /// The functions that its templates may call.
    pub fn functions(&self) -> Functions {
        self.functions
    }

    /// Executes the template of a name.
    ///
    /// # Errors
    /// What went wrong, and where; output so far is lost.
    pub fn execute(
        &self,
        name: &str,
        data: &Value,
        escape: Escape,
        context: &mut Context<'_>,
    ) -> Result<String, TemplateError> {
        match self.trees.get(name) {
            Some(tree) => exec::execute(&self.trees, tree, data, escape, context),
            None => Err(TemplateError::missing(name)),
        }
    }
}

/// One template with what it defines itself.
#[derive(Clone, Debug)]
pub struct Template {
    name: String,
    set: Set,
}

impl Template {
    /// Parses a text.
    ///
    /// # Errors
    /// If the text is not a template.
    pub fn parse(name: &str, text: &str, functions: Functions) -> Result<Template, TemplateError> {
        let mut set = Set::new(functions);
        set.add(name, text)?;
        Ok(Template { name: name.to_owned(), set })
    }

    /// Executes it without escaping.
    ///
    /// # Errors
    /// What went wrong, and where.
    pub fn execute(&self, data: &Value, context: &mut Context<'_>) -> Result<String, TemplateError> {
        self.set.execute(&self.name, data, Escape::None, context)
    }

    /// The fields and variables that the template reads, as paths: `[".Labels", "job"]` or `["$labels", "job"]`.
    ///
    /// For checks such as "names a label that the expression drops".
    pub fn paths(&self) -> Vec<Vec<String>> {
        let mut paths = Vec::new();
        for tree in self.set.trees.values() {
            tree.root.iter().for_each(|node| node.collect_paths(&mut paths));
        }
        paths
    }
}
