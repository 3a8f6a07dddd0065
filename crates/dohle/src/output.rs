//! What is written for people, and the same for programs.

use std::io::{self, Write};

use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;

/// Writes to standard output in the form that was asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    pub(crate) json: bool,
}

impl Output {
    /// One thing: a JSON object in one line, or text.
    pub(crate) fn one<T: Serialize>(self, thing: &T, text: impl FnOnce(&T) -> String) -> anyhow::Result<()> {
        if self.json { json(thing) } else { say(&text(thing)) }
    }

    /// Several things: a JSON object a line, or a table with one row a thing.
    pub(crate) fn rows<T: Serialize, const N: usize>(
        self,
        heads: [&str; N],
        things: &[T],
        row: impl Fn(&T) -> [String; N],
    ) -> anyhow::Result<()> {
        if self.json {
            return things.iter().try_for_each(json);
        }
        say(&table(heads, things.iter().map(row)))
    }
}

/// A table without lines, in columns as wide as they need to be.
pub(crate) fn table<const N: usize>(heads: [&str; N], rows: impl IntoIterator<Item = [String; N]>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(heads);
    table.add_rows(rows);
    // Every column is padded on both sides; the first needs no left margin.
    let lines = table.lines().map(|line| line.strip_prefix(' ').unwrap_or(&line).trim_end().to_owned());
    lines.collect::<Vec<_>>().join("\n")
}

/// One line, or several.
pub(crate) fn say(text: &str) -> anyhow::Result<()> {
    writeln!(io::stdout().lock(), "{text}")?;
    Ok(())
}

fn json<T: Serialize>(thing: &T) -> anyhow::Result<()> {
    let mut line = serde_json::to_string(thing)?;
    line.push('\n');
    io::stdout().lock().write_all(line.as_bytes())?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::table;

    #[test]
    fn a_table_is_aligned_and_has_no_lines() {
        let rows = [["a".to_owned(), "1".to_owned()], ["long".to_owned(), "22".to_owned()]];
        assert_eq!(table(["NAME", "N"], rows), "NAME  N\na     1\nlong  22");
    }
}
