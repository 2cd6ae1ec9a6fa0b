//! Captions and sender statistics: what a publisher sends along with a stream
//! (`protocol/signaling.md`, 12.2 and 12.3).

use std::collections::BTreeSet;

use super::Hub;
use super::request::Caller;
use super::session::Subscriber;
use super::tell::Audience;
use crate::signaling::channel::Channel;
use crate::signaling::client::Data;
use crate::signaling::error::Refusal;
use crate::signaling::server::ServerEvent;

impl Hub {
    /// Passes a datum to the subscribers that have turned its channel on.
    pub(super) fn pass_data(&mut self, caller: &Caller, data: &Data) -> Result<(), Refusal> {
        let subscribers = &self.own_stream(caller, data.stream)?.subscribers;
        if data.content.get().len() > self.config.data_bytes {
            return Err(Refusal::TooLarge);
        }
        let wants = |subscriber: &Subscriber| match data.channel {
            Channel::Captions => subscriber.captions,
            Channel::DownlinkStats => subscriber.sender_stats,
            Channel::Audio | Channel::Video => false,
        };
        let wanting = subscribers
            .iter()
            .filter(|(_, subscriber)| wants(subscriber));
        // Captions are told once to each client, statistics to each of its subscribers.
        let receivers: BTreeSet<_> = match data.channel {
            Channel::Captions => wanting.map(|(_, s)| (s.owner, None)).collect(),
            Channel::DownlinkStats => wanting.map(|(id, s)| (s.owner, Some(*id))).collect(),
            Channel::Audio | Channel::Video => return Err(Refusal::Malformed),
        };
        for (owner, subscriber) in receivers {
            let Data {
                stream,
                channel,
                id,
                ref content,
            } = *data;
            let event = ServerEvent::Data {
                stream,
                subscriber,
                channel,
                id,
                content,
            };
            self.tell(caller.session, Audience::One(owner), &event);
        }
        Ok(())
    }
}
