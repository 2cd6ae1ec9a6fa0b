//! Whether the database answers, and has a schema that this program can work with.

use std::time::Duration;

use tokio::time::timeout;

use super::Report;
use crate::clock::Clock;
use crate::config::Config;
use crate::db::DbError;
use crate::db::inspect::{Found, inspect, inspect_file};

const CHECK: &str = "database";

/// How long it may take to answer. The server itself waits `database.startup_wait` for it.
const PATIENCE: Duration = Duration::from_secs(5);

/// An answer that takes longer slows every REST call down.
const SLOW: Duration = Duration::from_millis(50);

/// What was found, unless it is of no use.
pub(super) async fn check(config: &Config, clock: Clock, report: &mut Report) -> Option<Found> {
    let (place, found) = match &config.database.url {
        Some(url) => {
            let shown = format!("{url:?}").trim_matches('"').to_owned();
            (shown, timeout(PATIENCE, inspect(url.expose(), clock)).await)
        }
        None => {
            let file = config.database_file();
            (
                file.display().to_string(),
                timeout(PATIENCE, inspect_file(&file, clock)).await,
            )
        }
    };
    match found {
        Ok(Ok(found)) => {
            judge(&place, &found, report);
            Some(found)
        }
        Ok(Err(error)) => {
            let advice = advice_for(&error);
            report.fail(
                CHECK,
                format!("{place}: {:#}", anyhow::Error::new(error)),
                advice,
            );
            None
        }
        Err(_) => {
            let what = format!("{place} does not answer within {} s", PATIENCE.as_secs());
            report.fail(
                CHECK,
                what,
                "Does it run, and does the firewall let this machine in?",
            );
            None
        }
    }
}

fn judge(place: &str, found: &Found, report: &mut Report) {
    match found.schema {
        None if !found.writable => {
            let advice = "Grant CREATE on the schema to the user that database.url names.";
            report.fail(
                CHECK,
                format!("{place} is empty, and tables may not be made"),
                advice,
            );
        }
        None => report.ok(
            CHECK,
            format!("{place} is empty; the server makes its tables at the first start"),
        ),
        Some(schema) if schema > found.known => {
            let what = format!(
                "{place} has schema {schema}, of a newer Parlor; this one knows up to {}",
                found.known
            );
            let advice = "Run the newer Parlor, or restore a backup from before it.";
            report.fail(CHECK, what, advice);
        }
        Some(schema) if schema < found.known => {
            let what = format!(
                "{place} has schema {schema}; the server brings it to {} at the next start",
                found.known
            );
            report.warn(CHECK, what, "Make a backup first: there is no way back.");
        }
        Some(schema) => report.ok(CHECK, format!("{place} answers and has schema {schema}")),
    }
    if let Some(damage) = &found.damage {
        let advice = "Stop the server, keep the file, and restore a backup.";
        report.fail(CHECK, format!("{place} is damaged: {damage}"), advice);
    }
    if found.answer > SLOW {
        let what = format!("{place} took {} ms to answer", found.answer.as_millis());
        let advice = "Bring it closer: every REST call asks it several times.";
        report.warn(CHECK, what, advice);
    }
    if found.projects == Some(0) {
        let advice = "`parlor project create NAME` makes one and prints its key and secret.";
        report.warn(
            "projects",
            "there is no project yet, so nobody can use this server",
            advice,
        );
    }
}

fn advice_for(error: &DbError) -> &'static str {
    match error {
        DbError::Url => "See database.url in default.toml.",
        DbError::Unavailable(_) => {
            "Does it run, is the address right, may this user read and write it, and is there room \
             on its disk?"
        }
        _ => {
            "Are user, password and name of the database right? `psql` with the same URL tells more."
        }
    }
}
