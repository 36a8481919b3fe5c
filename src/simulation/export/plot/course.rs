//! Moves as bars over time, and below them what each server has to do.

use super::drawing::{Anchor, Drawing, Key, Size, fitted, text_width};
use super::palette::fill_class;
use super::scale::{Scale, tick, time_unit};
use crate::simulation::export::table::kind;
use crate::simulation::export::words::{milliseconds, percent, plural, seconds};
use crate::simulation::report::{CourseMove, CoursePoint, CourseReport, CourseServer};

/// More than these are in the table only.
const MOVES_MAX: usize = 40;
const SERVERS_MAX: usize = 24;
const ROW: f64 = 22.0;
const BAND: f64 = 34.0;
const TITLE: f64 = 28.0;
/// So much is seen of a freeze, however short: it is what callers feel.
const FREEZE_WIDTH: f64 = 3.0;

/// The drawing, and its height.
pub(super) fn draw(course: &CourseReport, size: Size) -> (Drawing, f64) {
    let mut drawing = Drawing::new(size);
    let width = drawing.width;
    let shown_moves = course.moves.iter().take(MOVES_MAX);
    let shown_servers = busiest(&course.servers);
    let names = shown_moves
        .clone()
        .map(move_name)
        .chain(shown_servers.iter().map(|server| server.server.clone()));
    let names = names.map(|name| text_width(&fitted(&name, 1e4)));
    let name_width = names.fold(0.0, f64::max).min(width * 0.3);
    let ends = course.moves.iter().map(end_s).chain([course.total_s]);
    let end = ends.fold(0.0, f64::max);
    let (unit, unit_s) = time_unit(end);
    let ticks = match size {
        Size::Wide => 10,
        Size::Narrow => 4,
    };
    let frame = Frame {
        name_width,
        left: name_width + 10.0,
        right: width - text_width("100.0 %") - 8.0,
        scale: Scale::until(end / unit_s, ticks),
        unit_s,
    };
    let mut top = drawing.legend(
        0.0,
        &[
            (Key::Fill(fill_class(0)), "copy".to_owned()),
            (Key::Mark, "freeze".to_owned()),
            (
                Key::Fill(format!("{} pale", fill_class(0))),
                "purge".to_owned(),
            ),
        ],
    );
    let height = ROW * shown_moves.len() as f64;
    frame.grid(&mut drawing, top, height, unit);
    for a_move in shown_moves {
        draw_move(&mut drawing, &frame, a_move, top + ROW / 2.0);
        top += ROW;
    }
    top += 44.0;
    if let Some(more) = course
        .moves
        .len()
        .checked_sub(MOVES_MAX)
        .filter(|&more| more > 0)
    {
        let text = format!("{} more in the table", plural(more as u64, "move"));
        drawing.label("faint small", Anchor::Start, (0.0, top), &text, width);
        top += 20.0;
    }
    if shown_servers.is_empty() {
        return (drawing, top);
    }
    drawing.label(
        "strong",
        Anchor::Start,
        (0.0, top + 8.0),
        "Load of each server, relative to what it can take",
        width,
    );
    top += TITLE;
    top += drawing.legend(
        top,
        &[
            (
                Key::Fill(format!("{} pale", fill_class(0))),
                "requests".to_owned(),
            ),
            (Key::Fill(fill_class(1)), "moves".to_owned()),
            (Key::Limit, "all that it can take".to_owned()),
        ],
    );
    top += 8.0;
    let height = BAND * shown_servers.len() as f64;
    frame.grid(&mut drawing, top, height, unit);
    for server in &shown_servers {
        draw_load(&mut drawing, &frame, server, top);
        top += BAND;
    }
    top += 44.0;
    if course.servers.len() > shown_servers.len() {
        let text = format!(
            "{} that moves ask less of: in the table",
            plural(
                (course.servers.len() - shown_servers.len()) as u64,
                "server"
            )
        );
        drawing.label("faint small", Anchor::Start, (0.0, top), &text, width);
        top += 20.0;
    }
    (drawing, top)
}

struct Frame {
    name_width: f64,
    left: f64,
    right: f64,
    scale: Scale,
    unit_s: f64,
}

impl Frame {
    fn x(&self, at_s: f64) -> f64 {
        self.left + self.scale.part(at_s / self.unit_s) * (self.right - self.left)
    }

    fn grid(&self, drawing: &mut Drawing, top: f64, height: f64, unit: &str) {
        let bottom = top + height;
        for &value in &self.scale.ticks {
            let x = self.x(value * self.unit_s);
            drawing.line("grid", (x, top), (x, bottom));
            drawing.text(
                "faint small",
                Anchor::Middle,
                (x, bottom + 12.0),
                &tick(value),
            );
        }
        drawing.line("axis", (self.left, bottom), (self.right, bottom));
        let title = format!("{unit} from the begin of the step");
        drawing.label(
            "faint small",
            Anchor::Start,
            (self.left, bottom + 28.0),
            &title,
            self.right - self.left,
        );
    }
}

fn move_name(a_move: &CourseMove) -> String {
    format!("{} to {}", a_move.from, a_move.to)
}

fn end_s(a_move: &CourseMove) -> f64 {
    a_move.start_s + a_move.copy_s + a_move.freeze_ms / 1e3 + a_move.purge_s
}

fn draw_move(drawing: &mut Drawing, frame: &Frame, a_move: &CourseMove, middle: f64) {
    let name = move_name(a_move);
    drawing.label(
        "",
        Anchor::End,
        (frame.name_width, middle),
        &name,
        frame.name_width,
    );
    let copied = a_move.start_s + a_move.copy_s;
    let frozen = copied + a_move.freeze_ms / 1e3;
    let (start, copy_end, freeze_end, end) = (
        frame.x(a_move.start_s),
        frame.x(copied),
        frame.x(frozen),
        frame.x(end_s(a_move)),
    );
    let top = middle - 7.0;
    let tip = format!(
        "{name}, {}, by {}: copy {}, freeze {}, purge {}",
        plural(a_move.nodes.into(), "node"),
        kind(a_move.kind),
        seconds(a_move.copy_s),
        milliseconds(a_move.freeze_ms),
        seconds(a_move.purge_s),
    );
    let color = fill_class(0);
    drawing.rect(&color, (start, top), (copy_end - start, 14.0), &tip);
    drawing.rect(
        &format!("{color} pale"),
        (freeze_end, top),
        (end - freeze_end, 14.0),
        &tip,
    );
    let freeze = (freeze_end - copy_end).max(FREEZE_WIDTH);
    drawing.rect(
        "mark",
        (copy_end - FREEZE_WIDTH / 2.0, top - 2.0),
        (freeze, 18.0),
        &tip,
    );
}

/// In their order; of more than there is room for those that moves ask most of.
fn busiest(servers: &[CourseServer]) -> Vec<&CourseServer> {
    let work = |server: &CourseServer| {
        let all = server.points.iter().map(|point| point.moves);
        all.fold(0.0, f64::max)
    };
    let mut order: Vec<(usize, &CourseServer)> = servers.iter().enumerate().collect();
    order.sort_by(|a, b| work(b.1).total_cmp(&work(a.1)).then(a.0.cmp(&b.0)));
    order.truncate(SERVERS_MAX);
    order.sort_by_key(|&(at, _)| at);
    order.into_iter().map(|(_, server)| server).collect()
}

/// A band whose height is all that the server can do.
fn draw_load(drawing: &mut Drawing, frame: &Frame, server: &CourseServer, top: f64) {
    let (bottom, full) = (top + BAND, BAND - 8.0);
    let middle = bottom - full / 2.0;
    drawing.label(
        "",
        Anchor::End,
        (frame.name_width, middle),
        &server.server,
        frame.name_width,
    );
    let y = |part: f64| bottom - part.clamp(0.0, 1.0) * full;
    let both = |point: &CoursePoint| point.requests + point.moves;
    let requests = steps(frame, &server.points, |point| y(point.requests));
    let together = steps(frame, &server.points, |point| y(both(point)));
    let peak = server.points.iter().map(both).fold(0.0, f64::max);
    let tip = format!("{}: at most {}", server.server, percent(peak));
    let base = [(frame.right, bottom), (frame.left, bottom)];
    drawing.area(
        &format!("{} pale", fill_class(0)),
        &[&requests[..], &base].concat(),
        &tip,
    );
    let below: Vec<(f64, f64)> = requests.iter().rev().copied().collect();
    drawing.area(&fill_class(1), &[together, below].concat(), &tip);
    drawing.line(
        "axis limit",
        (frame.left, bottom - full),
        (frame.right, bottom - full),
    );
    drawing.line("axis", (frame.left, bottom), (frame.right, bottom));
    drawing.text(
        "small",
        Anchor::Start,
        (frame.right + 6.0, middle),
        &percent(peak),
    );
}

/// The outline of figures that hold until the next one, from the axis' begin to its end.
fn steps(
    frame: &Frame,
    points: &[CoursePoint],
    y: impl Fn(&CoursePoint) -> f64,
) -> Vec<(f64, f64)> {
    let mut outline: Vec<(f64, f64)> = Vec::with_capacity(points.len() * 2 + 1);
    for point in points {
        let x = frame.x(point.at_s);
        if let Some(&(_, before)) = outline.last() {
            outline.push((x, before));
        }
        outline.push((x, y(point)));
    }
    if let Some(&(_, last)) = outline.last() {
        outline.push((frame.right, last));
    }
    outline
}
