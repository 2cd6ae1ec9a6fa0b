//! Where a run is, for whoever watches it on a terminal.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use tokio::time::sleep;

/// A bar on the terminal behind stderr; nothing where that is a file or a pipe.
#[derive(Debug)]
pub(super) struct Progress(ProgressBar);

impl Progress {
    pub(super) fn new() -> Self {
        let style = ProgressStyle::with_template("{msg} {bar:40} {pos}/{len}");
        let bar = ProgressBar::new(0);
        // A template that does not parse leaves the usual look.
        Self(match style {
            Ok(style) => bar.with_style(style),
            Err(_) => bar,
        })
    }

    /// Begins with something of which there are `len`.
    pub(super) fn begin(&self, what: &'static str, len: usize) {
        self.0.reset();
        self.0.set_message(what);
        self.0.set_length(len as u64);
    }

    /// So many are done.
    pub(super) fn at(&self, done: usize) {
        self.0.set_position(done as u64);
    }

    /// Lets so many seconds pass.
    pub(super) async fn pass(&self, seconds: u32) {
        self.begin("Seconds counted", seconds as usize);
        for second in 1..=seconds {
            sleep(Duration::from_secs(1)).await;
            self.at(second as usize);
        }
    }

    /// Prints something where the bar is not.
    pub(super) fn aside(&self, print: impl FnOnce()) {
        self.0.suspend(print);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
