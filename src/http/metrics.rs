//! What Prometheus scrapes. It is served on an address of its own, `metrics.listen`, since it is
//! for the operator only; the probes are there as well.

use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::time::timeout;

use super::requests::Answered;
use super::serve::Counts;
use super::{AppState, health, log_level};
use crate::db::Connections;
use crate::db::webhooks::Backlog;
use crate::driver::{media, webhook};
use crate::hub;
use crate::telemetry::histogram::Histogram;
use crate::telemetry::process::Usage;
use crate::telemetry::text::{CONTENT_TYPE, Exposition, escaped};
use crate::{tls, turn};

/// How long a part may take to answer. What does not is left out, and `parlor_up` says so.
const PATIENCE: Duration = Duration::from_secs(2);

/// Everything that is told in one scrape.
#[derive(Debug, Default)]
pub struct Scrape {
    /// From the hub, if it answers.
    pub hub: Option<hub::snapshot::Snapshot>,
    /// From the media worker, if it answers.
    pub media: Option<media::Snapshot>,
    /// From the TURN server, if there is one; within, if it answers.
    pub turn: Option<Option<turn::Snapshot>>,
    /// Whether the database answers.
    pub database: bool,
    /// How long its answer took.
    pub database_answer: Duration,
    /// What its connections do.
    pub database_connections: Connections,
    /// How long its statements took.
    pub database_queries: Histogram,
    /// Webhooks since the start.
    pub webhooks: webhook::Counters,
    /// Webhooks in the database, if it answers.
    pub backlog: Option<Backlog>,
    /// The time of the scrape, milliseconds since the Unix epoch.
    pub at_unix_ms: i64,
    /// How it is with the certificate, if there is TLS.
    pub certificate: Option<tls::Status>,
    /// Whether the process is on its way down.
    pub draining: bool,
    /// What was answered over HTTP.
    pub http: Answered,
    /// Over which connections.
    pub connections: Counts,
    /// What the process uses.
    pub usage: Usage,
}

/// The routes of the operator's address.
pub fn routes(state: AppState) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .route("/log-level", get(log_level::show).put(log_level::change))
        .with_state(state)
}

async fn metrics(State(state): State<AppState>) -> Response {
    let began = state.clock.now();
    let database = async {
        let answered = timeout(PATIENCE, state.db.check()).await;
        (matches!(answered, Ok(Ok(()))), state.clock.now() - began)
    };
    let turn = async {
        let snapshot = timeout(PATIENCE, state.turn.as_ref()?.snapshot()).await;
        Some(snapshot.ok().and_then(Result::ok))
    };
    let store = state.db.webhooks();
    let (hub, media, turn, (database, database_answer), backlog) = tokio::join!(
        timeout(PATIENCE, state.hub.snapshot()),
        timeout(PATIENCE, state.media.snapshot()),
        turn,
        database,
        timeout(PATIENCE, store.backlog()),
    );
    let scrape = Scrape {
        hub: hub.ok().and_then(Result::ok),
        media: media.ok().and_then(Result::ok),
        turn,
        database,
        database_answer,
        database_connections: state.db.connections(),
        database_queries: state.db.query_times(),
        webhooks: state.webhooks.counters(),
        backlog: backlog.ok().and_then(Result::ok),
        at_unix_ms: state.clock.unix_ms(),
        certificate: state.certificate.as_ref().map(|status| *status.borrow()),
        draining: state.draining.is_cancelled(),
        http: state.requests.answered(),
        connections: state.connections.counts(),
        usage: Usage::read(),
    };
    ([(header::CONTENT_TYPE, CONTENT_TYPE)], scrape.to_text()).into_response()
}

impl Scrape {
    /// All of it in the format that Prometheus reads.
    pub fn to_text(&self) -> String {
        let mut out = Exposition::default();
        self.process(&mut out);
        self.sessions(&mut out);
        self.packets(&mut out);
        self.quality(&mut out);
        self.relays(&mut out);
        self.requests(&mut out);
        self.told(&mut out);
        out.into_text()
    }

    fn process(&self, out: &mut Exposition) {
        let turn = self.turn.map(|turn| ("part=\"turn\"", turn.is_some()));
        let parts = [
            ("part=\"database\"", self.database),
            ("part=\"hub\"", self.hub.is_some()),
            ("part=\"media\"", self.media.is_some()),
        ];
        let parts = parts.into_iter().chain(turn);
        let parts = parts.map(|(label, up)| (label, u8::from(up)));
        out.labelled(
            "gauge",
            "parlor_up",
            "Whether a part of the server answers.",
            parts,
        );
        let version = format!("version=\"{}\"", env!("CARGO_PKG_VERSION"));
        let build = "Always 1; the label tells the version.";
        out.labelled("gauge", "parlor_build_info", build, [(version, 1)]);
        let draining = u8::from(self.draining);
        out.gauge(
            "parlor_draining",
            "Whether the server is on its way down.",
            draining,
        );
        let seconds = self.database_answer.as_secs_f64();
        out.gauge(
            "parlor_database_answer_seconds",
            "Time the database took to answer.",
            seconds,
        );
        let connections = self.database_connections;
        let states = [
            ("state=\"in_use\"", connections.in_use),
            ("state=\"idle\"", connections.idle),
        ];
        let help = "Connections to the database.";
        out.labelled("gauge", "parlor_database_connections", help, states);
        let help = "Time of a statement of the database, waiting for a connection included.";
        out.histogram(
            "parlor_database_query_seconds",
            help,
            &self.database_queries,
        );
        self.certificate(out);
        let usage = self.usage;
        out.gauge(
            "process_resident_memory_bytes",
            "Memory in use.",
            usage.resident_bytes,
        );
        out.counter(
            "process_cpu_seconds_total",
            "Processor time used.",
            usage.cpu.as_secs_f64(),
        );
        out.gauge(
            "process_open_fds",
            "Open files and sockets.",
            usage.open_files,
        );
        out.gauge(
            "process_max_fds",
            "How many files there may be.",
            usage.max_files,
        );
    }

    /// Nothing where there is no TLS.
    fn certificate(&self, out: &mut Exposition) {
        let Some(status) = self.certificate else {
            return;
        };
        let help = "Until when the certificate is good, in seconds since 1970; 0 if there is none.";
        let expires_at_s = status.expires_at_s.unwrap_or_default();
        out.gauge(
            "parlor_tls_certificate_expiry_timestamp_seconds",
            help,
            expires_at_s,
        );
        let results = [
            ("result=\"renewed\"", status.renewed),
            ("result=\"failed\"", status.failed),
        ];
        let help = "New certificates that were taken up, and that could not be used or had.";
        out.labelled("counter", "parlor_tls_certificates_total", help, results);
    }

    fn sessions(&self, out: &mut Exposition) {
        let hub = self.hub.unwrap_or_default();
        out.gauge("parlor_sessions", "Live sessions.", hub.sessions);
        out.gauge(
            "parlor_connections",
            "Connections in live sessions.",
            hub.connections,
        );
        let away = "Connections whose client is lost just now and may come back.";
        out.gauge("parlor_connections_away", away, hub.away);
        out.gauge("parlor_streams", "Published streams.", hub.streams);
        let routes = [
            ("route=\"routed\"", hub.routed_subscriptions),
            ("route=\"relayed\"", hub.relayed_subscriptions),
        ];
        out.labelled(
            "gauge",
            "parlor_subscriptions",
            "Subscriptions by route of media.",
            routes,
        );
        let join = "From the opening of the websocket to the answer to the join.";
        out.histogram("parlor_join_seconds", join, &hub.join);
        let counters = hub.counters;
        let events = [
            ("event=\"outbox_overflow\"", counters.stalled),
            ("event=\"unacknowledged_overflow\"", counters.overflowed),
            ("event=\"malformed\"", counters.malformed),
            ("event=\"silent\"", counters.silent),
            ("event=\"refused\"", counters.refused),
            ("event=\"repeated\"", counters.repeated),
        ];
        let help = "What went wrong in signaling, by kind.";
        out.labelled("counter", "parlor_signaling_events_total", help, events);
        let results = [
            ("result=\"completed\"", hub.rotations.completed),
            ("result=\"unanswered\"", hub.rotations.unanswered),
        ];
        let help = "Changes of the keys of media, and those that a client did not take part in.";
        out.labelled("counter", "parlor_media_key_rotations_total", help, results);
    }

    fn packets(&self, out: &mut Exposition) {
        let media::Snapshot {
            engine,
            socket,
            streams,
            ..
        } = self.media.unwrap_or_default();
        let (received, sent) = ("direction=\"received\"", "direction=\"sent\"");
        let datagrams = [(received, socket.received), (sent, socket.sent)];
        let help = "Datagrams on the media port.";
        out.labelled("counter", "parlor_media_datagrams_total", help, datagrams);
        let help = "Datagrams that the kernel gave to one media worker and were another one's.";
        out.counter(
            "parlor_media_handed_on_datagrams_total",
            help,
            engine.handed_on,
        );
        let packets = [(received, streams.received), (sent, streams.sent)];
        let help = "Packets of media over TCP.";
        out.labelled("counter", "parlor_media_tcp_packets_total", help, packets);
        let help = "Open connections for media over TCP.";
        out.gauge("parlor_media_tcp_connections", help, streams.open);
        let bytes = [
            (received, engine.received_bytes),
            (sent, engine.traffic.sent_bytes),
        ];
        let help = "Bytes of media, keys and checks, without the headers of UDP, TCP and IP.";
        out.labelled("counter", "parlor_media_bytes_total", help, bytes);
        let help = "RTP packets sent to subscribers, resends excluded.";
        out.counter(
            "parlor_media_forwarded_packets_total",
            help,
            engine.forwarded,
        );
        let help = "RTP packets sent again.";
        out.counter("parlor_media_resent_packets_total", help, engine.resent);
        let copies = [
            (received, engine.restored),
            (sent, engine.traffic.redundant),
        ];
        let help = "Audio packets that were lost and came as a copy in a later one (received), and \
                    those sent with copies of earlier ones (sent).";
        out.labelled(
            "counter",
            "parlor_media_redundant_audio_packets_total",
            help,
            copies,
        );
        let dropped = [
            ("reason=\"unknown_source\"", engine.unknown_source),
            ("reason=\"rejected_check\"", engine.rejected_checks),
            ("reason=\"rejected_media\"", engine.rejected_media),
            ("reason=\"malformed\"", engine.malformed),
            ("reason=\"busy_handshakes\"", engine.dropped_handshakes),
            ("reason=\"pipe_full\"", engine.pipe_dropped),
            ("reason=\"receive_buffer_full\"", socket.unread),
            ("reason=\"send_buffer_full\"", socket.overflowed),
            ("reason=\"send_refused\"", socket.refused),
            ("reason=\"tcp_buffer_full\"", streams.overflowed),
        ];
        let help = "Datagrams dropped, by reason.";
        out.labelled("counter", "parlor_media_dropped_total", help, dropped);
    }

    fn quality(&self, out: &mut Exposition) {
        let media = self.media.unwrap_or_default();
        let traffic = media.engine.traffic;
        let (received, sent) = ("direction=\"received\"", "direction=\"sent\"");
        let nacks = [
            (received, traffic.nacks_received),
            (sent, traffic.nacks_sent),
        ];
        let help = "Requests for lost packets (RTCP NACK).";
        out.labelled("counter", "parlor_media_nacks_total", help, nacks);
        let plis = [(received, traffic.plis_received), (sent, traffic.plis_sent)];
        let help = "Requests for key frames (RTCP PLI and FIR).";
        out.labelled("counter", "parlor_media_plis_total", help, plis);
        let help = "RTP packets of publishers that did not arrive at first.";
        out.counter(
            "parlor_media_publisher_lost_packets_total",
            help,
            traffic.publisher_lost,
        );
        let help = "Share of packets that subscribers report as lost, from 0 to 1.";
        let (sum, count) = (traffic.reported_loss as f64 / 256.0, traffic.reports);
        out.mean("parlor_media_subscriber_loss_ratio", help, sum, count);
        let help = "Jitter of what publishers send, as reported to them.";
        out.histogram("parlor_media_jitter_seconds", help, &traffic.jitter);
        let help = "Round trip between the server and subscribers.";
        out.histogram("parlor_media_round_trip_seconds", help, &traffic.round_trip);
        let help = "From the receipt of a batch of datagrams to the sending of what it caused.";
        out.histogram("parlor_media_forwarding_seconds", help, &media.forwarding);
        let help = "How long a media worker was at work before it looked for datagrams again.";
        out.histogram("parlor_media_turn_seconds", help, &media.turns);
        let help = "Processor time of these turns, as far as they took longer than a millisecond; of the others, how long they took.";
        out.histogram("parlor_media_turn_busy_seconds", help, &media.busy);
    }

    fn relays(&self, out: &mut Exposition) {
        let turn = self.turn.flatten().unwrap_or_default();
        let help = "Allocations of the TURN server.";
        out.gauge("parlor_turn_allocations", help, turn.allocations);
        let help = "TCP and TLS connections to the TURN server.";
        out.gauge("parlor_turn_streams", help, turn.streams);
        let counters = turn.counters;
        let help = "Allocations that the TURN server has made.";
        out.counter("parlor_turn_allocated_total", help, counters.allocated);
        let bytes = [
            ("direction=\"from_clients\"", counters.bytes_from_clients),
            ("direction=\"to_clients\"", counters.bytes_to_clients),
        ];
        let help = "Bytes of data that the TURN server has relayed.";
        out.labelled("counter", "parlor_turn_relayed_bytes_total", help, bytes);
        let refused = turn::Refused::ALL
            .map(|(why, name)| (format!("reason=\"{name}\""), counters.refused(why)));
        let help = "Requests that the TURN server refused and data that it dropped, by reason.";
        out.labelled("counter", "parlor_turn_refused_total", help, refused);
    }

    fn requests(&self, out: &mut Exposition) {
        let by_kind = self
            .http
            .by_kind
            .iter()
            .map(|((method, route, status), count)| {
                let (method, route) = (escaped(method), escaped(route));
                let labels = format!("method=\"{method}\",route=\"{route}\",status=\"{status}\"");
                (labels, *count)
            });
        let help = "Answers over HTTP, by method, route and status.";
        out.labelled("counter", "parlor_http_requests_total", help, by_kind);
        let help = "Time to answer over HTTP, websockets excluded.";
        out.histogram("parlor_http_request_seconds", help, &self.http.duration);
        let counts = self.connections;
        let help = "Open connections of HTTP, websockets excluded.";
        out.gauge("parlor_http_connections", help, counts.open);
        let refused = [
            ("reason=\"too_many\"", counts.refused),
            ("reason=\"slow_head\"", counts.slow_head),
            ("reason=\"slow_body\"", counts.slow_body),
            ("reason=\"slow_write\"", counts.slow_write),
        ];
        let help = "Connections of HTTP that the server closed: too many from one address, or the \
            client too slow.";
        out.labelled("counter", "parlor_http_cut_off_total", help, refused);
    }

    /// What back ends are told.
    fn told(&self, out: &mut Exposition) {
        let webhook::Counters {
            stored,
            delivered,
            failed_attempts,
            given_up,
            dropped,
        } = self.webhooks;
        let events = [
            ("event=\"stored\"", stored),
            ("event=\"delivered\"", delivered),
            ("event=\"failed_attempt\"", failed_attempts),
            ("event=\"given_up\"", given_up),
            ("event=\"dropped\"", dropped),
        ];
        let help = "What became of webhooks.";
        out.labelled("counter", "parlor_webhooks_total", help, events);
        let Some(backlog) = self.backlog else {
            return;
        };
        let states = [
            ("state=\"pending\"", backlog.pending),
            ("state=\"given_up\"", backlog.failed),
        ];
        let help = "Webhooks in the database: to be sent, and given up lately.";
        out.labelled("gauge", "parlor_webhooks", help, states);
        let age_ms = backlog.oldest_at_ms.map_or(0, |at| self.at_unix_ms - at);
        let help = "Age of the oldest webhook that is to be sent.";
        let age_s = age_ms.max(0) as f64 / 1000.0;
        out.gauge("parlor_webhooks_oldest_age_seconds", help, age_s);
    }
}
