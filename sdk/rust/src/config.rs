//! The user's configuration, read with serde; mistakes are told with a JSON pointer to where they are.

use serde::de::DeserializeOwned;
use serde_path_to_error::{Path, Segment};

use crate::Error;

pub(crate) fn parse<T: DeserializeOwned>(config: &str) -> Result<T, Error> {
    let mut reader = serde_json::Deserializer::from_str(config);
    let parsed = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let path = pointer(error.path());
        Error::InvalidConfig { path, message: without_position(&error.into_inner().to_string()) }
    })?;
    reader.end().map_err(|error| Error::config("", error.to_string()))?;
    Ok(parsed)
}

/// A path as a JSON pointer (RFC 6901).
fn pointer(path: &Path) -> String {
    let mut pointer = String::new();
    for segment in path {
        match segment {
            Segment::Seq { index } => pointer.push_str(&format!("/{index}")),
            Segment::Map { key } => pointer.push_str(&format!("/{}", key.replace('~', "~0").replace('/', "~1"))),
            // The variant of an enumeration is not a place in the text, and beyond the unknown there is nothing to say.
            Segment::Enum { .. } | Segment::Unknown => {}
        }
    }
    pointer
}

/// The user wrote YAML, so line and column within the JSON text would mislead.
fn without_position(message: &str) -> String {
    message.rsplit_once(" at line ").map_or(message, |(text, _)| text).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;
    use std::collections::BTreeMap;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only whether it can be read matters")]
    struct Config {
        #[serde(default)]
        teams: BTreeMap<String, Team>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only whether it can be read matters")]
    struct Team {
        days: Vec<u8>,
    }

    #[test]
    fn mistakes_come_with_a_pointer() {
        for (config, expected) in [
            ("{}", ""),
            (r#"{"team": 1}"#, r#"invalid configuration at "/team": unknown field `team`, expected `teams`"#),
            (
                r#"{"teams": {"a/b": {"days": [1, "x"]}}}"#,
                r#"invalid configuration at "/teams/a~1b/days/1": invalid type: string "x", expected u8"#,
            ),
            (r#"{"teams": {"a": {}}}"#, r#"invalid configuration at "/teams/a": missing field `days`"#),
            ("{", r#"invalid configuration at "": EOF while parsing an object"#),
        ] {
            let told = parse::<Config>(config).err().map_or_else(String::new, |error| error.to_string());
            assert_eq!(told, expected, "{config}");
        }
    }
}
