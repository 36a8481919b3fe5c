//! Panels of lines below each other, over one axis.

use super::drawing::{Anchor, Drawing, Key, Size, text_width};
use super::palette::line_class;
use super::scale::{Scale, tick};

#[derive(Clone, Debug)]
pub(super) struct Lines {
    pub(super) x_title: String,
    /// Powers of two.
    pub(super) is_x_log: bool,
    /// The names of the lines; one alone needs none.
    pub(super) series: Vec<String>,
    pub(super) panels: Vec<Panel>,
    /// A moment of every panel, and its name.
    pub(super) moments: Vec<(f64, String)>,
}

#[derive(Clone, Debug)]
pub(super) struct Panel {
    pub(super) title: String,
    /// Otherwise the axis begins about where the figures do.
    pub(super) is_from_zero: bool,
    pub(super) lines: Vec<Line>,
    /// A figure that matters, and its name.
    pub(super) reference: Option<(f64, String)>,
}

#[derive(Clone, Debug)]
pub(super) struct Line {
    /// Of [`Lines::series`].
    pub(super) series: usize,
    pub(super) points: Vec<Point>,
    /// It holds its figure until the next one.
    pub(super) is_step: bool,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Point {
    pub(super) x: f64,
    pub(super) y: f64,
    /// The ends of a confidence interval.
    pub(super) interval: Option<(f64, f64)>,
}

const TITLE: f64 = 28.0;
const HEIGHT: f64 = 210.0;
const LOW_HEIGHT: f64 = 170.0;
/// Below each panel.
const GAP: f64 = 34.0;
/// About so many of a line's points are marked.
const MARKERS: usize = 12;

/// The drawing, and its height.
pub(super) fn draw(lines: &Lines, size: Size) -> (Drawing, f64) {
    let mut drawing = Drawing::new(size);
    let keys = lines.series.iter().enumerate();
    let keys: Vec<_> = keys
        .map(|(number, name)| (Key::Line(number), name.clone()))
        .collect();
    let mut top = match keys.len() {
        ..2 => 0.0,
        _ => drawing.legend(0.0, &keys),
    };
    let points = || {
        lines
            .panels
            .iter()
            .flat_map(|p| &p.lines)
            .flat_map(|line| &line.points)
    };
    let xs = points()
        .map(|point| point.x)
        .chain(lines.moments.iter().map(|&(x, _)| x));
    let (ticks, height) = match size {
        Size::Wide => (10, HEIGHT),
        Size::Narrow => (5, LOW_HEIGHT),
    };
    let scale = match lines.is_x_log {
        true => Scale::log2(xs, ticks),
        false => Scale::until(xs.fold(0.0, f64::max), ticks),
    };
    let ys: Vec<Scale> = lines.panels.iter().map(y_scale).collect();
    let labels = ys
        .iter()
        .flat_map(|y| &y.ticks)
        .map(|&value| text_width(&tick(value)));
    let left = labels.fold(0.0, f64::max) + 10.0;
    for (panel, y) in lines.panels.iter().zip(&ys) {
        drawing.label(
            "strong",
            Anchor::Start,
            (0.0, top + 10.0),
            &panel.title,
            drawing.width,
        );
        let moments_height = 18.0 * lines.moments.len() as f64;
        let frame = Frame {
            left,
            right: drawing.width - 14.0,
            top: top + TITLE + moments_height,
            bottom: top + TITLE + moments_height + height,
            x: &scale,
            y,
        };
        draw_panel(&mut drawing, lines, panel, &frame);
        top = frame.bottom + GAP;
    }
    drawing.label(
        "faint small",
        Anchor::Start,
        (left, top - 3.0),
        &lines.x_title,
        drawing.width - left,
    );
    (drawing, top + 10.0)
}

fn y_scale(panel: &Panel) -> Scale {
    let points = panel.lines.iter().flat_map(|line| &line.points);
    let values = points.flat_map(|point| {
        let (low, high) = point.interval.unwrap_or((point.y, point.y));
        [point.y, low, high]
    });
    let values = values.chain(panel.reference.as_ref().map(|&(at, _)| at));
    match panel.is_from_zero {
        true => Scale::linear(values, 5),
        false => Scale::around(values, 5),
    }
}

struct Frame<'a> {
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
    x: &'a Scale,
    y: &'a Scale,
}

impl Frame<'_> {
    fn x(&self, value: f64) -> f64 {
        self.left + self.x.part(value) * (self.right - self.left)
    }

    fn y(&self, value: f64) -> f64 {
        self.bottom - self.y.part(value) * (self.bottom - self.top)
    }
}

fn draw_panel(drawing: &mut Drawing, lines: &Lines, panel: &Panel, frame: &Frame) {
    for &value in &frame.y.ticks {
        let y = frame.y(value);
        drawing.line("grid", (frame.left, y), (frame.right, y));
        drawing.text(
            "faint small",
            Anchor::End,
            (frame.left - 8.0, y),
            &tick(value),
        );
    }
    for &value in &frame.x.ticks {
        let x = frame.x(value);
        drawing.line("axis", (x, frame.bottom), (x, frame.bottom + 4.0));
        drawing.text(
            "faint small",
            Anchor::Middle,
            (x, frame.bottom + 14.0),
            &tick(value),
        );
    }
    drawing.line(
        "axis",
        (frame.left, frame.bottom),
        (frame.right, frame.bottom),
    );
    for (number, (at, name)) in lines.moments.iter().enumerate() {
        let (x, y) = (frame.x(*at), frame.top - 9.0 - 18.0 * number as f64);
        drawing.line("reference", (x, y + 7.0), (x, frame.bottom));
        beside(drawing, frame, x, y, name);
    }
    if let Some((at, name)) = &panel.reference {
        let y = frame.y(*at);
        drawing.line("reference", (frame.left, y), (frame.right, y));
        // Where there is room for it.
        let above = if y - frame.top > 18.0 { -9.0 } else { 10.0 };
        drawing.label(
            "small",
            Anchor::End,
            (frame.right, y + above),
            name,
            frame.right - frame.left,
        );
    }
    for line in &panel.lines {
        draw_line(drawing, lines, line, frame);
    }
}

/// A text about a place, on whichever side there is room.
fn beside(drawing: &mut Drawing, frame: &Frame, x: f64, y: f64, text: &str) {
    let width = text_width(text);
    if x + width / 2.0 > drawing.width {
        drawing.label(
            "small",
            Anchor::End,
            (drawing.width, y),
            text,
            drawing.width,
        );
    } else if x - width / 2.0 < frame.left {
        drawing.label(
            "small",
            Anchor::Start,
            (frame.left, y),
            text,
            drawing.width - frame.left,
        );
    } else {
        drawing.text("small", Anchor::Middle, (x, y), text);
    }
}

fn draw_line(drawing: &mut Drawing, lines: &Lines, line: &Line, frame: &Frame) {
    let mut places = Vec::new();
    for point in &line.points {
        let place = (frame.x(point.x), frame.y(point.y));
        if let (true, Some(&(_, before))) = (line.is_step, places.last()) {
            places.push((place.0, before));
        }
        places.push(place);
        if let Some((low, high)) = point.interval {
            let (low, high) = (frame.y(low), frame.y(high));
            if low - high >= 3.0 {
                let class = format!("whisker l{}", line.series % super::palette::SERIES.len());
                drawing.line(&class, (place.0, low), (place.0, high));
            }
        }
    }
    drawing.path(&line_class(line.series), &places);
    let every = line.points.len().div_ceil(MARKERS).max(1);
    for point in line.points.iter().step_by(every) {
        let name = lines.series.get(line.series).map_or("", |name| name);
        let tip = format!("{name} {}: {}", tick(point.x), tick(point.y));
        drawing.marker(
            line.series,
            (frame.x(point.x), frame.y(point.y)),
            tip.trim_start(),
        );
    }
}
