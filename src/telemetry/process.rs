//! What a process uses, as Linux tells it.

use std::fs;
use std::time::Duration;

/// What this process uses now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Processor time used so far.
    pub cpu: Duration,
    /// Memory in use, in bytes.
    pub resident_bytes: u64,
    /// Open files and sockets.
    pub open_files: u64,
    /// How many there may be.
    pub max_files: u64,
}

impl Usage {
    /// Reads it; what cannot be read is 0.
    pub fn read() -> Self {
        let files = fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
        Self {
            cpu: cpu_time("self").unwrap_or_default(),
            resident_bytes: resident_bytes("self").unwrap_or_default(),
            open_files: files as u64,
            max_files: rlimit::Resource::NOFILE.get_soft().unwrap_or_default(),
        }
    }
}

/// Resident memory in bytes of the process that `/proc` has under this name: a number, or `self`.
pub fn resident_bytes(process: &str) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let mut lines = status.lines();
    let value = lines.find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = value.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

/// Processor time that it has used so far, in all threads.
pub fn cpu_time(process: &str) -> Option<Duration> {
    /// Kernel clock ticks a second (`USER_HZ`), the same on every Linux machine.
    const HZ: u64 = 100;
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // Field 2 is the command in parentheses; utime and stime are fields 14 and 15 (proc(5)).
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(Duration::from_millis((user + system) * 1000 / HZ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_uses_something() {
        let usage = Usage::read();
        assert!(usage.resident_bytes > 1 << 20);
        assert!((3..usage.max_files).contains(&usage.open_files));
        assert!(cpu_time("self").is_some());
        assert_eq!(cpu_time("nobody"), None);
    }
}
