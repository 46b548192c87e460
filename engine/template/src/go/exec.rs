//! Executes a syntax tree.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::Arc;

use super::error::TemplateError;
use super::html::Escaper;
use super::node::{Callee, Command, Control, ControlKind, Node, Number, Operand, Pipe, Tree};
use super::printf::sprint;
use crate::functions::{Context, Param, TEXT_BYTES_MAX, call_value, too_long};
use crate::time::GoDuration;
use crate::value::{Safe, Value};

/// How deep templates may call one another. Each level takes several frames of the stack.
const DEPTH_MAX: usize = 64;

/// How deep lists and maps may be nested in one another.
const VALUE_DEPTH_MAX: usize = 64;

/// Whether values are escaped when they are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Escape {
    /// As in text/template.
    None,
    /// For HTML, by the place in which the value stands, as in html/template.
    Html,
}

pub(super) fn execute(
    trees: &BTreeMap<String, Arc<Tree>>,
    tree: &Tree,
    data: &Value,
    escape: Escape,
    context: &mut Context<'_>,
) -> Result<String, TemplateError> {
    let (steps_left, values_bytes_left) = (context.limits.steps_max, context.limits.values_bytes_max);
    let mut execution = Execution {
        trees,
        context,
        out: String::new(),
        escaper: (escape == Escape::Html).then(Escaper::default),
        steps_left,
        values_bytes_left,
        depth: 0,
    };
    let mut frame = Frame { tree, variables: vec![("$", data.clone())], place: Place::Nowhere };
    match execution.walk_all(&mut frame, data, &tree.root) {
        Ok(_) => Ok(execution.out),
        Err(error) => Err(*error),
    }
}

type Executed<T> = Result<T, Box<TemplateError>>;

/// What all templates of one execution share.
struct Execution<'t, 'c, 'x> {
    trees: &'t BTreeMap<String, Arc<Tree>>,
    context: &'c mut Context<'x>,
    out: String,
    escaper: Option<Escaper>,
    steps_left: usize,
    values_bytes_left: usize,
    depth: usize,
}

/// What one template has for itself.
struct Frame<'t> {
    tree: &'t Tree,
    variables: Vec<(&'t str, Value)>,
    /// Where execution is, for error messages.
    place: Place<'t>,
}

#[derive(Clone, Copy)]
enum Place<'t> {
    Nowhere,
    Node(&'t Node),
    Pipe(&'t Pipe),
    Command(&'t Command),
    Operand(&'t Operand),
}

impl Frame<'_> {
    fn error<T>(&self, message: impl Into<String>) -> Executed<T> {
        let (at, quoted): (usize, &dyn Display) = match &self.place {
            Place::Nowhere => (0, &""),
            Place::Node(node) => (node.at(), node),
            Place::Pipe(pipe) => (pipe.at, pipe),
            Place::Command(command) => (command.at, command),
            Place::Operand(operand) => (operand.at(), operand),
        };
        let source = &self.tree.source;
        Err(Box::new(TemplateError::execution(
            &source.name,
            &self.tree.name,
            source.position(at),
            &quoted.to_string(),
            message.into(),
        )))
    }

    fn variable(&self, name: &str) -> Executed<Value> {
        match self.variables.iter().rev().find(|(n, _)| *n == name) {
            Some((_, value)) => Ok(value.clone()),
            None => self.error(format!("undefined variable: {name}")),
        }
    }

    fn set_variable(&mut self, name: &str, value: Value) -> Executed<()> {
        match self.variables.iter_mut().rev().find(|(n, _)| *n == name) {
            Some(variable) => {
                variable.1 = value;
                Ok(())
            }
            None => self.error(format!("undefined variable: {name}")),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Flow {
    On,
    Break,
    Continue,
}

/// The argument that comes from the command before in the pipeline.
type Final = Option<Value>;

impl<'t> Execution<'t, '_, '_> {
    fn step(&mut self, frame: &Frame<'t>) -> Executed<()> {
        if self.steps_left == 0 {
            let most = self.context.limits.steps_max;
            return frame.error(format!("stopped after {most} steps"));
        }
        self.steps_left -= 1;
        if self.out.len() > self.context.limits.output_bytes_max {
            let most = self.context.limits.output_bytes_max;
            return frame.error(format!("stopped after {most} bytes of output"));
        }
        Ok(())
    }

    /// Counts what a function has made.
    fn made(&mut self, frame: &Frame<'t>, value: Value) -> Executed<Value> {
        match self.values_bytes_left.checked_sub(value.bytes()) {
            Some(left) => {
                self.values_bytes_left = left;
                Ok(value)
            }
            None => {
                let most = self.context.limits.values_bytes_max;
                frame.error(format!("stopped after {most} bytes of values"))
            }
        }
    }

    fn walk_all(&mut self, frame: &mut Frame<'t>, dot: &Value, nodes: &'t [Node]) -> Executed<Flow> {
        for node in nodes {
            let flow = self.walk(frame, dot, node)?;
            if flow != Flow::On {
                return Ok(flow);
            }
        }
        Ok(Flow::On)
    }

    fn walk(&mut self, frame: &mut Frame<'t>, dot: &Value, node: &'t Node) -> Executed<Flow> {
        frame.place = Place::Node(node);
        self.step(frame)?;
        match node {
            Node::Text { text, .. } => match &mut self.escaper {
                Some(escaper) => escaper.text(&mut self.out, text),
                None => self.out.push_str(text),
            },
            Node::Action(pipe) => {
                let value = self.pipeline(frame, dot, pipe)?;
                if pipe.variables.is_empty() {
                    let value = if self.escaper.is_some() { escaped_already(pipe, value) } else { value };
                    self.print(&value);
                }
            }
            Node::Control(control) => return self.control(frame, dot, control, node),
            Node::Template { name, pipe, .. } => self.template(frame, dot, name, pipe.as_ref())?,
            Node::Break { .. } => return Ok(Flow::Break),
            Node::Continue { .. } => return Ok(Flow::Continue),
        }
        Ok(Flow::On)
    }

    fn print(&mut self, value: &Value) {
        let printed;
        let text = match value {
            Value::Text(text) | Value::Safe(_, text) => text,
            Value::Nil if self.escaper.is_none() => "<no value>",
            // html/template prints nothing for nothing.
            Value::Nil => "",
            value => {
                printed = sprint(&[value.pointed_to()]);
                &printed
            }
        };
        match &mut self.escaper {
            Some(escaper) => escaper.value(&mut self.out, value, text),
            None => self.out.push_str(text),
        }
    }

    fn control(&mut self, frame: &mut Frame<'t>, dot: &Value, control: &'t Control, node: &'t Node) -> Executed<Flow> {
        let visible = frame.variables.len();
        let flow = match control.kind {
            ControlKind::If | ControlKind::With => {
                let value = self.pipeline(frame, dot, &control.pipe)?;
                match (&control.otherwise, value.is_true()) {
                    (_, true) if control.kind == ControlKind::With => self.walk_all(frame, &value, &control.body)?,
                    (_, true) => self.walk_all(frame, dot, &control.body)?,
                    (Some(otherwise), false) => self.walk_all(frame, dot, otherwise)?,
                    (None, false) => Flow::On,
                }
            }
            ControlKind::Range => {
                frame.place = Place::Node(node);
                self.range(frame, dot, control)?
            }
        };
        frame.variables.truncate(visible);
        Ok(flow)
    }

    fn range(&mut self, frame: &mut Frame<'t>, dot: &Value, control: &'t Control) -> Executed<Flow> {
        let value = self.pipeline(frame, dot, &control.pipe)?;
        let visible = frame.variables.len();
        let mut ran = false;
        let mut once = |this: &mut Self, frame: &mut Frame<'t>, key: Value, element: Value| -> Executed<bool> {
            ran = true;
            this.step(frame)?;
            this.bind(frame, &control.pipe, key, &element)?;
            let flow = this.walk_all(frame, &element, &control.body);
            frame.variables.truncate(visible);
            Ok(flow? != Flow::Break)
        };
        match &value {
            Value::Int(_) | Value::Byte(_) | Value::Duration(_) | Value::Named(_) => {
                let count = value.as_int().unwrap_or(0);
                if control.pipe.variables.len() > 1 {
                    let printed = sprint(std::slice::from_ref(&value));
                    return frame.error(format!("can't use {printed} to iterate over more than one variable"));
                }
                for number in 0..count {
                    if !once(self, frame, Value::Nil, Value::Int(number))? {
                        break;
                    }
                }
            }
            Value::List(list) => {
                for (i, element) in list.items.iter().enumerate() {
                    if !once(self, frame, i.into(), element.clone())? {
                        break;
                    }
                }
            }
            Value::Map(map) => {
                for (key, element) in map.entries() {
                    if !once(self, frame, key.into(), element)? {
                        break;
                    }
                }
            }
            Value::Nil => {}
            other => {
                return frame.error(format!("range can't iterate over {}", sprint(&[other.pointed_to()])));
            }
        }
        match &control.otherwise {
            Some(otherwise) if !ran => self.walk_all(frame, dot, otherwise),
            _ => Ok(Flow::On),
        }
    }

    /// Gives the variables of a `range` their values for one round.
    fn bind(&mut self, frame: &mut Frame<'t>, pipe: &'t Pipe, key: Value, element: &Value) -> Executed<()> {
        let values = match pipe.variables.len() {
            0 => return Ok(()),
            1 => vec![element.clone()],
            _ => vec![key, element.clone()],
        };
        if pipe.assigns {
            for (name, value) in pipe.variables.iter().zip(values) {
                frame.set_variable(name, value)?;
            }
            return Ok(());
        }
        // The pipeline has declared them, so they are the newest variables.
        let first = frame.variables.len().saturating_sub(values.len());
        for (variable, value) in frame.variables[first..].iter_mut().zip(values) {
            variable.1 = value;
        }
        Ok(())
    }

    fn template(&mut self, frame: &mut Frame<'t>, dot: &Value, name: &'t str, pipe: Option<&'t Pipe>) -> Executed<()> {
        let Some(tree) = self.trees.get(name) else {
            return frame.error(format!("template {} not defined", super::quote::quote(name, false)));
        };
        if self.depth >= DEPTH_MAX {
            return frame.error(format!("exceeded maximum template depth ({DEPTH_MAX})"));
        }
        let data = match pipe {
            Some(pipe) => self.pipeline(frame, dot, pipe)?,
            None => Value::Nil,
        };
        let mut inner = Frame { tree, variables: vec![("$", data.clone())], place: Place::Nowhere };
        self.depth += 1;
        self.walk_all(&mut inner, &data, &tree.root)?;
        self.depth -= 1;
        Ok(())
    }

    fn pipeline(&mut self, frame: &mut Frame<'t>, dot: &Value, pipe: &'t Pipe) -> Executed<Value> {
        frame.place = Place::Pipe(pipe);
        let mut last: Final = None;
        for command in &pipe.commands {
            last = Some(self.command(frame, dot, command, last)?);
        }
        let value = last.unwrap_or(Value::Nil);
        for name in &pipe.variables {
            if pipe.assigns {
                frame.set_variable(name, value.clone())?;
            } else {
                frame.variables.push((name, value.clone()));
            }
        }
        Ok(value)
    }

    fn not_a_function(&self, frame: &Frame<'t>, operands: &[Operand], last: &Final) -> Executed<()> {
        match operands {
            [first, rest @ ..] if !rest.is_empty() || last.is_some() => {
                let shown = match first {
                    Operand::Pipe(pipe) => pipe.to_string(),
                    first => first.to_string(),
                };
                frame.error(format!("can't give argument to non-function {shown}"))
            }
            _ => Ok(()),
        }
    }

    fn command(&mut self, frame: &mut Frame<'t>, dot: &Value, command: &'t Command, last: Final) -> Executed<Value> {
        let Some(first) = command.operands.first() else {
            return frame.error("empty command");
        };
        match first {
            Operand::Field { path, .. } => {
                frame.place = Place::Operand(first);
                self.chain(frame, dot, dot.clone(), first, path, &command.operands[1..], last)
            }
            Operand::Chain { of, path, .. } => {
                frame.place = Place::Operand(first);
                let receiver = self.chain_start(frame, dot, of)?;
                self.chain(frame, dot, receiver, first, path, &command.operands[1..], last)
            }
            Operand::Function { name, callee, .. } => {
                frame.place = Place::Operand(first);
                let arguments = &command.operands[1..];
                self.function(frame, dot, Place::Command(command), name, *callee, arguments, last)
            }
            Operand::Pipe(pipe) => {
                self.not_a_function(frame, &command.operands, &last)?;
                self.pipeline(frame, dot, pipe)
            }
            Operand::Variable { path, .. } => {
                frame.place = Place::Operand(first);
                let value = self.variable_start(frame, path)?;
                if path.len() == 1 {
                    self.not_a_function(frame, &command.operands, &last)?;
                    return Ok(value);
                }
                self.chain(frame, dot, value, first, &path[1..], &command.operands[1..], last)
            }
            constant => {
                frame.place = Place::Operand(constant);
                self.not_a_function(frame, &command.operands, &last)?;
                match constant {
                    Operand::Nil { .. } => frame.error("nil is not a command"),
                    constant => self.any(frame, dot, constant),
                }
            }
        }
    }

    fn variable_start(&mut self, frame: &Frame<'t>, path: &[String]) -> Executed<Value> {
        frame.variable(path.first().map_or("$", String::as_str))
    }

    fn chain_start(&mut self, frame: &mut Frame<'t>, dot: &Value, of: &'t Operand) -> Executed<Value> {
        if let Operand::Nil { .. } = of {
            return frame.error("indirection through explicit nil");
        }
        self.argument(frame, dot, Param::Any, of)
    }

    /// `.X.Y.Z` with arguments for the last of them.
    #[expect(clippy::too_many_arguments, reason = "the parts of one expression; a struct of them would have one user")]
    fn chain(
        &mut self,
        frame: &mut Frame<'t>,
        dot: &Value,
        mut receiver: Value,
        place: &'t Operand,
        path: &'t [String],
        arguments: &'t [Operand],
        last: Final,
    ) -> Executed<Value> {
        let Some((name, before)) = path.split_last() else {
            return Ok(receiver);
        };
        for (index, name) in before.iter().enumerate() {
            let was_nil = matches!(receiver, Value::Nil);
            receiver = self.field(frame, dot, receiver, place, name, &[], None)?;
            if let (false, Value::Nil, Some(next)) = (was_nil, &receiver, path.get(index + 1)) {
                // A missing entry of a map of anything; a missing text is the empty text and no nil.
                return frame.error(format!("nil pointer evaluating interface {{}}.{next}"));
            }
        }
        self.field(frame, dot, receiver, place, name, arguments, last)
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one expression; a struct of them would have one user")]
    fn field(
        &mut self,
        frame: &mut Frame<'t>,
        dot: &Value,
        receiver: Value,
        place: &'t Operand,
        name: &'t str,
        arguments: &'t [Operand],
        last: Final,
    ) -> Executed<Value> {
        if let Value::Nil = receiver {
            return Ok(Value::Nil);
        }
        if let Some(method) = receiver.methods().iter().find(|method| method.name == name) {
            let arguments = self.arguments(frame, dot, name, method.params, method.variadic, arguments, last)?;
            return match (method.call)(&receiver, &arguments).and_then(bounded) {
                Ok(value) => self.made(frame, value),
                Err(message) => {
                    frame.place = Place::Operand(place);
                    frame.error(format!("error calling {name}: {message}"))
                }
            };
        }
        let has_arguments = !arguments.is_empty() || last.is_some();
        match &receiver {
            Value::Struct(structure) => {
                if let Some(value) = structure.field(name) {
                    if has_arguments {
                        return frame.error(format!("{name} has arguments but cannot be invoked as function"));
                    }
                    return Ok(value.clone());
                }
            }
            Value::Map(map) => {
                if has_arguments {
                    return frame.error(format!("{name} is not a method but has arguments"));
                }
                return Ok(map.get_or_zero(name));
            }
            _ => {}
        }
        frame.error(format!("can't evaluate field {name} in type {}", receiver.type_name()))
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one expression; a struct of them would have one user")]
    fn function(
        &mut self,
        frame: &mut Frame<'t>,
        dot: &Value,
        place: Place<'t>,
        name: &str,
        callee: Callee,
        operands: &'t [Operand],
        last: Final,
    ) -> Executed<Value> {
        let failed = |frame: &mut Frame<'t>, message: String| {
            frame.place = place;
            frame.error(format!("error calling {name}: {message}"))
        };
        match callee {
            Callee::And | Callee::Or => {
                if operands.is_empty() && last.is_none() {
                    return frame.error(format!("wrong number of args for {name}: want at least 1 got 0"));
                }
                let mut value = Value::Nil;
                for operand in operands {
                    value = self.argument(frame, dot, Param::Any, operand)?;
                    if value.is_true() == matches!(callee, Callee::Or) {
                        return Ok(value);
                    }
                }
                Ok(last.unwrap_or(value))
            }
            Callee::Call => {
                if operands.is_empty() && last.is_none() {
                    return frame.error("wrong number of args for call: want at least 1 got 0");
                }
                let spelled = operands.first().map(ToString::to_string);
                let arguments = self.arguments(frame, dot, name, &[Param::Any], true, operands, last)?;
                call_value(spelled, &arguments).or_else(|message| failed(frame, message))
            }
            Callee::Function(function) => {
                let arguments = self.arguments(frame, dot, name, function.params, function.variadic, operands, last)?;
                match (function.call)(self.context, &arguments).and_then(bounded) {
                    Ok(value) => self.made(frame, value),
                    Err(message) => failed(frame, message),
                }
            }
        }
    }

    /// Evaluates and checks the arguments of a call.
    #[expect(clippy::too_many_arguments, reason = "the parts of one expression; a struct of them would have one user")]
    fn arguments(
        &mut self,
        frame: &mut Frame<'t>,
        dot: &Value,
        name: &str,
        params: &[Param],
        variadic: bool,
        operands: &'t [Operand],
        last: Final,
    ) -> Executed<Vec<Value>> {
        let count = operands.len() + usize::from(last.is_some());
        let fixed = if variadic { params.len() - 1 } else { params.len() };
        if variadic && count < fixed {
            let given = operands.len();
            return frame.error(format!("wrong number of args for {name}: want at least {fixed} got {given}"));
        }
        if !variadic && count != fixed {
            return frame.error(format!("wrong number of args for {name}: want {fixed} got {count}"));
        }
        let param = |index: usize| params.get(index).or(params.last()).copied().unwrap_or(Param::Any);
        let mut values = Vec::with_capacity(count);
        for (index, operand) in operands.iter().enumerate() {
            values.push(self.argument(frame, dot, param(index), operand)?);
        }
        if let Some(value) = last {
            values.push(self.checked(frame, value, param(count - 1))?);
        }
        Ok(values)
    }

    fn checked(&self, frame: &Frame<'t>, value: Value, param: Param) -> Executed<Value> {
        if param.accepts(&value) || (matches!(value, Value::Nil) && param.takes_nil()) {
            return Ok(value);
        }
        let expected = param.type_name();
        match value {
            Value::Nil => frame.error(format!("invalid value; expected {expected}")),
            value => {
                let got = value.type_name();
                frame.error(format!("wrong type for value; expected {expected}; got {got}"))
            }
        }
    }

    fn argument(&mut self, frame: &mut Frame<'t>, dot: &Value, param: Param, operand: &'t Operand) -> Executed<Value> {
        frame.place = Place::Operand(operand);
        let value = match operand {
            Operand::Nil { .. } if param.takes_nil() => return Ok(Value::Nil),
            Operand::Nil { .. } => return frame.error(format!("cannot assign nil to {}", param.type_name())),
            Operand::Bool { .. } | Operand::Number { .. } | Operand::Text { .. } => {
                return self.constant(frame, param, operand);
            }
            operand => self.any(frame, dot, operand)?,
        };
        self.checked(frame, value, param)
    }

    /// A constant where a type is wanted.
    fn constant(&mut self, frame: &mut Frame<'t>, param: Param, operand: &'t Operand) -> Executed<Value> {
        match (param, operand) {
            (Param::Any, operand) => self.any(frame, &Value::Nil, operand),
            (Param::Text, Operand::Text { text, .. }) => Ok(Value::Text(text.clone())),
            (Param::Text, _) => frame.error(format!("expected string; found {operand}")),
            (Param::Int, Operand::Number { number: Number { int: Some(int), .. }, .. }) => Ok(Value::Int(*int)),
            // To Go a duration is an integer, so that `.StartsAt.Add 3600e9` is an hour later.
            (Param::Duration, Operand::Number { number: Number { int: Some(int), .. }, .. }) => {
                Ok(Value::Duration(GoDuration::from_nanos(*int)))
            }
            (Param::Int | Param::Duration, _) => frame.error(format!("expected integer; found {operand}")),
            (Param::Float, Operand::Number { number: Number { float: Some(float), .. }, .. }) => {
                Ok(Value::Float(*float))
            }
            (Param::Float, _) => frame.error(format!("expected float; found {operand}")),
            (param, operand) => frame.error(format!("can't handle {operand} for arg of type {}", param.type_name())),
        }
    }

    /// The value of an operand of whatever type it has.
    fn any(&mut self, frame: &mut Frame<'t>, dot: &Value, operand: &'t Operand) -> Executed<Value> {
        match operand {
            Operand::Bool { truth, .. } => Ok(Value::Bool(*truth)),
            Operand::Number { number, .. } => match ideal(number) {
                Ok(value) => Ok(value),
                Err(message) => frame.error(message),
            },
            Operand::Text { text, .. } => Ok(Value::Text(text.clone())),
            Operand::Nil { .. } => Ok(Value::Nil),
            Operand::Dot { .. } => Ok(dot.clone()),
            Operand::Field { path, .. } => self.chain(frame, dot, dot.clone(), operand, path, &[], None),
            Operand::Variable { path, .. } => {
                let value = self.variable_start(frame, path)?;
                self.chain(frame, dot, value, operand, path.get(1..).unwrap_or(&[]), &[], None)
            }
            Operand::Function { name, callee, .. } => {
                self.function(frame, dot, Place::Operand(operand), name, *callee, &[], None)
            }
            Operand::Chain { of, path, .. } => {
                let receiver = self.chain_start(frame, dot, of)?;
                self.chain(frame, dot, receiver, operand, path, &[], None)
            }
            Operand::Pipe(pipe) => self.pipeline(frame, dot, pipe),
        }
    }
}

/// Refuses a value that is too long or too deep to go on with.
pub(crate) fn bounded(value: Value) -> Result<Value, String> {
    if value.as_text().is_some_and(|text| text.len() > TEXT_BYTES_MAX) {
        return Err(too_long());
    }
    if value.depth() > VALUE_DEPTH_MAX {
        return Err(format!("the value would be nested more than {VALUE_DEPTH_MAX} deep"));
    }
    Ok(value)
}

/// A pipeline that ends in `html` or `urlquery` has done the escaping itself.
fn escaped_already(pipe: &Pipe, value: Value) -> Value {
    let last = pipe.commands.last().and_then(|command| command.operands.first());
    match (last, &value) {
        (Some(Operand::Function { name, .. }), Value::Text(text)) if name == "html" => {
            Value::Safe(Safe::Html, text.clone())
        }
        (Some(Operand::Function { name, .. }), Value::Text(text)) if name == "urlquery" => {
            Value::Safe(Safe::Url, text.clone())
        }
        _ => value,
    }
}

/// The value of a number where no type is wanted: its spelling decides.
fn ideal(number: &Number) -> Result<Value, String> {
    if number.complex {
        return Err(format!("complex number {} is not supported", number.text));
    }
    let text = number.text.to_ascii_lowercase();
    let hexadecimal = text.starts_with("0x") && !text.contains('p');
    let looks_float = !hexadecimal && !text.starts_with('\'') && text.contains(['.', 'e', 'p']);
    match (number.float, number.int) {
        (Some(float), _) if looks_float => Ok(Value::Float(float)),
        (_, Some(int)) => Ok(Value::Int(int)),
        _ => Err(format!("{} overflows int", number.text)),
    }
}
