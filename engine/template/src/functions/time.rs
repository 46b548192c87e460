//! Time: `now`, conversions, zones and layouts.

use super::{Function, Param, number, text};
use crate::time::{GoDuration, GoTime};
use crate::value::Value;

pub(super) const PROMETHEUS: &[Function] = &[
    Function {
        name: "now",
        params: &[],
        variadic: false,
        call: |context, _| Ok(Value::Float(context.now.as_secs_f64())),
    },
    Function {
        name: "toTime",
        params: &[Param::Any],
        variadic: false,
        call: |_, a| number::to_time(number::number(a)?).map(Value::Time),
    },
    Function {
        name: "toDuration",
        params: &[Param::Any],
        variadic: false,
        call: |_, a| Ok(Value::Duration(GoDuration::from_nanos((number::number(a)? * 1e9) as i64))),
    },
];

pub(super) const ALERTMANAGER: &[Function] = &[
    Function {
        name: "date",
        params: &[Param::Text, Param::Time],
        variadic: false,
        call: |_, a| Ok(time(a, 1).format(text(a, 0)).into()),
    },
    Function {
        name: "tz",
        params: &[Param::Text, Param::Time],
        variadic: false,
        call: |_, a| time(a, 1).in_zone(text(a, 0)).map(Value::Time),
    },
    Function {
        name: "since",
        params: &[Param::Time],
        variadic: false,
        call: |context, a| Ok(Value::Duration(GoTime::from_timestamp(context.now).since(time(a, 0)))),
    },
    Function { name: "now", params: &[], variadic: false, call: |context, _| Ok(Value::time(context.now)) },
    Function {
        name: "toDate",
        params: &[Param::Text, Param::Text],
        variadic: false,
        call: |_, a| Ok(Value::Time(GoTime::parse(text(a, 0), text(a, 1)).unwrap_or_else(|_| GoTime::zero()))),
    },
    Function {
        name: "mustToDate",
        params: &[Param::Text, Param::Text],
        variadic: false,
        call: |_, a| GoTime::parse(text(a, 0), text(a, 1)).map(Value::Time),
    },
];

fn time(arguments: &[Value], index: usize) -> GoTime {
    match arguments.get(index) {
        Some(Value::Time(time)) => *time,
        _ => GoTime::zero(),
    }
}
