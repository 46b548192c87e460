//! The syntax tree. Every node prints itself as Go does, because error messages quote it.

use std::fmt;
use std::sync::Arc;

use super::quote::quote;
use crate::functions::Function;

/// One parsed template: the text of a file or of a `define` in it.
#[derive(Debug)]
pub(crate) struct Tree {
    /// The template's own name.
    pub(crate) name: String,
    /// The name of the file or text that it stands in.
    pub(crate) source: Arc<Source>,
    pub(crate) root: Vec<Node>,
}

/// A text that was parsed, for positions in error messages.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) name: String,
    pub(crate) text: String,
}

impl Source {
    /// Line (from 1) and column (bytes before it on that line) of a byte offset.
    pub(crate) fn position(&self, at: usize) -> (usize, usize) {
        let before = &self.text[..at.min(self.text.len())];
        let column = before.rfind('\n').map_or(before.len(), |line_feed| before.len() - line_feed - 1);
        (1 + before.matches('\n').count(), column)
    }
}

#[derive(Debug)]
pub(crate) enum Node {
    Text { at: usize, text: String },
    Action(Pipe),
    Control(Control),
    Template { at: usize, name: String, pipe: Option<Pipe> },
    Break { at: usize },
    Continue { at: usize },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ControlKind {
    If,
    With,
    Range,
}

impl ControlKind {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            ControlKind::If => "if",
            ControlKind::With => "with",
            ControlKind::Range => "range",
        }
    }
}

/// `if`, `with` and `range` have the same shape.
#[derive(Debug)]
pub(crate) struct Control {
    pub(crate) kind: ControlKind,
    pub(crate) pipe: Pipe,
    pub(crate) body: Vec<Node>,
    pub(crate) otherwise: Option<Vec<Node>>,
}

#[derive(Debug, Default)]
pub(crate) struct Pipe {
    pub(crate) at: usize,
    /// `=` and not `:=`.
    pub(crate) assigns: bool,
    pub(crate) variables: Vec<String>,
    pub(crate) commands: Vec<Command>,
}

#[derive(Debug)]
pub(crate) struct Command {
    pub(crate) at: usize,
    pub(crate) operands: Vec<Operand>,
}

#[derive(Debug)]
pub(crate) enum Operand {
    Bool {
        at: usize,
        truth: bool,
    },
    Number {
        at: usize,
        number: Number,
    },
    Text {
        at: usize,
        quoted: String,
        text: Arc<str>,
    },
    Nil {
        at: usize,
    },
    Dot {
        at: usize,
    },
    Field {
        at: usize,
        path: Vec<String>,
    },
    /// The first of `path` is the variable's name with its `$`.
    Variable {
        at: usize,
        path: Vec<String>,
    },
    Function {
        at: usize,
        name: String,
        callee: Callee,
    },
    Chain {
        at: usize,
        of: Box<Operand>,
        path: Vec<String>,
    },
    Pipe(Pipe),
}

/// What a function name stands for; resolved when the template is parsed.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Callee {
    /// `and` and `or` evaluate their arguments only as far as needed.
    And,
    Or,
    /// `call`, which needs to know how its argument is spelled.
    Call,
    Function(&'static Function),
}

/// A constant under all the types that can represent it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Number {
    pub(crate) text: String,
    pub(crate) int: Option<i64>,
    pub(crate) unsigned: bool,
    pub(crate) float: Option<f64>,
    pub(crate) complex: bool,
}

impl Operand {
    pub(crate) fn at(&self) -> usize {
        match self {
            Operand::Bool { at, .. }
            | Operand::Number { at, .. }
            | Operand::Text { at, .. }
            | Operand::Nil { at }
            | Operand::Dot { at }
            | Operand::Field { at, .. }
            | Operand::Variable { at, .. }
            | Operand::Function { at, .. }
            | Operand::Chain { at, .. } => *at,
            Operand::Pipe(pipe) => pipe.at,
        }
    }

    /// Whether it is a constant or the dot, which cannot take an argument from a pipeline.
    pub(crate) fn is_value(&self) -> bool {
        matches!(
            self,
            Operand::Bool { .. }
                | Operand::Dot { .. }
                | Operand::Nil { .. }
                | Operand::Number { .. }
                | Operand::Text { .. }
        )
    }
}

/// Whether a template is nothing but space, so that it counts as empty.
pub(crate) fn is_blank(nodes: &[Node]) -> bool {
    nodes.iter().all(|node| matches!(node, Node::Text { text, .. } if text.trim().is_empty()))
}

impl Node {
    pub(crate) fn at(&self) -> usize {
        match self {
            Node::Text { at, .. } | Node::Template { at, .. } | Node::Break { at } | Node::Continue { at } => *at,
            Node::Action(pipe) => pipe.at,
            Node::Control(control) => control.pipe.at,
        }
    }
}

impl Node {
    /// Adds the fields and variables that the node reads.
    pub(crate) fn collect_paths(&self, paths: &mut Vec<Vec<String>>) {
        match self {
            Node::Text { .. } | Node::Break { .. } | Node::Continue { .. } => {}
            Node::Action(pipe) => pipe.collect_paths(paths),
            Node::Control(control) => {
                control.pipe.collect_paths(paths);
                let nodes = control.body.iter().chain(control.otherwise.iter().flatten());
                nodes.for_each(|node| node.collect_paths(paths));
            }
            Node::Template { pipe, .. } => pipe.iter().for_each(|pipe| pipe.collect_paths(paths)),
        }
    }
}

impl Node {
    /// Shows the name of every template that the node calls, and where it does.
    pub(crate) fn visit_calls(&self, visit: &mut impl FnMut(usize, &str)) {
        match self {
            Node::Template { at, name, .. } => visit(*at, name),
            Node::Control(control) => {
                let nodes = control.body.iter().chain(control.otherwise.iter().flatten());
                nodes.for_each(|node| node.visit_calls(visit));
            }
            Node::Text { .. } | Node::Action(_) | Node::Break { .. } | Node::Continue { .. } => {}
        }
    }
}

impl Pipe {
    fn collect_paths(&self, paths: &mut Vec<Vec<String>>) {
        for operand in self.commands.iter().flat_map(|command| &command.operands) {
            operand.collect_paths(paths);
        }
    }
}

impl Operand {
    fn collect_paths(&self, paths: &mut Vec<Vec<String>>) {
        match self {
            Operand::Variable { path, .. } => paths.push(path.clone()),
            Operand::Field { path, .. } => {
                let mut path = path.clone();
                if let Some(first) = path.first_mut() {
                    first.insert(0, '.');
                }
                paths.push(path);
            }
            Operand::Chain { of, .. } => of.collect_paths(paths),
            Operand::Pipe(pipe) => pipe.collect_paths(paths),
            _ => {}
        }
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Node::Text { text, .. } => f.write_str(text),
            Node::Action(pipe) => write!(f, "{{{{{pipe}}}}}"),
            Node::Control(control) => control.fmt(f),
            Node::Template { name, pipe, .. } => {
                write!(f, "{{{{template {}", quote(name, false))?;
                if let Some(pipe) = pipe {
                    write!(f, " {pipe}")?;
                }
                f.write_str("}}")
            }
            Node::Break { .. } => f.write_str("{{break}}"),
            Node::Continue { .. } => f.write_str("{{continue}}"),
        }
    }
}

impl fmt::Display for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{{{{} {}}}}}", self.kind.as_str(), self.pipe)?;
        self.body.iter().try_for_each(|node| node.fmt(f))?;
        if let Some(otherwise) = &self.otherwise {
            f.write_str("{{else}}")?;
            otherwise.iter().try_for_each(|node| node.fmt(f))?;
        }
        f.write_str("{{end}}")
    }
}

impl fmt::Display for Pipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.variables.is_empty() {
            let sign = if self.assigns { "=" } else { ":=" };
            write!(f, "{} {sign} ", self.variables.join(", "))?;
        }
        for (i, command) in self.commands.iter().enumerate() {
            if i > 0 {
                f.write_str(" | ")?;
            }
            command.fmt(f)?;
        }
        Ok(())
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, operand) in self.operands.iter().enumerate() {
            if i > 0 {
                f.write_str(" ")?;
            }
            match operand {
                Operand::Pipe(pipe) => write!(f, "({pipe})")?,
                operand => operand.fmt(f)?,
            }
        }
        Ok(())
    }
}

impl fmt::Display for Operand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Operand::Bool { truth, .. } => truth.fmt(f),
            Operand::Number { number, .. } => f.write_str(&number.text),
            Operand::Text { quoted, .. } => f.write_str(quoted),
            Operand::Nil { .. } => f.write_str("nil"),
            Operand::Dot { .. } => f.write_str("."),
            Operand::Field { path, .. } => path.iter().try_for_each(|name| write!(f, ".{name}")),
            Operand::Variable { path, .. } => f.write_str(&path.join(".")),
            Operand::Function { name, .. } => f.write_str(name),
            Operand::Chain { of, path, .. } => {
                match &**of {
                    Operand::Pipe(pipe) => write!(f, "({pipe})")?,
                    operand => operand.fmt(f)?,
                }
                path.iter().try_for_each(|name| write!(f, ".{name}"))
            }
            Operand::Pipe(pipe) => pipe.fmt(f),
        }
    }
}
