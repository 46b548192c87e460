//! Values of the model in JSON.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{self, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use watchfire_model::{Anchoring, Annotations, Labels, LabelsBuilder, MatchOp, Matcher, RuleId, Timestamp};

/// A label set, as an object.
#[derive(Clone, Debug)]
pub(super) struct LabelSet(pub(super) Labels);

impl Serialize for LabelSet {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for label in self.0.iter() {
            map.serialize_entry(label.name, label.value)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for LabelSet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<LabelSet, D::Error> {
        struct Pairs;
        impl<'de> Visitor<'de> for Pairs {
            type Value = LabelSet;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of texts")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<LabelSet, A::Error> {
                let mut builder = LabelsBuilder::new();
                while let Some((name, value)) = map.next_entry::<String, String>()? {
                    builder.set(name, value);
                }
                Ok(LabelSet(builder.build()))
            }
        }
        deserializer.deserialize_map(Pairs)
    }
}

/// Annotations, as an object.
#[derive(Clone, Debug)]
pub(super) struct AnnotationSet(pub(super) Annotations);

impl Serialize for AnnotationSet {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter())
    }
}

impl<'de> Deserialize<'de> for AnnotationSet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<AnnotationSet, D::Error> {
        let texts = BTreeMap::<String, String>::deserialize(deserializer)?;
        Ok(AnnotationSet(texts.into_iter().collect()))
    }
}

/// A point in time, in milliseconds.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Millis(i64);

impl From<Timestamp> for Millis {
    fn from(time: Timestamp) -> Millis {
        Millis(time.as_millis())
    }
}

impl From<Millis> for Timestamp {
    fn from(millis: Millis) -> Timestamp {
        Timestamp::from_millis(millis.0)
    }
}

/// A number with every bit: JSON has no NaN and no infinity, so these are written as the text of their bits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Number(pub(super) f64);

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0.is_finite() {
            serializer.serialize_f64(self.0)
        } else {
            serializer.serialize_str(&format!("{:016x}", self.0.to_bits()))
        }
    }
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Number, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Either {
            Number(f64),
            Bits(String),
        }
        match Either::deserialize(deserializer)? {
            Either::Number(number) => Ok(Number(number)),
            Either::Bits(text) => match u64::from_str_radix(&text, 16) {
                Ok(bits) => Ok(Number(f64::from_bits(bits))),
                Err(_) => Err(de::Error::custom("a number is neither a number nor 16 hexadecimal digits")),
            },
        }
    }
}

/// Whether a value is what it is taken for where it is not written.
pub(super) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// An id that prints as hexadecimal digits and is read from them.
pub(super) fn read_rule(text: &str) -> Result<RuleId, String> {
    RuleId::parse(text).ok_or_else(|| format!("{text:?} is no rule id"))
}

/// A matcher of a route or a silence. Both are Alertmanager's, so the anchoring need not be said.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct MatcherTwin {
    name: String,
    op: Op,
    value: String,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
enum Op {
    #[serde(rename = "=")]
    Equal,
    #[serde(rename = "!=")]
    NotEqual,
    #[serde(rename = "=~")]
    Regex,
    #[serde(rename = "!~")]
    NotRegex,
}

impl From<&Matcher> for MatcherTwin {
    fn from(matcher: &Matcher) -> MatcherTwin {
        let op = match matcher.op() {
            MatchOp::Equal => Op::Equal,
            MatchOp::NotEqual => Op::NotEqual,
            MatchOp::Regex => Op::Regex,
            MatchOp::NotRegex => Op::NotRegex,
        };
        MatcherTwin { name: matcher.name().to_owned(), op, value: matcher.value().to_owned() }
    }
}

impl TryFrom<MatcherTwin> for Matcher {
    type Error = String;

    fn try_from(twin: MatcherTwin) -> Result<Matcher, String> {
        let op = match twin.op {
            Op::Equal => MatchOp::Equal,
            Op::NotEqual => MatchOp::NotEqual,
            Op::Regex => MatchOp::Regex,
            Op::NotRegex => MatchOp::NotRegex,
        };
        Matcher::new(twin.name, op, twin.value, Anchoring::Alertmanager).map_err(|error| error.to_string())
    }
}
