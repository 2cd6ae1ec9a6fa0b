//! What comes in: ICE checks, handshakes, media and feedback, from sockets and from other workers.

use super::Core;
use crate::sfu::datagram::ReceiveSlab;
use crate::sfu::moment::Moment;
use crate::sfu::outlet::Outlet;
use crate::sfu::parcel::Item;
use crate::sfu::path::Path;
use crate::sfu::publication::Refused;
use crate::sfu::stun::BindingRequest;
use crate::sfu::transport::Checked;
use crate::sfu::worker::WorkerId;
use crate::sfu::{Leg, PublicationId};

impl Core {
    /// Sorts a datagram by its first byte (RFC 7983). `via`: the worker whose socket it came to.
    pub(super) fn datagram(
        &mut self,
        datagram: &mut [u8],
        from: Path,
        via: Option<WorkerId>,
        at: &Moment,
        outlet: &mut Outlet<'_>,
    ) {
        self.counters.received += 1;
        self.counters.received_bytes += datagram.len() as u64;
        let Some(&first) = datagram.first() else {
            self.counters.malformed += 1;
            return;
        };
        if first <= 3 {
            return self.check(datagram, from, via, at, outlet);
        }
        let Some(leg) = self.legs.by_path(&from) else {
            // A datagram changes hands once.
            match via.is_none() && self.post.stray(datagram, from) {
                true => self.counters.handed_on += 1,
                false => self.counters.unknown_source += 1,
            }
            return;
        };
        match first {
            20..=63 => self.pass_handshake(leg, datagram),
            128..=191 => match self.media(leg, datagram, at, outlet) {
                Ok(()) => {}
                Err(Refused::Media) => self.counters.rejected_media += 1,
                Err(Refused::Malformed) => self.counters.malformed += 1,
            },
            _ => self.counters.malformed += 1,
        }
    }

    /// Answers an ICE check.
    pub(super) fn check(
        &mut self,
        datagram: &[u8],
        from: Path,
        via: Option<WorkerId>,
        at: &Moment,
        outlet: &mut Outlet<'_>,
    ) {
        let parsed = BindingRequest::parse(datagram);
        if let Some(request) = &parsed
            && via.is_none()
            // A connection is with the worker that its first check named, and stays there.
            && from.tcp().is_none()
            && self.legs.by_ufrag(request.local_ufrag()).is_none()
            && self.post.check(request.local_ufrag(), datagram, from)
        {
            self.counters.handed_on += 1;
            return;
        }
        let authentic = parsed.and_then(|request| {
            let leg = self.legs.by_ufrag(request.local_ufrag())?;
            let pwd = self.legs.authenticate(leg, &request)?;
            (!self.legs.is_taken(from, leg, at.now)).then_some((request, leg, pwd))
        });
        let Some((request, leg, pwd)) = authentic else {
            self.counters.rejected_checks += 1;
            return;
        };
        if request.has_unknown() {
            outlet.plain(from, |out| request.write_unknown_attributes(pwd, out));
            return;
        }
        if request.claims_controlled() {
            outlet.plain(from, |out| request.write_role_conflict(pwd, out));
            return;
        }
        outlet.plain(from, |out| {
            request.write_success(self.relays.name(from.remote), pwd, out)
        });
        match via {
            Some(worker) => self.post.note(worker, Item::Route(from)),
            None => self.post.routes.forget(&from),
        }
        let nominates = request.use_candidate();
        let change = if let Some(transport) = self.legs.transport_mut(leg) {
            transport.checked(request.local_ufrag(), nominates, from, at.now)
        } else {
            let offered = self.legs.offered_mut(leg);
            let gained = offered.is_some_and(|offered| offered.check(from, nominates));
            Checked {
                gained,
                ..Checked::default()
            }
        };
        self.legs.apply(leg, from, change);
        self.announce(leg, at, outlet);
    }

    /// Takes anything but a datagram from another worker.
    pub(super) fn item(
        &mut self,
        item: Item,
        from: WorkerId,
        slab: &ReceiveSlab,
        at: &Moment,
        outlet: &mut Outlet<'_>,
    ) {
        match item {
            Item::Datagram(_) => {}
            Item::Packet {
                publication: id,
                track,
                slot,
                packet,
            } => {
                if let Some(publication) = self.legs.publications.get_mut(&id)
                    && publication.receive_piped(track, packet, slab.datagram(slot), at)
                {
                    self.owed += publication.subscribers.len();
                    if publication.waiting.fresh().len() == 1 {
                        self.touched.push(id);
                    }
                    self.hear(id, at.now);
                }
            }
            Item::Report {
                publication,
                source,
                info,
            } => {
                if let Some(publication) = self.legs.publications.get_mut(&publication) {
                    publication.receive_report(source, &info, at);
                }
            }
            Item::Keyframes {
                publication,
                layers,
            } => self.want_keyframes(publication, layers, at, outlet),
            Item::Layers {
                publication,
                layers,
            } => {
                if let Some(publication) = self.legs.publications.get_mut(&publication) {
                    publication.receive_layers(&layers);
                }
            }
            Item::Demand {
                publication: id,
                demand,
            } => {
                if let Some(publication) = self.legs.publications.get_mut(&id) {
                    publication.set_demand(from, demand);
                }
                self.review(id, at.now);
            }
            Item::Route(path) => {
                if self.legs.yield_path(path, at.now) {
                    self.post.routes.learn(path, from, at.now);
                }
            }
        }
    }

    /// Takes RTP or RTCP, told apart by the second byte (RFC 5761, 4).
    pub(super) fn media(
        &mut self,
        leg: Leg,
        datagram: &mut [u8],
        at: &Moment,
        outlet: &mut Outlet<'_>,
    ) -> Result<(), Refused> {
        let is_rtcp = matches!(datagram.get(1), Some(192..=223));
        match leg {
            Leg::Publisher(id) => {
                let Some(publication) = self.legs.publications.get_mut(&id) else {
                    return Err(Refused::Malformed);
                };
                if is_rtcp {
                    publication.receive_rtcp(datagram, at)?;
                    publication.pass_reports(&mut self.post);
                    return Ok(());
                }
                let is_first = publication.waiting.fresh().is_empty();
                let packets = publication.receive_rtp(datagram, at)?;
                if packets > 0 {
                    self.owed += packets * publication.subscribers.len();
                    if is_first {
                        self.touched.push(id);
                    }
                    self.counters.restored += std::mem::take(&mut publication.restored);
                    self.hear(id, at.now);
                } else {
                    // What is not forwarded may still be reported.
                    self.arm(leg);
                }
                Ok(())
            }
            _ if !is_rtcp => Err(Refused::Malformed),
            leg => self.feedback(leg, datagram, at, outlet),
        }
    }

    /// Takes the RTCP of whoever receives.
    pub(super) fn feedback(
        &mut self,
        leg: Leg,
        datagram: &mut [u8],
        at: &Moment,
        outlet: &mut Outlet<'_>,
    ) -> Result<(), Refused> {
        let mut wishes = std::mem::take(&mut self.wishes);
        let scratch = &mut self.scratch;
        let legs = &mut self.legs;
        let resent = legs.receive_feedback(leg, datagram, &mut wishes, scratch, at, outlet);
        for (publication, layers) in wishes.drain(..) {
            self.want_keyframes(publication, layers, at, outlet);
        }
        self.wishes = wishes;
        self.counters.resent += resent?;
        // What was reported may be a reason to probe.
        if let Some(client) = self.legs.client(leg) {
            self.arm(Leg::Shared(client));
        }
        Ok(())
    }

    /// Asks a publisher for key frames of some layers, now or as soon as spacing allows.
    pub(super) fn want_keyframes(
        &mut self,
        id: PublicationId,
        layers: u8,
        at: &Moment,
        outlet: &mut Outlet<'_>,
    ) {
        let Some(publication) = self.legs.publications.get_mut(&id) else {
            return;
        };
        if let Some(origin) = publication.origin {
            let publication = id;
            let item = Item::Keyframes {
                publication,
                layers,
            };
            return self.post.note(origin, item);
        }
        publication.want_keyframes(layers);
        publication.drive(at, &mut self.scratch[0], outlet);
        self.arm(Leg::Publisher(id));
    }
}
