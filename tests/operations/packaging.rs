//! What runs a server: `compose.yaml` and the systemd unit, judged by the programs that read them.

use std::path::Path;
use std::process::{Command, Output};

use super::process::is_installed;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// How exposed the unit may be at most, in tenths of what `systemd-analyze security` says.
const EXPOSURE: u32 = 30;

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn succeeded(output: Output) -> String {
    let said = text(&output.stdout);
    assert!(output.status.success(), "{said}{}", text(&output.stderr));
    said
}

fn compose(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut compose = Command::new("docker-compose");
    compose.args(["--file", &format!("{ROOT}/compose.yaml")]);
    compose.args(arguments).envs(environment.iter().copied());
    compose.output().unwrap()
}

const PUBLIC_URL: (&str, &str) = ("PARLOR_PUBLIC_URL", "https://video.example.com");

#[test]
fn compose_reads_its_file_and_the_server_what_is_in_it() {
    if !is_installed("docker-compose") {
        return;
    }
    let read = succeeded(compose(&["config"], &[PUBLIC_URL]));
    let settings: Vec<_> = read
        .lines()
        .filter_map(|line| line.trim().split_once(": "))
        .filter(|(name, _)| name.starts_with("PARLOR_"))
        .map(|(name, value)| (name, value.trim_matches(['\'', '"'])))
        .collect();
    assert!(
        settings.contains(&("PARLOR_HTTP_PUBLIC_URL", PUBLIC_URL.1)),
        "{read}"
    );
    let checked = Command::new(env!("CARGO_BIN_EXE_parlor"))
        .arg("check-config")
        .envs(settings)
        .output();
    succeeded(checked.unwrap());

    let refused = compose(&["config"], &[]);
    assert!(!refused.status.success(), "clients must reach it somehow");
}

#[test]
fn compose_runs_postgresql_if_it_is_asked_to() {
    if !is_installed("docker-compose") {
        return;
    }
    let services = |profiles: &str| {
        let environment = [PUBLIC_URL, ("COMPOSE_PROFILES", profiles)];
        let said = succeeded(compose(&["config", "--services"], &environment));
        let mut names: Vec<_> = said.lines().map(str::to_owned).collect();
        names.sort();
        names
    };
    assert_eq!(services("postgres"), ["parlor", "postgres"]);
    assert!(services("").contains(&"parlor".to_owned()));
}

#[test]
fn systemd_reads_its_unit_and_finds_it_well_locked_up() {
    if !is_installed("systemd-analyze") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let unit = std::fs::read_to_string(format!("{ROOT}/deploy/parlor.service")).unwrap();
    // Where the package puts it, nothing is here.
    let unit = unit.replace("/usr/bin/parlor", env!("CARGO_BIN_EXE_parlor"));
    let file = dir.path().join("parlor.service");
    std::fs::write(&file, unit).unwrap();
    let analyze = |arguments: &[&str], file: &Path| {
        let mut analyze = Command::new("systemd-analyze");
        analyze.args(arguments).arg(file).output().unwrap()
    };
    let verified = analyze(&["verify"], &file);
    let complaints = text(&verified.stderr);
    let ours: Vec<_> = complaints
        .lines()
        .filter(|line| line.contains("parlor"))
        .collect();
    assert!(ours.is_empty(), "{ours:?}");
    let threshold = format!("--threshold={EXPOSURE}");
    succeeded(analyze(&["security", "--offline=true", &threshold], &file));
}
