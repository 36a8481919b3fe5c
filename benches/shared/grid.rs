//! Rows and columns of text, for a terminal and for Markdown: the same figures in both.

/// Leading columns of words to the left, figures to the right.
pub struct Grid {
    words: usize,
    headers: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Grid {
    pub fn new(words: usize, headers: &[&str]) -> Grid {
        Grid {
            words,
            headers: headers.iter().map(|header| (*header).to_owned()).collect(),
            rows: Vec::new(),
        }
    }

    pub fn row(&mut self, texts: Vec<String>) {
        self.rows.push(texts);
    }

    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    pub fn terminal(&self) -> String {
        let all = || [&self.headers].into_iter().chain(&self.rows);
        let widths: Vec<usize> = (0..self.headers.len())
            .map(|at| all().map(|row| row[at].chars().count()).max().unwrap_or(0))
            .collect();
        let mut text = String::new();
        for (number, row) in all().enumerate() {
            let texts: Vec<String> = row
                .iter()
                .zip(&widths)
                .enumerate()
                .map(|(at, (text, width))| match at < self.words {
                    true => format!("{text:<width$}"),
                    false => format!("{text:>width$}"),
                })
                .collect();
            text += texts.join("  ").trim_end();
            text.push('\n');
            if number == 0 {
                text += &"-".repeat(widths.iter().sum::<usize>() + 2 * (widths.len() - 1));
                text.push('\n');
            }
        }
        text
    }

    pub fn markdown(&self) -> String {
        let line = |texts: &[String]| format!("| {} |\n", texts.join(" | "));
        let alignment: Vec<&str> = (0..self.headers.len())
            .map(|at| if at < self.words { ":--" } else { "--:" })
            .collect();
        let mut text = line(&self.headers) + &format!("|{}|\n", alignment.join("|"));
        for row in &self.rows {
            text += &line(row);
        }
        text
    }
}
