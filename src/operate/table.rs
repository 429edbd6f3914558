//! Columns for people.

use crate::upload::escaped;

/// Rows as lines, two spaces between their columns; those of `right` end alike, the others begin
/// alike. The last column has what space it wants.
pub(super) fn aligned<const N: usize>(rows: &[[String; N]], right: &[usize]) -> String {
    let width =
        |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..N).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            let width = widths[column];
            let padded = if right.contains(&column) {
                format!("{cell:>width$}")
            } else if column + 1 == N {
                cell.clone()
            } else {
                format!("{cell:<width$}")
            };
            line.push_str(if column == 0 { "" } else { "  " });
            line.push_str(&padded);
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// So many characters of a text that may be hostile, escaped.
pub(super) fn shortened(text: &str, len: usize) -> String {
    let escaped = escaped(text);
    if escaped.chars().count() <= len {
        return escaped;
    }
    escaped.chars().take(len - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [["a", "b", "c"], ["long", "1234", "x y"], ["ü", "", "z "]];
        let rows = rows.map(|row| row.map(str::to_owned));
        assert_eq!(aligned(&rows, &[1]), "a        b  c\nlong  1234  x y\nü           z\n");
    }

    #[test]
    fn a_long_name_is_cut_and_a_hostile_one_escaped() {
        assert_eq!(shortened("short", 5), "short");
        assert_eq!(shortened("longer", 5), "long…");
        assert_eq!(shortened("a\nb", 9), r"a\nb");
    }
}
