//! Rows of cells, as wide as they need to be.

use std::fmt::Write as _;

/// Every column as wide as its widest cell, two spaces between them.
#[must_use]
pub fn aligned(rows: &[Vec<String>]) -> String {
    laid_out(rows, |_, cell, width| format!("{cell:<width$}"))
}

/// The same for a name and figures: names to the left, figures to the right.
#[must_use]
pub fn with_figures(rows: &[Vec<String>]) -> String {
    laid_out(
        rows,
        |column, cell, width| {
            if column == 0 { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
        },
    )
}

fn laid_out(rows: &[Vec<String>], pad: impl Fn(usize, &str, usize) -> String) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |n: usize| {
        let cells = rows.iter().filter_map(|row| row.get(n));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let cells: Vec<String> = row
            .iter()
            .zip(&widths)
            .enumerate()
            .map(|(column, (cell, width))| pad(column, cell, *width))
            .collect();
        let _ = writeln!(text, "{}", cells.join("  ").trim_end());
    }
    text
}
