use super::*;
use crate::handlebars::Escaping;
use crate::handlebars::tests::render as render_text;

/// Renders on a stack of the size that threads have by default.
fn render(text: &str) -> Result<String, String> {
    std::thread::scope(|scope| {
        let render = || render_text(Escaping::None, text);
        std::thread::Builder::new().stack_size(2 << 20).spawn_scoped(scope, render).unwrap().join().unwrap()
    })
}

fn nested(open: &str, middle: &str, close: &str, depth: usize) -> String {
    format!("{}{middle}{}", open.repeat(depth), close.repeat(depth))
}

#[test]
fn partials_and_blocks_that_are_usual_are_rendered() {
    for (text, expected) in [
        ("{{#*inline \"a\"}}<{{status}}>{{/inline}}{{> a}}{{> a alerts.[0]}}", "<firing><firing>"),
        ("{{#*inline \"a\"}}x{{/inline}}{{#*inline \"b\"}}{{> a}}y{{/inline}}{{#each alerts}}{{> b}}{{/each}}", "xyxy"),
        ("{{#if nothing}}a{{else if status}}b{{else}}c{{/if}}", "b"),
        ("a\n{{#each alerts}}\n  - {{status}}\n{{/each}}\nb", "a\n  - firing\n  - resolved\nb"),
        ("{{~#each alerts~}} {{@index}} {{~/each~}} ", "01"),
    ] {
        assert_eq!(render(text).as_deref(), Ok(expected), "{text}");
    }
    let deep = nested("{{#if status}}", "x", "{{/if}}", NESTING_MAX);
    assert_eq!(render(&deep).as_deref(), Ok("x"));
    let brackets = format!("{{{{{}}}}}", nested("(toUpper ", "status", ")", NESTING_MAX));
    assert_eq!(render(&brackets).as_deref(), Ok("FIRING"));
}

#[test]
fn what_includes_itself_is_stopped() {
    let too_deep = Err(format!("blocks and partials go more than {DEPTH_MAX} deep"));
    let stopped = |text: &str| render(text).map_err(|error| error.split_once(": ").unwrap().1.to_owned());
    assert_eq!(stopped("{{#*inline \"a\"}}{{> a}}{{/inline}}{{> a}}"), too_deep);
    assert_eq!(stopped("{{#*inline \"a\"}}{{> b}}{{/inline}}{{#*inline \"b\"}}{{> a}}{{/inline}}{{> a}}"), too_deep);
    let blocks = nested("{{#if status}}", "{{> a}}", "{{/if}}", NESTING_MAX - 1);
    assert_eq!(stopped(&format!("{{{{#*inline \"a\"}}}}{blocks}{{{{/inline}}}}{{{{> a}}}}")), too_deep);
}

#[test]
fn what_is_nested_too_deep_is_refused_before_it_is_parsed() {
    let message = format!("blocks or brackets are nested more than {NESTING_MAX} deep");
    for depth in [NESTING_MAX + 1, 50_000] {
        for text in [
            nested("{{#if status}}", "x", "{{/if}}", depth),
            nested("{{~#if status}}", "x", "{{/if}}", depth),
            format!("{{{{{}}}}}", nested("(toUpper ", "status", ")", depth)),
        ] {
            assert!(render(&text).unwrap_err().contains(&message));
        }
    }
}

#[test]
fn what_doubles_is_stopped() {
    // Each partial includes the next one twice; nothing is written.
    let mut text = "{{#*inline \"p0\"}}{{/inline}}".to_owned();
    for i in 1..30 {
        text += &format!("{{{{#*inline \"p{i}\"}}}}{{{{> p{0}}}}}{{{{> p{0}}}}}{{{{/inline}}}}", i - 1);
    }
    let limit = |spent_max: usize| {
        let mut registry = Handlebars::new();
        registry.register_template("t", parse("t", &format!("{text}{{{{> p29}}}}")).map_err(|r| r.message).unwrap());
        let limits = Limits { steps_max: spent_max, ..Limits::STANDARD };
        super::render(&registry, "t", serde_json::json!({}), limits).unwrap_err().reason().to_string()
    };
    assert_eq!(limit(1_000), "stopped after 1000 bodies of blocks and partials");
    // A value that is handed down grows with each partial.
    let grows = "{{#*inline \"a\"}}{{> a x=(print x x)}}{{/inline}}{{> a x=\"aaaaaaaa\"}}";
    assert!(render(grows).unwrap_err().contains("print: the text would have more than 4194304 bytes"));
    let grows = "{{#*inline \"a\"}}{{> a x=(list x x)}}{{/inline}}{{> a x=\"aaaaaaaa\"}}";
    assert!(render(grows).unwrap_err().contains("list: the text would have more than 4194304 bytes"));
}

#[test]
fn output_ends_at_its_limit() {
    let many = "{{#each alerts}}{{printf \"%10000s\" \"\"}}{{/each}}".repeat(300);
    assert_eq!(render(&many).unwrap_err().split_once(": ").unwrap().1, "stopped after 4194304 bytes of output");
    let refused = render("{{#> a}}x{{/a}}").unwrap_err();
    assert!(refused.contains("a partial with a block ({{#> x}}) is not supported"), "{refused}");
}
