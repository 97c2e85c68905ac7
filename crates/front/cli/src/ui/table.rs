use crate::ui::local_time::local_times;
use keyroll_app::operator::clean;
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

/// Columns of text, aligned by the widest cell as a terminal shows it; the last column is not padded.
#[derive(Debug)]
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

/// Between two columns.
const GAP: usize = 2;

/// The narrowest width of a column.
const WIDTH_MIN: usize = 8;

impl Table {
    pub(crate) fn new<const N: usize>(head: [&str; N]) -> Self {
        Self { rows: vec![head.map(str::to_owned).to_vec()] }
    }

    pub(crate) fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.iter().map(|cell| local_times(&clean(cell)).replace('\n', " ")).collect());
    }

    /// The lines for a terminal of this width: the widest cells are wrapped between words, or within words if that is
    /// not enough.
    pub(crate) fn lines_in(&self, columns: usize) -> Vec<String> {
        let mut widths = self.widths();
        while widths.iter().map(|width| width + GAP).sum::<usize>() > columns + GAP {
            let Some(widest) = widths.iter_mut().max().filter(|width| **width > WIDTH_MIN) else { break };
            *widest -= 1;
        }
        let mut all = Self { rows: Vec::new() };
        for row in &self.rows {
            let cells: Vec<Vec<String>> =
                row.iter().zip(&widths).map(|(cell, width)| broken(cell, *width)).collect();
            let height = cells.iter().map(Vec::len).max().unwrap_or_default();
            let part =
                |at: usize| cells.iter().map(|cell| cell.get(at).cloned().unwrap_or_default()).collect();
            all.rows.extend((0..height).map(part));
        }
        all.lines()
    }

    fn widths(&self) -> Vec<usize> {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or_default();
        let of = |column: usize| {
            let cells = self.rows.iter().filter_map(|row: &Vec<String>| row.get(column));
            cells.map(|cell| cell.width()).max().unwrap_or_default()
        };
        (0..columns).map(of).collect()
    }

    /// The lines, heading first, without trailing blanks.
    pub(crate) fn lines(&self) -> Vec<String> {
        let widths = self.widths();
        let line = |row: &Vec<String>| {
            let padded = |(cell, width): (&String, &usize)| {
                format!("{cell}{}", " ".repeat((width + GAP).saturating_sub(cell.width())))
            };
            row.iter().zip(&widths).map(padded).collect::<String>().trim_end().to_owned()
        };
        self.rows.iter().map(line).collect()
    }
}

/// A cell in rows of at most this width; a word that is too long is broken.
fn broken(cell: &str, width: usize) -> Vec<String> {
    let mut rows = vec![String::new()];
    let mut used = 0;
    for word in cell.split(' ') {
        let long = word.width();
        if used > 0 && used + 1 + long > width {
            rows.push(String::new());
            used = 0;
        } else if used > 0 {
            rows.last_mut().into_iter().for_each(|row| row.push(' '));
            used += 1;
        }
        for letter in word.chars() {
            let wide = letter.width().unwrap_or(0);
            if used > 0 && used + wide > width {
                rows.push(String::new());
                used = 0;
            }
            rows.last_mut().into_iter().for_each(|row| row.push(letter));
            used += wide;
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use keyroll_secret::SecretBytes;
    use keyroll_testkit::alphanumeric;

    use unicode_width::UnicodeWidthStr as _;

    use super::Table;
    use keyroll_app::redact;

    #[test]
    fn a_narrow_terminal_gets_every_letter() {
        let mut table = Table::new(["SECRET", "RISK"]);
        table.row(["openai".to_owned(), "a copy that everybody may read".to_owned()]);
        table.row(["db".to_owned(), "/a/very/long/path/without/blanks".to_owned()]);
        let wide = table.lines_in(80);
        assert_eq!(wide, table.lines());
        let narrow = table.lines_in(20);
        assert!(narrow.iter().all(|line| line.width() <= 20), "{narrow:?}");
        let letters = |lines: &[String]| {
            let mut all: Vec<char> = lines.concat().chars().filter(|letter| *letter != ' ').collect();
            all.sort_unstable();
            all
        };
        assert_eq!(letters(&narrow), letters(&wide));
        assert_eq!(narrow[1..4], ["openai  a copy that", "        everybody", "        may read"]);
    }

    #[test]
    fn a_value_is_cut_out_before_a_narrow_terminal_breaks_it() {
        let value = alphanumeric(40);
        redact::remember(&SecretBytes::from(value.clone()));
        let mut table = Table::new(["SECRET", "NAME"]);
        table.row(["tenants".to_owned(), format!("tenants.{value}.token")]);
        let shown = redact::pass(&table.lines_in(24).join("\n")).into_owned();
        let letters: String = shown.chars().filter(|letter| !letter.is_whitespace()).collect();
        for piece in [&value[..8], &value[16..24], &value[32..]] {
            assert!(!letters.contains(piece), "{shown}");
        }
    }

    #[test]
    fn columns_are_aligned() {
        let mut table = Table::new(["SECRET", "AGE"]);
        table.row(["orders-db".to_owned(), "3 d".to_owned()]);
        table.row(["é".to_owned(), String::new()]);
        assert_eq!(table.lines(), ["SECRET     AGE", "orders-db  3 d", "é"]);
        // A character that is two columns wide, and an accent that has no width.
        table.row(["日本-db".to_owned(), "4 d".to_owned()]);
        table.row(["e\u{301}-db".to_owned(), "5 d".to_owned()]);
        assert_eq!(table.lines()[3..], ["日本-db    4 d", "e\u{301}-db       5 d"]);
    }
}
