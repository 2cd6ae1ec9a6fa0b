//! How much clients may do, and how much is kept for them.

use std::time::Duration;

use super::values::Reader;
use crate::hub::config::{AdaptiveConfig, HubConfig};
use crate::model::signal::SignalLimits;
use crate::signaling::frame::MAX_FRAME_LEN;

/// Shortest limit for frames: enough for the description of a publisher with every codec.
const MIN_FRAME_LEN: usize = 16 * 1024;

/// What `limits.json_depth` may be: requests nest three deep, and JSON parsers give up at 128.
const JSON_DEPTHS: std::ops::RangeInclusive<usize> = 8..=100;

/// How long replies are kept beyond the grace time, so that a request that comes again with the
/// last possible resume still gets its old reply.
const REPLY_AGE_MARGIN: Duration = Duration::from_secs(7);

/// How much may wait for one websocket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutboxLimits {
    /// Frames.
    pub frames: usize,
    /// Bytes of all frames together.
    pub bytes: usize,
}

/// How much is allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Longest message of a websocket in bytes.
    pub frame: usize,
    /// What may wait for one websocket.
    pub outbox: OutboxLimits,
    /// What clients may do.
    pub hub: HubConfig,
    /// REST calls of one project in a second.
    pub rest_calls_per_second: u32,
    /// Connections for media over TCP, in all.
    pub media_connections: usize,
    /// Those of one client address.
    pub media_connections_per_client: usize,
    /// People who may test their network at a time.
    pub network_tests: usize,
    /// How long running calls may go on after SIGTERM.
    pub drain: Duration,
    /// Time to close everything after that.
    pub shutdown: Duration,
}

impl Limits {
    pub(super) fn read(reader: &mut Reader) -> Option<Self> {
        let frame = reader.size("limits.frame", "\"256KiB\"");
        let frames = reader.count("limits.outbox_frames", "16384");
        let bytes = reader.size("limits.outbox_bytes", "\"16MiB\"");
        let hub = read_hub(reader);
        let rest_calls = reader.count("limits.rest_calls_per_second", "1000");
        let media = reader.count("limits.media_connections", "20000");
        let media_per_client = reader.count("limits.media_connections_per_client", "2000");
        let network_tests = reader.count_or_auto("limits.network_tests", "10");
        let drain = reader.duration_or_zero("limits.drain", "\"30s\"");
        let shutdown = reader.duration("limits.shutdown", "\"10s\"");
        let limits = Self {
            frame: frame?,
            outbox: OutboxLimits {
                frames: frames?,
                bytes: bytes?,
            },
            hub: hub?,
            rest_calls_per_second: rest_calls?,
            media_connections: media?,
            media_connections_per_client: media_per_client?,
            network_tests: network_tests?.unwrap_or(0),
            drain: drain?,
            shutdown: shutdown?,
        };
        limits.check(reader);
        Some(limits)
    }

    /// The rules between the limits.
    fn check(&self, reader: &mut Reader) {
        let Self {
            frame, outbox, hub, ..
        } = self;
        if !(MIN_FRAME_LEN..=MAX_FRAME_LEN).contains(frame) {
            let what = "must be between 16KiB and 256KiB";
            reader.problem("limits.frame", what, Some("\"256KiB\""));
        }
        if !JSON_DEPTHS.contains(&hub.json_depth) {
            reader.problem("limits.json_depth", "must be from 8 to 100", Some("64"));
        }
        if hub.unacked_bytes < 2 * MAX_FRAME_LEN {
            let what = "must have room for two of the longest messages, 512KiB";
            reader.problem("limits.unacked_bytes", what, Some("\"8MiB\""));
        }
        // A resume puts everything unacknowledged into an outbox at once; if that does not fit,
        // the client loses its new websocket each time, until its place is gone.
        if outbox.frames <= hub.unacked_messages {
            let what = "must be more than limits.unacked_messages";
            reader.problem("limits.outbox_frames", what, Some("16384"));
        }
        if outbox.bytes <= hub.unacked_bytes {
            let what = "must be more than limits.unacked_bytes";
            reader.problem("limits.outbox_bytes", what, Some("\"16MiB\""));
        }
    }
}

/// What is not read here is given by the protocol, or only attackers reach it.
fn read_hub(reader: &mut Reader) -> Option<HubConfig> {
    let defaults = HubConfig::default();
    let sockets = reader.count("limits.websockets", "100000");
    let connections_per_session = reader.count("limits.connections_per_session", "3000");
    let streams_per_session = reader.count("limits.streams_per_session", "3000");
    let streams_per_connection = reader.count("limits.streams_per_connection", "32");
    let subscriptions = reader.count("limits.subscriptions_per_connection", "1000");
    let type_chars = reader.count("limits.signal_type_chars", "128");
    let data_chars = reader.count("limits.signal_data_chars", "8192");
    let signals_per_second = reader.count("limits.signals_per_second", "50");
    let requests_per_second = reader.count("limits.requests_per_second", "200");
    let json_depth = reader.count("limits.json_depth", "64");
    let handshake = reader.duration("limits.handshake", "\"15s\"");
    let grace = reader.duration("limits.grace", "\"38s\"");
    let unacked_messages = reader.count("limits.unacked_messages", "8192");
    let unacked_bytes = reader.size("limits.unacked_bytes", "\"8MiB\"");
    let grace = grace?;
    Some(HubConfig {
        sockets: sockets?,
        connections_per_session: connections_per_session?,
        streams_per_session: streams_per_session?,
        streams_per_connection: streams_per_connection?,
        subscriptions_per_connection: subscriptions?,
        signal: SignalLimits {
            type_chars: type_chars?,
            data_chars: data_chars?,
        },
        signals_per_second: signals_per_second?,
        requests_per_second: requests_per_second?,
        json_depth: json_depth?,
        handshake: handshake?,
        grace,
        unacked_messages: unacked_messages?,
        unacked_bytes: unacked_bytes?,
        adaptive: AdaptiveConfig {
            enabled: reader.boolean("sessions.adaptive"),
            ..AdaptiveConfig::default()
        },
        reply_age: defaults.reply_age.max(grace + REPLY_AGE_MARGIN),
        ..defaults
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, ConfigError, Sources};

    /// The limits of a playground with some of them set in the environment.
    fn with(pairs: &[(&str, &str)]) -> Result<Limits, ConfigError> {
        let variable = |(key, value): &(&str, &str)| {
            let name = format!("PARLOR_LIMITS_{}", key.to_uppercase());
            (name, (*value).to_owned())
        };
        let sources = Sources {
            dev: true,
            environment: pairs.iter().map(variable).collect(),
            ..Sources::default()
        };
        Ok(Config::load(&sources)?.limits)
    }

    fn problems(pairs: &[(&str, &str)]) -> Vec<String> {
        let error = with(pairs).expect_err("it is refused");
        error.0.into_iter().map(|problem| problem.key).collect()
    }

    #[test]
    fn the_documented_defaults_are_those_of_the_code() {
        let limits = with(&[]).unwrap();
        assert_eq!(limits.hub, HubConfig::default());
        assert_eq!(limits.frame, MAX_FRAME_LEN);
    }

    #[test]
    fn every_limit_can_be_set() {
        let limits = with(&[
            ("frame", "64KiB"),
            ("json_depth", "10"),
            ("websockets", "1"),
            ("connections_per_session", "2"),
            ("streams_per_session", "3"),
            ("streams_per_connection", "4"),
            ("subscriptions_per_connection", "5"),
            ("signal_type_chars", "6"),
            ("signal_data_chars", "7"),
            ("signals_per_second", "8"),
            ("requests_per_second", "9"),
            ("handshake", "10s"),
            ("grace", "1min"),
            ("unacked_messages", "12"),
            ("unacked_bytes", "1MiB"),
            ("outbox_frames", "13"),
            ("outbox_bytes", "2MiB"),
            ("drain", "2min"),
            ("rest_calls_per_second", "15"),
            ("shutdown", "14s"),
        ])
        .unwrap();
        let expected = HubConfig {
            json_depth: 10,
            sockets: 1,
            connections_per_session: 2,
            streams_per_session: 3,
            streams_per_connection: 4,
            subscriptions_per_connection: 5,
            signal: SignalLimits {
                type_chars: 6,
                data_chars: 7,
            },
            signals_per_second: 8,
            requests_per_second: 9,
            handshake: Duration::from_secs(10),
            grace: Duration::from_secs(60),
            reply_age: Duration::from_secs(67),
            unacked_messages: 12,
            unacked_bytes: 1 << 20,
            ..HubConfig::default()
        };
        assert_eq!(limits.hub, expected);
        assert_eq!(limits.frame, 64 << 10);
        let outbox = OutboxLimits {
            frames: 13,
            bytes: 2 << 20,
        };
        assert_eq!(limits.outbox, outbox);
        assert_eq!(limits.drain, Duration::from_secs(120));
        assert_eq!(limits.rest_calls_per_second, 15);
        assert_eq!(limits.shutdown, Duration::from_secs(14));
    }

    #[test]
    fn an_outbox_has_room_for_everything_that_a_resume_replays() {
        assert_eq!(
            problems(&[("outbox_frames", "8192")]),
            ["limits.outbox_frames"]
        );
        assert_eq!(
            problems(&[("outbox_bytes", "8MiB")]),
            ["limits.outbox_bytes"]
        );
        assert_eq!(
            problems(&[("unacked_messages", "20000"), ("unacked_bytes", "1GiB")]),
            ["limits.outbox_frames", "limits.outbox_bytes"]
        );
        with(&[("outbox_frames", "8193"), ("outbox_bytes", "9MiB")]).unwrap();
    }

    #[test]
    fn what_no_client_could_live_with_is_refused() {
        let check = |key: &str, value: &str| {
            assert_eq!(problems(&[(key, value)]), [format!("limits.{key}")]);
        };
        check("frame", "15KiB");
        check("frame", "257KiB");
        check("json_depth", "7");
        check("json_depth", "101");
        check("unacked_bytes", "511KiB");
        check("connections_per_session", "0");
        check("signals_per_second", "-1");
        check("handshake", "0s");
        check("grace", "30");
    }
}
