//! Tables for people: aligned columns without borders, so that grep and cut work on them too.

use comfy_table::{Cell, CellAlignment, Table, presets};

/// Between two columns.
const GAP: usize = 2;

/// How a column is aligned.
#[derive(Debug, Clone, Copy)]
enum Align {
    Left,
    Right,
}

/// A column, and what may become of it on a narrow terminal.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Column {
    name: &'static str,
    align: Align,
    /// Its cells may be cut to so many characters.
    chars_min: Option<usize>,
    /// It may be left out, the highest first.
    optional: Option<u8>,
}

impl Column {
    /// Text.
    pub(crate) const fn left(name: &'static str) -> Self {
        Self { name, align: Align::Left, chars_min: None, optional: None }
    }

    /// Numbers.
    pub(crate) const fn right(name: &'static str) -> Self {
        Self { align: Align::Right, ..Self::left(name) }
    }

    /// Its cells may be cut, but not below so many characters. Not for what is typed into the next command: names, IDs.
    pub(crate) const fn cut_to(self, chars_min: usize) -> Self {
        Self { chars_min: Some(chars_min), ..self }
    }

    /// It may be left out where cutting is not enough; the highest number goes first.
    pub(crate) const fn optional(self, order: u8) -> Self {
        Self { optional: Some(order), ..self }
    }
}

/// Header and rows as text without a trailing line break, in lines of at most `width` characters if there is a limit.
pub(crate) fn render<const N: usize>(
    columns: [Column; N],
    rows: &[[String; N]],
    width: Option<usize>,
) -> String {
    let natural: [usize; N] = std::array::from_fn(|at| {
        let cells = rows.iter().map(|row| row[at].chars().count());
        cells.chain([columns[at].name.chars().count()]).max().unwrap_or(0)
    });
    let widths = width.map_or(natural.map(Some), |width| fit(&columns, natural, width));
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    let shown = || columns.iter().zip(widths).filter_map(|(column, width)| Some((column, width?)));
    table.set_header(shown().map(|(column, _)| cell(column.name.to_owned(), column.align)));
    for row in rows {
        let cells = columns.iter().zip(widths).zip(row);
        table
            .add_row(cells.filter_map(|((column, width), text)| Some(cell(cut(text, width?), column.align))));
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, GAP as u16));
    }
    table.trim_fmt()
}

/// The width of each column; `None` if it is left out.
fn fit<const N: usize>(columns: &[Column; N], natural: [usize; N], width: usize) -> [Option<usize>; N] {
    let least = |at: usize| {
        let least = columns[at].chars_min.map(|chars_min| chars_min.max(columns[at].name.chars().count()));
        least.map_or(natural[at], |least| least.min(natural[at]))
    };
    let mut widths: [Option<usize>; N] = std::array::from_fn(|at| Some(least(at)));
    let total = |widths: &[Option<usize>; N]| {
        widths.iter().flatten().map(|width| width + GAP).sum::<usize>().saturating_sub(GAP)
    };
    while total(&widths) > width {
        let shown = (0..N).filter(|at| widths[*at].is_some());
        match shown.max_by_key(|at| columns[*at].optional).filter(|at| columns[*at].optional.is_some()) {
            Some(dispensable) => widths[dispensable] = None,
            // What is left is needed: the terminal breaks the lines.
            None => break,
        }
    }
    // What room is left goes to those first that need little of it.
    let mut room = width.saturating_sub(total(&widths));
    let mut cut: Vec<usize> = (0..N).filter(|at| widths[*at].is_some()).collect();
    cut.sort_by_key(|at| natural[*at] - least(*at));
    for at in cut {
        let more = room.min(natural[at] - least(at));
        widths[at] = widths[at].map(|width| width + more);
        room -= more;
    }
    widths
}

fn cell(text: String, align: Align) -> Cell {
    Cell::new(text).set_alignment(match align {
        Align::Left => CellAlignment::Left,
        Align::Right => CellAlignment::Right,
    })
}

/// At most so many characters, the last one an ellipsis if any were cut off.
fn cut(text: &str, chars_max: usize) -> String {
    if text.chars().count() <= chars_max {
        return text.to_owned();
    }
    let mut cut: String = text.chars().take(chars_max.saturating_sub(1)).collect();
    cut.push('…');
    cut
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: [Column; 3] = [
        Column::left("NAME").cut_to(4),
        Column::right("COUNT"),
        Column::left("ADDRESS").cut_to(8).optional(1),
    ];

    fn rows() -> Vec<[String; 3]> {
        let rows = [["a", "12345678", "10.0.0.1:9102"], ["bcdefgh", "1", "-"]];
        rows.map(|row| row.map(str::to_owned)).into()
    }

    #[test]
    fn columns_are_aligned_and_lines_trimmed() {
        assert_eq!(
            render(COLUMNS, &rows(), None),
            "NAME        COUNT  ADDRESS\na        12345678  10.0.0.1:9102\nbcdefgh         1  -"
        );
    }

    #[test]
    fn a_narrow_table_is_cut_and_then_loses_columns() {
        assert_eq!(render(COLUMNS, &rows(), Some(32)), render(COLUMNS, &rows(), None));
        assert_eq!(
            render(COLUMNS, &rows(), Some(28)),
            "NAME        COUNT  ADDRESS\na        12345678  10.0.0.1…\nbcdefgh         1  -"
        );
        assert_eq!(
            render(COLUMNS, &rows(), Some(20)),
            "NAME        COUNT\na        12345678\nbcdefgh         1"
        );
        assert_eq!(render(COLUMNS, &rows(), Some(14)), "NAME     COUNT\na     12345678\nbcd…         1");
        let hopeless = render(COLUMNS, &rows(), Some(5));
        assert_eq!(hopeless, render(COLUMNS, &rows(), Some(14)), "what is left is needed");
    }

    #[test]
    fn long_text_is_cut_at_a_character() {
        assert_eq!(cut("ééé", 3), "ééé");
        assert_eq!(cut("éééé", 3), "éé…");
        assert_eq!(cut("éé", 0), "…");
    }
}
