//! `parlor doctor`: looks at everything a server needs, says in plain words what is wrong, and
//! what to do about it. It changes nothing, and waits for nobody for long.

mod addresses;
mod call;
mod certificate;
mod clock;
mod database;
mod machine;
mod ports;

use std::fmt::{self, Write};
use std::path::PathBuf;

use serde::Serialize;

use crate::clock::Clock;
use crate::config::{Config, ConfigError};
use crate::entropy::Entropy;

pub use call::Callee;

/// What may be asked of the doctor besides the settings.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Questions {
    /// Ask this STUN server, HOST:PORT, which address this machine has on the internet.
    #[arg(long, value_name = "HOST:PORT")]
    stun: Option<String>,
    #[command(flatten)]
    callee: Callee,
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// As it should be.
    Ok,
    /// It works, but not for everybody or not for long.
    Warning,
    /// It does not work.
    Failure,
}

/// What was found about one thing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was looked at.
    check: &'static str,
    level: Level,
    /// What was found.
    what: String,
    /// What to do about it; empty if nothing needs to be done.
    #[serde(skip_serializing_if = "String::is_empty")]
    advice: String,
}

/// Everything that was found.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    findings: Vec<Finding>,
}

impl Report {
    fn ok(&mut self, check: &'static str, what: impl Into<String>) {
        self.add(check, Level::Ok, what, "");
    }

    fn warn(&mut self, check: &'static str, what: impl Into<String>, advice: impl Into<String>) {
        self.add(check, Level::Warning, what, advice);
    }

    fn fail(&mut self, check: &'static str, what: impl Into<String>, advice: impl Into<String>) {
        self.add(check, Level::Failure, what, advice);
    }

    fn add(
        &mut self,
        check: &'static str,
        level: Level,
        what: impl Into<String>,
        advice: impl Into<String>,
    ) {
        let (what, advice) = (what.into(), advice.into());
        self.findings.push(Finding {
            check,
            level,
            what,
            advice,
        });
    }

    /// How many things are of this level.
    pub fn count(&self, level: Level) -> usize {
        let of_level = self.findings.iter().filter(|found| found.level == level);
        of_level.count()
    }

    /// For machines.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("a report is JSON")
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for found in &self.findings {
            let level = match found.level {
                Level::Ok => "ok",
                Level::Warning => "WARNING",
                Level::Failure => "FAILURE",
            };
            writeln!(
                f,
                "{level:<8} {:<12} {}",
                found.check,
                indented(&found.what)
            )?;
            if !found.advice.is_empty() {
                writeln!(f, "{:<21} -> {}", "", indented(&found.advice))?;
            }
        }
        let (warnings, failures) = (self.count(Level::Warning), self.count(Level::Failure));
        match (failures, warnings) {
            (0, 0) => f.write_str("\nAll is well."),
            (0, _) => write!(f, "\nIt works, with {warnings} warning(s)."),
            _ => write!(f, "\n{failures} failure(s), {warnings} warning(s)."),
        }
    }
}

/// Keeps further lines of a text in its column.
fn indented(text: &str) -> String {
    let mut out = String::new();
    for (index, line) in text.lines().enumerate() {
        let gap = if index > 0 {
            "\n                         "
        } else {
            ""
        };
        write!(out, "{gap}{line}").expect("a string takes everything");
    }
    out
}

/// Looks at everything; with settings that cannot be used, at these only.
pub async fn examine(
    config: Result<Config, ConfigError>,
    files: &[PathBuf],
    questions: &Questions,
    clock: Clock,
    entropy: Entropy,
) -> Report {
    let mut report = Report::default();
    let config = match config {
        Ok(config) => config,
        Err(ConfigError(problems)) => {
            for problem in problems {
                let advice = "All keys are explained in default.toml; `parlor check-config` \
                              shows what comes out of all sources.";
                report.fail("settings", problem.to_string(), advice);
            }
            return report;
        }
    };
    report.ok("settings", describe(files));
    ports::check(&config, &mut report).await;
    addresses::check(&config, questions.stun.as_deref(), &mut report).await;
    certificate::check(&config, clock, &mut report);
    machine::check(&config, &mut report);
    let database = database::check(&config, clock, &mut report).await;
    clock::check(&config, database, clock, &mut report).await;
    call::check(&config, &questions.callee, (clock, entropy), &mut report).await;
    report
}

fn describe(files: &[PathBuf]) -> String {
    let names: Vec<_> = files
        .iter()
        .map(|file| file.display().to_string())
        .collect();
    match names.is_empty() {
        true => "usable; no file was named (--config or PARLOR_CONFIG)".into(),
        false => format!("usable; from {}", names.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_reads_well_and_counts() {
        let mut report = Report::default();
        report.ok("settings", "usable");
        report.warn("files", "few", "More.\nMuch more.");
        let text = report.to_string();
        assert_eq!(
            text,
            "ok       settings     usable\n\
             WARNING  files        few\n\
             \x20                     -> More.\n\
             \x20                        Much more.\n\
             \nIt works, with 1 warning(s)."
        );
        assert_eq!(report.count(Level::Failure), 0);
        let json: serde_json::Value = serde_json::from_str(&report.to_json()).unwrap();
        assert_eq!(json["findings"][1]["level"], "warning");
        assert_eq!(json["findings"][0].get("advice"), None);
    }
}
