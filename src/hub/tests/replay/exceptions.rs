//! Where our answers differ from the recorded ones on purpose.

const SIGNALS: &str = "signals-moderation-archives-captions";

/// Transcript, beginning of the difference, reason. An entry that excuses nothing is a failure.
pub(super) const EXCEPTIONS: &[(&str, &str, &str)] = &[
    (
        "adaptive-routing",
        "",
        "streams stay routed in this replay, which is allowed (13.10)",
    ),
    (
        "error-replies",
        "c",
        "the recorded server was told to refuse what was right",
    ),
    ("error-replies", "event", "the recording leaves events out"),
    (
        "publisher-audio-fallback",
        "event updated /stream/subscriber",
        "a warning is lifted only if there was one",
    ),
    (
        "publisher-audio-fallback",
        "event update /stream/subscriber",
        "video is switched on only if it was off",
    ),
    (
        "publisher-audio-fallback",
        "event updated /stream/channel to c4",
        "one congested way of several is no change of the stream for its owner",
    ),
    (
        "reconnect-socket-killed",
        "event signal",
        "a signal of the recorded server itself",
    ),
    (
        "routed-sender-stats",
        "event data",
        "the recorded server adds statistics of its own, which is optional (12.3)",
    ),
    (
        "routed-sfu-reoffer",
        "event offer",
        "the recorded SFU was told to offer again",
    ),
    (
        "routed-simulcast-enabled-later",
        "event generateoffer",
        "the recorded server was told to switch simulcast on later",
    ),
    (
        "routed-subscriber-channel-updates",
        "event update",
        "the recorded server was told to complain about quality",
    ),
    (
        "session-migration",
        "c3",
        "there is nowhere to migrate to: one server",
    ),
    (
        "session-migration",
        "c4",
        "there is nowhere to migrate to: one server",
    ),
    (
        "session-migration",
        "event",
        "there is nowhere to migrate to: one server",
    ),
    (
        SIGNALS,
        "event signal",
        "signals of the recorded server itself",
    ),
    (
        SIGNALS,
        "event created /archive",
        "an archive that the recorded server started by itself",
    ),
    (
        SIGNALS,
        "event updated /archive",
        "an archive that the recorded server stopped by itself",
    ),
    (
        SIGNALS,
        "event updated /stream to",
        "a name and an archive that the recorded server set by itself",
    ),
    (
        SIGNALS,
        "event data",
        "a caption that the recorded server made up",
    ),
];
