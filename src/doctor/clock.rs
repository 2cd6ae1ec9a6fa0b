//! Whether the clock is right: tokens and certificates are good for a time only.

use std::time::Duration;

use http_body_util::Full;
use hyper::{Request, header};
use tokio::time::timeout;

use super::Report;
use crate::clock::Clock;
use crate::config::Config;
use crate::db::inspect::Found;
use crate::net::dial::Dialer;
use crate::net::trust;

const CHECK: &str = "clock";

/// No clock is earlier than this program: 2026-01-01.
const BUILT_AFTER_S: i64 = 1_767_225_600;

/// How long a web server may take to tell the time.
const PATIENCE: Duration = Duration::from_secs(3);

/// Differences that tokens notice, in seconds.
const WORTH_A_WORD_S: u64 = 5;
const TOO_MUCH_S: u64 = 60;

pub(super) async fn check(
    config: &Config,
    database: Option<Found>,
    clock: Clock,
    report: &mut Report,
) {
    let now_ms = clock.unix_ms();
    if now_ms / 1000 < BUILT_AFTER_S {
        let what = format!(
            "it is {} here, which was before this program was made",
            shown(now_ms)
        );
        report.fail(CHECK, what, ADVICE);
        return;
    }
    let mut compared = false;
    if let Some(theirs) = database.and_then(|found| found.clock_offset_ms) {
        compared = true;
        compare("the database's", theirs, report);
    }
    let dialer = Dialer::new(trust::system());
    for url in others(config) {
        // Nobody has to answer: a machine without the internet is a good machine.
        if let Some(theirs_s) = date(&dialer, &url).await {
            compared = true;
            // The header has whole seconds.
            let offset_s = theirs_s - clock.unix_ms() / 1000;
            compare(&format!("that of {url}"), offset_s * 1000, report);
        }
    }
    if !compared {
        report.ok(
            CHECK,
            format!("it is {} here; nobody to compare with", shown(now_ms)),
        );
    }
}

const ADVICE: &str = "Let the clock be set: `timedatectl set-ntp true`, or chrony.";

/// Whose clocks to look at.
fn others(config: &Config) -> Vec<String> {
    let public = config.http.public_url.as_ref();
    public.map(ToString::to_string).into_iter().collect()
}

/// What time a web server says it is, in seconds since the Unix epoch (RFC 9110, 6.6.1).
async fn date(dialer: &Dialer, url: &str) -> Option<i64> {
    let request = Request::head(url).body(Full::default()).ok()?;
    let answer = timeout(PATIENCE, dialer.request(request))
        .await
        .ok()?
        .ok()?;
    let date = answer.headers().get(header::DATE)?.to_str().ok()?;
    let date = jiff::fmt::rfc2822::parse(date).ok()?;
    Some(date.timestamp().as_second())
}

fn compare(whose: &str, offset_ms: i64, report: &mut Report) {
    let offset_s = offset_ms.unsigned_abs() / 1000;
    let way = if offset_ms > 0 { "behind" } else { "ahead of" };
    let what = format!("this clock is {offset_s} s {way} {whose}");
    match offset_s {
        ..WORTH_A_WORD_S => report.ok(CHECK, format!("this clock agrees with {whose}")),
        WORTH_A_WORD_S..TOO_MUCH_S => report.warn(CHECK, what, ADVICE),
        _ => report.fail(CHECK, what, ADVICE),
    }
}

fn shown(unix_ms: i64) -> String {
    let at = jiff::Timestamp::from_millisecond(unix_ms).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}
