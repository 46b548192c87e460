use std::path::PathBuf;

use super::*;

fn root(text: &str) -> Rc<Node> {
    let parsed = parse(text);
    let faults: Vec<&str> = parsed.faults.iter().map(|fault| fault.message.as_str()).collect();
    assert_eq!(faults, Vec::<&str>::new(), "{text}");
    parsed.root.unwrap()
}

/// Calls `visit` for every scalar that is not a key.
fn scalars(node: &Node, visit: &mut dyn FnMut(&Node)) {
    match &node.kind {
        Kind::Scalar { .. } => visit(node),
        Kind::Sequence(items) => items.iter().for_each(|item| scalars(item, visit)),
        Kind::Mapping(entries) => entries.iter().for_each(|entry| scalars(&entry.value, visit)),
    }
}

#[test]
fn a_place_in_a_scalar_is_found_again_in_the_file() {
    // The place of `@` in the value must be the place of `@` in the file, however the scalar is written.
    let table = [
        "a: x @ y",
        "a: x\n  y\n\n  z @",
        "a: 'it''s @'",
        "a: '\n  x\n  @'",
        r#"a: "x\"\\\u00e4 @ y""#,
        "a: \"x\\n\\ty \\\n   @\"",
        "a: |\n  x\n    y @\n",
        "a: |2-  # note @\n    x\n  y @\n",
        "a: >-\n  x\n  y\n\n  z @ w\n",
        "ü: 'ä' \nb: ö @\n",
        "a: [x, 'y @', z]",
        "# ü\r\na: |\r\n  x\r\n  y @\r\n",
        "\u{feff}a: x @",
        "a:\n  b: \"x\n  @\"\nc: d",
    ];
    for text in table {
        let place = text.rfind('@').unwrap();
        let mut found = 0;
        scalars(&root(text), &mut |node| {
            if let Some(offset) = node.text().unwrap().rfind('@') {
                assert_eq!(node.locate(text, offset), place, "{text:?} {node:?}");
                found += 1;
            }
        });
        assert_eq!(found, 1, "{text:?}");
    }
}

#[test]
fn merge_keys_give_what_is_not_there() {
    let root = root("x: &x {a: 1, b: 2}\ny: &y {b: 3, c: 4}\nz:\n  <<: [*x, *y]\n  a: 0\n");
    let z = root.get("z").unwrap();
    let values: Vec<&str> = ["a", "b", "c"].iter().map(|key| z.get(key).unwrap().text().unwrap()).collect();
    assert_eq!(values, ["0", "2", "4"]);
}

#[test]
fn quoted_lines_may_be_indented_less_than_their_key() {
    let text = "a:\n    b: 'one\ntwo'\n    c: \"three\n  four\"\n    d: end\n";
    let root = root(text);
    let a = root.get("a").unwrap();
    let values: Vec<&str> = ["b", "c", "d"].iter().map(|key| a.get(key).unwrap().text().unwrap()).collect();
    assert_eq!(values, ["one two", "three four", "end"]);
    assert_eq!(a.get("d").unwrap().start, text.find("end").unwrap());
}

#[test]
fn a_second_document_is_noticed_even_if_it_is_broken_later() {
    assert!(parse("a: 1\n---\nb: 2\n").second_document.is_some());
    assert!(parse("---\na: 1\n...\n").second_document.is_none());
    let parsed = parse("a: 1\n---\n}\n");
    assert!(parsed.root.is_some() && parsed.faults.is_empty());
}

#[expect(clippy::disallowed_methods, reason = "tests read where the public data is")]
fn data() -> Option<PathBuf> {
    std::env::var_os("WATCHFIRE_TEST_DATA").map(PathBuf::from)
}

#[test]
fn every_character_of_the_public_rules_is_found_again() {
    let Some(data) = data() else {
        println!("SKIPPED every_character_of_the_public_rules_is_found_again: WATCHFIRE_TEST_DATA is not set");
        return;
    };
    let mut folders = vec![data.join("alert-rules"), data.join("alertmanager/head/config")];
    let mut compared = 0;
    while let Some(folder) = folders.pop() {
        for path in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            if !path.extension().is_some_and(|extension| extension == "yml" || extension == "yaml") {
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            let Some(root) = parse(&text).root else { continue };
            scalars(&root, &mut |node| {
                let value = node.text().unwrap();
                // A long text is sampled, since each place is found by counting from its beginning.
                let step = value.chars().count() / 25 + 1;
                for (offset, c) in value.char_indices().step_by(step).filter(|(_, c)| !c.is_whitespace()) {
                    let at = node.locate(&text, offset);
                    let written = text[at..].chars().next().unwrap();
                    assert!(written == c || written == '\\', "{}: {c:?} in {value:?}", path.display());
                    compared += 1;
                }
            });
        }
    }
    assert!(compared > 100_000, "only {compared} characters were compared");
}
