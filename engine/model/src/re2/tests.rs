//! What is valid, what matches and what is said, by Go's rules.

use super::*;

fn anchored(pattern: &str) -> Result<Regex, RegexError> {
    build(&translate_anchored(pattern, Anchoring::Prometheus)?, pattern, COMPILED_BYTES_MAX)
}

#[test]
fn patterns_match_what_they_match_in_go() {
    for (pattern, matching, other) in [
        // ASCII only.
        (r"\d+", &["12"][..], &["٣", ""][..]),
        (r"\w+", &["aZ_9"], &["ü"]),
        (r"\s", &[" ", "\t", "\x0c"], &["\u{a0}", "\x0b"]),
        (r"\D\W\S", &["ü-x", "x\u{a0}\x0b"], &["1-x"]),
        (r"a\b.b", &["aüb", "a-b"], &["axb"]),
        // Characters that are none of the syntax where they stand.
        ("a{,2}", &["a{,2}"], &["a", "aa"]),
        ("{", &["{"], &[""]),
        ("a{2", &["a{2"], &["aa"]),
        ("}]", &["}]"], &[""]),
        ("[a&&b]", &["a", "&", "b"], &[""]),
        ("[[a]b]", &["[b]", "ab]"], &["a", "b"]),
        ("[a~~b]", &["~"], &[""]),
        ("[]a]", &["]", "a"], &["[]a]"]),
        ("[^]a]", &["b"], &["]", "a"]),
        ("[-a]", &["-", "a"], &["b"]),
        (r"[\w-]", &["-", "x"], &["+"]),
        (r"\_\-\.\/\<", &["_-./<"], &[""]),
        // Quoting and numbers.
        (r"\Qa.b*\E+", &["a.b*", "a.b**"], &["axb", "a.ba.b*"]),
        (r"\Qa\", &["a\\"], &["a"]),
        (r"\x61\x{62}\141\n", &["aba\n"], &[""]),
        // Classes.
        ("[[:^digit:][:digit:]]", &["x", "1"], &[""]),
        ("[[:word:]]", &["_"], &["ü"]),
        (r"\pL\PL\p{Greek}\p{^Lu}", &["ü1αa"], &["ü1αA", "11αa"]),
        (r"\p{Letter}\p{Lu}", &["üA"], &["1A", "üa"]),
        (r"[\pN\D]", &["1", "x", "٣"], &[""]),
        // Flags hold to the end of their group.
        ("(?i)k", &["k", "K", "\u{212a}"], &["x"]),
        ("(a(?i)b)c", &["abc", "aBc"], &["ABc", "abC"]),
        ("a(?i)b|c", &["aB", "C"], &["AB"]),
        ("(?i-s:A).", &["ab"], &["a", "Ab\n"]),
        ("a(?i)*", &["", "aa"], &["A"]),
        (r"(?i)\w", &["ſ"], &["ü"]),
        ("(?)a", &["a"], &[""]),
        ("(?P<x>a)(?<y>b)(?<x>c)", &["abc"], &[""]),
        ("(?:)|()", &[""], &["a"]),
        ("(?:a{10}){100}", &[], &["a"]),
        (r"^*a$\z", &["a"], &["aa"]),
    ] {
        let regex = anchored(pattern).unwrap_or_else(|error| panic!("{pattern}: {error}"));
        for text in matching {
            assert!(regex.is_match(text), "{pattern} must match {text:?}");
        }
        for text in other {
            assert!(!regex.is_match(text), "{pattern} must not match {text:?}");
        }
    }
}

#[test]
fn what_go_refuses_is_refused_with_its_words() {
    for (pattern, said) in [
        ("(", "missing closing ): `(`"),
        ("a)(b", "unexpected ): `a)(b`"),
        ("[a", "missing closing ]: `[a`"),
        ("*", "missing argument to repetition operator: `*`"),
        ("a|+", "missing argument to repetition operator: `+`"),
        ("a**", "invalid nested repetition operator: `**`"),
        ("a{1}{2}", "invalid nested repetition operator: `{1}{2}`"),
        ("a{1001}", "invalid repeat count: `{1001}`"),
        ("a{2,1}", "invalid repeat count: `{2,1}`"),
        ("(a{100}){11}", "invalid repeat count: `{11}`"),
        (r"\C", r"invalid escape sequence: `\C`"),
        (r"\Z", r"invalid escape sequence: `\Z`"),
        (r"\1", r"invalid escape sequence: `\1`"),
        (r"\8", r"invalid escape sequence: `\8`"),
        (r"\u0061", r"invalid escape sequence: `\u`"),
        (r"[\b]", r"invalid escape sequence: `\b`"),
        (r"\ü", r"invalid escape sequence: `\ü`"),
        ("\\", "trailing backslash at end of expression: ``"),
        ("[z-a]", "invalid character class range: `z-a`"),
        ("[a--b]", "invalid character class range: `a--`"),
        (r"[a-\d]", r"invalid escape sequence: `\d`"),
        ("[[:foo:]]", "invalid character class range: `[:foo:]`"),
        (r"\p{Foo}", r"invalid character class range: `\p{Foo}`"),
        (r"\p{Grek}", r"invalid character class range: `\p{Grek}`"),
        ("(?=a)", "invalid or unsupported Perl syntax: `(?=`"),
        ("(?x)a", "invalid or unsupported Perl syntax: `(?x`"),
        ("(?i-)a", "invalid or unsupported Perl syntax: `(?i-)`"),
        ("(?P<a-b>x)", "invalid named capture: `(?P<a-b>`"),
    ] {
        let error = anchored(pattern).expect_err(pattern);
        assert_eq!(error.to_string(), said, "{pattern}");
    }
}

#[test]
fn deep_patterns_neither_fail_nor_overflow() {
    let nested = |depth: usize| format!("{}a{}", "(".repeat(depth), ")".repeat(depth));
    assert!(compile_regex(&nested(500)).is_ok());
    assert_eq!(compile_regex(&nested(2_000)).unwrap_err().problem, "expression nests too deeply");
}
