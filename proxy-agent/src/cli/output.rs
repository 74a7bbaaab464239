//! How commands print: columns that fit the terminal, columns in full, or JSON. Standard output carries nothing else.

use clap::ValueEnum;
use comfy_table::{Cell, CellAlignment, ContentArrangement, Table, presets};
use serde::Serialize;
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;

/// How to print.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, ValueEnum)]
pub enum Format {
    /// The columns that matter most; on a terminal they are fitted to its width.
    #[default]
    Table,
    /// All columns, as wide as they are.
    Wide,
    /// One JSON document.
    Json,
}

/// A cell: right-aligned numbers, left-aligned text; a text may have several lines.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Value {
    /// Text.
    Text(String),
    /// A number.
    Number(u64),
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Self::Number(number)
    }
}

const NARROWEST: u16 = 40;
const USUAL: u16 = 80;

/// The terminal's width; `None` where output goes elsewhere and lines stay whole.
pub fn terminal_width() -> Option<u16> {
    let stdout = io::stdout();
    if !stdout.is_terminal() {
        return None;
    }
    let columns = rustix::termios::tcgetwinsize(stdout.as_fd()).map_or(0, |size| size.ws_col);
    Some(if columns < NARROWEST { USUAL } else { columns })
}

/// Columns under a header. `width` breaks cells so that lines fit; without it lines are as long as they are.
pub fn columns(header: &[&str], rows: Vec<Vec<Value>>, width: Option<u16>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    if !header.is_empty() {
        let numbers = |index: usize| rows.first().is_some_and(|row| matches!(row.get(index), Some(Value::Number(_))));
        let title = |(index, text): (usize, &&str)| aligned(Cell::new(text), numbers(index));
        table.set_header(header.iter().enumerate().map(title).collect::<Vec<_>>());
    }
    match width {
        Some(width) => table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width),
        None => table.set_content_arrangement(ContentArrangement::Disabled),
    };
    for row in rows {
        table.add_row(row.into_iter().map(cell).collect::<Vec<_>>());
    }
    let last = table.column_count().saturating_sub(1);
    for (index, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, if index == last { 0 } else { 2 }));
    }
    table.trim_fmt()
}

fn cell(value: Value) -> Cell {
    match value {
        Value::Text(text) => aligned(Cell::new(text), false),
        Value::Number(number) => aligned(Cell::new(number), true),
    }
}

fn aligned(cell: Cell, right: bool) -> Cell {
    cell.set_alignment(if right { CellAlignment::Right } else { CellAlignment::Left })
}

/// Several short texts, one below the other; `-` for none.
pub fn lines<T: ToString>(texts: impl IntoIterator<Item = T>) -> String {
    let joined = texts.into_iter().map(|text| text.to_string()).collect::<Vec<_>>().join("\n");
    if joined.is_empty() { "-".to_owned() } else { joined }
}

/// A span of time in its largest fitting units: `740ms`, `12s`, `3m20s`, `5h10m`, `9d4h`.
pub fn duration(milliseconds: u64) -> String {
    let seconds = milliseconds / 1000;
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match seconds {
        0 => format!("{milliseconds}ms"),
        1..60 => format!("{seconds}s"),
        60..3600 => format!("{minutes}m{}s", seconds % 60),
        3600..86_400 => format!("{hours}h{minutes}m"),
        _ => format!("{days}d{hours}h"),
    }
}

/// Prints `text` and a new line. A reader that has gone away (`| head`) is no error.
pub fn print(text: &str) -> io::Result<()> {
    match writeln!(io::stdout().lock(), "{text}") {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

/// Prints `value` as one JSON document.
pub fn print_json<T: Serialize>(value: &T) -> io::Result<()> {
    print(&serde_json::to_string_pretty(value)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> Vec<Vec<Value>> {
        vec![
            vec!["default/hello".into(), 7.into(), "10.96.0.10:80\nNodePort 30007".into()],
            vec!["kube-system/a-service-with-quite-a-long-name".into(), 12_345.into(), "-".into()],
        ]
    }

    #[test]
    fn columns_keep_their_lines_whole() {
        assert_eq!(
            columns(&["SERVICE", "CONNS", "FRONTENDS"], rows(), None),
            "SERVICE                                       CONNS  FRONTENDS\n\
             default/hello                                     7  10.96.0.10:80\n\
             \x20                                                    NodePort 30007\n\
             kube-system/a-service-with-quite-a-long-name  12345  -"
        );
    }

    #[test]
    fn durations() {
        for (milliseconds, text) in
            [(0, "0ms"), (999, "999ms"), (59_999, "59s"), (200_000, "3m20s"), (18_600_000, "5h10m"), (792_000_000, "9d4h")]
        {
            assert_eq!(duration(milliseconds), text);
        }
    }

    #[test]
    fn columns_break_to_fit_a_terminal() {
        let text = columns(&["SERVICE", "CONNS", "FRONTENDS"], rows(), Some(48));
        assert!(text.lines().all(|line| line.len() <= 48), "{text}");
        assert!(text.contains("NodePort 30007"), "{text}");
    }
}
