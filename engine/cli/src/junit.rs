//! Verdicts in the format of JUnit, with the elements that promtool writes: pipelines read it everywhere.

use std::io::{self, Write};

use chrono::{DateTime, SecondsFormat, Utc};
use watchfire_config::Diagnostic;
use watchfire_scenario::Report;

/// Writes one suite for each file, with a case for each of its tests.
pub(crate) fn write(mut out: impl Write, reports: &[Report], now: DateTime<Utc>) -> io::Result<()> {
    writeln!(out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>")?;
    for report in reports {
        suite(&mut out, report, now)?;
    }
    writeln!(out, "</testsuites>")
}

fn suite(out: &mut impl Write, report: &Report, now: DateTime<Utc>) -> io::Result<()> {
    let errors: Vec<String> =
        report.diagnostics.iter().filter(|diagnostic| diagnostic.is_error()).map(Diagnostic::to_string).collect();
    let failures: usize = report.cases.iter().map(|case| case.failures.len()).sum();
    // A file that cannot be read has no tests, but a case of its own: readers of the format look for nothing else.
    let cases = if errors.is_empty() { report.cases.len() } else { 1 };
    writeln!(
        out,
        "  <testsuite name=\"{}\" tests=\"{cases}\" failures=\"{failures}\" errors=\"{}\" skipped=\"0\" timestamp=\"{}\">",
        escape(&report.file),
        usize::from(!errors.is_empty()),
        now.to_rfc3339_opts(SecondsFormat::Secs, true),
    )?;
    if !errors.is_empty() {
        writeln!(out, "    <testcase name=\"the file\">")?;
        writeln!(out, "      <error>{}</error>\n    </testcase>", escape(&errors.join("\n")))?;
    }
    for case in &report.cases {
        writeln!(out, "    <testcase name=\"{}\">", escape(&case.name))?;
        for failure in &case.failures {
            writeln!(out, "      <failure>{}</failure>", escape(&format!("{}:{failure}", report.file)))?;
        }
        writeln!(out, "    </testcase>")?;
    }
    writeln!(out, "  </testsuite>")
}

/// What XML 1.0 cannot hold becomes the replacement character.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            '\r' => out.push_str("&#13;"),
            '\n' | '\t' => out.push(character),
            character if character < ' ' || matches!(character, '\u{fffe}' | '\u{ffff}') => out.push('\u{fffd}'),
            character => out.push(character),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use watchfire_scenario::{Case, Mismatch};

    use super::*;

    #[test]
    fn each_file_is_a_suite_and_each_test_a_case() {
        let failure = Mismatch { line: 7, title: "alert \"A\" <b>\u{1}".to_owned(), comparison: Vec::new() };
        let failed = Case { name: "bad & ugly".to_owned(), failures: vec![failure], ..Case::default() };
        let good = Case { name: "good".to_owned(), ..Case::default() };
        let tested = Report { file: "a.yml".to_owned(), cases: vec![good, failed], ..Report::default() };
        let mut out = Vec::new();
        write(&mut out, &[tested, Report::unreadable("b.yml", "it is gone")], DateTime::UNIX_EPOCH).unwrap();
        let expected = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>
<testsuites>
  <testsuite name=\"a.yml\" tests=\"2\" failures=\"1\" errors=\"0\" skipped=\"0\" timestamp=\"1970-01-01T00:00:00Z\">
    <testcase name=\"good\">
    </testcase>
    <testcase name=\"bad &amp; ugly\">
      <failure>a.yml:7: alert &quot;A&quot; &lt;b&gt;\u{fffd}</failure>
    </testcase>
  </testsuite>
  <testsuite name=\"b.yml\" tests=\"1\" failures=\"0\" errors=\"1\" skipped=\"0\" timestamp=\"1970-01-01T00:00:00Z\">
    <testcase name=\"the file\">
      <error>b.yml:1:1: error: it is gone [unreadable-file]</error>
    </testcase>
  </testsuite>
</testsuites>
";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
