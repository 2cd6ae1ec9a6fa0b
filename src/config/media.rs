//! The media port.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::values::Reader;
use crate::model::codec::VideoCodecs;
use crate::sfu::worker::MAX_WORKERS;

/// The media port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MediaConfig {
    /// Where to listen.
    pub listen: SocketAddr,
    /// Whether clients are told of that.
    pub udp: bool,
    /// Whether media is taken over TCP, and clients are told.
    pub tcp: bool,
    /// Where, if not at the port of HTTP.
    pub tcp_listen: Option<SocketAddr>,
    /// What clients are told.
    pub announce: Announce,
    /// How many threads forward media.
    pub workers: usize,
    /// What the kernel is asked to buffer for each of them, each way, in bytes.
    pub socket_buffer: usize,
    /// Whether publishers are asked for simulcast.
    pub simulcast: bool,
    /// Whether audio may come and leave with copies of earlier packets.
    pub audio_redundancy: bool,
    /// Which video codecs are used, unless a project or a session says so; `None`: all.
    pub video_codecs: Option<VideoCodecs>,
    /// How often the keys of media are changed, if at all.
    pub key_rotation: Option<Duration>,
}

/// The shortest time between two changes of keys. Each costs a handshake and a negotiation.
const MIN_KEY_ROTATION: Duration = Duration::from_secs(10);

/// Which addresses clients are told to send media to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Announce {
    /// The bound address, or those of all interfaces when bound to none in particular.
    Auto,
    /// These, best first.
    Addresses(Vec<IpAddr>),
}

impl MediaConfig {
    pub(super) fn read(reader: &mut Reader, dev: bool) -> Option<Self> {
        const EXAMPLE: &str = "[\"203.0.113.7\"]";
        let listen = reader.parsed::<SocketAddr>("media.listen", "\"[::]:3478\"");
        let [udp, tcp] = ["media.udp", "media.tcp"].map(|key| reader.boolean(key));
        let tcp_listen = reader.optional("media.tcp_listen", "\"0.0.0.0:3478\"");
        let texts = reader.list("media.announce");
        let workers = reader.count_or_auto::<usize>("media.workers", "4");
        if workers.flatten().is_some_and(|count| count > MAX_WORKERS) {
            let what = format!("must be at most {MAX_WORKERS}");
            reader.problem("media.workers", &what, Some("4"));
        }
        let socket_buffer = reader.size("media.socket_buffer", "\"4MiB\"");
        let simulcast = reader.boolean("media.simulcast");
        let audio_redundancy = reader.boolean("media.audio_redundancy");
        let video_codecs = read_video_codecs(reader);
        let key_rotation = read_key_rotation(reader);
        if texts.is_empty() && !dev && listen.is_some_and(|at| at.ip().is_unspecified()) {
            let what = "must say where clients send media to, or [\"auto\"]";
            reader.problem("media.announce", what, Some(EXAMPLE));
        }
        let announce = if texts.is_empty() || texts == ["auto"] {
            Announce::Auto
        } else {
            let mut addresses = Vec::new();
            for text in &texts {
                addresses.push(reader.parse("media.announce", text, EXAMPLE)?);
            }
            Announce::Addresses(addresses)
        };
        Some(Self {
            listen: listen?,
            udp,
            tcp,
            tcp_listen: tcp_listen?,
            announce,
            workers: workers?.unwrap_or_else(per_core),
            socket_buffer: socket_buffer?,
            simulcast,
            audio_redundancy,
            video_codecs: video_codecs?,
            key_rotation: key_rotation?,
        })
    }
}

fn read_key_rotation(reader: &mut Reader) -> Option<Option<Duration>> {
    const KEY: &str = "media.key_rotation";
    let interval = reader.duration_or_zero(KEY, "\"10min\"")?;
    if !interval.is_zero() && interval < MIN_KEY_ROTATION {
        let what = format!("must be at least {}s, or 0s", MIN_KEY_ROTATION.as_secs());
        reader.problem(KEY, &what, Some("\"10min\""));
    }
    Some((!interval.is_zero()).then_some(interval))
}

fn read_video_codecs(reader: &mut Reader) -> Option<Option<VideoCodecs>> {
    const KEY: &str = "media.video_codecs";
    match reader.list(KEY)[..] {
        [] => Some(None),
        ref names => reader
            .parse(KEY, &names.join(","), "[\"h264\", \"vp8\"]")
            .map(Some),
    }
}

/// One worker per core that this process may use.
fn per_core() -> usize {
    let cores = std::thread::available_parallelism();
    cores.map_or(1, std::num::NonZero::get).min(MAX_WORKERS)
}
