//! Builds the syntax tree from tokens.

use std::collections::VecDeque;
use std::sync::Arc;

use super::lexer::{Kind, Lexer, Token};
use super::node::{Callee, Command, Control, ControlKind, Node, Number, Operand, Pipe, Source, Tree, is_blank};
use super::number::parse_number;
use super::quote::{quote, unquote};
use crate::functions::Functions;

/// How deep expressions and blocks may nest.
const NESTING_MAX: usize = 100;

/// A message, and the line and byte of the text that it is about.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) line: usize,
    pub(crate) at: usize,
    pub(crate) message: String,
}

/// The templates that a text defines, each name once: its `define` and `block` parts, and itself.
pub(crate) fn parse(source: &Arc<Source>, functions: &Functions) -> Result<Vec<Tree>, Failure> {
    let mut parser = Parser {
        lexer: Lexer::new(&source.text),
        source,
        functions,
        ahead: VecDeque::new(),
        line: 1,
        at: 0,
        scopes: vec![vec!["$".to_owned()]],
        ranges: 0,
        nesting: 0,
        action_line: 0,
        trees: Vec::new(),
    };
    let root = parser.top()?;
    parser.add(source.name.clone(), root)?;
    Ok(parser.trees)
}

/// What ends a list of nodes.
enum Closing {
    End,
    /// With what follows `else` on the same action: nothing, `if` or `with`.
    Else,
}

enum Item {
    Node(Node),
    Closing(Closing),
}

struct Parser<'t> {
    lexer: Lexer<'t>,
    source: &'t Arc<Source>,
    functions: &'t Functions,
    /// Tokens that were looked at and put back.
    ahead: VecDeque<Token>,
    /// The line of the token that was looked at last, which is what errors name.
    line: usize,
    /// Where that token begins.
    at: usize,
    /// The variables in scope, one list per template that is being parsed.
    scopes: Vec<Vec<String>>,
    ranges: usize,
    nesting: usize,
    action_line: usize,
    trees: Vec<Tree>,
}

type Parsed<T> = Result<T, Failure>;

impl Parser<'_> {
    fn next(&mut self) -> Token {
        let token = self.ahead.pop_front().unwrap_or_else(|| self.lexer.next_token());
        (self.line, self.at) = (token.line, token.at);
        token
    }

    fn peek(&mut self) -> &Token {
        if self.ahead.is_empty() {
            let token = self.lexer.next_token();
            self.ahead.push_back(token);
        }
        (self.line, self.at) = (self.ahead[0].line, self.ahead[0].at);
        &self.ahead[0]
    }

    fn back(&mut self, token: Token) {
        self.ahead.push_front(token);
    }

    fn next_non_space(&mut self) -> Token {
        loop {
            let token = self.next();
            if token.kind != Kind::Space {
                return token;
            }
        }
    }

    fn peek_non_space(&mut self) -> Token {
        let token = self.next_non_space();
        self.back(token.clone());
        token
    }

    fn error<T>(&self, message: impl Into<String>) -> Parsed<T> {
        Err(Failure { line: self.line, at: self.at, message: message.into() })
    }

    fn unexpected<T>(&self, token: &Token, context: &str) -> Parsed<T> {
        if token.kind != Kind::Error {
            return self.error(format!("unexpected {token} in {context}"));
        }
        let mut extra = String::new();
        if self.action_line != 0 && self.action_line != token.line {
            let action = if token.text.ends_with(" action") { "" } else { " in action" };
            extra = format!("{action} started at {}:{}", self.source.name, self.action_line);
        }
        self.error(format!("{token}{extra}"))
    }

    fn expect(&mut self, kind: Kind, context: &str) -> Parsed<Token> {
        let token = self.next_non_space();
        if token.kind == kind { Ok(token) } else { self.unexpected(&token, context) }
    }

    fn variables(&mut self) -> &mut Vec<String> {
        if self.scopes.is_empty() {
            self.scopes.push(Vec::new());
        }
        let last = self.scopes.len() - 1;
        &mut self.scopes[last]
    }

    fn deeper(&mut self) -> Parsed<()> {
        self.nesting += 1;
        if self.nesting > NESTING_MAX { self.error("max expression depth exceeded") } else { Ok(()) }
    }

    fn top(&mut self) -> Parsed<Vec<Node>> {
        let mut nodes = Vec::new();
        while self.peek().kind != Kind::Eof {
            if self.peek().kind == Kind::LeftDelimiter {
                let delimiter = self.next();
                let token = self.next_non_space();
                if token.kind == Kind::Define {
                    self.definition()?;
                    continue;
                }
                self.back(token);
                self.back(delimiter);
            }
            match self.text_or_action()? {
                Item::Node(node) => nodes.push(node),
                Item::Closing(Closing::End) => return self.error("unexpected {{end}}"),
                Item::Closing(Closing::Else) => return self.error("unexpected {{else}}"),
            }
        }
        Ok(nodes)
    }

    fn definition(&mut self) -> Parsed<()> {
        let context = "define clause";
        let token = self.next_non_space();
        let name = self.template_name(&token, context)?;
        self.expect(Kind::RightDelimiter, context)?;
        self.named_body(name, context)
    }

    /// The body of a `define` or `block` up to its `end`; it sees no variables of its surroundings.
    fn named_body(&mut self, name: String, context: &str) -> Parsed<()> {
        self.scopes.push(vec!["$".to_owned()]);
        let ranges = std::mem::take(&mut self.ranges);
        let (root, closing) = self.list()?;
        self.ranges = ranges;
        self.scopes.pop();
        if let Closing::Else = closing {
            return self.error(format!("unexpected {{{{else}}}} in {context}"));
        }
        self.add(name, root)
    }

    /// Of several with one name only one may have a body.
    fn add(&mut self, name: String, root: Vec<Node>) -> Parsed<()> {
        match self.trees.iter().position(|tree| tree.name == name) {
            Some(earlier) if is_blank(&self.trees[earlier].root) => drop(self.trees.remove(earlier)),
            Some(_) if is_blank(&root) => return Ok(()),
            Some(_) => return self.error(format!("template: multiple definition of template {}", quote(&name, false))),
            None => {}
        }
        self.trees.push(Tree { name, source: self.source.clone(), root });
        Ok(())
    }

    fn list(&mut self) -> Parsed<(Vec<Node>, Closing)> {
        self.deeper()?;
        let mut nodes = Vec::new();
        while self.peek_non_space().kind != Kind::Eof {
            match self.text_or_action()? {
                Item::Node(node) => nodes.push(node),
                Item::Closing(closing) => {
                    self.nesting -= 1;
                    return Ok((nodes, closing));
                }
            }
        }
        self.error("unexpected EOF")
    }

    fn text_or_action(&mut self) -> Parsed<Item> {
        let token = self.next_non_space();
        match token.kind {
            Kind::Text => Ok(Item::Node(Node::Text { at: token.at, text: token.text })),
            Kind::LeftDelimiter => {
                self.action_line = token.line;
                let item = self.action();
                self.action_line = 0;
                item
            }
            _ => self.unexpected(&token, "input"),
        }
    }

    fn action(&mut self) -> Parsed<Item> {
        let token = self.next_non_space();
        let node = match token.kind {
            Kind::Block => self.block()?,
            Kind::Break | Kind::Continue => {
                let name = format!("{{{{{}}}}}", token.text);
                let end = self.next_non_space();
                if end.kind != Kind::RightDelimiter {
                    return self.unexpected(&end, &name);
                }
                if self.ranges == 0 {
                    return self.error(format!("{name} outside {{{{range}}}}"));
                }
                let at = token.at;
                if token.kind == Kind::Break { Node::Break { at } } else { Node::Continue { at } }
            }
            Kind::Else => {
                let next = self.peek_non_space();
                if !matches!(next.kind, Kind::If | Kind::With) {
                    self.expect(Kind::RightDelimiter, "else")?;
                }
                return Ok(Item::Closing(Closing::Else));
            }
            Kind::End => {
                self.expect(Kind::RightDelimiter, "end")?;
                return Ok(Item::Closing(Closing::End));
            }
            Kind::If => self.control(ControlKind::If)?,
            Kind::Range => self.control(ControlKind::Range)?,
            Kind::With => self.control(ControlKind::With)?,
            Kind::Template => self.template()?,
            _ => {
                self.back(token);
                Node::Action(self.pipeline("command", Kind::RightDelimiter)?)
            }
        };
        Ok(Item::Node(node))
    }

    fn control(&mut self, kind: ControlKind) -> Parsed<Node> {
        let visible = self.variables().len();
        let pipe = self.pipeline(kind.as_str(), Kind::RightDelimiter)?;
        let in_range = usize::from(kind == ControlKind::Range);
        self.ranges += in_range;
        let (body, closing) = self.list()?;
        self.ranges -= in_range;
        let mut otherwise = None;
        if let Closing::Else = closing {
            let next = self.peek().kind;
            let chained = match kind {
                ControlKind::If => next == Kind::If,
                ControlKind::With => next == Kind::With,
                ControlKind::Range => false,
            };
            if chained {
                // `{{else if}}` is `{{else}}{{if}}` with one `{{end}}` for both.
                self.next();
                self.deeper()?;
                let inner = self.control(kind)?;
                self.nesting -= 1;
                otherwise = Some(vec![inner]);
            } else {
                let (nodes, closing) = self.list()?;
                if let Closing::Else = closing {
                    return self.error("expected end; found {{else}}");
                }
                otherwise = Some(nodes);
            }
        }
        self.variables().truncate(visible);
        Ok(Node::Control(Control { kind, pipe, body, otherwise }))
    }

    fn block(&mut self) -> Parsed<Node> {
        let context = "block clause";
        let token = self.next_non_space();
        let name = self.template_name(&token, context)?;
        let pipe = self.pipeline(context, Kind::RightDelimiter)?;
        self.named_body(name.clone(), context)?;
        Ok(Node::Template { at: token.at, name, pipe: Some(pipe) })
    }

    fn template(&mut self) -> Parsed<Node> {
        let context = "template clause";
        let token = self.next_non_space();
        let name = self.template_name(&token, context)?;
        let next = self.next_non_space();
        let pipe = if next.kind == Kind::RightDelimiter {
            None
        } else {
            self.back(next);
            Some(self.pipeline(context, Kind::RightDelimiter)?)
        };
        Ok(Node::Template { at: token.at, name, pipe })
    }

    fn template_name(&mut self, token: &Token, context: &str) -> Parsed<String> {
        match token.kind {
            Kind::String | Kind::RawString => match unquote(&token.text) {
                Some(name) => Ok(name),
                None => self.error("invalid syntax"),
            },
            _ => self.unexpected(token, context),
        }
    }

    fn pipeline(&mut self, context: &str, end: Kind) -> Parsed<Pipe> {
        let mut pipe = Pipe { at: self.peek_non_space().at, ..Pipe::default() };
        self.declarations(&mut pipe, context)?;
        loop {
            let token = self.next_non_space();
            match token.kind {
                kind if kind == end => break,
                Kind::Bool
                | Kind::CharConstant
                | Kind::Complex
                | Kind::Dot
                | Kind::Field
                | Kind::Identifier
                | Kind::Number
                | Kind::Nil
                | Kind::RawString
                | Kind::String
                | Kind::Variable
                | Kind::LeftParen => {
                    self.back(token);
                    let command = self.command()?;
                    pipe.commands.push(command);
                }
                _ => return self.unexpected(&token, context),
            }
        }
        if pipe.commands.is_empty() {
            return self.error(format!("missing value for {context}"));
        }
        // Only the first command of a pipeline can be a plain value.
        for (stage, command) in pipe.commands.iter().enumerate().skip(1) {
            if command.operands.first().is_some_and(Operand::is_value) {
                return self.error(format!("non executable command in pipeline stage {}", stage + 1));
            }
        }
        Ok(pipe)
    }

    /// `$x :=`, `$x =`, `$i, $x :=` at the start of a pipeline, if they are there.
    fn declarations(&mut self, pipe: &mut Pipe, context: &str) -> Parsed<()> {
        loop {
            let variable = self.peek_non_space();
            if variable.kind != Kind::Variable {
                return Ok(());
            }
            self.next_non_space();
            let after = self.peek().clone();
            let next = self.next_non_space();
            let comma = next.kind == Kind::Char && next.text == ",";
            if !comma && !matches!(next.kind, Kind::Assign | Kind::Declare) {
                // An argument and no declaration: everything goes back as it was.
                self.back(next);
                if after.kind == Kind::Space {
                    self.back(after);
                }
                self.back(variable);
                return Ok(());
            }
            pipe.assigns = next.kind == Kind::Assign;
            pipe.variables.push(variable.text.clone());
            self.variables().push(variable.text);
            if !comma {
                return Ok(());
            }
            if context == "range" && pipe.variables.len() < 2 {
                match self.peek_non_space().kind {
                    Kind::Variable | Kind::RightDelimiter | Kind::RightParen => continue,
                    _ => return self.error("range can only initialize variables"),
                }
            }
            return self.error(format!("too many declarations in {context}"));
        }
    }

    fn command(&mut self) -> Parsed<Command> {
        let mut command = Command { at: self.peek_non_space().at, operands: Vec::new() };
        loop {
            self.peek_non_space();
            if let Some(operand) = self.operand()? {
                command.operands.push(operand);
            }
            let token = self.next();
            match token.kind {
                Kind::Space => continue,
                Kind::RightDelimiter | Kind::RightParen => self.back(token),
                Kind::Pipe => {}
                _ => return self.unexpected(&token, "operand"),
            }
            break;
        }
        if command.operands.is_empty() { self.error("empty command") } else { Ok(command) }
    }

    fn operand(&mut self) -> Parsed<Option<Operand>> {
        let Some(term) = self.term()? else {
            return Ok(None);
        };
        if self.peek().kind != Kind::Field {
            return Ok(Some(term));
        }
        let at = self.peek().at;
        let mut fields = Vec::new();
        while self.peek().kind == Kind::Field {
            let token = self.next();
            fields.push(token.text[1..].to_owned());
        }
        let operand = match term {
            Operand::Field { mut path, .. } => {
                path.append(&mut fields);
                Operand::Field { at, path }
            }
            Operand::Variable { mut path, .. } => {
                path.append(&mut fields);
                Operand::Variable { at, path }
            }
            value if value.is_value() => {
                let text = quote(&value.to_string(), false);
                return self.error(format!("unexpected . after term {text}"));
            }
            other => Operand::Chain { at, of: Box::new(other), path: fields },
        };
        Ok(Some(operand))
    }

    fn term(&mut self) -> Parsed<Option<Operand>> {
        let token = self.next_non_space();
        let at = token.at;
        let operand = match token.kind {
            Kind::Identifier => {
                let Some(callee) = self.callee(&token.text) else {
                    let name = quote(&token.text, false);
                    return self.error(format!("function {name} not defined"));
                };
                Operand::Function { at, name: token.text, callee }
            }
            Kind::Dot => Operand::Dot { at },
            Kind::Nil => Operand::Nil { at },
            Kind::Variable => {
                if !self.variables().contains(&token.text) {
                    let name = quote(&token.text, false);
                    return self.error(format!("undefined variable {name}"));
                }
                Operand::Variable { at, path: vec![token.text] }
            }
            Kind::Field => Operand::Field { at, path: vec![token.text[1..].to_owned()] },
            Kind::Bool => Operand::Bool { at, truth: token.text == "true" },
            Kind::CharConstant | Kind::Complex | Kind::Number => match parse_number(&token.text, token.kind) {
                Ok(number) => Operand::Number { at, number: Number { text: token.text, ..number } },
                Err(message) => return self.error(message),
            },
            Kind::LeftParen => {
                self.deeper()?;
                let pipe = self.pipeline("parenthesized pipeline", Kind::RightParen)?;
                self.nesting -= 1;
                Operand::Pipe(pipe)
            }
            Kind::String | Kind::RawString => match unquote(&token.text) {
                Some(text) => Operand::Text { at, quoted: token.text, text: text.into() },
                None => return self.error("invalid syntax"),
            },
            _ => {
                self.back(token);
                return Ok(None);
            }
        };
        Ok(Some(operand))
    }

    fn callee(&self, name: &str) -> Option<Callee> {
        Some(match name {
            "and" => Callee::And,
            "or" => Callee::Or,
            "call" => Callee::Call,
            _ => Callee::Function(self.functions.find(name)?),
        })
    }
}
