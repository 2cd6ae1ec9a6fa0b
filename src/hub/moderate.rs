//! Moderation: disconnecting and muting others (`protocol/signaling.md`, 11). Ending another's
//! stream is in `publish`.

use std::collections::BTreeSet;
use std::time::Instant;

use super::Hub;
use super::effect::SessionKey;
use super::request::Caller;
use super::tell::Audience;
use crate::model::id::ConnectionId;
use crate::model::role::Capability;
use crate::signaling::client::{SessionMute, StreamMute};
use crate::signaling::error::Refusal;
use crate::signaling::server::ServerEvent;

impl Hub {
    /// Puts a connection out of the session.
    pub(super) fn force_disconnect(
        &mut self,
        caller: &Caller,
        target: ConnectionId,
        now: Instant,
    ) -> Result<(), Refusal> {
        self.permit(caller, Capability::ForceDisconnect)?;
        if !self
            .session(caller.session)
            .connections
            .contains_key(&target)
        {
            return Err(Refusal::ConnectionNotFound);
        }
        self.accept(caller, now);
        self.put_out(caller.session, target, now);
        Ok(())
    }

    /// Mutes one stream. Its publisher does it; the others learn of it by the channel update that
    /// follows.
    pub(super) fn force_mute(
        &mut self,
        caller: &Caller,
        request: &StreamMute,
        now: Instant,
    ) -> Result<(), Refusal> {
        self.permit(caller, Capability::ForceMute)?;
        let owner = self
            .session(caller.session)
            .announced(request.stream)
            .map(|stream| stream.owner);
        let owner = owner.ok_or(Refusal::StreamNotFound)?;
        self.accept(caller, now);
        self.mute_stream(caller.session, owner, request);
        Ok(())
    }

    /// Tells a publisher to mute its stream.
    pub(super) fn mute_stream(
        &mut self,
        key: SessionKey,
        owner: ConnectionId,
        request: &StreamMute,
    ) {
        let StreamMute { stream, mute } = request;
        let event = ServerEvent::StreamMute {
            stream: *stream,
            mute,
        };
        self.tell(key, Audience::One(owner), &event);
    }

    /// Mutes everybody but the excluded, and whoever publishes later; or lifts the latter again.
    pub(super) fn force_mute_all(
        &mut self,
        caller: &Caller,
        request: &SessionMute,
        now: Instant,
    ) -> Result<(), Refusal> {
        self.permit(caller, Capability::ForceMute)?;
        self.accept(caller, now);
        self.mute_session(caller.session, request);
        Ok(())
    }

    /// Tells everybody, and the publishers among them to mute their streams.
    pub(super) fn mute_session(&mut self, key: SessionKey, request: &SessionMute) {
        let mute = &request.mute;
        let excluded: BTreeSet<_> = request.excluded.iter().collect();
        let session = self.session_mut(key);
        session.mute_on_entry = mute.active;
        let publishers: Vec<_> = session
            .streams
            .iter()
            .filter(|(id, _)| mute.active && !excluded.contains(id))
            .map(|(id, stream)| (*id, stream.owner))
            .collect();
        self.tell(key, Audience::All, &ServerEvent::SessionMute(request));
        for (stream, owner) in publishers {
            let event = ServerEvent::StreamMute { stream, mute };
            self.tell(key, Audience::One(owner), &event);
        }
    }
}
