//! What this process uses, as Linux tells it.

use std::fs;

/// What the process uses now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
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
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let resident_kib = status.lines().find_map(|line| {
            let value = line.strip_prefix("VmRSS:")?.trim();
            value.strip_suffix(" kB")?.parse::<u64>().ok()
        });
        let files = fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
        Self {
            resident_bytes: resident_kib.unwrap_or_default() * 1024,
            open_files: files as u64,
            max_files: rlimit::Resource::NOFILE.get_soft().unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_uses_something() {
        let usage = Usage::read();
        assert!(usage.resident_bytes > 1 << 20);
        assert!((3..usage.max_files).contains(&usage.open_files));
    }
}
