//! The template language, as tables. What is expected was printed by Go 1.26.

use std::collections::BTreeMap;

use watchfire_model::Timestamp;
use watchfire_template::functions::{ALERTMANAGER, BUILTIN, Context, Limits};
use watchfire_template::go::{Escape, Set, Template};
use watchfire_template::value::ANY_LIST;
use watchfire_template::{GoDuration, GoTime, Value};

fn data() -> Value {
    let texts: BTreeMap<String, String> = [("a", "1"), ("b", "2")].map(|(k, v)| (k.to_owned(), v.to_owned())).into();
    let inner = [("k", "v".into()), ("num", Value::Int(7)), ("a", Value::texts(["q"]))];
    let members = [
        ("s", "héllo <b>&'\"".into()),
        ("n", Value::Int(3)),
        ("f", Value::Float(2.5)),
        ("b", Value::Bool(true)),
        ("neg", Value::Int(-7)),
        ("z", Value::Int(0)),
        ("e", "".into()),
        ("l", Value::list(&ANY_LIST, vec![Value::Int(1), "two".into(), Value::Float(3.5), Value::Nil])),
        ("sl", Value::texts(["x", "y z"])),
        ("el", Value::texts(Vec::<&str>::new())),
        ("m", Value::map(inner.map(|(name, value)| (name.to_owned(), value)))),
        ("sm", Value::from(&texts)),
        ("nil", Value::Nil),
        ("t", Value::Time(GoTime::parse_rfc3339("2024-01-02T03:04:05.678Z").unwrap())),
        ("d", Value::Duration(GoDuration::from_nanos(3_723_500_000_000))),
        ("big", Value::Float(1e21)),
    ];
    Value::map(members.map(|(name, value)| (name.to_owned(), value)))
}

fn run(text: &str) -> Result<String, String> {
    let mut context = Context::new(Timestamp::EPOCH, "");
    let template = Template::parse("t", text, BUILTIN).map_err(|error| error.to_string())?;
    template.execute(&data(), &mut context).map_err(|error| error.to_string())
}

#[test]
fn templates_print_as_in_go() {
    for (template, expected) in [
        ("{{/* a comment */}}x{{- /* trims */ -}}  y", "xy"),
        (r#"a {{- 1 -}} b {{- "c" }}"#, "a1bc"),
        ("{{ range $i, $v := .l }}{{ $i }}={{ $v }};{{ end }}", "0=1;1=two;2=3.5;3=<no value>;"),
        ("{{ range .el }}x{{ else }}none{{ end }}", "none"),
        ("{{ range $k, $v := .sm }}{{ $k }}{{ $v }} {{ end }}", "a1 b2 "),
        ("{{ range 3 }}{{ . }}{{ end }}", "012"),
        ("{{ range $i := 2 }}{{ $i }}{{ else }}no{{ end }}", "01"),
        ("{{ with $x := .m }}{{ $x.k }}{{ .num }}{{ end }}", "v7"),
        ("{{ with .nil }}a{{ else with .s }}b{{ . }}{{ else }}c{{ end }}", r#"bhéllo <b>&'""#),
        ("{{ if .z }}a{{ else if .e }}b{{ else if .n }}c{{ end }}", "c"),
        ("{{ $x := 1 }}{{ if true }}{{ $x = 2 }}{{ $y := 3 }}{{ $x }}{{ $y }}{{ end }}{{ $x }}", "232"),
        ("{{ range $i, $v := .sl }}{{ $i = 7 }}{{ $i }}{{ end }}", "77"),
        (r#"{{ block "b" .n }}{{ . }}{{ end }}{{ template "b" 4 }}"#, "34"),
        (
            r#"{{ (index .m "a") | len }} {{ index .l 1 }} {{ index .m "a" 0 }} {{ index .s 0 }} {{ slice .s 0 1 }} {{ slice .l 1 3 }}"#,
            "1 two q 104 h [two 3.5]",
        ),
        (
            r#"{{ printf "%s has %d of %v: %5.1f|%-4s|%04d|%q|%x|%t" .s .n .sl .f "a" 7 "q" "hi" true }}"#,
            r#"héllo <b>&'" has 3 of [x y z]:   2.5|a   |0007|"q"|6869|true"#,
        ),
        (
            r#"{{ printf "%v %+v %#v %T" .sm .sm .sm .sm }}"#,
            r#"map[a:1 b:2] map[a:1 b:2] map[string]string{"a":"1", "b":"2"} map[string]string"#,
        ),
        (r#"{{ .f | printf "%.2f" | printf "<%s>" | len }}"#, "6"),
        (
            r#"{{ not .z }} {{ eq .n 1 2 3 }} {{ ne .s "x" }} {{ lt 1 2 }} {{ le 2.5 .f }} {{ gt "b" "a" }} {{ ge -7 .neg }}"#,
            "true true true true true true true",
        ),
        (r#"{{ html "<a>" 1 2 }} {{ js "it's" }} {{ urlquery "a b" "&" }}"#, r#"&lt;a&gt;1 2 it\'s a+b%26"#),
        (r#"{{ print 1 2 "a" 3 4 }}|{{ println "x" .n }}"#, "1 2a3 4|x 3\n"),
        (
            r#"{{ 'a' }} {{ 0x1F }} {{ 1e3 }} {{ 1_000 }} {{ 017 }} {{ 0b11 }} {{ -3 }} {{ 1.0 }} {{ 2.50 }} {{ `r\n` }} {{ "\t\u00e9\x41" }}"#,
            r#"97 31 1000 1000 15 3 -3 1 2.5 r\n 	éA"#,
        ),
        (
            r#"{{ .t }} {{ .t.Year }} {{ .t.Month }} {{ .t.Weekday }} {{ .t.Format "Jan _2 15:04:05.000" }} {{ .d }} {{ .d.Minutes }} {{ (.t.Add .d).Unix }}"#,
            "2024-01-02 03:04:05.678 +0000 UTC 2024 January Tuesday Jan  2 03:04:05.678 1h2m3.5s 62.05833333333333 1704168369",
        ),
        (r#"{{ .t.Unix | printf "%d" }} {{ .t.UTC.Before (.t.AddDate 0 1 0) }}"#, "1704164645 true"),
        (r#"{{ (.t.Add 3600e9).Format "15:04" }} {{ (.t.Add -60_000_000_000).Minute }}"#, "04:04 3"),
        ("{{ .nosuch }} {{ .sm.nosuch }}| {{ $.n }}", "<no value> | 3"),
        (
            "{{ . | }}",
            r#"map[b:true big:1e+21 d:1h2m3.5s e: el:[] f:2.5 l:[1 two 3.5 <nil>] m:map[a:[q] k:v num:7] n:3 neg:-7 nil:<nil> s:héllo <b>&'" sl:[x y z] sm:map[a:1 b:2] t:2024-01-02 03:04:05.678 +0000 UTC z:0]"#,
        ),
    ] {
        assert_eq!(run(template).as_deref(), Ok(expected), "{template}");
    }
}

#[test]
fn mistakes_are_explained_as_in_go() {
    for (template, expected) in [
        (
            r#"{{ range .l }}{{ if eq . "two" }}{{ continue }}{{ end }}{{ if eq . 3.5 }}{{ break }}{{ end }}[{{ . }}]{{ end }}"#,
            r#"template: t:1:20: executing "t" at <eq . "two">: error calling eq: incompatible types for comparison: int and string"#,
        ),
        (
            r#"{{ define "t" }}<{{ . }}{{ template "u" $ }}>{{ end }}{{ define "u" }}{{ . }}!{{ end }}{{ template "t" "x" }}{{ template "u" }}"#,
            r#"template: t:1: template: multiple definition of template "t""#,
        ),
        (
            r#"{{ and 1 0 (index .l 99) }} {{ or 0 "" "x" (index .l 99) }} {{ and }}"#,
            r#"template: t:1:63: executing "t" at <and>: wrong number of args for and: want at least 1 got 0"#,
        ),
        (
            "{{ $ | len }} {{ len .s }} {{ len .nil }}",
            r#"template: t:1:30: executing "t" at <len .nil>: error calling len: len of nil pointer"#,
        ),
        (
            "{{ .s | len | index .l }}",
            r#"template: t:1:14: executing "t" at <index .l>: error calling index: index out of range: 13"#,
        ),
        (
            "{{ call .n }}",
            r#"template: t:1:3: executing "t" at <call .n>: error calling call: non-function .n of type int"#,
        ),
        (
            "{{ index .l 9 }}",
            r#"template: t:1:3: executing "t" at <index .l 9>: error calling index: index out of range: 9"#,
        ),
        (
            "{{ index .sm 1 }}",
            r#"template: t:1:3: executing "t" at <index .sm 1>: error calling index: value has type int; should be string"#,
        ),
        (
            "{{ slice .s 3 1 }}",
            r#"template: t:1:3: executing "t" at <slice .s 3 1>: error calling slice: invalid slice index: 3 > 1"#,
        ),
        (
            r#"{{ lt .n "a" }}"#,
            r#"template: t:1:3: executing "t" at <lt .n "a">: error calling lt: incompatible types for comparison: int and string"#,
        ),
        (
            "{{ lt true false }}",
            r#"template: t:1:3: executing "t" at <lt true false>: error calling lt: invalid type for comparison"#,
        ),
        ("{{ len 3 }}", r#"template: t:1:3: executing "t" at <len 3>: error calling len: len of type int"#),
        (
            r#"{{ template "no" }}"#,
            r#"template: t:1:12: executing "t" at <{{template "no"}}>: template "no" not defined"#,
        ),
        ("{{ .n 1 }}", r#"template: t:1:3: executing "t" at <.n>: n is not a method but has arguments"#),
        (r#"{{ "a" "b" }}"#, r#"template: t:1:3: executing "t" at <"a">: can't give argument to non-function "a""#),
        ("{{ 1 | 2 }}", "template: t:1: non executable command in pipeline stage 2"),
        ("{{ nil }}", r#"template: t:1:3: executing "t" at <nil>: nil is not a command"#),
        ("{{ $x := 1 }}{{ if .b }}", "template: t:1: unexpected EOF"),
        (
            "{{ .b | printf }}",
            r#"template: t:1:8: executing "t" at <printf>: wrong type for value; expected string; got bool"#,
        ),
        ("{{ printf 3 }}", r#"template: t:1:10: executing "t" at <3>: expected string; found 3"#),
        ("{{ .t.Format 3 }}", r#"template: t:1:13: executing "t" at <3>: expected string; found 3"#),
        (
            "{{ .t.Format }}",
            r#"template: t:1:5: executing "t" at <.t.Format>: wrong number of args for Format: want 1 got 0"#,
        ),
        ("{{ range $a, $b, $c := .l }}{{ end }}", "template: t:1: too many declarations in range"),
        ("{{ range .b }}{{ end }}", r#"template: t:1:9: executing "t" at <.b>: range can't iterate over true"#),
        (
            "{{ range $i, $v := 3 }}{{ end }}",
            r#"template: t:1:19: executing "t" at <3>: can't use 3 to iterate over more than one variable"#,
        ),
        ("{{ $y }}", r#"template: t:1: undefined variable "$y""#),
        ("{{ nofunc 1 }}", r#"template: t:1: function "nofunc" not defined"#),
        (r#"{{ "unclosed }}"#, "template: t:1: unterminated quoted string"),
        ("{{ 'ab' }}", "template: t:1: malformed character constant: 'ab'"),
        ("{{ 1a }}", r#"template: t:1: bad number syntax: "1a""#),
        ("{{ (1 }}", "template: t:1: unclosed left paren"),
        ("{{ 1) }}", "template: t:1: unexpected right paren"),
        ("{{ if }}x{{ end }}", "template: t:1: missing value for if"),
        ("{{ else }}", "template: t:1: unexpected {{else}}"),
        (r#"{{ define "x" }}{{ else }}{{ end }}"#, "template: t:1: unexpected {{else}} in define clause"),
        ("{{ end }}", "template: t:1: unexpected {{end}}"),
        ("{{ break }}", "template: t:1: {{break}} outside {{range}}"),
        ("{{ template .n }}", r#"template: t:1: unexpected ".n" in template clause"#),
        ("{{ x.y }}", r#"template: t:1: function "x" not defined"#),
        (r#"{{ "a".b }}"#, r#"template: t:1: unexpected . after term "\"a\"""#),
        ("{{ ® }}", "template: t:1: unrecognized character in action: U+00AE '®'"),
        ("{{ 99999999999999999999 }}", r#"template: t:1: integer overflow: "99999999999999999999""#),
        ("{{ /* x */ y }}", r#"template: t:1: unexpected "/" in command"#),
        ("{{/* unclosed", "template: t:1: unclosed comment"),
        ("a\nb{{ .n", "template: t:2: unclosed action"),
        (
            r#"{{ define "x" }}a{{ end }}{{ define "x" }}b{{ end }}"#,
            r#"template: t:1: template: multiple definition of template "x""#,
        ),
    ] {
        assert_eq!(run(template).as_ref().map_err(String::as_str), Err(expected), "{template}");
    }
}

#[test]
fn what_a_template_makes_on_the_way_is_bounded() {
    let made = |text: &str| {
        let template = Template::parse("t", text, ALERTMANAGER).unwrap();
        template.execute(&data(), &mut Context::new(Timestamp::EPOCH, "")).map_err(|error| error.message)
    };
    let doubled = |step: &str, end: &str| {
        format!("{{{{ $x := \"aaaaaaaa\" }}}}{{{{ range 20 }}}}{{{{ $x = {step} }}}}{{{{ end }}}}{{{{ {end} }}}}")
    };
    let long = "the text would have more than 4194304 bytes";
    for (function, text) in [
        ("print", doubled("print $x $x", "len $x")),
        ("printf", doubled("printf \"%[1]s%[1]s\" $x", "len $x")),
        ("join", doubled("join $x (stringSlice \"\" \"\" \"\")", "len $x")),
        ("reReplaceAll", doubled("reReplaceAll \".*\" \"$0$0\" $x", "len $x")),
        ("toJson", doubled("list $x $x", "toJson $x | len")),
        ("print", doubled("list $x $x", "print $x | len")),
        ("html", doubled("list $x $x", "html $x | len")),
        ("eq", doubled("list $x $x", "eq $x $x")),
    ] {
        let refused = made(&text).unwrap_err();
        let expected = if function == "eq" {
            "error calling eq: non-comparable".to_owned()
        } else {
            format!("error calling {function}: {long}")
        };
        assert!(refused.starts_with(&expected), "{text}: {}", &refused[..refused.len().min(200)]);
        assert!(refused.len() < 8 << 20);
    }
    let nested = "{{ $x := list 1 }}{{ range 100 }}{{ $x = list $x }}{{ end }}";
    assert_eq!(made(nested).unwrap_err(), "error calling list: the value would be nested more than 64 deep");
    // A notification about a thousand alerts that collects a line of each.
    let collects = "{{ $all := \"\" }}{{ $l := list }}{{ range 1000 }}{{ $all = print $all (printf \"%100s\" \"\") }}\
                    {{ $l = append $l $all }}{{ end }}{{ len $all }} {{ len $l }}";
    assert_eq!(made(collects).as_deref(), Ok("100000 1000"));
}

#[test]
fn an_execution_is_bounded() {
    let limited = |text: &str, limits: Limits| {
        let mut context = Context::new(Timestamp::EPOCH, "");
        context.limits = limits;
        let template = Template::parse("t", text, BUILTIN).unwrap();
        template.execute(&data(), &mut context).map_err(|error| error.message)
    };
    let few = Limits { output_bytes_max: 1_000, steps_max: 100, values_bytes_max: 2_000 };
    let endless = "{{ range 1000000000 }}{{ end }}";
    assert_eq!(limited(endless, few), Err("stopped after 100 steps".to_owned()));
    let wide = "{{ range 50 }}{{ printf \"%100s\" \"\" }}{{ end }}";
    assert_eq!(limited(wide, few), Err("stopped after 1000 bytes of output".to_owned()));
    // A width is cut, so that one directive cannot ask for a gigabyte.
    assert_eq!(run("{{ printf \"%999999d\" 1 | len }}").as_deref(), Ok("10000"));
    let made = "{{ range 40 }}{{ $x := printf \"%100s\" \"\" }}{{ end }}";
    assert_eq!(limited(made, few), Err("stopped after 2000 bytes of values".to_owned()));
    let recursive = "{{ define \"r\" }}{{ template \"r\" . }}{{ end }}{{ template \"r\" . }}";
    assert_eq!(limited(recursive, few), Err("exceeded maximum template depth (64)".to_owned()));
    // As deep as the stack of a thread allows without asking for more.
    let deep =
        |open: &str, middle: &str, close: &str, n: usize| format!("{}{middle}{}", open.repeat(n), close.repeat(n));
    assert_eq!(run(&format!("{{{{ {} }}}}", deep("(", "1", ")", 99))).as_deref(), Ok("1"));
    assert_eq!(run(&deep("{{ if true }}", "x", "{{ end }}", 99)).as_deref(), Ok("x"));
    for text in [format!("{{{{ {} }}}}", deep("(", "1", ")", 5_000)), deep("{{ if true }}", "x", "{{ end }}", 5_000)] {
        assert_eq!(run(&text).unwrap_err(), "template: t:1: max expression depth exceeded");
    }
    let chain = format!("{{{{ if .e }}}}{}{{{{ end }}}}", "{{ else if .e }}".repeat(5_000));
    assert_eq!(run(&chain).unwrap_err(), "template: t:1: max expression depth exceeded");
}

#[test]
fn a_set_keeps_what_was_added_before() {
    let mut set = Set::new(BUILTIN);
    set.add("a.tmpl", "{{ define \"x\" }}first{{ end }}").unwrap();
    set.add("b.tmpl", "{{ define \"x\" }}second {{ template \"y\" . }}{{ end }}{{ define \"y\" }}[{{ . }}]{{ end }}")
        .unwrap();
    // An empty definition does not replace one that is there.
    set.add("c.tmpl", "{{ define \"x\" }} {{ end }}").unwrap();
    assert!(set.add("d.tmpl", "{{ define \"x\" }}{{ nosuch }}{{ end }}").is_err());
    let mut context = Context::new(Timestamp::EPOCH, "");
    assert_eq!(set.execute("x", &Value::Int(1), Escape::None, &mut context).as_deref(), Ok("second [1]"));
    let missing = set.execute("z", &Value::Nil, Escape::None, &mut context).unwrap_err();
    assert_eq!(missing.to_string(), "template: no template \"z\" associated");
    // Positions are those of the file in which the failing template stands.
    set.add("e.tmpl", "\n\n{{ define \"bad\" }}{{ index .l 9 }}{{ end }}").unwrap();
    let error = set.execute("bad", &data(), Escape::None, &mut context).unwrap_err();
    assert_eq!((error.line, error.column), (3, 21));
    assert!(error.to_string().starts_with("template: e.tmpl:3:21: executing \"bad\" at <index .l 9>: "), "{error}");
}
