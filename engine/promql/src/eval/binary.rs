//! Binary operators between scalars, vectors, and both.

use std::sync::Arc;

use watchfire_tsdb::{CounterResetHint, Histogram, HistogramError, SampleValue};

use super::Evaluator;
use super::element::{Element, Interner, Metric, NameState, is_metadata, mix, refuse_equal};
use crate::QueryError;
use crate::annotations::Combination;
use crate::plan::{BinaryPlan, Node};
use crate::syntax::{BinaryOp, Cardinality, Matching, Span, ValueType, quote};

/// Applies an operator to two numbers; a comparison gives 0 or 1.
pub(crate) fn scalar_operation(op: BinaryOp, a: f64, b: f64) -> f64 {
    match op {
        BinaryOp::Add => a + b,
        BinaryOp::Sub => a - b,
        BinaryOp::Mul => a * b,
        BinaryOp::Div => a / b,
        BinaryOp::Mod => a % b,
        BinaryOp::Pow => power(a, b),
        BinaryOp::Atan2 => a.atan2(b),
        BinaryOp::And | BinaryOp::Or | BinaryOp::Unless | BinaryOp::TrimUpper | BinaryOp::TrimLower => f64::NAN,
        comparison => f64::from(u8::from(compare(comparison, a, b))),
    }
}

/// Go and Rust agree but for the power of minus one to infinity, which both call one.
fn power(a: f64, b: f64) -> f64 {
    a.powf(b)
}

pub(super) fn compare(op: BinaryOp, a: f64, b: f64) -> bool {
    match op {
        BinaryOp::Equal => a == b,
        BinaryOp::NotEqual => a != b,
        BinaryOp::Less => a < b,
        BinaryOp::LessOrEqual => a <= b,
        BinaryOp::Greater => a > b,
        BinaryOp::GreaterOrEqual => a >= b,
        _ => true,
    }
}

/// Whether the result is another metric than the operands, so that it cannot have their name.
pub(super) fn changes_metric(op: BinaryOp) -> bool {
    matches!(
        op,
        BinaryOp::Add | BinaryOp::Sub | BinaryOp::Mul | BinaryOp::Div | BinaryOp::Mod | BinaryOp::Pow | BinaryOp::Atan2
    )
}

/// What came out of one pair of samples.
enum Outcome {
    /// The value, and whether a filter lets it pass.
    Value(SampleValue, bool),
    /// There is no such operation; the reason has been noted.
    Nothing,
}

/// The series of both sides by the labels that decide which of them meet.
pub(super) struct Join<'p> {
    pub(super) on: bool,
    pub(super) names: &'p [String],
}

impl Join<'_> {
    fn hash(&self, element: &Element<'_>) -> u64 {
        if self.on {
            return self.names.iter().fold(0, |hash, name| mix(hash, element.get(name)));
        }
        let labels = element.labels().filter(|label| !self.ignores(label.name));
        labels.fold(0, |hash, label| mix(mix(hash, label.name), label.value))
    }

    fn ignores(&self, name: &str) -> bool {
        self.names.iter().any(|n| n == name)
    }

    fn same(&self, a: &Element<'_>, b: &Element<'_>) -> bool {
        if self.on {
            return self.names.iter().all(|name| a.get(name) == b.get(name));
        }
        a.labels().filter(|l| !self.ignores(l.name)).eq(b.labels().filter(|l| !self.ignores(l.name)))
    }

    /// For each element a number that is equal for those that meet, over both sides; and how many numbers there are.
    pub(super) fn numbers(&self, left: &[Element<'_>], right: &[Element<'_>]) -> (Vec<usize>, Vec<usize>, usize) {
        let mut interner = Interner::with_capacity(left.len().max(right.len()));
        let mut representatives: Vec<&Element<'_>> = Vec::with_capacity(left.len());
        let mut number = |element| {
            let next = representatives.len();
            let found = interner.intern(self.hash(element), next, |i| self.same(representatives[i], element));
            if found == next {
                representatives.push(element);
            }
            found
        };
        let left = left.iter().map(&mut number).collect();
        let right = right.iter().map(&mut number).collect();
        (left, right, representatives.len())
    }
}

impl<'s, 'a> Evaluator<'s, 'a> {
    pub(super) fn binary(
        &mut self,
        node: &'s Node,
        plan: &'s BinaryPlan,
        at: i64,
    ) -> Result<Vec<Element<'a>>, QueryError> {
        match (plan.left.value_type, plan.right.value_type, &plan.matching) {
            (ValueType::Vector, ValueType::Vector, Some(matching)) => {
                let left = self.vector(&plan.left, at)?;
                let base = self.samples;
                self.samples += left.len() as u64;
                let right = self.vector(&plan.right, at)?;
                self.samples = base;
                let join = Join { on: matching.on, names: &plan.signature };
                match plan.op {
                    BinaryOp::And => Ok(and(left, &right, &join)),
                    BinaryOp::Or => Ok(or(left, right, &join)),
                    BinaryOp::Unless => Ok(unless(left, &right, &join)),
                    _ => self.vectors(node, plan, matching, &join, left, right),
                }
            }
            (ValueType::Vector, _, _) => {
                let vector = self.vector(&plan.left, at)?;
                let number = self.scalar(&plan.right, at)?;
                self.vector_and_scalar(node, plan, vector, number, false)
            }
            _ => {
                let number = self.scalar(&plan.left, at)?;
                let vector = self.vector(&plan.right, at)?;
                self.vector_and_scalar(node, plan, vector, number, true)
            }
        }
    }

    fn vector_and_scalar(
        &mut self,
        node: &'s Node,
        plan: &'s BinaryPlan,
        mut vector: Vec<Element<'a>>,
        number: f64,
        scalar_is_left: bool,
    ) -> Result<Vec<Element<'a>>, QueryError> {
        let renames = changes_metric(plan.op) || plan.return_bool;
        let dropped = self.dropped();
        let scalar = SampleValue::Float(number);
        vector.retain_mut(|element| {
            if let SampleValue::Float(value) = &mut element.value {
                // The common case in place: a threshold over many series keeps few of them.
                let (a, b) = if scalar_is_left { (number, *value) } else { (*value, number) };
                if plan.op.is_comparison() {
                    let passes = compare(plan.op, a, b);
                    if plan.return_bool {
                        *value = f64::from(u8::from(passes));
                    } else if !passes {
                        return false;
                    }
                } else if matches!(plan.op, BinaryOp::TrimUpper | BinaryOp::TrimLower) {
                    self.notes.incompatible_types("float", plan.op.symbol(), "float", node.span);
                    return false;
                } else {
                    *value = scalar_operation(plan.op, a, b);
                }
            } else {
                let (a, b) = if scalar_is_left { (&scalar, &element.value) } else { (&element.value, &scalar) };
                match self.operate(plan.op, a, b, node.span) {
                    Outcome::Value(value, passes) if plan.return_bool => {
                        let _ = value;
                        element.value = SampleValue::Float(f64::from(u8::from(passes)));
                    }
                    Outcome::Value(value, true) => element.value = value,
                    Outcome::Value(_, false) | Outcome::Nothing => return false,
                }
            }
            if renames {
                element.drop_name(dropped);
            }
            true
        });
        if renames {
            let operand = if scalar_is_left { &plan.right } else { &plan.left };
            self.refuse_equal_if_renamed(operand, &vector)?;
        }
        Ok(vector)
    }

    /// One operation on two samples.
    fn operate(&mut self, op: BinaryOp, a: &SampleValue, b: &SampleValue, span: Span) -> Outcome {
        use SampleValue::{Float, Histogram as Native};
        let compacted = |mut histogram: Histogram| {
            histogram.compact();
            Outcome::Value(Native(Arc::new(histogram)), true)
        };
        let kind = |value: &SampleValue| if matches!(value, Float(_)) { "float" } else { "histogram" };
        match (a, b, op) {
            (Float(_), Float(_), BinaryOp::TrimUpper | BinaryOp::TrimLower) => {}
            (Float(x), Float(y), _) if op.is_comparison() => return Outcome::Value(Float(*x), compare(op, *x, *y)),
            (Float(x), Float(y), _) => return Outcome::Value(Float(scalar_operation(op, *x, *y)), true),
            (Float(x), Native(h), BinaryOp::Mul) | (Native(h), Float(x), BinaryOp::Mul) => {
                let mut scaled = Histogram::clone(h);
                scaled.scale(*x);
                return compacted(scaled);
            }
            (Native(h), Float(x), BinaryOp::Div) => {
                let mut divided = Histogram::clone(h);
                divided.divide(*x);
                return compacted(divided);
            }
            (Native(h), Float(x), BinaryOp::TrimUpper | BinaryOp::TrimLower) => {
                let mut trimmed = Histogram::clone(h);
                if op == BinaryOp::TrimUpper {
                    trimmed.keep_below(*x);
                } else {
                    trimmed.keep_above(*x);
                }
                return Outcome::Value(Native(Arc::new(trimmed)), true);
            }
            (Native(x), Native(y), BinaryOp::Add | BinaryOp::Sub) => {
                let mut sum = Histogram::clone(x);
                let (combined, combination) = if op == BinaryOp::Add {
                    (sum.add(y), Combination::Addition)
                } else {
                    (sum.subtract(y), Combination::Subtraction)
                };
                match combined {
                    Ok(notes) => {
                        if op == BinaryOp::Sub {
                            sum.counter_reset_hint = CounterResetHint::Gauge;
                        }
                        if notes.counter_reset_collision {
                            self.notes.reset_collision(combination, span);
                        }
                        if notes.bounds_reconciled {
                            self.notes.bounds_reconciled(combination, span);
                        }
                        return compacted(sum);
                    }
                    Err(HistogramError::IncompatibleSchema) => {
                        self.notes.incompatible_bucket_layout(op.symbol(), span);
                        return Outcome::Nothing;
                    }
                    Err(_) => return Outcome::Nothing,
                }
            }
            (Native(x), Native(y), BinaryOp::Equal) => return Outcome::Value(a.clone(), x.same_bits(y)),
            (Native(x), Native(y), BinaryOp::NotEqual) => return Outcome::Value(a.clone(), !x.same_bits(y)),
            _ => {}
        }
        self.notes.incompatible_types(kind(a), op.symbol(), kind(b), span);
        Outcome::Nothing
    }

    /// Arithmetic and comparison between two vectors.
    fn vectors(
        &mut self,
        node: &'s Node,
        plan: &'s BinaryPlan,
        matching: &'s Matching,
        join: &Join<'_>,
        left: Vec<Element<'a>>,
        right: Vec<Element<'a>>,
    ) -> Result<Vec<Element<'a>>, QueryError> {
        let filled = matching.fill_left.is_some() || matching.fill_right.is_some();
        if (left.is_empty() && right.is_empty()) || ((left.is_empty() || right.is_empty()) && !filled) {
            return Ok(Vec::new());
        }
        // From here on the right side is the "one" side.
        let swapped = matching.cardinality == Cardinality::OneToMany;
        let (many, one) = if swapped { (right, left) } else { (left, right) };
        let (fill_many, fill_one) = (matching.fill_left, matching.fill_right);
        let (many_numbers, one_numbers, count) = join.numbers(&many, &one);
        let mut partners: Vec<Option<usize>> = vec![None; count];
        for (i, number) in one_numbers.iter().enumerate() {
            if let Some(other) = partners[*number].replace(i) {
                return Err(duplicate(join, matching, swapped, &one[i], &one[other]));
            }
        }
        let one_to_one = matching.cardinality == Cardinality::OneToOne;
        let mut out = Vec::with_capacity(many.len().min(count));
        let mut matched: Vec<bool> = vec![false; count];
        let mut inserted = Inserted::default();
        let mut pair = |this: &mut Self, many: &Element<'a>, one: &Element<'a>, number: usize, fills: bool| {
            // What gave no result before is filled in as if it were not there.
            if fills && matched[number] {
                return Ok(());
            }
            let (a, b) = if swapped { (&one.value, &many.value) } else { (&many.value, &one.value) };
            let (value, passes) = match this.operate(plan.op, a, b, node.span) {
                Outcome::Value(value, passes) => (value, passes),
                Outcome::Nothing => return Ok(()),
            };
            if one_to_one {
                if std::mem::replace(&mut matched[number], true) {
                    let message =
                        "multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)";
                    return Err(QueryError::Execution(message.to_owned()));
                }
                if !passes && !plan.return_bool {
                    return Ok(());
                }
            }
            let mut element = result(plan, matching, many, one, this.options.delayed_name_removal);
            if !one_to_one {
                matched[number] = true;
                // Even what a filter drops must not match twice.
                if !inserted.insert(number, &element) {
                    let message = "multiple matches for labels: grouping labels must ensure unique matches";
                    return Err(QueryError::Execution(message.to_owned()));
                }
                if !passes && !plan.return_bool {
                    return Ok(());
                }
            }
            element.value = if plan.return_bool { SampleValue::Float(f64::from(u8::from(passes))) } else { value };
            out.push(element);
            Ok(())
        };
        for (element, number) in many.iter().zip(&many_numbers) {
            match (partners[*number], fill_one) {
                (Some(partner), _) => pair(self, element, &one[partner], *number, false)?,
                (None, Some(fill)) => pair(self, element, &stand_in(join, element, fill), *number, false)?,
                (None, None) => {}
            }
        }
        if let Some(fill) = fill_many {
            for (element, number) in one.iter().zip(&one_numbers) {
                pair(self, &stand_in(join, element, fill), element, *number, true)?;
            }
        }
        if !one_to_one && !self.options.delayed_name_removal {
            refuse_equal(&out)?;
        }
        Ok(out)
    }
}

/// What comes out where two series meet, without its value.
pub(super) fn result<'a>(
    plan: &BinaryPlan,
    matching: &Matching,
    many: &Element<'a>,
    one: &Element<'a>,
    delayed: bool,
) -> Element<'a> {
    let renames = changes_metric(plan.op) || (plan.return_bool && !delayed);
    let name = if renames || many.name == NameState::Hidden {
        NameState::Hidden
    } else if plan.return_bool {
        NameState::DropAtEnd
    } else {
        NameState::Kept
    };
    if matching.cardinality == Cardinality::OneToOne {
        let metric = plan.labels.as_ref().map_or_else(|| many.metric.clone(), |labels| many.part(labels));
        return Element::new(metric, 0.0, name);
    }
    if matching.include.is_empty() {
        return Element::new(many.metric.clone(), 0.0, name);
    }
    let mut builder = many.kept_labels(|name| !(renames && is_metadata(name))).to_builder();
    for label in &matching.include {
        // A label that the other side does not have is removed by this.
        builder.set(label.clone(), one.get(label));
    }
    // What was to be hidden has been left out.
    let name = if name == NameState::Hidden { NameState::Kept } else { name };
    Element::new(Metric::Made(builder.build()), 0.0, name)
}

/// Which results each group of meeting series has given.
#[derive(Default)]
struct Inserted<'a> {
    interner: Interner,
    elements: Vec<(usize, Element<'a>)>,
}

impl<'a> Inserted<'a> {
    /// Whether this is the first result of the group with these labels.
    fn insert(&mut self, group: usize, element: &Element<'a>) -> bool {
        let next = self.elements.len();
        let hash = element.hash().wrapping_add(group as u64);
        let elements = &self.elements;
        let found = self.interner.intern(hash, next, |i| elements[i].0 == group && elements[i].1.same_labels(element));
        if found == next {
            self.elements.push((group, element.clone()));
        }
        found == next
    }
}

/// What takes the place of a series that one side does not have.
fn stand_in<'a>(join: &Join<'_>, element: &Element<'a>, value: f64) -> Element<'a> {
    let labels = element.kept_labels(|name| join.ignores(name) == join.on);
    Element::new(Metric::Made(labels), value, NameState::Kept)
}

fn duplicate(join: &Join<'_>, matching: &Matching, swapped: bool, a: &Element<'_>, b: &Element<'_>) -> QueryError {
    let side = if swapped { "left" } else { "right" };
    let group = a.kept_labels(|name| if matching.on { join.ignores(name) } else { !join.ignores(name) });
    let mut both = [a, b].map(|e| labels_text(e.labels().map(|l| (l.name, l.value))));
    both.sort_unstable();
    let group = labels_text(group.iter().map(|l| (l.name, l.value)));
    QueryError::Execution(format!(
        "found duplicate series for the match group {group} on the {side} hand-side of the operation: [{}, {}]\
         ;many-to-many matching not allowed: matching labels must be unique on one side",
        both[0], both[1]
    ))
}

fn labels_text<'l>(labels: impl Iterator<Item = (&'l str, &'l str)>) -> String {
    let parts: Vec<String> = labels.map(|(name, value)| format!("{name}={}", quote(value))).collect();
    format!("{{{}}}", parts.join(", "))
}

fn and<'a>(mut left: Vec<Element<'a>>, right: &[Element<'a>], join: &Join<'_>) -> Vec<Element<'a>> {
    if left.is_empty() || right.is_empty() {
        return Vec::new();
    }
    let present = presence(right, join);
    left.retain(|element| present.contains(element, join));
    left
}

fn unless<'a>(mut left: Vec<Element<'a>>, right: &[Element<'a>], join: &Join<'_>) -> Vec<Element<'a>> {
    if left.is_empty() || right.is_empty() {
        return left;
    }
    let present = presence(right, join);
    left.retain(|element| !present.contains(element, join));
    left
}

fn or<'a>(mut left: Vec<Element<'a>>, right: Vec<Element<'a>>, join: &Join<'_>) -> Vec<Element<'a>> {
    if left.is_empty() {
        return right;
    }
    let present = presence(&left, join);
    let added: Vec<Element<'a>> = right.into_iter().filter(|element| !present.contains(element, join)).collect();
    drop(present);
    left.extend(added);
    left
}

/// Which groups one side has.
struct Presence<'v, 'a> {
    interner: Interner,
    vector: &'v [Element<'a>],
}

fn presence<'v, 'a>(vector: &'v [Element<'a>], join: &Join<'_>) -> Presence<'v, 'a> {
    let mut interner = Interner::with_capacity(vector.len());
    for (i, element) in vector.iter().enumerate() {
        interner.intern(join.hash(element), i, |other| join.same(&vector[other], element));
    }
    Presence { interner, vector }
}

impl Presence<'_, '_> {
    fn contains(&self, element: &Element<'_>, join: &Join<'_>) -> bool {
        self.interner.find(join.hash(element), |other| join.same(&self.vector[other], element)).is_some()
    }
}
