//! What a message template may do, because it can repeat and include itself: how deep its text nests, how often and how
//! deep the bodies of its blocks and partials are rendered, how long its output is.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use ::handlebars::template::{HelperTemplate, Parameter, TemplateElement};
use ::handlebars::{
    Context as Scope, Handlebars, Helper, HelperDef, HelperResult, Output, RenderContext, RenderError,
    RenderErrorReason, Renderable, Template,
};
use serde_json::Value as Json;

use super::failed;
use crate::functions::Limits;

/// How deep blocks, or brackets within a tag, may be nested. Parser and renderer go as deep.
const NESTING_MAX: usize = 32;
/// How deep bodies of blocks and partials may be rendered within one another. Each takes several frames of the stack.
const DEPTH_MAX: usize = 48;

/// Why a text is refused, and where if that is known.
pub(super) struct Refused {
    pub(super) at: Option<(usize, usize)>,
    pub(super) message: String,
}

/// Parses a text, and has its bodies counted when they are rendered.
pub(super) fn parse(name: &str, text: &str) -> Result<Template, Refused> {
    if nesting(text) > NESTING_MAX {
        let message = format!("blocks or brackets are nested more than {NESTING_MAX} deep");
        return Err(Refused { at: None, message });
    }
    let mut template = Template::compile_with_name(text, name.to_owned())
        .map_err(|error| Refused { at: error.pos(), message: error.reason().to_string() })?;
    count(&mut template)?;
    Ok(template)
}

/// How deep a text nests blocks, and brackets within each of its tags.
fn nesting(text: &str) -> usize {
    let (mut blocks, mut deepest) = (0_usize, 0);
    for tag in text.split("{{").skip(1) {
        let tag = tag.split("}}").next().unwrap_or("").trim_start_matches(['~', '{']);
        match tag.chars().next() {
            Some('#') => blocks += 1,
            Some('/') => blocks = blocks.saturating_sub(1),
            _ => {}
        }
        let mut brackets = 0_usize;
        for c in tag.chars() {
            match c {
                '(' | '[' | '{' => brackets += 1,
                ')' | ']' | '}' => brackets = brackets.saturating_sub(1),
                _ => {}
            }
            deepest = deepest.max(brackets);
        }
        deepest = deepest.max(blocks);
    }
    deepest
}

/// What is counted: where a body begins and ends. No text can name these helpers, because there is a space in it.
#[derive(Clone, Copy)]
enum Event {
    Enter,
    Leave,
}

impl Event {
    const ALL: [Event; 2] = [Event::Enter, Event::Leave];

    const fn name(self) -> &'static str {
        match self {
            Event::Enter => "enter body",
            Event::Leave => "leave body",
        }
    }
}

/// Puts an event at a place of a body.
fn insert(body: &mut Template, at: usize, event: Event) {
    let Ok(call) = Template::compile("{{x}}") else { return };
    let (Some(TemplateElement::Expression(mut helper)), Some(own)) =
        (call.elements.into_iter().next(), call.mapping.first())
    else {
        return;
    };
    helper.name = Parameter::Name(event.name().to_owned());
    let place = body.mapping.get(at.saturating_sub(1)).unwrap_or(own).clone();
    body.elements.insert(at, TemplateElement::Expression(helper));
    // The body of an `else if` has no places.
    if at <= body.mapping.len() {
        body.mapping.insert(at, place);
    }
}

/// Counts a body and those within it.
fn count(body: &mut Template) -> Result<(), Refused> {
    for (index, element) in body.elements.iter_mut().enumerate() {
        match element {
            TemplateElement::HelperBlock(helper) => {
                let HelperTemplate { template, inverse, .. } = &mut **helper;
                for inner in [template, inverse].into_iter().flatten() {
                    count(inner)?;
                }
            }
            TemplateElement::DecoratorBlock(inline) => {
                if let Some(inner) = &mut inline.template {
                    count(inner)?;
                }
            }
            // Its block would be rendered beside the output, and without a bound.
            TemplateElement::PartialBlock(_) => {
                let at = body.mapping.get(index).map(|place| (place.0, place.1));
                let message = "a partial with a block ({{#> x}}) is not supported: include it as {{> x}}".to_owned();
                return Err(Refused { at, message });
            }
            _ => {}
        }
    }
    insert(body, 0, Event::Enter);
    insert(body, body.elements.len(), Event::Leave);
    Ok(())
}

/// What one rendering has done so far.
struct Spent {
    bodies: AtomicUsize,
    depth: AtomicUsize,
}

struct Counter {
    event: Event,
    spent: Arc<Spent>,
    bodies_max: usize,
}

impl HelperDef for Counter {
    fn call<'reg: 'rc, 'rc>(
        &self,
        _: &Helper<'rc>,
        _: &'reg Handlebars<'reg>,
        _: &'rc Scope,
        _: &mut RenderContext<'reg, 'rc>,
        _: &mut dyn Output,
    ) -> HelperResult {
        if let Event::Leave = self.event {
            self.spent.depth.fetch_sub(1, Relaxed);
            return Ok(());
        }
        if self.spent.bodies.fetch_add(1, Relaxed) >= self.bodies_max {
            return Err(stopped(format!("stopped after {} bodies of blocks and partials", self.bodies_max)));
        }
        if self.spent.depth.fetch_add(1, Relaxed) >= DEPTH_MAX {
            return Err(stopped(format!("blocks and partials go more than {DEPTH_MAX} deep")));
        }
        Ok(())
    }
}

fn stopped(message: String) -> RenderError {
    RenderErrorReason::Other(message).into()
}

/// The output, as long as it is not too long.
struct Bounded {
    text: String,
    bytes_max: usize,
}

impl Output for Bounded {
    fn write(&mut self, text: &str) -> io::Result<()> {
        if self.text.len() + text.len() > self.bytes_max {
            return Err(io::Error::other(format!("stopped after {} bytes of output", self.bytes_max)));
        }
        self.text.push_str(text);
        Ok(())
    }
}

/// Renders a template within limits, of which the steps are bodies here.
pub(super) fn render(
    registry: &Handlebars<'static>,
    name: &str,
    data: Json,
    limits: Limits,
) -> Result<String, RenderError> {
    let Some(template) = registry.get_template(name) else {
        return Err(failed("render", &format!("there is no template {name:?}")));
    };
    let scope = Scope::from(data);
    let spent = Arc::new(Spent { bodies: AtomicUsize::new(0), depth: AtomicUsize::new(0) });
    let mut context = RenderContext::new(template.name.as_ref());
    for event in Event::ALL {
        let counter = Counter { event, spent: Arc::clone(&spent), bodies_max: limits.steps_max };
        context.register_local_helper(event.name(), Box::new(counter));
    }
    let mut out = Bounded { text: String::new(), bytes_max: limits.output_bytes_max };
    template.render(registry, &scope, &mut context, &mut out)?;
    Ok(out.text)
}

/// Whether a value takes more than so many bytes, about; it is not looked at further than that.
pub(super) fn is_larger_than(json: &Json, bytes: usize) -> bool {
    fn take(left: &mut usize, json: &Json) -> Option<()> {
        let own = match json {
            Json::String(text) => text.len(),
            Json::Object(members) => members.keys().map(String::len).sum(),
            _ => 0,
        };
        *left = left.checked_sub(own + size_of::<Json>())?;
        match json {
            Json::Array(items) => items.iter().try_for_each(|item| take(left, item)),
            Json::Object(members) => members.values().try_for_each(|member| take(left, member)),
            _ => Some(()),
        }
    }
    take(&mut { bytes }, json).is_none()
}

#[cfg(test)]
mod tests;
