//! The page of a simulation, in a real browser: read from a disk, in light and dark, on a wide and a narrow screen, with hostile names.

use crate::browser::{Behaviour, Browser, View};
use keyway::simulation::export::{page, plots};
use keyway::simulation::report::Report;
use serde_json::Value;
use std::path::PathBuf;

const WIDE: View = View {
    width: 1400,
    is_dark: false,
    has_scripts: true,
};
const NARROW: View = View { width: 400, ..WIDE };
const WITHOUT_SCRIPTS: View = View {
    has_scripts: false,
    ..WIDE
};

fn dark(view: View) -> View {
    View {
        is_dark: true,
        ..view
    }
}

fn full() -> Report {
    serde_json::from_str(include_str!("../reports/full.json")).unwrap()
}

fn small() -> Report {
    serde_json::from_str(include_str!("../reports/small.json")).unwrap()
}

/// 50 servers, 10 schemes.
fn large() -> Report {
    let mut report = full();
    let few = report.schemes.clone();
    report.schemes.clear();
    for number in 0..10 {
        let mut scheme = few[number % few.len()].clone();
        scheme.name = format!("{}-{number}", scheme.name);
        for stage in &mut scheme.stages {
            let few = stage.servers.clone();
            stage.servers.clear();
            for at in 0..50 {
                let mut share = few[at % few.len()].clone();
                share.server = format!("cache-eu-west-{at:02}");
                share.target = 0.02;
                share.keys.mean = 0.02 * (0.7 + (at * 17 % 50) as f64 / 80.0);
                share.keys.spread = None;
                stage.servers.push(share);
            }
        }
        report.schemes.push(scheme);
    }
    let course = &mut report.courses[0];
    course.scheme = report.schemes[0].name.clone();
    course.moves = course.moves.iter().cycle().take(60).cloned().collect();
    course.servers = course.servers.iter().cycle().take(50).cloned().collect();
    if let Some(storm) = &mut report.storm {
        let few = storm.schemes.clone();
        storm.schemes = few.iter().cycle().take(10).cloned().collect();
        for (number, scheme) in storm.schemes.iter_mut().enumerate() {
            scheme.scheme = format!("{}-{number}", scheme.scheme);
        }
    }
    report
}

struct Opened {
    browser: Browser,
    behaviour: Behaviour,
    url: String,
    _directory: tempfile::TempDir,
}

fn open(report: &Report, view: View) -> Opened {
    let directory = tempfile::tempdir().unwrap();
    let file: PathBuf = directory.path().join("simulation.html");
    std::fs::write(&file, page(report)).unwrap();
    let mut browser = Browser::start();
    let behaviour = browser.open(&file, view);
    Opened {
        browser,
        behaviour,
        url: format!("file://{}", file.display()),
        _directory: directory,
    }
}

/// The problems that a script finds, each in words.
fn problems(browser: &mut Browser, script: &str) -> Vec<String> {
    let found = browser.evaluate(script);
    let list = found.as_array().expect("the script gives a list");
    list.iter()
        .map(|problem| problem.as_str().unwrap().to_owned())
        .collect()
}

fn assert_is_quiet(opened: &Opened) {
    let Behaviour {
        requests,
        complaints,
        dialogs,
    } = &opened.behaviour;
    let outside: Vec<&String> = requests
        .iter()
        .filter(|url| **url != opened.url && !url.starts_with("data:"))
        .collect();
    assert!(
        requests.contains(&opened.url),
        "the requests are listened to"
    );
    assert!(outside.is_empty(), "it asks for {outside:?}");
    assert!(complaints.is_empty(), "{complaints:#?}");
    assert!(dialogs.is_empty(), "{dialogs:?}");
}

/// Every picture that this width shows has a size, lies within the page, and all its texts and shapes lie within it; no two texts touch.
const PICTURES: &str = r#"(() => {
  const problems = [];
  const pictures = [...document.querySelectorAll("svg.plot")].filter(one => one.getClientRects().length);
  if (!pictures.length) problems.push("no picture is shown");
  for (const picture of pictures) {
    const name = picture.querySelector("title").textContent;
    const box = picture.getBoundingClientRect();
    if (box.width < 200 || box.height < 60) problems.push(`${name}: ${box.width} x ${box.height}`);
    if (box.right > document.documentElement.clientWidth) problems.push(`${name}: wider than the page`);
    if (picture.querySelectorAll("rect, polyline, polygon").length < 1) problems.push(`${name}: nothing drawn`);
    for (const shape of picture.querySelectorAll("rect, line, polyline, polygon, circle, text")) {
      const it = shape.getBoundingClientRect();
      const out = Math.max(box.left - it.left, it.right - box.right, box.top - it.top, it.bottom - box.bottom);
      if (out > 2) problems.push(`${name}: ${shape.tagName} ${shape.textContent} is ${out} px outside`);
    }
    const texts = [...picture.querySelectorAll("text")].map(one => [one.textContent, one.getBoundingClientRect()]);
    texts.forEach(([a, x], at) => {
      if (x.width < 2 || x.height < 6) problems.push(`${name}: ${a} cannot be read`);
      for (const [b, y] of texts.slice(at + 1)) {
        const wide = Math.min(x.right, y.right) - Math.max(x.left, y.left);
        const high = Math.min(x.bottom, y.bottom) - Math.max(x.top, y.top);
        if (wide > 1 && high > 3) problems.push(`${name}: ${a} and ${b} overlap`);
      }
    });
  }
  return problems;
})()"#;

/// The page does not scroll sideways, and nothing that is shown sticks out but what has a box of its own to scroll in.
const FITS: &str = r#"(() => {
  const problems = [];
  const width = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth > width) problems.push(`${document.documentElement.scrollWidth} of ${width}`);
  for (const one of document.querySelectorAll("body *")) {
    if (one.closest(".table, svg, script") || !one.getClientRects().length) continue;
    const box = one.getBoundingClientRect();
    if (box.right > width + 1 || box.left < -1) problems.push(`${one.tagName} ${one.textContent.slice(0, 40)} sticks out`);
  }
  return problems;
})()"#;

/// All text against what is behind it, by WCAG 2: 4.5; lines and bars: 3.
const CONTRAST: &str = r#"(() => {
  const channels = color => {
    const found = color.match(/^rgba?\(([\d.]+), ([\d.]+), ([\d.]+)(?:, ([\d.]+))?\)$/);
    return found && found.slice(1).map(part => part === undefined ? 1 : Number(part));
  };
  const luminance = ([r, g, b]) => {
    const part = value => (value /= 255) <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
    return 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b);
  };
  const contrast = (a, b) => {
    const [low, high] = [luminance(a), luminance(b)].sort((x, y) => x - y);
    return (high + 0.05) / (low + 0.05);
  };
  const ground = one => {
    for (; one; one = one.parentElement) {
      const color = channels(getComputedStyle(one).backgroundColor);
      if (color && color[3] > 0) return color;
    }
    return null;
  };
  const problems = new Set();
  let looked = 0;
  const look = (one, color, least) => {
    const behind = ground(one);
    if (!behind || !channels(color)) return problems.add(`${one.tagName}: ${color} on ${behind}`);
    looked++;
    const found = contrast(channels(color), behind);
    if (found < least) problems.add(`${one.tagName} ${one.getAttribute("class")}: ${color} on ${behind} is ${found.toFixed(2)}`);
  };
  for (const one of document.querySelectorAll("h1, h2, h3, p, li, a, th, td, caption, summary, figcaption, button")) {
    if (one.getClientRects().length) look(one, getComputedStyle(one).color, 4.5);
  }
  for (const one of document.querySelectorAll("svg.plot text")) {
    if (one.getClientRects().length) look(one, getComputedStyle(one).fill, 4.5);
  }
  for (const one of document.querySelectorAll("svg.plot .line, svg.plot .axis, svg.plot .reference, svg.plot .whisker")) {
    if (one.getClientRects().length) look(one, getComputedStyle(one).stroke, 3);
  }
  for (const one of document.querySelectorAll("svg.plot rect:not(.pale), svg.plot circle, svg.plot polygon:not(.pale)")) {
    if (one.getClientRects().length) look(one, getComputedStyle(one).fill, 3);
  }
  if (looked < 50) problems.add(`only ${looked} things were looked at`);
  return [...problems];
})()"#;

/// What somebody who hears the page, or goes through it by keys, needs.
const ACCESSIBLE: &str = r##"(() => {
  const problems = [];
  const all = selector => [...document.querySelectorAll(selector)];
  if (document.documentElement.lang !== "en") problems.push("no language");
  if (!document.title) problems.push("no title");
  if (all("h1").length !== 1) problems.push("not one h1");
  let level = 1;
  for (const heading of all("h1, h2, h3, h4")) {
    const own = Number(heading.tagName[1]);
    if (own > level + 1) problems.push(`${heading.textContent}: a level is left out`);
    if (!heading.textContent.trim()) problems.push("an empty heading");
    level = own;
  }
  for (const picture of all("svg.plot")) {
    if (picture.getAttribute("role") !== "img" || !picture.getAttribute("aria-label")) problems.push("a picture without a name");
    if (!picture.querySelector(":scope > title") || !picture.querySelector(":scope > desc")) problems.push("a picture without a description");
  }
  for (const table of all("table")) {
    if (!table.caption || !table.caption.textContent) problems.push("a table without a caption");
    const columns = table.tHead.rows[0].cells.length;
    for (const cell of table.tHead.rows[0].cells) if (cell.scope !== "col") problems.push("a head without a scope");
    for (const row of table.tBodies[0].rows) if (row.cells.length !== columns) problems.push(`${table.caption.textContent}: a row of another length`);
  }
  const ids = all("[id]").map(one => one.id);
  if (new Set(ids).size !== ids.length) problems.push("an id twice");
  for (const link of all("a[href^='#']")) if (!document.getElementById(link.hash.slice(1))) problems.push(`${link.hash} leads nowhere`);
  return problems;
})()"##;

#[test]
fn a_page_opens_from_a_disk_without_a_request_or_a_complaint_and_shows_every_plot() {
    let mut opened = open(&full(), WIDE);
    assert_is_quiet(&opened);
    let browser = &mut opened.browser;
    assert_eq!(problems(browser, PICTURES), [""; 0]);
    assert_eq!(problems(browser, FITS), [""; 0]);
    assert_eq!(problems(browser, ACCESSIBLE), [""; 0]);
    let shown = browser.evaluate(
        "[...document.querySelectorAll('svg.plot > title')].filter(one => one.parentElement.getClientRects().length).map(one => one.textContent)",
    );
    let titles: Vec<Value> = plots(&full())
        .iter()
        .map(|plot| plot.title.clone().into())
        .collect();
    let mut shown = shown.as_array().unwrap().clone();
    let mut all = titles;
    shown.sort_by_key(|title| title.to_string());
    all.sort_by_key(|title| title.to_string());
    assert_eq!(shown, all);
    browser.screenshot("full-wide-light");
}

#[test]
fn a_page_is_readable_in_light_and_in_dark() {
    let mut opened = open(&full(), WIDE);
    let browser = &mut opened.browser;
    let ground = "getComputedStyle(document.documentElement).backgroundColor";
    let light = browser.evaluate(ground);
    assert_eq!(problems(browser, CONTRAST), [""; 0]);
    browser.look(dark(WIDE));
    assert_ne!(browser.evaluate(ground), light, "dark is another ground");
    assert_eq!(problems(browser, CONTRAST), [""; 0]);
    browser.screenshot("full-wide-dark");
    browser.look_as_paper();
    assert_eq!(browser.evaluate(ground), light, "paper is light");
    assert_eq!(problems(browser, CONTRAST), [""; 0]);
}

#[test]
fn a_page_fits_a_telephone() {
    let mut opened = open(&full(), NARROW);
    assert_is_quiet(&opened);
    let browser = &mut opened.browser;
    assert_eq!(
        browser.evaluate("document.documentElement.clientWidth"),
        400
    );
    assert_eq!(problems(browser, PICTURES), [""; 0]);
    assert_eq!(problems(browser, FITS), [""; 0]);
    browser.screenshot("full-narrow-light");
    browser.look(dark(NARROW));
    assert_eq!(problems(browser, CONTRAST), [""; 0]);
    browser.screenshot("full-narrow-dark");
}

#[test]
fn the_smallest_and_the_largest_report_make_pages_too() {
    for (name, report) in [("small", small()), ("large", large())] {
        let mut opened = open(&report, WIDE);
        assert_is_quiet(&opened);
        for view in [WIDE, NARROW] {
            let browser = &mut opened.browser;
            browser.look(view);
            assert_eq!(problems(browser, PICTURES), [""; 0], "{name}");
            assert_eq!(problems(browser, FITS), [""; 0], "{name}");
            assert_eq!(problems(browser, ACCESSIBLE), [""; 0], "{name}");
            browser.screenshot(&format!("{name}-{}", view.width));
        }
    }
}

#[test]
fn a_page_is_read_without_scripts_as_well() {
    let mut opened = open(&full(), WITHOUT_SCRIPTS);
    assert_is_quiet(&opened);
    let browser = &mut opened.browser;
    assert_eq!(problems(browser, PICTURES), [""; 0]);
    let text = browser.evaluate("document.body.innerText");
    let text = text.as_str().unwrap();
    for part in [
        "In short",
        "add f",
        "The next split is due in month",
        "83.3",
    ] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    let save = "document.getElementById('save').getClientRects().length";
    assert_eq!(
        browser.evaluate(save),
        0,
        "a button that can do nothing is not shown"
    );
}

#[test]
fn the_data_in_a_page_is_the_report_and_can_be_saved() {
    let report = full();
    let mut opened = open(&report, WIDE);
    let browser = &mut opened.browser;
    let text = browser.evaluate("document.getElementById('report').textContent");
    let read: Value = serde_json::from_str(text.as_str().unwrap()).unwrap();
    assert_eq!(read, serde_json::to_value(&report).unwrap());
    let saved = browser.evaluate(
        "new Promise(done => {
            const make = URL.createObjectURL;
            URL.createObjectURL = blob => { blob.text().then(done); return make.call(URL, blob); };
            HTMLAnchorElement.prototype.click = () => {};
            document.getElementById('save').click();
        })",
    );
    assert_eq!(saved, text);
}

#[test]
fn names_and_keys_that_are_scripts_do_not_run_and_are_shown_as_they_are() {
    const HOSTILE: &str =
        "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'&\u{1b}\u{0}\u{202e}]]>";
    let mut report = full();
    report.title = HOSTILE.to_owned();
    report.keyway = HOSTILE.to_owned();
    report.keys.source = HOSTILE.to_owned();
    report.notes = vec![HOSTILE.to_owned()];
    for scheme in &mut report.schemes {
        scheme.name.push_str(HOSTILE);
        scheme.title = HOSTILE.to_owned();
        for stage in &mut scheme.stages {
            stage.step.push_str(HOSTILE);
            for share in &mut stage.servers {
                share.server.push_str(HOSTILE);
            }
            for hot in &mut stage.hot_keys {
                hot.key = HOSTILE.to_owned();
                hot.server = HOSTILE.to_owned();
            }
        }
    }
    for course in &mut report.courses {
        course.step.push_str(HOSTILE);
        course.scheme = HOSTILE.to_owned();
        for a_move in &mut course.moves {
            a_move.why = HOSTILE.to_owned();
            a_move.to = HOSTILE.to_owned();
        }
        for server in &mut course.servers {
            server.server = HOSTILE.to_owned();
        }
    }
    for view in [WIDE, NARROW] {
        let mut opened = open(&report, view);
        // No dialog, and no complaint of the policy either: there was nothing to keep from running.
        assert_is_quiet(&opened);
        let browser = &mut opened.browser;
        assert_eq!(
            browser.evaluate("document.querySelectorAll('img, iframe, object').length"),
            0
        );
        assert_eq!(browser.evaluate("document.scripts.length"), 2);
        assert_eq!(
            browser.evaluate("document.querySelector('h1').textContent"),
            "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'&\\u{1b}\\u{0}\\u{202e}]]>"
        );
        assert_eq!(problems(browser, PICTURES), [""; 0]);
        assert_eq!(problems(browser, FITS), [""; 0]);
        browser.screenshot(&format!("hostile-{}", view.width));
    }
}

#[test]
fn every_plot_is_a_picture_of_its_own_in_light_and_in_dark() {
    let directory = tempfile::tempdir().unwrap();
    let mut browser = Browser::start();
    for plot in plots(&full()) {
        let file = directory.path().join(format!("{}.svg", plot.name));
        std::fs::write(&file, plot.svg()).unwrap();
        let behaviour = browser.open(&file, WIDE);
        assert_eq!(behaviour.requests.len(), 1, "{behaviour:?}");
        assert!(
            behaviour.complaints.is_empty(),
            "{}: {behaviour:?}",
            plot.name
        );
        assert_eq!(problems(&mut browser, PICTURES), [""; 0]);
        let ground = "getComputedStyle(document.querySelector('.ground')).fill";
        let light = browser.evaluate(ground);
        browser.screenshot(&format!("svg-{}", plot.name));
        browser.look(dark(WIDE));
        assert_ne!(browser.evaluate(ground), light, "{}", plot.name);
    }
}
