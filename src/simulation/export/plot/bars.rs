//! Panels of bars that lie, a row each; of many bars that stand, without their names.

use super::drawing::{Anchor, Drawing, Key, Size, fitted, text_width};
use super::palette::fill_class;
use super::scale::{Scale, tick};

#[derive(Clone, Debug)]
pub(super) struct Bars {
    pub(super) panels: Vec<Panel>,
    /// Below every panel.
    pub(super) x_title: &'static str,
    /// A figure that is right for all: a line through every panel, and its name.
    pub(super) reference: Option<(f64, &'static str)>,
    /// What [`Bar::part`] is, if any bar has one.
    pub(super) part_name: &'static str,
    /// What [`Bar::mark`] is.
    pub(super) mark_name: &'static str,
}

#[derive(Clone, Debug)]
pub(super) struct Panel {
    pub(super) title: String,
    pub(super) bars: Vec<Bar>,
}

#[derive(Clone, Debug)]
pub(super) struct Bar {
    pub(super) label: String,
    pub(super) value: f64,
    /// Behind the bar.
    pub(super) text: String,
    /// The ends of a confidence interval.
    pub(super) interval: Option<(f64, f64)>,
    /// How much of the value is of another kind.
    pub(super) part: f64,
    pub(super) mark: Option<f64>,
}

/// More bars than this have no room for their names.
const NAMED_BARS_MAX: usize = 24;
const PANELS_BESIDE: usize = 3;
const GAP: f64 = 28.0;
const ROW: f64 = 22.0;
const STANDING_HEIGHT: f64 = 150.0;
const TITLE: f64 = 26.0;
const AXIS: f64 = 44.0;

/// The drawing, and its height.
pub(super) fn draw(bars: &Bars, size: Size) -> (Drawing, f64) {
    let mut drawing = Drawing::new(size);
    let top = drawing.legend(0.0, &legend(bars));
    let beside = match size {
        Size::Wide => bars.panels.len().clamp(1, PANELS_BESIDE),
        Size::Narrow => 1,
    };
    let width = (drawing.width - GAP * (beside - 1) as f64) / beside as f64;
    let all = || bars.panels.iter().flat_map(|panel| &panel.bars);
    let values = all().flat_map(|bar| {
        let high = bar.interval.map_or(bar.value, |(_, high)| high);
        [bar.value, high, bar.mark.unwrap_or(0.0)]
    });
    let values = values.chain(bars.reference.map(|(at, _)| at));
    // One scale for all panels: they are there to be compared.
    let scale = Scale::linear(values, if width < 300.0 { 3 } else { 5 });
    let names = all().map(|bar| text_width(&fitted(&bar.label, 1e4)));
    let name_width = names.fold(0.0, f64::max).min(width * 0.36);
    let text_room = all().map(|bar| text_width(&bar.text)).fold(0.0, f64::max) + 10.0;
    let rows = bars.panels.iter().map(|p| p.bars.len()).max().unwrap_or(0);
    let stands = rows > NAMED_BARS_MAX;
    let body = match stands {
        true => STANDING_HEIGHT,
        false => ROW * rows as f64,
    };
    let has_titles = bars.panels.iter().any(|panel| !panel.title.is_empty());
    let title = if has_titles { TITLE } else { 4.0 };
    let panel_height = title + body + AXIS;
    for (number, panel) in bars.panels.iter().enumerate() {
        let left = (number % beside) as f64 * (width + GAP);
        let y = top + (number / beside) as f64 * (panel_height + 8.0);
        if !panel.title.is_empty() {
            drawing.label(
                "strong",
                Anchor::Start,
                (left, y + 10.0),
                &panel.title,
                width,
            );
        }
        let frame = Frame {
            left,
            top: y + title,
            width,
            height: body,
            scale: &scale,
        };
        match stands {
            true => standing(&mut drawing, bars, panel, &frame),
            false => lying(&mut drawing, bars, panel, &frame, (name_width, text_room)),
        }
    }
    let panel_rows = bars.panels.len().div_ceil(beside);
    (drawing, top + panel_rows as f64 * (panel_height + 8.0))
}

struct Frame<'a> {
    left: f64,
    top: f64,
    width: f64,
    height: f64,
    scale: &'a Scale,
}

fn legend(bars: &Bars) -> Vec<(Key, String)> {
    let all = || bars.panels.iter().flat_map(|panel| &panel.bars);
    let mut entries = Vec::new();
    if all().any(|bar| bar.part > 0.0) {
        entries.push((Key::Fill(fill_class(1)), bars.part_name.to_owned()));
    }
    if all().any(|bar| bar.mark.is_some()) {
        entries.push((Key::Mark, bars.mark_name.to_owned()));
    }
    if let Some((_, name)) = bars.reference {
        entries.push((Key::Reference, name.to_owned()));
    }
    entries
}

fn lying(
    drawing: &mut Drawing,
    bars: &Bars,
    panel: &Panel,
    frame: &Frame,
    (names, texts): (f64, f64),
) {
    let left = frame.left + names + 8.0;
    let width = (frame.left + frame.width - texts - left).max(20.0);
    let x = |value: f64| left + frame.scale.part(value) * width;
    let bottom = frame.top + frame.height;
    let mut free_from = f64::MIN;
    for &value in &frame.scale.ticks {
        drawing.line("grid", (x(value), frame.top), (x(value), bottom));
        let text = tick(value);
        // No label into its neighbour.
        let half = text_width(&text) / 2.0;
        if x(value) - half > free_from {
            drawing.text(
                "faint small",
                Anchor::Middle,
                (x(value), bottom + 12.0),
                &text,
            );
            free_from = x(value) + half + 6.0;
        }
    }
    drawing.label(
        "faint small",
        Anchor::Start,
        (left, bottom + 29.0),
        bars.x_title,
        frame.left + frame.width - left,
    );
    for (number, bar) in panel.bars.iter().enumerate() {
        let middle = frame.top + ROW * (number as f64 + 0.5);
        drawing.label("", Anchor::End, (left - 8.0, middle), &bar.label, names);
        let tip = format!("{}: {}", bar.label, bar.text);
        let (from, to) = (x(0.0), x(bar.value));
        let corner = (from, middle - 7.0);
        drawing.rect(&fill_class(0), corner, (to - from, 14.0), &tip);
        if bar.part > 0.0 {
            let part = (to - x(bar.value - bar.part), 14.0);
            drawing.rect(&fill_class(1), (to - part.0, middle - 7.0), part, &tip);
        }
        let mut end = to;
        if let Some((low, high)) = bar.interval {
            end = end.max(x(high));
            whisker(drawing, (x(low), x(high)), middle);
        }
        if let Some(mark) = bar.mark {
            end = end.max(x(mark) + 2.0);
            drawing.rect(
                "mark",
                (x(mark) - 1.5, middle - 9.0),
                (3.0, 18.0),
                bars.mark_name,
            );
        }
        // No line through the figure.
        if let Some(line) = bars.reference.map(|(at, _)| x(at)) {
            if (end..end + 8.0 + text_width(&bar.text)).contains(&line) {
                end = line;
            }
        }
        drawing.text("small", Anchor::Start, (end + 6.0, middle), &bar.text);
    }
    drawing.line("axis", (x(0.0), frame.top), (x(0.0), bottom));
    if let Some((at, _)) = bars.reference {
        drawing.line("reference", (x(at), frame.top), (x(at), bottom));
    }
}

/// An interval too narrow to see would be a smudge.
fn whisker(drawing: &mut Drawing, (low, high): (f64, f64), middle: f64) {
    if high - low < 2.0 {
        return;
    }
    drawing.line("axis whisker", (low, middle), (high, middle));
    for end in [low, high] {
        drawing.line("axis whisker", (end, middle - 4.0), (end, middle + 4.0));
    }
}

/// From the least to the most, so that the shape tells.
fn standing(drawing: &mut Drawing, bars: &Bars, panel: &Panel, frame: &Frame) {
    let labels = frame
        .scale
        .ticks
        .iter()
        .map(|&value| text_width(&tick(value)));
    let left = frame.left + labels.fold(0.0, f64::max) + 8.0;
    let right = frame.left + frame.width;
    let bottom = frame.top + frame.height;
    let y = |value: f64| bottom - frame.scale.part(value) * frame.height;
    for &value in &frame.scale.ticks {
        drawing.line("grid", (left, y(value)), (right, y(value)));
        drawing.text(
            "faint small",
            Anchor::End,
            (left - 6.0, y(value)),
            &tick(value),
        );
    }
    let mut order: Vec<&Bar> = panel.bars.iter().collect();
    order.sort_by(|a, b| a.value.total_cmp(&b.value));
    let step = (right - left) / order.len().max(1) as f64;
    for (number, bar) in order.iter().enumerate() {
        let corner = (left + step * number as f64, y(bar.value));
        let tip = format!("{}: {}", bar.label, bar.text);
        drawing.rect(
            &fill_class(0),
            corner,
            ((step * 0.8).max(0.5), bottom - corner.1),
            &tip,
        );
    }
    drawing.line("axis", (left, bottom), (right, bottom));
    if let Some((at, _)) = bars.reference {
        drawing.line("reference", (left, y(at)), (right, y(at)));
    }
    let title = format!("{} servers, least first", order.len());
    drawing.label(
        "faint small",
        Anchor::Start,
        (left, bottom + 14.0),
        &title,
        right - left,
    );
}
