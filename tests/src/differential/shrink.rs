//! From a query that shows a difference to a smaller one that shows one too.

use watchfire_promql::syntax::Expr;
use watchfire_promql::{Features, parse_with};

/// Queries that are one step simpler, the simplest first.
pub(crate) fn simpler(query: &str) -> Vec<String> {
    let Ok(expr) = parse_with(query, Features::ALL) else { return halves(query) };
    let mut found = Vec::new();
    expr.walk(&mut |part| {
        if !std::ptr::eq(part, &expr) {
            found.push(part.to_string());
        }
    });
    let nodes = count(&expr);
    for index in 0..nodes {
        for variant in 0..6 {
            let mut changed = expr.clone();
            if edit(&mut changed, &mut { index }, variant) {
                found.push(changed.to_string());
            }
        }
    }
    found.retain(|text| text.len() < query.len());
    found.sort_by_key(String::len);
    found.dedup();
    found
}

/// What does not parse is cut where it has brackets.
fn halves(query: &str) -> Vec<String> {
    let cuts = query.char_indices().filter(|(_, c)| "()[]{},".contains(*c)).map(|(at, _)| at);
    cuts.flat_map(|at| [query[..at].to_owned(), query[at + 1..].to_owned()])
        .filter(|half| !half.trim().is_empty())
        .collect()
}

fn count(expr: &Expr) -> usize {
    let mut nodes = 0;
    expr.walk(&mut |_| nodes += 1);
    nodes
}

/// Makes one part of the `index`-th node simpler; false if there is nothing of that kind.
fn edit(expr: &mut Expr, index: &mut usize, variant: u32) -> bool {
    if *index == 0 {
        return simplify(expr, variant);
    }
    *index -= 1;
    match expr {
        Expr::Number(_) | Expr::String(_) | Expr::Vector(_) | Expr::Matrix(_) => false,
        Expr::Subquery(subquery) => child(&mut subquery.expr, index, variant),
        Expr::Call(call) => {
            for argument in &mut call.args {
                if let Some(done) = visit(argument, index, variant) {
                    return done;
                }
            }
            false
        }
        Expr::Aggregate(aggregate) => {
            if let Some(param) = &mut aggregate.param
                && let Some(done) = visit(param, index, variant)
            {
                return done;
            }
            child(&mut aggregate.expr, index, variant)
        }
        Expr::Binary(binary) => match visit(&mut binary.lhs, index, variant) {
            Some(done) => done,
            None => child(&mut binary.rhs, index, variant),
        },
        Expr::Unary(unary) => child(&mut unary.expr, index, variant),
        Expr::Paren(paren) => child(&mut paren.expr, index, variant),
    }
}

fn child(expr: &mut Expr, index: &mut usize, variant: u32) -> bool {
    visit(expr, index, variant).unwrap_or(false)
}

/// Edits within `expr` if the node is there; else counts its nodes off.
fn visit(expr: &mut Expr, index: &mut usize, variant: u32) -> Option<bool> {
    let nodes = count(expr);
    if *index < nodes {
        return Some(edit(expr, index, variant));
    }
    *index -= nodes;
    None
}

fn simplify(expr: &mut Expr, variant: u32) -> bool {
    match (variant, expr) {
        (0, Expr::Vector(selector)) => selector.at.take().is_some(),
        (1, Expr::Vector(selector)) => selector.offset.take().is_some(),
        (2, Expr::Vector(selector)) => selector.matchers.len() > 1 && selector.matchers.pop().is_some(),
        (0, Expr::Matrix(matrix)) => matrix.selector.at.take().is_some(),
        (1, Expr::Matrix(matrix)) => matrix.selector.offset.take().is_some(),
        (2, Expr::Matrix(matrix)) => matrix.selector.matchers.len() > 1 && matrix.selector.matchers.pop().is_some(),
        (3, Expr::Matrix(matrix)) => matrix.selector.extension.take().is_some(),
        (0, Expr::Subquery(subquery)) => subquery.at.take().is_some(),
        (1, Expr::Subquery(subquery)) => subquery.offset.take().is_some(),
        (2, Expr::Subquery(subquery)) => subquery.step.take().is_some(),
        (0, Expr::Aggregate(aggregate)) => aggregate.grouping.pop().is_some(),
        (0, Expr::Binary(binary)) => std::mem::take(&mut binary.return_bool),
        (1, Expr::Binary(binary)) => binary.matching.as_mut().is_some_and(|matching| matching.include.pop().is_some()),
        (2, Expr::Binary(binary)) => binary.matching.as_mut().is_some_and(|matching| matching.labels.pop().is_some()),
        // An operand or argument stands in for the whole.
        (3, part) => replace(part, 0),
        (4, part) => replace(part, 1),
        (5, part) => replace(part, 2),
        _ => false,
    }
}

fn replace(expr: &mut Expr, position: usize) -> bool {
    let part = match expr {
        Expr::Call(call) => call.args.get(position).cloned(),
        Expr::Aggregate(aggregate) if position == 0 => Some((*aggregate.expr).clone()),
        Expr::Binary(binary) if position == 0 => Some((*binary.lhs).clone()),
        Expr::Binary(binary) if position == 1 => Some((*binary.rhs).clone()),
        Expr::Unary(unary) if position == 0 => Some((*unary.expr).clone()),
        Expr::Paren(paren) if position == 0 => Some((*paren.expr).clone()),
        _ => None,
    };
    let fits = part.filter(|part| part.value_type() == expr.value_type());
    if let Some(part) = fits {
        *expr = part;
        return true;
    }
    false
}
