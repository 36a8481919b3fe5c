//! Panels with a group of bars per peer, their values written behind them.

use super::palette::{self, FAINT_INK, GRID, INK};
use super::scale::Scale;
use super::{Area, Drawn, FONT, TITLE_HEIGHT, peer_font, title};
use crate::report::number;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

pub struct Graph {
    pub title: String,
    pub x_title: &'static str,
    /// What the bars of a group are, from top to bottom; one bar needs no name.
    pub bars: Vec<&'static str>,
    pub rows: Vec<Row>,
}

/// Panels beside each other, with the same peers.
pub struct Row {
    pub peers: Vec<String>,
    pub panels: Vec<Panel>,
}

pub struct Panel {
    pub title: String,
    pub x: Scale,
    /// Of each peer of the row, a value per bar; none where a peer cannot do this.
    pub groups: Vec<Vec<f64>>,
}

const WIDTH: u32 = 1_040;
const NAMES_WIDTH: i32 = 200;
const PANEL_TITLE_HEIGHT: i32 = 30;
const AXIS_HEIGHT: i32 = 54;
const BAR_HEIGHT: i32 = 14;
const GROUP_GAP: i32 = 10;
/// Behind the longest bar, for its value.
const VALUE_WIDTH: i32 = 74;
/// About: the font is the reader's.
const DIGIT_WIDTH: i32 = 7;
const BARS_LEGEND_HEIGHT: u32 = 26;

/// None if there is no bar.
pub fn draw(graph: &Graph) -> Result<Option<String>, super::Error> {
    if graph.rows.is_empty() {
        return Ok(None);
    }
    let legend_height = if graph.bars.len() > 1 {
        BARS_LEGEND_HEIGHT
    } else {
        0
    };
    let top = TITLE_HEIGHT + legend_height;
    let bars_height = BAR_HEIGHT * i32::try_from(graph.bars.len()).unwrap_or(1);
    let group_height = bars_height + GROUP_GAP;
    let row_height = |row: &Row| {
        PANEL_TITLE_HEIGHT
            + AXIS_HEIGHT
            + group_height * i32::try_from(row.peers.len()).unwrap_or(0)
    };
    let height: i32 = graph.rows.iter().map(row_height).sum();
    let mut svg = String::new();
    {
        let size = (WIDTH, top + height.unsigned_abs());
        let root = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        root.fill(&WHITE)?;
        title(&root, &graph.title)?;
        if graph.bars.len() > 1 {
            draw_bars_legend(&root, graph)?;
        }
        let (_, mut below) = root.split_vertically(top);
        for row in &graph.rows {
            let (area, rest) = below.split_vertically(row_height(row));
            draw_row(&area, graph, row, group_height)?;
            below = rest;
        }
        root.present()?;
    }
    Ok(Some(svg))
}

/// Shades of grey stand for the shades of every peer's colour.
fn draw_bars_legend(root: &Area, graph: &Graph) -> Drawn {
    let y = i32::try_from(TITLE_HEIGHT).unwrap_or(0) + 4;
    let mut x = NAMES_WIDTH;
    for (at, name) in graph.bars.iter().enumerate() {
        let style = palette::tint(INK, strength(at)).filled();
        root.draw(&Rectangle::new([(x, y), (x + 26, y + 12)], style))?;
        let font = (FONT, 14).into_font().color(&INK);
        root.draw(&Text::new((*name).to_owned(), (x + 33, y), font))?;
        x += 110;
    }
    Ok(())
}

fn strength(bar: usize) -> f64 {
    [1.0, 0.6, 0.3].get(bar).copied().unwrap_or(0.2)
}

fn draw_row(area: &Area, graph: &Graph, row: &Row, group_height: i32) -> Drawn {
    let (names, panels) = area.split_horizontally(NAMES_WIDTH);
    let middle = |at: usize| {
        PANEL_TITLE_HEIGHT + group_height * i32::try_from(at).unwrap_or(0) + group_height / 2
    };
    for (at, peer) in row.peers.iter().enumerate() {
        let font = peer_font(peer).pos(Pos::new(HPos::Right, VPos::Center));
        names.draw(&Text::new(
            peer.clone(),
            (NAMES_WIDTH - 10, middle(at)),
            font,
        ))?;
    }
    for (area, panel) in panels
        .split_evenly((1, row.panels.len()))
        .iter()
        .zip(&row.panels)
    {
        draw_panel(area, graph, panel, group_height)?;
        for (at, (peer, values)) in row.peers.iter().zip(&panel.groups).enumerate() {
            draw_group(area, panel, peer, values, middle(at))?;
        }
    }
    Ok(())
}

fn place(area: &Area, panel: &Panel, value: f64) -> i32 {
    let (width, _) = area.dim_in_pixel();
    let room = f64::from(width) - f64::from(VALUE_WIDTH);
    (panel.x.share(value) * room).round() as i32
}

fn draw_panel(area: &Area, graph: &Graph, panel: &Panel, group_height: i32) -> Drawn {
    let groups = i32::try_from(panel.groups.len()).unwrap_or(0);
    let bottom = PANEL_TITLE_HEIGHT + group_height * groups;
    let heading = (FONT, 16).into_font().color(&INK);
    area.draw(&Text::new(panel.title.clone(), (0, 4), heading))?;
    for tick in &panel.x.ticks {
        let x = place(area, panel, *tick);
        let line = [(x, PANEL_TITLE_HEIGHT), (x, bottom)];
        let color = if *tick == 0.0 { FAINT_INK } else { GRID };
        area.draw(&PathElement::new(line, color.stroke_width(1)))?;
        let centered = Pos::new(HPos::Center, VPos::Top);
        let font = (FONT, 13).into_font().color(&FAINT_INK).pos(centered);
        area.draw(&Text::new(number::tick(*tick), (x, bottom + 6), font))?;
    }
    let font = (FONT, 14).into_font().color(&FAINT_INK);
    area.draw(&Text::new(graph.x_title, (0, bottom + 25), font))?;
    Ok(())
}

fn draw_group(area: &Area, panel: &Panel, peer: &str, values: &[f64], middle: i32) -> Drawn {
    let count = i32::try_from(values.len()).unwrap_or(1);
    let mut y = middle - count * BAR_HEIGHT / 2;
    for (at, value) in values.iter().enumerate() {
        let end = place(area, panel, *value);
        let style = palette::tint(palette::look(peer).color, strength(at)).filled();
        // A pixel between neighbours.
        area.draw(&Rectangle::new(
            [(1, y), (end.max(2), y + BAR_HEIGHT - 2)],
            style,
        ))?;
        let text = number::three_digits(*value);
        let text_width = DIGIT_WIDTH * i32::try_from(text.len()).unwrap_or(0);
        // No line of the grid through the digits.
        let behind = [(end + 4, y), (end + 6 + text_width, y + BAR_HEIGHT - 2)];
        area.draw(&Rectangle::new(behind, WHITE.filled()))?;
        let left = Pos::new(HPos::Left, VPos::Center);
        let font = (FONT, 12).into_font().color(&INK).pos(left);
        area.draw(&Text::new(text, (end + 6, y + BAR_HEIGHT / 2), font))?;
        y += BAR_HEIGHT;
    }
    if values.is_empty() {
        let left = Pos::new(HPos::Left, VPos::Center);
        let font = (FONT, 12).into_font().color(&FAINT_INK).pos(left);
        area.draw(&Text::new("no figure", (6, middle), font))?;
    }
    Ok(())
}
