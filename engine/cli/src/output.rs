//! Standard output, where a command says what it found.

use std::fmt::Arguments;
use std::io::{ErrorKind, Write};

use watchfire_host::visible;

/// As `println!`, which panics when nobody reads on.
macro_rules! say {
    () => { crate::output::write(format_args!("\n")) };
    ($($words:tt)*) => { crate::output::write(format_args!("{}\n", format_args!($($words)*))) };
}
pub(crate) use say;

/// The status of a program that the signal of a closed pipe ends, which Rust's programs never get.
const CLOSED: i32 = 141;

/// Writes to standard output. The process ends if that is not possible: quietly where the reader has seen enough, as
/// behind `| head`.
pub(crate) fn write(words: Arguments<'_>) {
    let Err(error) = std::io::stdout().write_fmt(words) else { return };
    if error.kind() == ErrorKind::BrokenPipe {
        std::process::exit(CLOSED);
    }
    eprintln!("error: cannot write to standard output: {error}");
    std::process::exit(1);
}

/// What others wrote, on as many lines as they meant, without what a terminal would obey.
pub(crate) fn visible_lines(text: &str) -> String {
    text.lines().map(visible).collect::<Vec<_>>().join("\n")
}

/// Standard error for the log: one record takes one line, or more of which all but the first are indented, so that what
/// others wrote never begins as a record does.
pub(crate) struct Records<W>(pub(crate) W);

impl<W: Write> Write for Records<W> {
    /// Takes a whole record, as the log writes it.
    fn write(&mut self, record: &[u8]) -> std::io::Result<usize> {
        self.0.write_all(&indented(record))?;
        Ok(record.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.flush()
    }
}

fn indented(record: &[u8]) -> Vec<u8> {
    let (text, end) = match record {
        [text @ .., b'\n'] => (text, &b"\n"[..]),
        text => (text, &b""[..]),
    };
    let mut out = Vec::with_capacity(record.len());
    for byte in text {
        match byte {
            b'\n' => out.extend_from_slice(b"\n    "),
            b'\r' => out.extend_from_slice(b"\\r"),
            byte => out.push(*byte),
        }
    }
    out.extend_from_slice(end);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_never_begins_in_the_middle_of_another() {
        for (record, written) in [
            ("INFO one\n", "INFO one\n"),
            ("INFO one\nERROR two\n", "INFO one\n    ERROR two\n"),
            ("INFO one\rERROR two", "INFO one\\rERROR two"),
        ] {
            let mut log = Records(Vec::new());
            log.write_all(record.as_bytes()).unwrap();
            assert_eq!(String::from_utf8(log.0).unwrap(), written);
        }
    }

    #[test]
    fn lines_of_others_stay_lines_and_steer_nothing() {
        assert_eq!(visible_lines("a\u{1b}[2J\r\nb\rc\n"), "a\\u{1b}[2J\nb\\rc");
    }
}
