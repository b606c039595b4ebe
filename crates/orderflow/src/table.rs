//! Tables for people: aligned columns without borders, so that grep and cut work on them too.

use comfy_table::{Cell, CellAlignment, Table, presets};

/// How a column is aligned.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Align {
    Left,
    Right,
}

/// Header and rows as text without a trailing line break.
pub(crate) fn render<const N: usize>(columns: [(&str, Align); N], rows: Vec<[String; N]>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(columns.map(|(name, align)| cell(name, align)));
    for row in rows {
        table.add_row(row.iter().zip(columns).map(|(text, (_, align))| cell(text, align)));
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table.trim_fmt()
}

fn cell(text: &str, align: Align) -> Cell {
    Cell::new(text).set_alignment(match align {
        Align::Left => CellAlignment::Left,
        Align::Right => CellAlignment::Right,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_lines_trimmed() {
        let columns = [("NAME", Align::Left), ("COUNT", Align::Right)];
        let rows = vec![["a".to_owned(), "12345678".to_owned()], ["bcdefg".to_owned(), "1".to_owned()]];
        assert_eq!(render(columns, rows), "NAME       COUNT\na       12345678\nbcdefg         1");
    }
}
