//! How results look: tables and colours for people, JSON for programs.

use crate::failure::CliError;
use anstyle::{AnsiColor, Style};
use comfy_table::{
    Attribute, Cell, CellAlignment, Color, ContentArrangement, Table, TableComponent, presets,
};
use serde::Serialize;
use std::borrow::Cow;
use std::io::{IsTerminal, Write, stdout};

pub(crate) const ERROR: Style = AnsiColor::Red.on_default().bold();
pub(crate) const HEADING: Style = Style::new().bold();
pub(crate) const GOOD: Style = AnsiColor::Green.on_default().bold();

/// Wide enough for every table here; a terminal that is wider does not make them easier to read.
const COLUMNS_MAX: u16 = 100;
const COLUMNS_MIN: u16 = 80;

/// Writes to standard output; anstream takes the colours out unless a terminal shows them and NO_COLOR is unset.
pub(crate) fn print(text: &str) -> Result<(), CliError> {
    let mut out = anstream::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(CliError::Output)
}

/// As [`print`], for a command whose exit code is part of its answer: a reader that has seen enough does not change it.
pub(crate) fn print_verdict(text: &str) -> Result<(), CliError> {
    print(text).or_else(|error| match error.is_broken_pipe() {
        true => Ok(()),
        false => Err(error),
    })
}

/// One JSON value, indented, and a line end.
pub(crate) fn json_page<T: Serialize>(value: &T) -> Result<String, CliError> {
    let mut text =
        serde_json::to_string_pretty(value).map_err(|error| CliError::Output(error.into()))?;
    text.push('\n');
    Ok(text)
}

/// One JSON value on one line.
pub(crate) fn json_line<T: Serialize>(value: &T) -> Result<String, CliError> {
    let mut text = serde_json::to_string(value).map_err(|error| CliError::Output(error.into()))?;
    text.push('\n');
    Ok(text)
}

/// A table without borders. On a terminal its cells are wrapped to fit; in a pipe every row stays one line, for grep and awk.
pub(crate) fn table(headers: &[&str], right_aligned: &[usize]) -> Table {
    let mut table = frame();
    table.set_style(TableComponent::HeaderLines, '─');
    table.set_header(headers.iter().map(Cell::new));
    close_up(&mut table);
    for &index in right_aligned {
        if let Some(column) = table.column_mut(index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

/// A table of these rows without a header, for lists whose last column is prose.
pub(crate) fn list(rows: Vec<Vec<Cell>>) -> Table {
    let mut table = frame();
    table.add_rows(rows);
    close_up(&mut table);
    table
}

/// Two blanks between columns, none before the first.
fn close_up(table: &mut Table) {
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
}

fn frame() -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    // A preset's blank is a column of the terminal, too.
    for line in [
        TableComponent::VerticalLines,
        TableComponent::LeftBorder,
        TableComponent::RightBorder,
    ] {
        table.remove_style(line);
    }
    // By the rules of anstream (NO_COLOR, CLICOLOR, pipes), which `print` goes by, too.
    match anstream::AutoStream::choice(&stdout()) {
        anstream::ColorChoice::Never => table.force_no_tty(),
        _ => table.enforce_styling(),
    };
    if is_terminal() {
        table.set_content_arrangement(ContentArrangement::Dynamic);
        table.set_width(terminal_columns());
    } else {
        table.set_content_arrangement(ContentArrangement::Disabled);
    }
    if cfg!(test) {
        table.force_no_tty();
    }
    table
}

/// Snapshots must not depend on where the tests are run.
fn is_terminal() -> bool {
    !cfg!(test) && stdout().is_terminal()
}

/// Of standard output, as far as text is to use them; in a pipe the most.
pub(crate) fn terminal_columns() -> u16 {
    // comfy-table asks the terminal, which may say 0 for unknown. Below some width a terminal's own wrapping reads better than ours.
    match Table::new().width() {
        None | Some(0) => COLUMNS_MAX,
        Some(columns) => columns.clamp(COLUMNS_MIN, COLUMNS_MAX),
    }
}

/// The table as lines without trailing blanks, which only make terminals wrap.
pub(crate) fn lines(table: &Table) -> String {
    let mut text = String::new();
    for line in table.lines() {
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// Bytes as text; what a terminal would obey or cannot show is escaped.
pub(crate) fn shown(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.chars().any(char::is_control) => Cow::Borrowed(text),
        Ok(text) => Cow::Owned(
            text.chars()
                .map(|c| match c.is_control() {
                    true => c.escape_default().to_string(),
                    false => c.to_string(),
                })
                .collect(),
        ),
        Err(_) => Cow::Owned(bytes.escape_ascii().to_string()),
    }
}

/// An address, and the database if it is not 0: `10.0.0.1:6379/2`.
pub(crate) fn place(address: &str, database: u32) -> String {
    match database {
        0 => address.to_owned(),
        _ => format!("{address}/{database}"),
    }
}

/// `1,234,567`.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1.5 MiB`.
pub(crate) fn bytes(number: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut size = number as f64;
    let mut unit = 0;
    // Rounded first, so that nothing is printed as 1024.0 KiB.
    while (size * 10.0).round() >= 10_240.0 && unit + 1 < UNITS.len() {
        size /= 1024.0;
        unit += 1;
    }
    match unit {
        0 => format!("{number} B"),
        _ => format!("{size:.1} {}", UNITS[unit]),
    }
}

/// `850 us`, `1.2 ms`, `3.0 s`.
pub(crate) fn microseconds(number: u64) -> String {
    match number {
        0..1_000 => format!("{number} us"),
        1_000..1_000_000 => format!("{:.1} ms", number as f64 / 1e3),
        _ => format!("{:.1} s", number as f64 / 1e6),
    }
}

/// `3d 4h`, `2h 5m`, `7m 1s`, `12s`.
pub(crate) fn age(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m {}s", seconds % 60),
        (0, _, _) => format!("{hours}h {}m", minutes % 60),
        _ => format!("{days}d {}h", hours % 24),
    }
}

/// `1 server`, `2 servers`.
pub(crate) fn plural(number: usize, noun: &str) -> String {
    let ending = if number == 1 { "" } else { "s" };
    format!("{} {noun}{ending}", count(number as u64))
}

/// What a server did not say is a question mark, never a zero.
pub(crate) fn or_unknown(value: Option<String>) -> Cell {
    Cell::new(value.as_deref().unwrap_or("?"))
}

/// In place of the facts of a server that gave none.
pub(crate) fn absence(answer: &keyway::inspect::Answer) -> Cell {
    match answer {
        keyway::inspect::Answer::Refused { .. } => bold("refused", Color::Red),
        _ => bold("down", Color::Red),
    }
}

/// A cell that stands out. Escape codes in a plain one would count as its width.
pub(crate) fn bold(text: &str, color: Color) -> Cell {
    Cell::new(text).fg(color).add_attribute(Attribute::Bold)
}

/// A piece of text in a style.
pub(crate) fn styled(style: Style, text: &str) -> String {
    format!("{style}{text}{style:#}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_exact_enough() {
        assert_eq!(
            [0, 999, 1_000, 1_234_567].map(count),
            ["0", "999", "1,000", "1,234,567"]
        );
        assert_eq!(
            [0, 1023, 1024, 1_048_575, 1_572_864, u64::MAX].map(bytes),
            [
                "0 B",
                "1023 B",
                "1.0 KiB",
                "1.0 MiB",
                "1.5 MiB",
                "16777216.0 TiB"
            ]
        );
        assert_eq!(
            [999, 1_200, 3_000_000].map(microseconds),
            ["999 us", "1.2 ms", "3.0 s"]
        );
        assert_eq!(
            [12, 421, 7_500, 273_600].map(age),
            ["12s", "7m 1s", "2h 5m", "3d 4h"]
        );
    }

    #[test]
    fn keys_cannot_control_the_terminal() {
        assert_eq!(shown("käse:1".as_bytes()), "käse:1");
        assert_eq!(shown(b"a\x1b[2Jb\n"), "a\\u{1b}[2Jb\\n");
        assert_eq!(shown(b"\xff\x00a"), "\\xff\\x00a");
    }
}
