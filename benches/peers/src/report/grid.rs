//! Rows and columns of text, for a terminal and for Markdown: the same figures in both.

use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, ContentArrangement, Table, TableComponent};

/// First column to the left, figures to the right; a header may have several lines.
#[derive(Clone, Debug, Default)]
pub struct Grid {
    pub headers: Vec<String>,
    pub rows: Vec<Vec<String>>,
    /// Leading columns that hold words.
    pub words: usize,
}

impl Grid {
    pub fn new(words: usize, headers: impl IntoIterator<Item = impl Into<String>>) -> Grid {
        Grid {
            headers: headers.into_iter().map(Into::into).collect(),
            rows: Vec::new(),
            words,
        }
    }

    pub fn terminal(&self) -> String {
        let mut table = Table::new();
        table
            .load_preset(NOTHING)
            .set_style(TableComponent::HeaderLines, '-')
            .set_style(TableComponent::MiddleHeaderIntersections, '-')
            .set_content_arrangement(ContentArrangement::Disabled)
            .set_header(&self.headers)
            .add_rows(&self.rows);
        for (at, column) in table.column_iter_mut().enumerate() {
            // One more space stands between columns anyway.
            column.set_padding((u16::from(at > 0), 0));
            if at >= self.words {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        table.trim_fmt() + "\n"
    }

    pub fn markdown(&self) -> String {
        let line = |texts: &[String]| {
            let texts: Vec<String> = texts
                .iter()
                .map(|text| text.replace('\n', " ").replace('|', "\\|"))
                .collect();
            format!("| {} |\n", texts.join(" | "))
        };
        let alignment: Vec<&str> = (0..self.headers.len())
            .map(|at| if at < self.words { ":--" } else { "--:" })
            .collect();
        let mut text = line(&self.headers);
        text += &format!("|{}|\n", alignment.join("|"));
        for row in &self.rows {
            text += &line(row);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid() -> Grid {
        let mut grid = Grid::new(1, ["peer", "us\nper call"]);
        grid.rows.push(vec!["keyway".into(), "0.65".into()]);
        grid.rows.push(vec!["a|b".into(), "1,720".into()]);
        grid
    }

    #[test]
    fn on_a_terminal_words_are_left_and_figures_right() {
        insta::assert_snapshot!(grid().terminal(), @r"
        peer          us
                per call
        ----------------
        keyway      0.65
        a|b        1,720
        ");
    }

    #[test]
    fn in_markdown_a_header_is_one_line_and_a_bar_is_escaped() {
        insta::assert_snapshot!(grid().markdown(), @r"
        | peer | us per call |
        |:--|--:|
        | keyway | 0.65 |
        | a\|b | 1,720 |
        ");
    }
}
