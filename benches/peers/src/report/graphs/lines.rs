//! Panels with a line per peer, and one legend for all beside them.

use super::palette::{self, FAINT_INK, GRID, INK, Marker};
use super::scale::Scale;
use super::{Drawn, FONT, TITLE_HEIGHT, title};
use crate::report::number::{tick, whole};
use plotters::prelude::*;

pub struct Graph {
    pub title: String,
    pub x_title: &'static str,
    /// Row by row, two beside each other.
    pub panels: Vec<Panel>,
}

pub struct Panel {
    pub title: String,
    pub y_title: &'static str,
    pub y: Scale,
    pub lines: Vec<Line>,
}

pub struct Line {
    pub peer: String,
    pub points: Vec<(u32, f64)>,
}

const WIDTH: u32 = 1_040;
const LEGEND_WIDTH: u32 = 200;
const PANEL_HEIGHT: u32 = 380;
const PANEL_TITLE_HEIGHT: u32 = 32;
const Y_LABELS_WIDTH: u32 = 82;
const PANELS_BESIDE: usize = 2;
const LEGEND_LINE_HEIGHT: i32 = 24;

/// None if there is no line.
pub fn draw(mut graph: Graph) -> Result<Option<String>, super::Error> {
    // All of its peers may have been refused.
    graph.panels.retain(|panel| !panel.lines.is_empty());
    if graph.panels.is_empty() {
        return Ok(None);
    }
    let rows = graph.panels.len().div_ceil(PANELS_BESIDE);
    let height = TITLE_HEIGHT + PANEL_HEIGHT * u32::try_from(rows).unwrap_or(1);
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, (WIDTH, height)).into_drawing_area();
        root.fill(&WHITE)?;
        title(&root, &graph.title)?;
        let (_, below) = root.split_vertically(TITLE_HEIGHT);
        let (panels, legend) = below.split_horizontally(WIDTH - LEGEND_WIDTH);
        for (area, panel) in panels
            .split_evenly((rows, PANELS_BESIDE))
            .iter()
            .zip(&graph.panels)
        {
            draw_panel(area, &graph, panel)?;
        }
        draw_legend(&legend, &graph)?;
        root.present()?;
    }
    Ok(Some(svg))
}

fn draw_panel(area: &super::Area, graph: &Graph, panel: &Panel) -> Drawn {
    let heading = (FONT, 16).into_font().color(&INK);
    let left = i32::try_from(Y_LABELS_WIDTH).unwrap_or(0) + 8;
    area.draw(&Text::new(panel.title.clone(), (left, 6), heading))?;
    let mut measured: Vec<u32> = panel
        .lines
        .iter()
        .flat_map(|line| line.points.iter().map(|point| point.0))
        .collect();
    measured.sort_unstable();
    measured.dedup();
    let mut chart = ChartBuilder::on(area)
        .margin(8)
        .margin_top(PANEL_TITLE_HEIGHT)
        .margin_right(14)
        .x_label_area_size(46)
        .y_label_area_size(Y_LABELS_WIDTH)
        .build_cartesian_2d(Scale::log_at(&measured), panel.y.clone())?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(GRID)
        .axis_style(FAINT_INK)
        .label_style((FONT, 14).into_font().color(&INK))
        .axis_desc_style((FONT, 14).into_font().color(&FAINT_INK))
        .x_desc(graph.x_title)
        .y_desc(panel.y_title)
        .x_label_formatter(&|at| whole(at.round() as u32))
        .y_label_formatter(&|value| tick(*value))
        .draw()?;
    // The thickest comes last, on top of the others.
    let mut lines: Vec<&Line> = panel.lines.iter().collect();
    lines.sort_by_key(|line| palette::look(&line.peer).line_width);
    for line in lines {
        let look = palette::look(&line.peer);
        let points = line
            .points
            .iter()
            .map(|(at, value)| (f64::from(*at), *value));
        let style = look.color.stroke_width(look.line_width);
        chart.draw_series(LineSeries::new(points.clone(), style))?;
        for point in points {
            let at = chart.backend_coord(&point);
            draw_marker(&area.strip_coord_spec(), look, local(area, at))?;
        }
    }
    Ok(())
}

/// A place of the whole picture, in this part of it.
fn local(area: &super::Area, (x, y): (i32, i32)) -> (i32, i32) {
    let (left, top) = area.get_base_pixel();
    (x - left, y - top)
}

fn draw_marker(area: &super::Area, look: palette::Look, (x, y): (i32, i32)) -> Drawn {
    let radius = 3 + i32::try_from(look.line_width / 2).unwrap_or(1);
    let filled = look.color.filled();
    match look.marker {
        Marker::Circle => area.draw(&Circle::new((x, y), radius, filled))?,
        Marker::Square => area.draw(&Rectangle::new(
            [(x - radius, y - radius), (x + radius, y + radius)],
            filled,
        ))?,
        Marker::Triangle => area.draw(&TriangleMarker::new((x, y), radius + 1, filled))?,
        Marker::Cross => area.draw(&Cross::new((x, y), radius, look.color.stroke_width(2)))?,
    }
    Ok(())
}

fn draw_legend(area: &super::Area, graph: &Graph) -> Drawn {
    let mut peers: Vec<&str> = Vec::new();
    for line in graph.panels.iter().flat_map(|panel| &panel.lines) {
        if !peers.contains(&line.peer.as_str()) {
            peers.push(&line.peer);
        }
    }
    let mut y = 48;
    for peer in peers {
        let look = palette::look(peer);
        let style = look.color.stroke_width(look.line_width);
        area.draw(&PathElement::new([(6, y), (34, y)], style))?;
        draw_marker(area, look, (20, y))?;
        area.draw(&Text::new(
            peer.to_owned(),
            (42, y - 6),
            super::peer_font(peer),
        ))?;
        y += LEGEND_LINE_HEIGHT;
    }
    Ok(())
}
