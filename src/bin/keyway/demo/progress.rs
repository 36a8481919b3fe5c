//! Progress on stderr, on a terminal only.

use indicatif::{ProgressBar, ProgressStyle};
use std::time::Duration;

const TICK: Duration = Duration::from_millis(100);

#[derive(Debug)]
pub(crate) struct Progress;

/// A bar that is wiped when dropped, so that nothing of it is left above the report or an error.
#[derive(Debug)]
pub(crate) struct Bar(ProgressBar);

impl Progress {
    pub(crate) fn bar(&self, what: &'static str, count: u64) -> Bar {
        Bar::new(
            ProgressBar::new(count),
            "  {msg:18} {wide_bar} {human_pos} of {human_len}",
            what,
        )
    }

    pub(crate) fn bytes(&self, what: &'static str, count: u64) -> Bar {
        Bar::new(
            ProgressBar::new(count),
            "  {msg:18} {wide_bar} {bytes} of {total_bytes}",
            what,
        )
    }

    pub(crate) fn spinner(&self, what: &'static str) -> Bar {
        Bar::new(
            ProgressBar::new_spinner(),
            "  {msg} {spinner} {elapsed}",
            what,
        )
    }
}

impl Bar {
    fn new(bar: ProgressBar, template: &str, what: &'static str) -> Bar {
        // A template that does not parse would be a bar of another look, not a failure.
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.set_message(what);
        bar.enable_steady_tick(TICK);
        Bar(bar)
    }

    pub(crate) fn inc(&self, count: u64) {
        self.0.inc(count);
    }

    pub(crate) fn set(&self, position: u64) {
        self.0.set_position(position);
    }

    pub(crate) fn finish_and_clear(&self) {
        self.0.finish_and_clear();
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
