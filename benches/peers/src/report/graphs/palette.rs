//! One look per peer in every graph: a hue for each library, ours in red; readable without colour by markers.

use crate::report::comparison::{LIMIT, LONE_LIMIT};
use plotters::style::RGBColor;

#[derive(Clone, Copy, Debug)]
pub struct Look {
    pub color: RGBColor,
    pub marker: Marker,
    pub line_width: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Marker {
    Circle,
    Square,
    Triangle,
    Cross,
}

pub const INK: RGBColor = RGBColor(0x22, 0x22, 0x22);
pub const FAINT_INK: RGBColor = RGBColor(0x66, 0x66, 0x66);
pub const GRID: RGBColor = RGBColor(0xdd, 0xdd, 0xdd);

pub fn look(peer: &str) -> Look {
    let (color, marker) = match peer {
        "keyway" => (0xd6_1f_1f, Marker::Circle),
        "keyway-bulk" => (0xf0_6a_3a, Marker::Square),
        "redis-rs" => (0x1f_5f_b4, Marker::Circle),
        "redis-rs-tuned" => (0x3f_97_d8, Marker::Square),
        "keyway-cold" => (0xf0_6a_3a, Marker::Square),
        "redis-rs-trim" => (0x3f_97_d8, Marker::Triangle),
        "rb" => (0x82_bf_6e, Marker::Triangle),
        "redis-rs-own" => (0x3f_97_d8, Marker::Triangle),
        "redis-rs-per-node" => (0x7f_a8_d9, Marker::Triangle),
        "redis-rs-per-node-tuned" => (0xa3_c4_e6, Marker::Cross),
        "redis-rs-cluster" => (0x14_35_66, Marker::Cross),
        "fred" => (0x23_8b_45, Marker::Circle),
        "fred-plain" => (0x82_bf_6e, Marker::Triangle),
        "rustis" => (0x7b_3f_a8, Marker::Circle),
        "rustis-plain" => (0xb9_8b_d4, Marker::Triangle),
        "twemproxy-redis-rs" => (0xa0_74_1c, Marker::Square),
        LIMIT => (0x55_55_55, Marker::Cross),
        LONE_LIMIT => (0x55_55_55, Marker::Square),
        _ => (0x99_99_99, Marker::Circle),
    };
    let [_, red, green, blue] = u32::to_be_bytes(color);
    Look {
        color: RGBColor(red, green, blue),
        marker,
        line_width: match peer {
            "keyway" => 4,
            LIMIT => 1,
            _ => 2,
        },
    }
}

/// A lighter colour, and not a transparent one: the grid would show through.
pub fn tint(color: RGBColor, strength: f64) -> RGBColor {
    let lighter = |part: u8| (255.0 - strength * f64::from(255 - part)).round() as u8;
    RGBColor(lighter(color.0), lighter(color.1), lighter(color.2))
}
