//! What the machine grants: open files, socket buffers, room on the disk.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::Report;
use crate::config::Config;

/// Files the server needs beside one for each websocket.
const OTHER_FILES: u64 = 256;

/// With less room than this on the disk the database may soon not be able to grow, or cannot.
const LITTLE_ROOM: u64 = 1 << 30;
const NO_ROOM: u64 = 64 << 20;

pub(super) fn check(config: &Config, report: &mut Report) {
    check_files(config.limits.hub.sockets as u64, report);
    check_buffers(config.media.socket_buffer, report);
    check_storage(&config.data_dir, report);
}

fn check_files(websockets: u64, report: &mut Report) {
    let Ok((_, most)) = rlimit::Resource::NOFILE.get() else {
        return;
    };
    let needed = websockets + OTHER_FILES;
    if most >= needed {
        report.ok(
            "files",
            format!("{most} may be open, for {websockets} websockets"),
        );
        return;
    }
    let what = format!(
        "only {most} may be open in this shell, so {} of limits.websockets = {websockets} can come",
        most.saturating_sub(OTHER_FILES)
    );
    let advice = format!(
        "LimitNOFILE of systemd (the unit that comes along sets it), `ulimits: nofile` of \
         Compose, or `ulimit -Hn {needed}`; or lower limits.websockets."
    );
    report.warn("files", what, advice);
}

/// The server asks for so much for each media socket; the kernel grants at most these.
fn check_buffers(wanted: usize, report: &mut Report) {
    for name in ["rmem_max", "wmem_max"] {
        let read = fs::read_to_string(format!("/proc/sys/net/core/{name}"));
        let Some(granted) = read.ok().and_then(|text| text.trim().parse::<usize>().ok()) else {
            // Containers may hide it.
            continue;
        };
        if granted >= wanted {
            report.ok("buffers", format!("net.core.{name} is {granted} bytes"));
            continue;
        }
        let what = format!(
            "net.core.{name} is {granted} bytes, media.socket_buffer asks for {wanted}: bursts \
             may be lost"
        );
        let advice = format!(
            "`sysctl -w net.core.{name}={wanted}`, and the same line in /etc/sysctl.d/ to \
             keep it."
        );
        report.warn("buffers", what, advice);
    }
}

fn check_storage(dir: &Path, report: &mut Report) {
    const CHECK: &str = "storage";
    let shown = dir.display();
    let there = existing(dir);
    if let Err(error) = try_write(there) {
        let advice = format!(
            "The server's user must be able to write there: `chown` it, or name another place in \
             data.dir ({shown})."
        );
        report.fail(
            CHECK,
            format!("{} cannot be written: {error}", there.display()),
            advice,
        );
        return;
    }
    match there == dir {
        true => report.ok(CHECK, format!("{shown} can be written")),
        false => report.ok(CHECK, format!("{shown} is not there yet and can be made")),
    }
    let mode = fs::metadata(dir).map_or(0, |found| found.permissions().mode());
    if there == dir && mode & 0o007 != 0 {
        let advice = format!("`chmod o= {shown}`: every project's secret is in it.");
        report.warn(
            CHECK,
            format!("{shown} is open to everybody on this machine"),
            advice,
        );
    }
    let Ok(disk) = rustix::fs::statvfs(there) else {
        return;
    };
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    let what = format!("{} MiB are free in {shown}", free >> 20);
    let advice = "Make room, or move data.dir to a larger disk.";
    match free {
        ..NO_ROOM => report.fail(CHECK, what, advice),
        NO_ROOM..LITTLE_ROOM => report.warn(CHECK, what, advice),
        _ => report.ok(CHECK, what),
    }
}

/// The closest ancestor that is there.
fn existing(dir: &Path) -> &Path {
    let mut ancestors = dir.ancestors().filter(|at| !at.as_os_str().is_empty());
    ancestors.find(|at| at.exists()).unwrap_or(Path::new("."))
}

/// Writes and removes a file.
fn try_write(dir: &Path) -> io::Result<()> {
    let name = format!(".parlor-doctor-{}", std::process::id());
    let path = dir.join(name);
    fs::write(&path, "Can this be written?")?;
    fs::remove_file(&path)
}
