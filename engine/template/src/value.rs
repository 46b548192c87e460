//! The values that templates work on.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use watchfire_model::{Labels, Timestamp};

use crate::functions::Param;
use crate::time::{GoDuration, GoTime};

/// A value of a template: what Go's reflection would see.
///
/// Every value knows its Go type name, because error messages and `%T` show it.
#[derive(Clone, Debug)]
pub enum Value {
    /// The absent value; prints as `<no value>` or, inside `printf`, as `<nil>`.
    Nil,
    /// `bool`
    Bool(bool),
    /// `int`
    Int(i64),
    /// `uint8`: what indexing a string gives.
    Byte(u8),
    /// `float64`
    Float(f64),
    /// `string`
    Text(Arc<str>),
    /// `template.HTML` or `template.URL`: text that needs no escaping in its place.
    Safe(Safe, Arc<str>),
    /// `time.Time`
    Time(GoTime),
    /// `time.Duration`
    Duration(GoDuration),
    /// A named integer that prints as a word, such as `time.Month`.
    Named(Named),
    /// A slice.
    List(List),
    /// A map with text keys.
    Map(Map),
    /// A struct or a pointer to one.
    Struct(Arc<Struct>),
}

/// In which place a text is known to be safe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Safe {
    /// As HTML.
    Html,
    /// As a URL.
    Url,
}

/// A number with a name: months and weekdays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Named {
    /// The Go type's name.
    pub type_name: &'static str,
    /// The number.
    pub number: i64,
    /// The word it prints as.
    pub word: &'static str,
}

/// What is known of a composite type: its name and its methods.
#[derive(Debug)]
pub struct Type {
    /// As Go would print it.
    pub name: &'static str,
    /// The methods, beyond what all values of this kind have.
    pub methods: &'static [Method],
    /// For maps: whether the elements are strings, so that a missing one is the empty string.
    pub text_elements: bool,
    /// How it prints itself, if it does.
    pub to_text: Option<fn(&Value) -> String>,
}

impl Type {
    /// A type without methods.
    pub const fn plain(name: &'static str) -> Type {
        Type { name, methods: &[], text_elements: false, to_text: None }
    }
}

/// `[]string`
pub static TEXT_LIST: Type = Type::plain("[]string");
/// `[]interface {}`
pub static ANY_LIST: Type = Type::plain("[]interface {}");
/// `map[string]interface {}`
pub static ANY_MAP: Type = Type::plain("map[string]interface {}");
/// `map[string]string`
pub static TEXT_MAP: Type = Type { name: "map[string]string", methods: &[], text_elements: true, to_text: None };

/// A method that templates may call.
pub struct Method {
    /// Its name.
    pub name: &'static str,
    /// Its parameters; the last one repeats if `variadic`.
    pub params: &'static [Param],
    /// Whether the last parameter may be given any number of times.
    pub variadic: bool,
    /// What it does; the first argument is the receiver.
    pub call: fn(&Value, &[Value]) -> Result<Value, String>,
}

impl fmt::Debug for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Method({})", self.name)
    }
}

/// A slice with its type.
#[derive(Clone, Debug)]
pub struct List {
    /// The type.
    pub ty: &'static Type,
    /// The elements.
    pub items: Arc<Vec<Value>>,
    depth: usize,
}

/// A map with its type. Iteration is in the order of the keys, as `range` and printing do it in Go.
#[derive(Clone, Debug)]
pub struct Map {
    /// The type.
    pub ty: &'static Type,
    entries: Entries,
    depth: usize,
}

#[derive(Clone, Debug)]
enum Entries {
    Values(Arc<BTreeMap<String, Value>>),
    /// Label sets are not copied: most templates read one of them.
    Labels(Labels),
}

/// A struct with its fields in the order of their declaration.
#[derive(Debug)]
pub struct Struct {
    /// The type; a leading `*` makes it a pointer.
    pub ty: &'static Type,
    /// Names and values.
    pub fields: Vec<(&'static str, Value)>,
}

impl Struct {
    /// The value of a field.
    pub fn field(&self, name: &str) -> Option<&Value> {
        self.fields.iter().find(|(n, _)| *n == name).map(|(_, value)| value)
    }

    /// Whether it is a pointer to a struct.
    pub fn is_pointer(&self) -> bool {
        self.ty.name.starts_with('*')
    }
}

impl List {
    /// From elements.
    pub fn new(ty: &'static Type, items: Vec<Value>) -> List {
        let depth = 1 + deepest(items.iter());
        List { ty, items: Arc::new(items), depth }
    }
}

/// The depth of the deepest of some values.
fn deepest<'v>(values: impl Iterator<Item = &'v Value>) -> usize {
    values.map(Value::depth).max().unwrap_or(0)
}

impl Map {
    /// From entries.
    pub fn new(ty: &'static Type, entries: BTreeMap<String, Value>) -> Map {
        let depth = 1 + deepest(entries.values());
        Map { ty, entries: Entries::Values(Arc::new(entries)), depth }
    }

    /// A label set as a map from texts to texts.
    pub fn from_labels(ty: &'static Type, labels: Labels) -> Map {
        Map { ty, entries: Entries::Labels(labels), depth: 1 }
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<Value> {
        match &self.entries {
            Entries::Values(values) => values.get(key).cloned(),
            Entries::Labels(labels) => labels.get(key).map(Value::from),
        }
    }

    /// The value of a key or, where it is missing, the zero value of the element type (`missingkey=zero`).
    pub fn get_or_zero(&self, key: &str) -> Value {
        self.get(key).unwrap_or_else(|| if self.ty.text_elements { Value::from("") } else { Value::Nil })
    }

    /// The number of entries.
    pub fn len(&self) -> usize {
        match &self.entries {
            Entries::Values(values) => values.len(),
            Entries::Labels(labels) => labels.len(),
        }
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Keys and values in the order of the keys.
    pub fn entries(&self) -> Vec<(String, Value)> {
        match &self.entries {
            Entries::Values(values) => values.iter().map(|(k, v)| (k.clone(), v.clone())).collect(),
            Entries::Labels(labels) => labels.iter().map(|l| (l.name.to_owned(), l.value.into())).collect(),
        }
    }
}

impl Value {
    /// A list of texts.
    pub fn texts<T: Into<Arc<str>>>(items: impl IntoIterator<Item = T>) -> Value {
        Value::list(&TEXT_LIST, items.into_iter().map(|item| Value::Text(item.into())).collect())
    }

    /// A list of a type.
    pub fn list(ty: &'static Type, items: Vec<Value>) -> Value {
        Value::List(List::new(ty, items))
    }

    /// A `map[string]interface {}`.
    pub fn map(entries: impl IntoIterator<Item = (String, Value)>) -> Value {
        Value::Map(Map::new(&ANY_MAP, entries.into_iter().collect()))
    }

    /// A struct of a type.
    pub fn structure(ty: &'static Type, fields: Vec<(&'static str, Value)>) -> Value {
        Value::Struct(Arc::new(Struct { ty, fields }))
    }

    /// A point in time, in UTC.
    pub fn time(at: Timestamp) -> Value {
        Value::Time(GoTime::from_timestamp(at))
    }

    /// The name of its Go type.
    pub fn type_name(&self) -> &str {
        match self {
            Value::Nil => "<nil>",
            Value::Bool(_) => "bool",
            Value::Int(_) => "int",
            Value::Byte(_) => "uint8",
            Value::Float(_) => "float64",
            Value::Text(_) => "string",
            Value::Safe(Safe::Html, _) => "template.HTML",
            Value::Safe(Safe::Url, _) => "template.URL",
            Value::Time(_) => "time.Time",
            Value::Duration(_) => "time.Duration",
            Value::Named(named) => named.type_name,
            Value::List(list) => list.ty.name,
            Value::Map(map) => map.ty.name,
            Value::Struct(structure) => structure.ty.name,
        }
    }

    /// The text of a string of any type.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Value::Text(text) | Value::Safe(_, text) => Some(text),
            _ => None,
        }
    }

    /// The same text, not copied.
    pub(crate) fn shared_text(&self) -> Option<Arc<str>> {
        match self {
            Value::Text(text) | Value::Safe(_, text) => Some(Arc::clone(text)),
            _ => None,
        }
    }

    /// The number of an integer of any type.
    pub fn as_int(&self) -> Option<i64> {
        match self {
            Value::Int(number) => Some(*number),
            Value::Byte(byte) => Some(i64::from(*byte)),
            Value::Duration(duration) => Some(duration.nanos()),
            Value::Named(named) => Some(named.number),
            _ => None,
        }
    }

    /// How deep lists, maps and structs are nested in it; 0 for everything else. What is printed, compared or let go
    /// takes as many frames of the stack.
    pub fn depth(&self) -> usize {
        match self {
            Value::List(list) => list.depth,
            Value::Map(map) => map.depth,
            Value::Struct(structure) => 1 + deepest(structure.fields.iter().map(|(_, value)| value)),
            _ => 0,
        }
    }

    /// The memory in bytes, about, of a value that was just made. Elements of an `[]interface {}` were there before.
    pub(crate) fn bytes(&self) -> usize {
        let element = |value: &Value| match value {
            Value::Text(text) | Value::Safe(_, text) => text.len(),
            Value::Struct(structure) => structure.fields.len() * size_of::<Value>(),
            _ => 0,
        };
        match self {
            Value::Text(text) | Value::Safe(_, text) => text.len(),
            Value::List(list) => {
                let made = !std::ptr::eq(list.ty, &raw const ANY_LIST);
                list.items.len() * size_of::<Value>()
                    + if made { list.items.iter().map(element).sum::<usize>() } else { 0 }
            }
            Value::Map(Map { entries: Entries::Values(values), .. }) => {
                values.keys().map(|key| key.len() + size_of::<(String, Value)>()).sum()
            }
            _ => 0,
        }
    }

    /// Whether `if` takes the branch: not the zero value of its type.
    pub fn is_true(&self) -> bool {
        match self {
            Value::Nil => false,
            Value::Bool(truth) => *truth,
            Value::Float(number) => *number != 0.0,
            Value::Text(text) | Value::Safe(_, text) => !text.is_empty(),
            Value::List(list) => !list.items.is_empty(),
            Value::Map(map) => !map.is_empty(),
            Value::Time(_) | Value::Struct(_) => true,
            Value::Int(_) | Value::Byte(_) | Value::Duration(_) | Value::Named(_) => self.as_int() != Some(0),
        }
    }

    /// What a pointer points to, which is what Go prints of one; other values are themselves.
    pub fn pointed_to(&self) -> Value {
        static PLAIN: Type = Type::plain("struct");
        match self {
            Value::Struct(structure) if structure.is_pointer() && structure.ty.to_text.is_none() => {
                Value::structure(&PLAIN, structure.fields.clone())
            }
            value => value.clone(),
        }
    }

    /// The methods of its type.
    pub fn methods(&self) -> &'static [Method] {
        match self {
            Value::Time(_) => crate::time::TIME_METHODS,
            Value::Duration(_) => crate::time::DURATION_METHODS,
            Value::Named(_) => crate::time::NAMED_METHODS,
            Value::List(list) => list.ty.methods,
            Value::Map(map) => map.ty.methods,
            Value::Struct(structure) => structure.ty.methods,
            _ => &[],
        }
    }

    /// What its `String` method gives, if its type has one.
    pub fn own_text(&self) -> Option<String> {
        match self {
            Value::Time(time) => Some(time.to_string()),
            Value::Duration(duration) => Some(duration.to_string()),
            Value::Named(named) => Some(named.word.to_owned()),
            Value::List(list) => list.ty.to_text.map(|f| f(self)),
            Value::Map(map) => map.ty.to_text.map(|f| f(self)),
            Value::Struct(structure) => structure.ty.to_text.map(|f| f(self)),
            _ => None,
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Value {
        Value::Text(text.into())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Value {
        Value::Text(text.into())
    }
}

impl From<bool> for Value {
    fn from(truth: bool) -> Value {
        Value::Bool(truth)
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Value {
        Value::Float(number)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Value {
        Value::Int(number)
    }
}

impl From<usize> for Value {
    fn from(number: usize) -> Value {
        Value::Int(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl From<&Labels> for Value {
    fn from(labels: &Labels) -> Value {
        Value::Map(Map::from_labels(&TEXT_MAP, labels.clone()))
    }
}

impl From<&BTreeMap<String, String>> for Value {
    fn from(texts: &BTreeMap<String, String>) -> Value {
        let entries = texts.iter().map(|(key, value)| (key.clone(), value.as_str().into())).collect();
        Value::Map(Map::new(&TEXT_MAP, entries))
    }
}
