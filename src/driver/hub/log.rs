//! What the hub's task writes to the log.

use tracing::{debug, info};

use crate::hub::effect::{Notice, NoticeEvent};
use crate::model::id::ConnectionId;
use crate::sfu::{Event, Leg};
use crate::telemetry;

/// One line for each thing an operator would tell a colleague.
pub(super) fn notice(notice: &Notice) {
    let _session = telemetry::session_span(notice.project, &notice.session).entered();
    let of = |connection: &ConnectionId| telemetry::connection_span(*connection);
    match &notice.event {
        NoticeEvent::SessionStarted => info!("Session started"),
        NoticeEvent::ConnectionCreated { connection } => {
            of(&connection.id).in_scope(|| info!("Joined"));
        }
        NoticeEvent::ConnectionDestroyed { connection, reason } => {
            of(&connection.id).in_scope(|| info!(reason, "Left"));
        }
        NoticeEvent::StreamCreated { stream } => {
            of(&stream.owner.id).in_scope(|| info!(stream.id = %stream.id, "Published"));
        }
        NoticeEvent::StreamDestroyed { stream, reason } => {
            of(&stream.owner.id).in_scope(|| info!(stream.id = %stream.id, reason, "Unpublished"))
        }
        NoticeEvent::SessionEnded => info!("Session ended"),
    }
}

/// What became of a peer connection.
pub(super) fn peer(event: &Event) {
    match event {
        Event::Connected { leg } => {
            telemetry::peer_span(*leg).in_scope(|| debug!("Media connected"));
        }
        Event::Closed { leg, reason } => {
            telemetry::peer_span(*leg).in_scope(|| info!(%reason, "Media connection given up"));
        }
        Event::Fallback {
            subscription,
            state,
        } => {
            let span = telemetry::peer_span(Leg::Subscriber(*subscription));
            span.in_scope(|| debug!(?state, "Network quality changed"));
        }
        Event::Speaker { group, publication } => {
            let who = publication.map(|id| Leg::Publisher(id).to_string());
            debug!(session = group.0, who, "Somebody else speaks");
        }
        Event::Offer { .. } | Event::Answer { .. } | Event::Renegotiate { .. } => {}
    }
}
