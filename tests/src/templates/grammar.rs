//! Generated templates: every construct and function of the language, most of them meaningful, some of them broken.

use super::data::Kind;
use crate::support::Random;

/// What an operand should be; the grammar gives something else now and then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Type {
    Any,
    Text,
    Int,
    Float,
    Bool,
    List,
    TextList,
    Map,
    Time,
    Duration,
    Vector,
    Sample,
}

use Type::{Any, Bool, Duration, Float, Int, List, Map, Sample, Text, TextList, Time, Vector};

const TYPES: [Type; 9] = [Any, Text, Int, Float, Bool, List, Map, Time, Duration];

/// A function: its name, its parameters, and what it gives.
type Signature = (&'static str, &'static [Type], Type);

const LANGUAGE: &[Signature] = &[
    ("and", &[Any, Any], Any),
    ("or", &[Any, Any, Any], Any),
    ("not", &[Any], Bool),
    ("eq", &[Int, Int], Bool),
    ("eq", &[Text, Text, Text], Bool),
    ("ne", &[Text, Text], Bool),
    ("lt", &[Int, Int], Bool),
    ("le", &[Float, Float], Bool),
    ("gt", &[Text, Text], Bool),
    ("ge", &[Float, Float], Bool),
    ("len", &[Any], Int),
    ("len", &[List], Int),
    ("index", &[List, Int], Any),
    ("index", &[Map, Text], Any),
    ("index", &[Text, Int], Int),
    ("slice", &[Text, Int, Int], Text),
    ("slice", &[List, Int], List),
    ("slice", &[List, Int, Int, Int], List),
    ("print", &[Any, Any, Any], Text),
    ("println", &[Any, Any], Text),
    ("html", &[Any], Text),
    ("js", &[Text], Text),
    ("urlquery", &[Any, Any], Text),
    ("call", &[Any], Any),
];

const RULE: &[Signature] = &[
    ("query", &[Text], Vector),
    ("first", &[Vector], Sample),
    ("label", &[Text, Sample], Text),
    ("value", &[Sample], Float),
    ("strvalue", &[Sample], Text),
    ("sortByLabel", &[Text, Vector], Vector),
    ("args", &[Any, Any], Map),
    ("humanize", &[Float], Text),
    ("humanize", &[Any], Text),
    ("humanize1024", &[Float], Text),
    ("humanizeDuration", &[Float], Text),
    ("humanizeDuration", &[Any], Text),
    ("humanizePercentage", &[Float], Text),
    ("humanizeTimestamp", &[Float], Text),
    ("toTime", &[Float], Time),
    ("parseDuration", &[Text], Float),
    ("title", &[Text], Text),
    ("toUpper", &[Text], Text),
    ("toLower", &[Text], Text),
    ("stripPort", &[Text], Text),
    ("stripDomain", &[Text], Text),
    ("graphLink", &[Text], Text),
    ("tableLink", &[Text], Text),
    ("urlQueryEscape", &[Text], Text),
    ("safeHtml", &[Text], Text),
    ("match", &[Text, Text], Bool),
    ("reReplaceAll", &[Text, Text, Text], Text),
    ("externalURL", &[], Text),
    ("pathPrefix", &[], Text),
];

const MESSAGE: &[Signature] = &[
    ("title", &[Text], Text),
    ("toUpper", &[Text], Text),
    ("toLower", &[Text], Text),
    ("trimSpace", &[Text], Text),
    ("join", &[Text, TextList], Text),
    ("match", &[Text, Text], Bool),
    ("safeHtml", &[Text], Text),
    ("safeUrl", &[Text], Text),
    ("urlUnescape", &[Text], Text),
    ("reReplaceAll", &[Text, Text, Text], Text),
    ("stringSlice", &[Text, Text], TextList),
    ("date", &[Text, Time], Text),
    ("tz", &[Text, Time], Time),
    ("humanizeDuration", &[Any], Text),
    ("routeLabels", &[Text], Text),
    ("list", &[Any, Any], List),
    ("append", &[List, Any], List),
    ("dict", &[Text, Any], Map),
    ("toJson", &[Any], Text),
    ("base64encode", &[Text], Text),
    ("base64decode", &[Text], Text),
];

/// Paths into the data, and what is there.
const NESTED: &[(&str, Type)] = &[
    (".", Any),
    ("$", Any),
    (".s", Text),
    ("$.s", Text),
    (".e", Text),
    (".m.k", Text),
    (".sm.a", Text),
    (".sm.nosuch", Text),
    (".n", Int),
    ("$.neg", Int),
    (".z", Int),
    (".m.num", Int),
    (".f", Float),
    (".big", Float),
    (".b", Bool),
    (".l", List),
    (".sl", TextList),
    ("$.sl", List),
    (".el", List),
    (".m.a", List),
    (".m", Map),
    ("$.sm", Map),
    (".nil", Any),
    (".nosuch", Any),
    (".s.x", Any),
    (".t", Time),
    ("$.t", Time),
    (".t.Year", Int),
    (".t.UTC.Month", Any),
    (".t.Weekday", Any),
    ("$.t.YearDay", Int),
    (".t.IsZero", Bool),
    (".t.Nosuch", Any),
    (".d", Duration),
    (".d.Hours", Float),
    (".d.String", Text),
];

const RULE_PATHS: &[(&str, Type)] = &[
    (".", Any),
    ("$labels", Map),
    (".Labels", Map),
    ("$labels.job", Text),
    ("$labels.instance", Text),
    (".Labels.num", Text),
    (".Labels.nosuch", Text),
    ("$externalLabels.region", Text),
    (".ExternalLabels", Map),
    ("$externalURL", Text),
    (".ExternalURL", Text),
    ("$value", Float),
    (".Value", Float),
    ("$value.x", Any),
    ("(toTime 1700000000.5)", Time),
    ("(toTime 1e9).Year", Int),
    ("(toDuration 90).Minutes", Float),
    ("(toDuration 90).String", Text),
    (".Nosuch", Any),
];

/// The whole data are left out: here they have a field of Alertmanager's own more, which it prints.
const MESSAGE_PATHS: &[(&str, Type)] = &[
    (".Receiver", Text),
    ("$.Status", Text),
    (".ExternalURL", Text),
    (".NotificationReason", Text),
    (".GroupLabels", Map),
    ("$.GroupLabels.job", Text),
    (".CommonLabels", Map),
    ("$.CommonLabels.team", Text),
    (".CommonLabels.Names", TextList),
    (".CommonLabels.Values", TextList),
    ("$.CommonLabels.SortedPairs", List),
    (".CommonLabels.SortedPairs.Names", TextList),
    ("(.CommonLabels.Values.Join \" / \")", Text),
    (".CommonAnnotations", Map),
    (".CommonAnnotations.summary", Text),
    (".RouteLabels.tier", Text),
    (".Alerts", List),
    ("$.Alerts.Firing", List),
    (".Alerts.Resolved", List),
    ("(index .Alerts 0).Labels", Map),
    ("(index $.Alerts 0).Labels.alertname", Text),
    ("(index .Alerts 0).StartsAt", Time),
    ("(index .Alerts 0).EndsAt", Time),
    ("(index $.Alerts 1).EndsAt", Time),
    ("(index .Alerts 0).GeneratorURL", Text),
    ("(index .Alerts 1).Fingerprint", Text),
    (".Alerts.Nosuch", Any),
    (".Nosuch", Any),
];

const TEXTS: [&str; 21] = [
    r#""""#,
    r#""a""#,
    r#""up""#,
    r#""none""#,
    r#""job""#,
    r#""host.example.org:9090""#,
    r#""[::1]:80""#,
    r#""the quick o'brien""#,
    r#""a+b%20c&d=<e>""#,
    r#""ü ñ 世界""#,
    r#""\t\"x\"\\""#,
    "`raw \\d+ <x>`",
    r#""(\\w+)-(.*)""#,
    r#""$2/${1}x""#,
    r#""1h30m""#,
    r#""-5m""#,
    r#""12.5""#,
    r#""0x1p4""#,
    r#""2006-01-02 15:04:05.000 MST""#,
    r#""Europe/Berlin""#,
    r#"" padded ""#,
];

const INTS: [&str; 14] = ["0", "1", "2", "3", "-1", "7", "100", "0x1F", "1_000", "'a'", "'ü'", "0b11", "017", "1_234"];

const FLOATS: [&str; 18] = [
    "0.0",
    "0.5",
    "-2.75",
    "1e3",
    "1e-7",
    "1e21",
    "123456789.125",
    "3.0",
    "0x1p-2",
    "1024.0",
    "59.99",
    "60.0",
    "3661.5",
    "86400.25",
    "1e-10",
    "0.999995",
    "1700000000.5",
    "1e40",
];

const VERBS: [&str; 18] = ["v", "d", "s", "q", "x", "X", "f", "g", "e", "t", "c", "U", "o", "b", "T", "+v", "#v", "%"];

const PLAIN: [&str; 10] = ["x", " ", "\n", "  \n ", "a b", "< 5", "} ", "it's ", "é", "- "];

/// Places in HTML, each with an opening and what closes it.
const PLACES: [(&str, &str); 7] = [
    ("<p>", "</p>"),
    ("<a href=\"", "\">x</a>"),
    ("<a href=\"https://x.org/?q=", "&r\">x</a>"),
    ("<td title='", "'>"),
    ("<b class=", ">x</b>"),
    ("<!-- ", " -->"),
    ("<textarea>", "</textarea>"),
];

pub(super) struct Grammar<'r> {
    random: &'r mut Random,
    kind: Kind,
    /// Variables that are visible.
    variables: Vec<String>,
    /// Templates that are defined.
    defined: Vec<String>,
    in_range: bool,
}

impl<'r> Grammar<'r> {
    pub(super) fn new(random: &'r mut Random, kind: Kind) -> Grammar<'r> {
        Grammar { random, kind, variables: Vec::new(), defined: Vec::new(), in_range: false }
    }

    /// A whole template.
    pub(super) fn template(&mut self) -> String {
        let mut text = String::new();
        if self.chance(8) {
            let name = self.one(&["a", "b", "t"]).to_owned();
            let body = self.body(1);
            text += &format!("{{{{ define \"{name}\" }}}}{body}{{{{ end }}}}");
            self.defined.push(name);
            self.variables.clear();
        }
        text += &self.body(2);
        if self.chance(12) {
            text = self.damaged(&text);
        }
        // A template that is blank would be what Alertmanager's own files leave there.
        format!("={text}")
    }

    /// The text with a character too much, too few or another.
    fn damaged(&mut self, text: &str) -> String {
        let mut all: Vec<char> = text.chars().collect();
        if all.is_empty() {
            return "{{".to_owned();
        }
        let at = self.random.below(all.len() as u64) as usize;
        let new = self.one(&["{", "}", "\"", "(", ")", ".", "$", "|", "-", " ", "\n", "\\", "=", "'", "1", "x", "@"]);
        let new = new.chars().next().unwrap_or(' ');
        match self.random.below(4) {
            0 => drop(all.remove(at)),
            1 => all.insert(at, new),
            2 => all[at] = new,
            _ => all.truncate(at),
        }
        all.into_iter().collect()
    }

    fn chance(&mut self, one_in: u64) -> bool {
        self.random.below(one_in) == 0
    }

    fn one<'a>(&mut self, all: &[&'a str]) -> &'a str {
        all[self.random.below(all.len() as u64) as usize]
    }

    fn body(&mut self, depth: u64) -> String {
        let visible = self.variables.len();
        let nodes = 1 + self.random.below(3);
        let mut text = String::new();
        for _ in 0..nodes {
            text += &self.node(depth);
        }
        self.variables.truncate(visible);
        text
    }

    fn node(&mut self, depth: u64) -> String {
        let choices = if depth == 0 { 8 } else { 16 };
        match self.random.below(choices) {
            0 | 1 => self.one(&PLAIN).to_owned(),
            2 if self.kind == Kind::Page => {
                let (open, close) = PLACES[self.random.below(PLACES.len() as u64) as usize];
                let inner = self.pipeline(depth);
                format!("{open}{}{close}", self.action(&inner))
            }
            2..=5 => {
                let inner = self.pipeline(depth);
                self.action(&inner)
            }
            6 => {
                let value = self.pipeline(depth);
                let name = format!("$v{}", self.variables.len());
                let text = self.action(&format!("{name} := {value}"));
                self.variables.push(name);
                text
            }
            7 => match self.variables.last().cloned() {
                Some(name) => {
                    let value = self.pipeline(depth);
                    self.action(&format!("{name} = {value}"))
                }
                None => "{{/* said */}}".to_owned(),
            },
            8 | 9 => self.condition("if", depth),
            10 | 11 => self.range(depth),
            12 | 13 => self.condition("with", depth),
            14 => {
                let data = self.operand(Any, depth);
                let name = self.defined.last().cloned().unwrap_or_else(|| "nosuch".to_owned());
                match self.random.below(3) {
                    0 | 1 if self.defined.is_empty() && !self.chance(6) => self.one(&PLAIN).to_owned(),
                    0 => self.action(&format!("template \"{name}\"")),
                    1 => self.action(&format!("template \"{name}\" {data}")),
                    _ => {
                        let body = self.body(depth - 1);
                        let open = self.action(&format!("block \"{name}x\" {data}"));
                        format!("{open}{body}{{{{ end }}}}")
                    }
                }
            }
            _ if self.in_range => {
                let word = self.one(&["break", "continue"]);
                self.action(word)
            }
            _ => "{{- /* said */ -}}".to_owned(),
        }
    }

    fn action(&mut self, inner: &str) -> String {
        let (open, close) = (self.one(&["{{", "{{ ", "{{ ", "{{- "]), self.one(&["}}", " }}", " }}", " -}}"]));
        format!("{open}{inner}{close}")
    }

    fn condition(&mut self, word: &str, depth: u64) -> String {
        let visible = self.variables.len();
        let mut value = self.pipeline(depth - 1);
        if self.chance(4) {
            let name = format!("$v{visible}");
            value = format!("{name} := {value}");
            self.variables.push(name);
        }
        let mut text = self.action(&format!("{word} {value}")) + &self.body(depth - 1);
        if self.chance(3) {
            let other = self.pipeline(depth - 1);
            text += &(self.action(&format!("else {word} {other}")) + &self.body(depth - 1));
        }
        if self.chance(2) {
            text += &(self.action("else") + &self.body(depth - 1));
        }
        self.variables.truncate(visible);
        text + &self.action("end")
    }

    fn range(&mut self, depth: u64) -> String {
        let visible = self.variables.len();
        let over = match self.random.below(6) {
            0 => self.operand(Int, 0),
            1 => self.operand(Map, 1),
            2 if self.kind == Kind::Rule => self.operand(Vector, 2),
            3 => self.pipeline(1),
            _ => self.operand(List, 1),
        };
        let declared = match self.random.below(6) {
            0 => vec!["$k", "$v"],
            1 => vec!["$v"],
            2 => vec!["$i", "$e"],
            _ => Vec::new(),
        };
        let names = declared.join(", ");
        self.variables.extend(declared.iter().map(|name| (*name).to_owned()));
        let head = if names.is_empty() { format!("range {over}") } else { format!("range {names} := {over}") };
        let outside = std::mem::replace(&mut self.in_range, true);
        let mut text = self.action(&head) + &self.body(depth - 1);
        self.in_range = outside;
        self.variables.truncate(visible);
        if self.chance(3) {
            text += &(self.action("else") + &self.body(depth - 1));
        }
        text + &self.action("end")
    }

    fn pipeline(&mut self, depth: u64) -> String {
        let wanted = TYPES[self.random.below(TYPES.len() as u64) as usize];
        let mut text = self.command(wanted, depth);
        let mut given = wanted;
        let stages = [0, 0, 0, 1, 1, 2][self.random.below(6) as usize];
        for _ in 0..stages {
            text += if self.chance(5) { "|" } else { " | " };
            // What is in a time is Go's own business.
            if [Text, Int, Float, Bool].contains(&given) && self.chance(4) {
                text += &self.printf(0);
                given = Text;
                continue;
            }
            // The last argument comes from the stage before.
            let (name, parameters, gives) = self.signature_where(|(_, parameters, _)| {
                parameters.last().is_some_and(|last| [given, Any].contains(last))
            });
            text += name;
            for parameter in parameters.iter().take(parameters.len().saturating_sub(1)) {
                text += " ";
                text += &self.operand(*parameter, 0);
            }
            given = gives;
        }
        text
    }

    /// One that fits, if one is found soon.
    fn signature_where(&mut self, fits: impl Fn(&Signature) -> bool) -> Signature {
        let mut chosen = self.signature();
        for _ in 0..20 {
            if fits(&chosen) {
                break;
            }
            chosen = self.signature();
        }
        chosen
    }

    fn signature(&mut self) -> Signature {
        let own: &[Signature] = match self.kind {
            Kind::Language => LANGUAGE,
            Kind::Rule => RULE,
            Kind::Message | Kind::Page => MESSAGE,
        };
        loop {
            let all = if self.chance(2) { LANGUAGE } else { own };
            let one = all[self.random.below(all.len() as u64) as usize];
            // html/template takes its own escaping for the language's.
            if self.kind != Kind::Page || !["html", "js", "urlquery"].contains(&one.0) {
                return one;
            }
        }
    }

    fn command(&mut self, wanted: Type, depth: u64) -> String {
        if depth == 0 || self.chance(3) {
            return self.operand(wanted, depth);
        }
        if self.chance(5) {
            let arguments = 1 + self.random.below(3);
            let mut text = self.printf(arguments);
            for _ in 0..arguments {
                let wanted = [Text, Text, Int, Float, Bool, Map, TextList][self.random.below(7) as usize];
                text += " ";
                text += &self.operand(wanted, depth - 1);
            }
            return text;
        }
        if [Any, Time].contains(&wanted) && self.chance(3) {
            return self.method();
        }
        let chosen = self.signature_where(|signature| signature.2 == wanted || wanted == Any);
        let mut text = chosen.0.to_owned();
        for parameter in chosen.1 {
            text += " ";
            text += &self.operand(*parameter, depth - 1);
        }
        if self.chance(60) {
            text += " 1";
        }
        text
    }

    /// A method with arguments.
    fn method(&mut self) -> String {
        let time = self.path(Time);
        let other = self.path(Time);
        let methods = [
            format!("{time}.Format {}", self.one(&TEXTS)),
            format!("{time}.Format \"Jan _2 15:04:05.000 -0700 MST Mon PM 06\""),
            format!("{time}.Add {}", self.path(Duration)),
            format!("({time}.Add -7200e9).Format \"15:04\""),
            format!("{time}.AddDate 0 {} -1", self.one(&INTS[..6])),
            format!("{time}.Sub {other}"),
            format!("{time}.Before {other}"),
            format!("{time}.After {other}"),
            format!("{time}.Equal {other}"),
        ];
        let of_labels = [
            ".CommonLabels.Remove (stringSlice \"job\")".to_owned(),
            "$.CommonLabels.Names.Nosuch 1".to_owned(),
            ".Alerts.Firing 1".to_owned(),
        ];
        let of_message = matches!(self.kind, Kind::Message | Kind::Page) && self.chance(2);
        let all: &[String] = if of_message { &of_labels } else { &methods };
        all[self.random.below(all.len() as u64) as usize].clone()
    }

    /// `printf` with a format for some arguments.
    fn printf(&mut self, arguments: u64) -> String {
        let mut format = String::new();
        for _ in 0..arguments.max(1) {
            let flag = self.one(&["", "", "", "-", "+", "#", "0", " ", "[1]", "*"]);
            let width = self.one(&["", "", "", "6", "2", "10"]);
            let precision = self.one(&["", "", "", ".2", ".0", ".5", "."]);
            let verb = self.one(&VERBS);
            format += &format!("{}%{flag}{width}{precision}{verb}", self.one(&["", "", "<", " "]));
        }
        format!("printf \"{format}\"")
    }

    fn path(&mut self, wanted: Type) -> String {
        let paths = match self.kind {
            Kind::Language => NESTED,
            Kind::Rule => RULE_PATHS,
            Kind::Message | Kind::Page => MESSAGE_PATHS,
        };
        let fitting: Vec<&str> =
            paths.iter().filter(|(_, is)| *is == wanted || wanted == Any).map(|(path, _)| *path).collect();
        match (fitting.as_slice(), wanted, self.kind) {
            ([], Duration, _) => "3600e9".to_owned(),
            ([], ..) => self.one(&TEXTS).to_owned(),
            (fitting, ..) => self.one(fitting).to_owned(),
        }
    }

    fn operand(&mut self, wanted: Type, depth: u64) -> String {
        // Something that does not fit, now and then.
        let wanted = if self.chance(60) { TYPES[1 + self.random.below(6) as usize] } else { wanted };
        if self.chance(8)
            && let Some(name) = self.variables.last().cloned()
        {
            return name;
        }
        if depth > 0 && self.chance(3) {
            let inner = self.command(wanted, depth - 1);
            return format!("({inner})");
        }
        match wanted {
            Text if self.chance(2) => self.one(&TEXTS).to_owned(),
            Int if self.chance(2) => self.one(&INTS).to_owned(),
            Float if self.chance(2) => self.one(&FLOATS).to_owned(),
            Bool if self.chance(2) => self.one(&["true", "false"]).to_owned(),
            Int if self.kind != Kind::Language => self.one(&INTS).to_owned(),
            Bool if self.kind != Kind::Language => "(eq 1 1)".to_owned(),
            Any if self.chance(30) => "nil".to_owned(),
            Any => {
                let wanted = TYPES[1 + self.random.below(TYPES.len() as u64 - 1) as usize];
                self.path(wanted)
            }
            Vector => "(query \"up\")".to_owned(),
            Sample => "(query \"up\" | first)".to_owned(),
            wanted => self.path(wanted),
        }
    }
}
