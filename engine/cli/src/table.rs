//! Columns of text.

use std::fmt;

use watchfire_host::visible;

/// A table with a heading; columns are as wide as they must be.
pub(crate) struct Table<const N: usize> {
    rows: Vec<[String; N]>,
}

impl<const N: usize> Table<N> {
    pub(crate) fn new(heading: [&str; N]) -> Table<N> {
        Table { rows: vec![heading.map(str::to_owned)] }
    }

    /// What others wrote may stand in a row: it does not steer the terminal.
    pub(crate) fn row(&mut self, row: [String; N]) {
        self.rows.push(row.map(|cell| visible(&cell)));
    }

    /// Whether there is nothing but the heading.
    pub(crate) fn is_empty(&self) -> bool {
        self.rows.len() == 1
    }
}

impl<const N: usize> fmt::Display for Table<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = |column: usize| self.rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..N).map(width).collect();
        for row in &self.rows {
            let mut line = String::new();
            for (cell, width) in row.iter().zip(&widths) {
                line.push_str(cell);
                line.push_str(&" ".repeat(width + 2 - cell.chars().count()));
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

/// `1 file`, `2 files`.
pub(crate) fn counted(number: usize, word: &str) -> String {
    format!("{number} {word}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_wrote_does_not_steer_the_terminal() {
        let mut table = Table::new(["MATCHERS", "COMMENT"]);
        for (matchers, comment) in [
            ("team=\"a\u{1b}]0;owned\u{7}\"", "erases\u{1b}[1A\u{1b}[2Kthe line above"),
            ("über=\"\u{9b}31m\"", "two\r\nlines\tand \\n"),
        ] {
            table.row([matchers, comment].map(str::to_owned));
        }
        let lines: Vec<String> = table.to_string().lines().map(str::to_owned).collect();
        assert_eq!(
            lines,
            [
                r"MATCHERS                     COMMENT",
                r#"team="a\u{1b}]0;owned\u{7}"  erases\u{1b}[1A\u{1b}[2Kthe line above"#,
                r#"über="\u{9b}31m"             two\r\nlines\tand \n"#,
            ]
        );
    }
}
