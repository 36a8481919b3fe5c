//! Colours, for light and for dark. Chosen to be told apart by people who see no difference between red and green, and never the only
//! difference: lines have dashes and markers of their own, bars have words.

/// One colour, by what it is laid upon.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ink {
    /// `#rrggbb`, on [`GROUND`]'s light.
    pub(super) light: &'static str,
    /// On its dark.
    pub(super) dark: &'static str,
}

const fn ink(light: &'static str, dark: &'static str) -> Ink {
    Ink { light, dark }
}

/// What everything is drawn on.
pub(super) const GROUND: Ink = ink("#ffffff", "#14171b");
/// Text.
pub(super) const TEXT: Ink = ink("#1b2026", "#e6e9ed");
/// Text that matters less: ticks, units.
pub(super) const FAINT: Ink = ink("#535d68", "#a5afba");
/// Lines that only guide the eye.
pub(super) const GRID: Ink = ink("#dfe3e8", "#2c333b");
/// Axes and references, which say something.
pub(super) const AXIS: Ink = ink("#6b7580", "#8a95a1");
/// One per line, over again when there are more.
pub(super) const SERIES: [Ink; 8] = [
    ink("#0068a8", "#56b4e9"),
    ink("#c24d00", "#ff9350"),
    ink("#00724f", "#3fd0a4"),
    ink("#b23a94", "#ec95c8"),
    ink("#2f353c", "#eceff2"),
    ink("#7d5f00", "#e3bd4a"),
    ink("#5a4fcf", "#aaa6ff"),
    ink("#b3261e", "#ff8f86"),
];
/// Of as many as there are markers times dashes, before a look comes back.
const DASHES: [&str; 5] = ["none", "7 4", "2 3", "10 3 2 3", "5 2 2 2 2 2"];

/// What a page and every SVG need to be drawn in. `scope` is what comes before each selector.
pub(in crate::simulation::export) fn css() -> String {
    let mut css = String::from(include_str!("plot.css"));
    for (number, dash) in DASHES.iter().enumerate() {
        css.push_str(&format!(".plot .d{number}{{stroke-dasharray:{dash}}}\n"));
    }
    css.push_str(&colors(|ink| ink.light));
    // On paper it is light, whatever the screen is.
    css.push_str("@media screen and (prefers-color-scheme:dark){\n");
    css.push_str(&colors(|ink| ink.dark));
    css.push_str("}\n");
    css
}

fn colors(of: fn(&Ink) -> &'static str) -> String {
    let mut css = format!(
        ".plot .ground{{fill:{ground}}}\n.plot text{{fill:{text}}}\n.plot .faint{{fill:{faint}}}\n.plot .grid{{stroke:{grid}}}\n\
         .plot .axis{{stroke:{axis}}}\n.plot .reference{{stroke:{text}}}\n.plot .mark{{fill:{text}}}\n",
        ground = of(&GROUND),
        text = of(&TEXT),
        faint = of(&FAINT),
        grid = of(&GRID),
        axis = of(&AXIS),
    );
    for (number, ink) in SERIES.iter().enumerate() {
        let color = of(ink);
        css.push_str(&format!(
            ".plot .f{number}{{fill:{color}}}\n.plot .l{number}{{stroke:{color}}}\n"
        ));
    }
    css
}

/// The classes of the line of a series.
pub(super) fn line_class(series: usize) -> String {
    format!("line l{} d{}", series % SERIES.len(), series % DASHES.len())
}

/// The class of what is filled in a series' colour.
pub(super) fn fill_class(series: usize) -> String {
    format!("f{}", series % SERIES.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// WCAG 2's relative luminance.
    fn luminance(color: &str) -> f64 {
        let part = |at: usize| {
            let value = f64::from(u8::from_str_radix(&color[at..at + 2], 16).unwrap()) / 255.0;
            match value <= 0.040_45 {
                true => value / 12.92,
                false => ((value + 0.055) / 1.055).powf(2.4),
            }
        };
        0.2126 * part(1) + 0.7152 * part(3) + 0.0722 * part(5)
    }

    fn contrast(a: &str, b: &str) -> f64 {
        let (a, b) = (luminance(a), luminance(b));
        (a.max(b) + 0.05) / (a.min(b) + 0.05)
    }

    #[test]
    fn everything_that_says_something_stands_out_from_its_ground_in_light_and_in_dark() {
        assert!((contrast("#000000", "#ffffff") - 21.0).abs() < 1e-9);
        let texts = [TEXT, FAINT].map(|ink| (ink, 4.5));
        let lines = SERIES.iter().chain([&AXIS]).map(|&ink| (ink, 3.0));
        for (ink, least) in texts.into_iter().chain(lines) {
            for (color, ground) in [(ink.light, GROUND.light), (ink.dark, GROUND.dark)] {
                let found = contrast(color, ground);
                assert!(
                    found >= least,
                    "{color} on {ground}: {found:.2}, needs {least}"
                );
            }
        }
    }

    /// What somebody without the green receptors sees (Machado, Oliveira and Fernandes 2009), roughly: enough to see a pair that falls together.
    fn without_green(color: &str) -> [f64; 3] {
        let part = |at: usize| f64::from(u8::from_str_radix(&color[at..at + 2], 16).unwrap());
        let (r, g, b) = (part(1), part(3), part(5));
        [
            0.367 * r + 0.861 * g - 0.228 * b,
            0.280 * r + 0.673 * g + 0.047 * b,
            -0.012 * r + 0.043 * g + 0.969 * b,
        ]
    }

    #[test]
    fn the_first_five_colours_are_told_apart_without_red_and_green() {
        for of in [|ink: &Ink| ink.light, |ink: &Ink| ink.dark] {
            let seen: Vec<[f64; 3]> = SERIES[..5].iter().map(|i| without_green(of(i))).collect();
            for (at, a) in seen.iter().enumerate() {
                for b in &seen[at + 1..] {
                    let squares = a.iter().zip(b).map(|(x, y)| (x - y) * (x - y));
                    let distance = squares.sum::<f64>().sqrt();
                    assert!(distance > 30.0, "{a:?} {b:?}: {distance}");
                }
            }
        }
    }

    #[test]
    fn a_look_comes_back_only_after_forty_lines() {
        let looks: std::collections::BTreeSet<String> = (0..40).map(line_class).collect();
        assert_eq!(looks.len(), 40);
    }
}
