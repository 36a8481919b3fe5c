//! An SVG while it is drawn: shapes with classes, whose looks are in the style sheet. maud escapes every text.

use super::palette;
use crate::simulation::export::words::{columns, shown};
use maud::{Markup, PreEscaped, html};

/// Where a text is held.
#[derive(Clone, Copy, Debug)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

/// The place that it takes on a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Size {
    /// A screen, or paper.
    Wide,
    /// A telephone.
    Narrow,
}

impl Size {
    /// In units, which are pixels where there is room.
    pub(super) fn width(self) -> f64 {
        match self {
            Size::Wide => 920.0,
            Size::Narrow => 360.0,
        }
    }
}

pub(super) struct Drawing {
    body: String,
    pub(super) width: f64,
}

/// About how wide a text of 13 px is drawn, rather too wide: the font is the reader's. By DejaVu Sans, which is wider than most.
pub(super) fn text_width(text: &str) -> f64 {
    text.chars().map(letter_width).sum()
}

fn letter_width(c: char) -> f64 {
    match c {
        'i' | 'j' | 'l' | 'I' | '|' | '.' | ',' | ':' | ';' | '!' | '\'' | ' ' => 4.6,
        'f' | 't' | 'r' | '(' | ')' | '[' | ']' | '/' | '\\' | '-' => 5.6,
        'm' | 'w' | 'M' | 'W' | '@' | '%' | '…' => 13.2,
        'A'..='Z' | '<' | '>' | '=' | '+' | '±' | '&' | '~' => 10.9,
        _ => 8.4 * columns(c.encode_utf8(&mut [0; 4])) as f64,
    }
}

/// As much of a text as fits.
pub(super) fn fitted(text: &str, width: f64) -> String {
    let text = shown(text);
    if text_width(&text) <= width {
        return text;
    }
    let mut left = width - letter_width('…');
    let mut cut: String = text
        .chars()
        .take_while(|&c| {
            left -= letter_width(c);
            left >= 0.0
        })
        .collect();
    cut.push('…');
    cut
}

impl Drawing {
    pub(super) fn new(size: Size) -> Drawing {
        Drawing {
            body: String::new(),
            width: size.width(),
        }
    }

    fn push(&mut self, shape: Markup) {
        self.body.push_str(&shape.into_string());
    }

    /// `tip` is what a pointer that rests on it is told.
    pub(super) fn rect(&mut self, class: &str, corner: (f64, f64), size: (f64, f64), tip: &str) {
        self.push(html! {
            rect class=(class) x=(at(corner.0)) y=(at(corner.1)) width=(at(size.0.max(0.0))) height=(at(size.1.max(0.0))) {
                @if !tip.is_empty() { title { (shown(tip)) } }
            }
        });
    }

    pub(super) fn line(&mut self, class: &str, from: (f64, f64), to: (f64, f64)) {
        self.push(html! {
            line class=(class) x1=(at(from.0)) y1=(at(from.1)) x2=(at(to.0)) y2=(at(to.1)) {}
        });
    }

    /// Not closed.
    pub(super) fn path(&mut self, class: &str, points: &[(f64, f64)]) {
        self.push(html! { polyline class=(class) points=(list(points)) {} });
    }

    /// Closed and filled.
    pub(super) fn area(&mut self, class: &str, points: &[(f64, f64)], tip: &str) {
        self.push(html! {
            polygon class=(class) points=(list(points)) {
                @if !tip.is_empty() { title { (shown(tip)) } }
            }
        });
    }

    /// `class` is `faint`, `small`, `strong` or some of them. `y` is the middle of its letters.
    pub(super) fn text(&mut self, class: &str, anchor: Anchor, (x, y): (f64, f64), text: &str) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        // By hand, and not by dominant-baseline, which few renderers agree on.
        self.push(html! {
            text class={ (class) " " (anchor) } x=(at(x)) y=(at(y + 4.5)) { (shown(text)) }
        });
    }

    /// A text that is cut where there is no room for it; a pointer is told all of it.
    pub(super) fn label(
        &mut self,
        class: &str,
        anchor: Anchor,
        place: (f64, f64),
        text: &str,
        room: f64,
    ) {
        // Bold letters are wider.
        let room = if class.contains("strong") {
            room / 1.15
        } else {
            room
        };
        let cut = fitted(text, room);
        if cut == shown(text) {
            return self.text(class, anchor, place, text);
        }
        let mut inner = Drawing {
            body: String::new(),
            width: self.width,
        };
        inner.text(class, anchor, place, &cut);
        self.push(html! { g { title { (shown(text)) } (PreEscaped(inner.body)) } });
    }

    /// One of four shapes by the series, in its colour.
    pub(super) fn marker(&mut self, series: usize, (x, y): (f64, f64), tip: &str) {
        let class = palette::fill_class(series);
        let r = 4.0;
        match series % 4 {
            0 => self.push(html! {
                circle class=(class) cx=(at(x)) cy=(at(y)) r=(at(r)) {
                    @if !tip.is_empty() { title { (shown(tip)) } }
                }
            }),
            1 => self.rect(
                &class,
                (x - r + 0.5, y - r + 0.5),
                (2.0 * r - 1.0, 2.0 * r - 1.0),
                tip,
            ),
            2 => self.area(
                &class,
                &[(x, y - r - 1.0), (x + r + 1.0, y + r), (x - r - 1.0, y + r)],
                tip,
            ),
            _ => self.area(
                &class,
                &[
                    (x, y - r - 1.5),
                    (x + r + 1.5, y),
                    (x, y + r + 1.5),
                    (x - r - 1.5, y),
                ],
                tip,
            ),
        }
    }

    /// Names beside what they stand for, as many lines as they need. The height that they take.
    pub(super) fn legend(&mut self, top: f64, entries: &[(Key, String)]) -> f64 {
        const LINE: f64 = 20.0;
        const SIGN: f64 = 34.0;
        if entries.is_empty() {
            return 0.0;
        }
        let (mut x, mut y) = (0.0, top + LINE / 2.0);
        for (key, name) in entries {
            let room = self.width - SIGN - 16.0;
            let name_width = text_width(&fitted(name, room));
            if x > 0.0 && x + SIGN + name_width > self.width {
                (x, y) = (0.0, y + LINE);
            }
            match key {
                Key::Line(series) => {
                    self.path(&palette::line_class(*series), &[(x, y), (x + 28.0, y)]);
                    self.marker(*series, (x + 14.0, y), "");
                }
                Key::Fill(class) => self.rect(class, (x + 4.0, y - 6.0), (20.0, 12.0), ""),
                Key::Reference => self.line("reference", (x, y), (x + 28.0, y)),
                Key::Limit => self.line("axis limit", (x, y), (x + 28.0, y)),
                Key::Mark => self.rect("mark", (x + 13.0, y - 8.0), (3.0, 16.0), ""),
            }
            self.label("", Anchor::Start, (x + SIGN, y), name, room);
            x += SIGN + name_width + 16.0;
        }
        y + LINE / 2.0 + 6.0 - top
    }

    /// What stands inside of a page: the page has the style sheet.
    pub(super) fn inline(self, height: f64, title: &str, description: &str, class: &str) -> Markup {
        self.finish(height, title, description, class, None)
    }

    /// A file of its own.
    pub(super) fn standalone(self, height: f64, title: &str, description: &str) -> String {
        const MARGIN: f64 = 16.0;
        let css = palette::css();
        self.finish(height, title, description, "", Some((MARGIN, &css)))
            .into_string()
    }

    fn finish(
        self,
        height: f64,
        title: &str,
        description: &str,
        class: &str,
        file: Option<(f64, &str)>,
    ) -> Markup {
        // A file says what it is: it has no page around it.
        let (margin, top) = file.map_or((0.0, 0.0), |(margin, _)| (margin, 34.0));
        let (width, height) = (self.width + 2.0 * margin, height + 2.0 * margin + top);
        let heading = file.map(|(margin, _)| {
            let mut heading = Drawing {
                body: String::new(),
                width: self.width,
            };
            heading.label(
                "strong",
                Anchor::Start,
                (margin, margin + 8.0),
                title,
                self.width,
            );
            heading.body
        });
        html! {
            svg xmlns="http://www.w3.org/2000/svg" class={ "plot " (class) } role="img" aria-label={ (shown(title)) ". " (shown(description)) }
                width=(at(width)) height=(at(height)) viewBox={ "0 0 " (at(width)) " " (at(height)) } {
                title { (shown(title)) }
                desc { (shown(description)) }
                @if let Some((margin, css)) = file {
                    style { (PreEscaped(css)) }
                    rect class="ground" width=(at(width)) height=(at(height)) {}
                    @if let Some(heading) = heading { (PreEscaped(heading)) }
                    g transform={ "translate(" (at(margin)) " " (at(margin + top)) ")" } { (PreEscaped(self.body)) }
                } @else {
                    (PreEscaped(self.body))
                }
            }
        }
    }
}

/// What a name of a legend stands beside.
#[derive(Clone, Debug)]
pub(super) enum Key {
    Line(usize),
    Fill(String),
    Reference,
    Limit,
    Mark,
}

/// A coordinate: a tenth is finer than a screen shows.
fn at(number: f64) -> String {
    // What is no figure has no place; XML knows no NaN.
    let number = if number.is_finite() { number } else { 0.0 };
    let text = format!("{number:.1}");
    match text.strip_suffix(".0") {
        Some("-0") => "0".to_owned(),
        Some(whole) => whole.to_owned(),
        None => text,
    }
}

fn list(points: &[(f64, f64)]) -> String {
    let points = points.iter().map(|&(x, y)| format!("{},{}", at(x), at(y)));
    points.collect::<Vec<_>>().join(" ")
}
