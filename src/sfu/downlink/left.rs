//! What leaves.

/// Time over which leaving bytes are counted, at most and at least, in microseconds.
const WINDOW_US: (u64, u64) = (1_000_000, 400_000);

/// Looks at what has left in that time.
const SAMPLES: usize = 16;

/// How fast bytes leave.
#[derive(Debug, Default)]
pub(super) struct Left {
    /// Microseconds since `zero`, and the bytes that had left by then, in turn.
    samples: [(u64, u64); SAMPLES],
    next: usize,
}

impl Left {
    /// Bits per second that left lately, if that is known, `bytes` having left by now.
    pub(super) fn rate(&self, now_us: u64, bytes: u64) -> Option<f64> {
        let in_window = |(at, _): &&(u64, u64)| now_us - *at <= WINDOW_US.0;
        let (at, before) = *self.samples.iter().filter(in_window).min()?;
        let passed = now_us - at;
        (passed >= WINDOW_US.1).then(|| (bytes - before) as f64 * 8e6 / passed as f64)
    }

    /// Takes note of the bytes that have left by now.
    pub(super) fn sample(&mut self, now_us: u64, bytes: u64) {
        let last = (self.next + SAMPLES - 1) % SAMPLES;
        if now_us - self.samples[last].0 >= WINDOW_US.0 / SAMPLES as u64 {
            self.samples[self.next] = (now_us, bytes);
            self.next = (self.next + 1) % SAMPLES;
        }
    }
}
