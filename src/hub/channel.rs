//! Changes of a stream's channels: muting, dimensions, and what a publisher does when its uplink
//! is congested (`protocol/signaling.md`, 8.4 and 13.8).

use super::Hub;
use super::effect::SessionKey;
use super::request::Caller;
use super::session::Subscriber;
use super::tell::Audience;
use crate::model::id::{ConnectionId, PeerId, StreamId, SubscriberId};
use crate::sfu::{Fallback, SubscriptionId};
use crate::signaling::channel::{Channel, ChannelChange};
use crate::signaling::client::StreamChannelUpdate;
use crate::signaling::error::Refusal;
use crate::signaling::server::ServerEvent;

/// What one subscriber is told of a fallback, in this order.
#[derive(Debug, PartialEq, Eq)]
struct FallbackStep {
    owner: ConnectionId,
    subscriber: SubscriberId,
    /// Whether its video may stop soon, if that changes.
    warned: Option<bool>,
    /// Whether its video is on, if that changes.
    active: Option<bool>,
}

impl Hub {
    /// A publisher changed a channel. Only what really changes is passed on: clients repeat
    /// themselves a lot, and each repetition would look like a change to everybody else.
    pub(super) fn update_stream(
        &mut self,
        caller: &Caller,
        update: &StreamChannelUpdate,
    ) -> Result<(), Refusal> {
        let StreamChannelUpdate {
            stream: id,
            channel,
            change,
            cause,
        } = *update;
        let stream = self.own_stream(caller, id)?;
        if !stream.description.channels.iter().any(|c| c.id == channel) {
            return Err(Refusal::NotFound);
        }
        let key = caller.session;
        if channel == Channel::Video
            && let Some(level) = cause.congestion_level
        {
            // The direct leg of an adaptive session is all that its only viewer sees, and its
            // publisher carries the state over to the SFU: that concerns the stream.
            let direct = stream.adaptive.as_ref();
            let leg = cause
                .peer
                .filter(|peer| !direct.is_some_and(|adaptive| adaptive.is_direct(*peer)));
            let told = self.fall_back(key, id, level, leg);
            if leg.is_some() {
                // One peer connection of a relayed stream: for the others nothing changes.
                let change = ChannelChange {
                    active: change.active,
                    ..ChannelChange::default()
                };
                let event = ServerEvent::StreamChannelUpdated {
                    stream: id,
                    channel,
                    change,
                };
                for owner in told {
                    self.tell(key, Audience::One(owner), &event);
                }
                return Ok(());
            }
        }
        let Some(stream) = self.session_mut(key).streams.get_mut(&id) else {
            return Ok(());
        };
        let state = stream
            .description
            .channels
            .iter_mut()
            .find(|c| c.id == channel);
        let news = state.and_then(|state| state.apply(&change));
        if let Some(change) = news
            && stream.announced
        {
            let event = ServerEvent::StreamChannelUpdated {
                stream: id,
                channel,
                change,
            };
            self.tell(key, Audience::All, &event);
        }
        Ok(())
    }

    /// Tells subscribers why video stops or comes back, before the stream's channel changes: that
    /// order makes their applications see `quality` as the reason. Returns whose video changes.
    fn fall_back(
        &mut self,
        key: SessionKey,
        stream: StreamId,
        level: u32,
        leg: Option<PeerId>,
    ) -> Vec<ConnectionId> {
        let next = match level {
            0 => Fallback::Good,
            1 => Fallback::Warned,
            _ => Fallback::AudioOnly,
        };
        let Some(state) = self.session_mut(key).streams.get_mut(&stream) else {
            return Vec::new();
        };
        let steps: Vec<_> = state
            .subscribers
            .iter_mut()
            .filter(|(_, subscriber)| leg.is_none_or(|peer| subscriber.peer == peer))
            .map(|(id, subscriber)| subscriber.fall_back(*id, |s| s.congestion = next))
            .collect();
        self.tell_steps(key, stream, &steps);
        steps
            .iter()
            .filter(|step| step.active.is_some())
            .map(|step| step.owner)
            .collect()
    }

    /// A subscriber's own network has become too bad for video, or good enough again.
    pub(super) fn downlink_changed(&mut self, subscription: SubscriptionId, next: Fallback) {
        let Some(&(key, stream, id)) = self.subscriptions.get(&subscription) else {
            return;
        };
        let state = self.session_mut(key).streams.get_mut(&stream);
        if let Some(subscriber) = state.and_then(|s| s.subscribers.get_mut(&id)) {
            let step = subscriber.fall_back(id, |s| s.downlink = next);
            self.tell_steps(key, stream, &[step]);
        }
    }

    fn tell_steps(&mut self, key: SessionKey, stream: StreamId, steps: &[FallbackStep]) {
        for step in steps {
            let (audience, subscriber) = (Audience::One(step.owner), step.subscriber);
            if let Some(warned) = step.warned {
                let event = ServerEvent::DisableWarning {
                    stream,
                    subscriber,
                    warned,
                };
                self.tell(key, audience, &event);
            }
            if let Some(active) = step.active {
                let event = ServerEvent::VideoSwitch {
                    stream,
                    subscriber,
                    active,
                };
                self.tell(key, audience, &event);
            }
        }
    }
}

impl Subscriber {
    /// What it was told of its video.
    pub(super) fn told(&self) -> Fallback {
        self.congestion.max(self.downlink)
    }

    /// The table of 13.8. The worse of both networks counts.
    fn fall_back(
        &mut self,
        subscriber: SubscriberId,
        change: impl FnOnce(&mut Self),
    ) -> FallbackStep {
        let before = self.told();
        change(self);
        let next = self.told();
        let warned = |fallback| fallback == Fallback::Warned;
        let stopped = |fallback| fallback == Fallback::AudioOnly;
        FallbackStep {
            owner: self.owner,
            subscriber,
            warned: (warned(before) != warned(next)).then_some(warned(next)),
            active: (stopped(before) != stopped(next)).then_some(!stopped(next)),
        }
    }
}
