//! Standard output, where a command says what it found.

use std::fmt::Arguments;
use std::io::{ErrorKind, Write};

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
