//! What a client says of what it receives: RTCP of a leg on which media goes out.

use super::downlink::Queue;
use super::legs::Legs;
use super::loss::Fate;
use super::moment::Moment;
use super::outbound::OutboundTrack;
use super::outlet::Outlet;
use super::publication::Refused;
use super::report::round_trip;
use super::stats::{LegStats, OutboundTally};
use super::{ClientId, Leg, MediaKind, PublicationId, SubscriptionId};
use crate::rtp::rtcp::feedback::Nack;
use crate::rtp::rtcp::report::ReportBlock;
use crate::rtp::rtcp::transport_cc::TransportFeedback;
use crate::rtp::rtcp::{Compound, Rtcp};

/// Room to build packets in, kept from one turn to the next.
pub(super) type Scratch = [Vec<u8>; 2];

impl Legs {
    /// Takes a datagram of RTCP; answers NACKs at once. Publications and their layers, as bits,
    /// that are to be asked for a key frame go to `keyframes`; returns how many packets were sent
    /// again.
    pub(super) fn receive_feedback(
        &mut self,
        leg: Leg,
        datagram: &mut [u8],
        keyframes: &mut Vec<(PublicationId, u8)>,
        scratch: &mut Scratch,
        at: &Moment,
        outlet: &mut Outlet<'_>,
    ) -> Result<u64, Refused> {
        let open = self.send_leg_mut(leg).ok_or(Refused::Malformed)?;
        let len = open.open_rtcp(datagram, at.now)?;
        let mut resent = 0;
        for packet in Compound::new(&datagram[..len]) {
            match packet {
                Rtcp::Pli { media_ssrc } => {
                    outlet.traffic.plis_received += 1;
                    self.tally(leg, media_ssrc, |tally| tally.pli_count += 1);
                    keyframes.extend(self.asked_for(leg, media_ssrc));
                }
                Rtcp::Fir(fir) => {
                    outlet.traffic.plis_received += 1;
                    for ssrc in fir {
                        self.tally(leg, ssrc, |tally| tally.fir_count += 1);
                        keyframes.extend(self.asked_for(leg, ssrc));
                    }
                }
                Rtcp::Nack(nack) => {
                    outlet.traffic.nacks_received += 1;
                    self.tally(leg, nack.media_ssrc, |tally| tally.nack_count += 1);
                    resent += self.resend(leg, &nack, scratch, at, outlet);
                }
                Rtcp::ReceiverReport { blocks } | Rtcp::SenderReport { blocks, .. } => {
                    for block in blocks {
                        self.report(leg, &block, at, outlet);
                    }
                }
                Rtcp::TransportFeedback(feedback) => self.observe(leg, &feedback, at),
                Rtcp::Remb { bitrate } => self.remb(leg, bitrate),
            }
        }
        if let Some(client) = self.client(leg)
            && let Some(receiver) = self.receivers.get(&client)
            && receiver.is_due(at.now)
        {
            self.unsettle(client);
        }
        Ok(resent)
    }

    /// The subscription that sends under an SSRC on a leg.
    fn by_ssrc(&self, leg: Leg, ssrc: u32) -> Option<SubscriptionId> {
        match leg {
            Leg::Publisher(_) => None,
            Leg::Subscriber(id) => {
                let subscription = self.subscriptions.get(&id)?;
                subscription.has_ssrc(ssrc).then_some(id)
            }
            Leg::Shared(client) => {
                let shared = self.receivers.get(&client)?.shared.as_ref()?;
                shared.by_ssrc.get(&ssrc).copied()
            }
        }
    }

    fn track(&mut self, leg: Leg, ssrc: u32) -> Option<&mut OutboundTrack> {
        let id = self.by_ssrc(leg, ssrc)?;
        self.subscriptions.get_mut(&id)?.by_ssrc(ssrc)
    }

    fn tally(&mut self, leg: Leg, ssrc: u32, count: impl FnOnce(&mut OutboundTally)) {
        if let Some(track) = self.track(leg, ssrc) {
            count(&mut track.tally);
        }
    }

    /// The statistics of a subscription.
    pub(super) fn stats(&self, id: SubscriptionId) -> Option<LegStats> {
        let subscription = self.subscriptions.get(&id)?;
        let receiver = self.receivers.get(&subscription.client)?;
        Some(LegStats {
            leg: Leg::Subscriber(id),
            inbound: Vec::new(),
            outbound: subscription.stats().collect(),
            available_outgoing_bitrate: receiver.estimator.seen(),
        })
    }

    /// What a request for a key frame is about.
    fn asked_for(&self, leg: Leg, ssrc: u32) -> Option<(PublicationId, u8)> {
        let subscription = self.subscriptions.get(&self.by_ssrc(leg, ssrc)?)?;
        let layers = subscription.video_layers(ssrc);
        (layers != 0).then_some((subscription.publication, layers))
    }

    fn resend(
        &mut self,
        leg: Leg,
        nack: &Nack<'_>,
        scratch: &mut Scratch,
        at: &Moment,
        outlet: &mut Outlet<'_>,
    ) -> u64 {
        let carried = self.receiver_mut(leg).and_then(|r| r.estimator.seen());
        if let Some(track) = self.track(leg, nack.media_ssrc) {
            track.resends.limit.share(carried);
        }
        let id = self.by_ssrc(leg, nack.media_ssrc);
        let Some((subscription, publication, shared)) = id.and_then(|id| self.way_of(id)) else {
            return 0;
        };
        subscription.resend(nack, publication, shared, scratch, at, outlet)
    }

    fn report(&mut self, leg: Leg, block: &ReportBlock, at: &Moment, outlet: &mut Outlet<'_>) {
        let Some(track) = self.track(leg, block.ssrc) else {
            return;
        };
        let rtt = round_trip(block, at.epoch, at.now);
        track.reported(block, rtt);
        let is_sound = track.config.kind == MediaKind::Audio;
        outlet.traffic.reports += 1;
        outlet.traffic.reported_loss += u64::from(block.fraction_lost);
        if let Some(rtt) = rtt {
            outlet.traffic.round_trip.observe(rtt);
        }
        let Some(open) = self.send_leg_mut(leg) else {
            return;
        };
        let lost = open.downlink.report(block, rtt, at.now);
        let is_told = open.losses.is_told();
        if let Some(client) = self.client(leg) {
            let rate = self.send_legs(client).map(|leg| leg.downlink.rate()).sum();
            if let Some(receiver) = self.receivers.get_mut(&client) {
                receiver.estimator.lost(lost, rate, at.now);
                if is_sound && !is_told {
                    let fate = Fate::of_share(block.fraction_lost);
                    receiver.protection.reported(fate, at.now);
                }
            }
        }
    }

    fn observe(&mut self, leg: Leg, feedback: &TransportFeedback<'_>, at: &Moment) {
        let Some(open) = self.send_leg_mut(leg) else {
            return;
        };
        let seen = open.downlink.feedback(feedback, at.now);
        let rtt = open.downlink.rtt();
        let fate = open.losses.feedback(feedback);
        let Some(receiver) = self.receiver_mut(leg) else {
            return;
        };
        receiver.estimator.feedback(&seen, at.now);
        let queue = match seen.is_burst {
            true => Some(Queue::Long),
            false => seen.queue,
        };
        receiver.protection.observe(fate, queue, at.now);
        if receiver.estimator.drains()
            && let Some(client) = self.client(leg)
        {
            let under_way = self.send_legs(client).map(|leg| leg.downlink.under_way());
            let under_way = under_way.sum();
            if let Some(receiver) = self.receivers.get_mut(&client) {
                receiver.estimator.drain(under_way, rtt, at.now);
            }
        }
    }

    fn remb(&mut self, leg: Leg, bitrate: u64) {
        let Some(open) = self.send_leg_mut(leg) else {
            return;
        };
        open.downlink.set_remb(bitrate);
        if let Some(client) = self.client(leg) {
            let all = self.send_legs(client);
            let all = all.filter_map(|leg| leg.downlink.remb());
            let all = all.fold(0, u64::saturating_add);
            if let Some(receiver) = self.receivers.get_mut(&client) {
                receiver.estimator.remb(all);
            }
        }
    }

    /// Sends packets again to find out how much a client's network carries, if that is due.
    pub(super) fn probe(
        &mut self,
        client: ClientId,
        scratch: &mut Scratch,
        at: &Moment,
        outlet: &mut Outlet<'_>,
    ) {
        let sent = self.send_legs(client);
        let sent = sent.map(|leg| leg.downlink.numbered()).sum();
        let Some(receiver) = self.receivers.get_mut(&client) else {
            return;
        };
        if receiver
            .estimator
            .poll_timeout()
            .is_none_or(|due| due > at.now)
        {
            return;
        }
        let due = receiver.estimator.padding(sent, at.now);
        let open = |id: &&SubscriptionId| {
            let subscription = self.subscriptions.get(id);
            subscription.is_some_and(|s| self.is_open(s.leg()))
        };
        let can_pad =
            |id: &&SubscriptionId| self.subscriptions.get(id).is_some_and(|s| s.can_pad());
        let receiver = self.receivers.get(&client);
        let all = || receiver.into_iter().flat_map(|r| &r.subscriptions);
        let best = all().filter(open).find(can_pad).or(all().find(open));
        if due > 0
            && let Some(id) = best.copied()
            && let Some((subscription, publication, shared)) = self.way_of(id)
        {
            subscription.pad(due, publication, shared, scratch, at, outlet);
        }
        self.unsettle(client);
    }

    /// Sends the sender reports that are due on a leg.
    pub(super) fn send_reports(
        &mut self,
        leg: Leg,
        out: &mut Vec<u8>,
        at: &Moment,
        outlet: &mut Outlet<'_>,
    ) {
        let Some(open) = self.send_leg_mut(leg) else {
            return;
        };
        if !open.reports_due(at.now) {
            return;
        }
        let silent = open.downlink.fall_silent(at.now);
        if let Some(receiver) = self.receiver_mut(leg) {
            receiver.estimator.forget(silent);
        }
        out.clear();
        let one;
        let sent_there: &[SubscriptionId] = match leg {
            Leg::Publisher(_) => &[],
            Leg::Subscriber(id) => {
                one = [id];
                &one
            }
            Leg::Shared(client) => {
                let receiver = self.receivers.get(&client);
                receiver.map_or(&[], |receiver| &receiver.subscriptions)
            }
        };
        for id in sent_there {
            if let Some(subscription) = self.subscriptions.get_mut(id)
                && subscription.leg() == leg
                && let Some(publication) = self.publications.get(&subscription.publication)
            {
                subscription.push_reports(publication, at, out);
            }
        }
        if let Some((to, sealer, _)) = self.transport_mut(leg).and_then(|t| t.outgoing()) {
            outlet.rtcp(out, sealer, to);
        }
    }
}
