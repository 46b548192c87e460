//! Labels and matchers as they are typed, in the syntax of `amtool`.

use anyhow::{Result, bail};
use watchfire::config::{parse_matcher, parse_matchers};
use watchfire_model::{ALERT_NAME_LABEL, Labels, MatchOp, Matcher};

/// Labels, each `NAME=VALUE`.
pub(crate) fn labels(given: &[String]) -> Result<Labels> {
    let mut pairs = Vec::new();
    for text in given {
        let matcher = parse_matcher(text).map_err(|error| anyhow::anyhow!("{text}: {error}"))?;
        if matcher.op() != MatchOp::Equal {
            bail!("{text}: a label is NAME=VALUE; {} is for matchers", matcher.op());
        }
        pairs.push((matcher.name().to_owned(), matcher.value().to_owned()));
    }
    Ok(Labels::from_pairs(pairs))
}

/// Matchers; a first one without an operator is the alert's name.
pub(crate) fn matchers(given: &[String]) -> Result<Vec<Matcher>> {
    let mut matchers = Vec::new();
    for (index, text) in given.iter().enumerate() {
        match parse_matchers(text) {
            Ok(parsed) => matchers.extend(parsed),
            Err(_) if index == 0 && !text.contains(['=', '~', '{', '"']) => {
                matchers.push(Matcher::equal(ALERT_NAME_LABEL, text.clone()));
            }
            Err(error) => bail!("{text}: {error}"),
        }
    }
    Ok(matchers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(given: &[&str]) -> Vec<String> {
        given.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn the_first_word_may_be_the_alerts_name() {
        for (given, expected) in [
            (&["Disk"][..], "alertname=\"Disk\""),
            (&["Disk", "a=b"], "alertname=\"Disk\" a=\"b\""),
            (&["a=~b.*", "{c!=\"d\", e=f}"], "a=~\"b.*\" c!=\"d\" e=\"f\""),
        ] {
            let parsed = matchers(&texts(given)).unwrap();
            assert_eq!(parsed.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "), expected);
        }
        assert!(matchers(&texts(&["a=b", "Disk"])).is_err());
    }

    #[test]
    fn labels_are_equal_to_something() {
        assert_eq!(labels(&texts(&["a=b", "c=\"d e\""])).unwrap().to_string(), "{a=\"b\", c=\"d e\"}");
        assert!(labels(&texts(&["a=~b"])).is_err());
    }
}
