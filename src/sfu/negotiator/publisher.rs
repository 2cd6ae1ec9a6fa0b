//! A publisher's offers and our answers.

use super::codec::{restrict, supported};
use super::extension;
use super::transport::{Local, Remote, Transport};
use crate::entropy::Entropy;
use crate::sfu::command::{
    Codec, Command, InboundCodec, InboundTrackConfig, LocalEndpoint, PublicationConfig, Simulcast,
};
use crate::sfu::sdp::{
    Direction, Format, Rid, RidDirection, Section, SessionDescription, Setup, SsrcGroup,
};
use crate::sfu::{CloseReason, GroupId, Leg, MediaKind, PublicationId, Terms};

/// What was agreed with one publisher.
#[derive(Debug)]
pub(super) struct Publication {
    group: GroupId,
    transport: Transport,
    tracks: Vec<Track>,
    /// How many simulcast layers are of use, the lowest first; `None`: all.
    layers: Option<usize>,
    /// Whether the next answer is to show another certificate.
    rekeys: bool,
}

/// One track that a publisher sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Track {
    /// What the engine needs to know of it.
    pub(super) config: InboundTrackConfig,
    /// The format of each of `config.codecs`, as the publisher described it.
    pub(super) formats: Vec<Format>,
    /// Whether its sound may leave with copies of earlier packets.
    pub(super) repeats: bool,
}

impl Publication {
    /// Answers a first offer.
    pub(super) fn create(
        agreement: Agreement,
        endpoint: &LocalEndpoint,
        entropy: &mut Entropy,
    ) -> Result<(Self, String), CloseReason> {
        if agreement.tracks.is_empty() {
            return Err(CloseReason::NothingInCommon);
        }
        let mut publication = Self {
            group: agreement.group,
            transport: Transport::new(Local::new(endpoint.worker, entropy), agreement.remote),
            tracks: agreement.tracks,
            layers: None,
            rekeys: false,
        };
        let local = &mut publication.transport.local;
        let answer = local.describe(
            agreement.sections,
            agreement.bundle,
            Setup::Passive,
            endpoint,
        );
        Ok((publication, answer))
    }

    /// Answers a later offer: what the engine must know of it, in order.
    pub(super) fn renew(
        &mut self,
        id: PublicationId,
        agreement: Agreement,
        endpoint: &LocalEndpoint,
        entropy: &mut Entropy,
    ) -> Result<(String, Vec<Command>), CloseReason> {
        let leg = Leg::Publisher(id);
        let mut commands = Vec::new();
        if let Some(ice) = self.transport.renew(agreement.remote, entropy)? {
            commands.push(Command::RestartIce { leg, ice });
        }
        if self.tracks != agreement.tracks {
            self.tracks = agreement.tracks;
            commands.push(Command::UpdatePublication(Box::new(self.config(id))));
        }
        if std::mem::take(&mut self.rekeys) {
            let generation = self.transport.local.rekey();
            commands.push(Command::Rekey { leg, generation });
        }
        let mut sections = agreement.sections;
        if let Some(layers) = self.layers {
            sections
                .iter_mut()
                .for_each(|section| pause(section, layers));
        }
        let local = &mut self.transport.local;
        let answer = local.describe(sections, agreement.bundle, Setup::Passive, endpoint);
        Ok((answer, commands))
    }

    /// Takes note of how many layers are of use; whether the publisher would be answered otherwise
    /// than before.
    pub(super) fn use_layers(&mut self, layers: usize) -> bool {
        self.layers.replace(layers) != Some(layers)
    }

    /// Has the next answer show another certificate.
    pub(super) fn rekey(&mut self) {
        self.rekeys = true;
    }

    pub(super) fn config(&self, id: PublicationId) -> PublicationConfig {
        PublicationConfig {
            id,
            group: self.group,
            transport: self.transport.config(),
            tracks: self.tracks.iter().map(|t| t.config.clone()).collect(),
        }
    }

    pub(super) fn tracks(&self) -> &[Track] {
        &self.tracks
    }
}

/// What an offer comes to: our answer without its transport, and the tracks to expect.
pub(super) struct Agreement {
    group: GroupId,
    remote: Remote,
    bundle: bool,
    sections: Vec<Section>,
    tracks: Vec<Track>,
}

impl Agreement {
    /// Takes what we can forward of an offer; of video only the codecs of `terms`, in that order.
    /// `repeats`: redundant audio is wanted. What is encrypted end to end is so as a whole, and so it
    /// could neither be taken apart nor put together.
    pub(super) fn reach(sdp: &str, terms: &Terms, repeats: bool) -> Result<Self, CloseReason> {
        let repeats = repeats && !terms.encrypted;
        let mut offer = SessionDescription::parse(sdp).map_err(|_| CloseReason::MalformedSdp)?;
        if let Some(codecs) = &terms.codecs {
            offer.sections.iter_mut().for_each(|s| restrict(s, codecs));
        }
        let chosen = choose(&offer);
        let head = chosen.first().ok_or(CloseReason::NothingInCommon)?;
        let head = &offer.sections[*head];
        if head.setup == Some(Setup::Passive) {
            // We never begin a handshake.
            return Err(CloseReason::NothingInCommon);
        }
        let mut sections = Vec::new();
        let mut tracks = Vec::new();
        for (index, section) in offer.sections.iter().enumerate() {
            let is_chosen = chosen.contains(&index);
            if is_chosen && section.direction.sends() {
                tracks.extend(track(section, terms.encrypted, repeats));
            }
            sections.push(match is_chosen || rests(&offer, section, head) {
                true => accept(section, repeats),
                false => section.refused(),
            });
        }
        Ok(Self {
            group: terms.group,
            remote: Remote::of(head)?,
            bundle: offer.bundle.contains(&head.mid),
            sections,
            tracks,
        })
    }
}

/// Whether a section could be taken.
fn is_usable(section: &Section) -> bool {
    section.kind().is_some()
        && !section.rejected
        && section.rtcp_mux
        && supported(section).next().is_some()
}

/// Whether a section that is not chosen sends nothing, on the transport of those that are: it is
/// kept. A browser that takes a track out and adds another leaves the old section, and that may be
/// the one which carries the transport.
fn rests(offer: &SessionDescription, section: &Section, head: &Section) -> bool {
    let bundled = |section: &Section| offer.bundle.contains(&section.mid);
    let same_name = offer.sections.iter().filter(|s| s.mid == section.mid);
    is_usable(section)
        && !section.direction.sends()
        && bundled(section)
        && bundled(head)
        && same_name.count() == 1
}

/// The sections we take, in order: one per kind, rather one that sends; all on one transport.
fn choose(offer: &SessionDescription) -> Vec<usize> {
    let best = |kind| {
        let usable = |section: &Section| section.kind() == Some(kind) && is_usable(section);
        let mut usable = offer.sections.iter().enumerate().filter(|(_, s)| usable(s));
        let first = usable.clone().next();
        usable.find(|(_, s)| s.direction.sends()).or(first)
    };
    let mut chosen: Vec<_> = [MediaKind::Audio, MediaKind::Video]
        .into_iter()
        .filter_map(best)
        .collect();
    chosen.sort_by_key(|(index, _)| *index);
    let bundled = |section: &Section| offer.bundle.contains(&section.mid);
    if let [(_, first), (_, second)] = chosen[..]
        && !(bundled(first) && bundled(second) && first.mid != second.mid)
    {
        chosen.pop();
    }
    chosen.into_iter().map(|(index, _)| index).collect()
}

fn accept(offered: &Section, repeats: bool) -> Section {
    let mut formats = Vec::new();
    for codec in supported(offered) {
        formats.push(match codec.codec {
            Codec::Opus => hear(codec.format),
            _ => codec.format.clone(),
        });
        formats.extend(codec.rtx.cloned());
    }
    if repeats {
        prefer_red(&mut formats);
    }
    let (rids, simulcast) = accept_simulcast(offered);
    Section {
        media: offered.media.clone(),
        protocol: offered.protocol.clone(),
        mid: offered.mid.clone(),
        direction: match offered.direction.sends() {
            true => Direction::RecvOnly,
            false => Direction::Inactive,
        },
        rtcp_mux: true,
        rtcp_rsize: offered.rtcp_rsize,
        formats,
        extensions: extension::known(&offered.extensions),
        rids,
        simulcast,
        ..Section::default()
    }
}

/// Puts RED in front. Chromium sends it if it stands before what it carries, and then with one copy
/// of an earlier packet in each.
fn prefer_red(formats: &mut [Format]) {
    formats.sort_by_key(|format| !format.name.eq_ignore_ascii_case("red"));
}

/// Opus as we are glad to get it: in stereo if the publisher says that it has stereo to send
/// (RFC 7587, 6.1). The rest is as offered.
fn hear(offered: &Format) -> Format {
    let stereo = offered.parameter("sprop-stereo") == Some("1");
    let own = |parameter: &&str| {
        let name = parameter.split('=').next().unwrap_or_default().trim();
        !["stereo", "sprop-stereo"].contains(&name)
    };
    let offered_parameters = offered.fmtp.as_deref().unwrap_or_default().split(';');
    let mut parameters: Vec<_> = offered_parameters
        .map(str::trim)
        .filter(|parameter| !parameter.is_empty())
        .filter(own)
        .collect();
    parameters.extend(stereo.then_some("stereo=1"));
    Format {
        fmtp: (!parameters.is_empty()).then(|| parameters.join(";")),
        ..offered.clone()
    }
}

/// Every encoding that is offered with `a=simulcast:send` is received (RFC 8853, 5.3).
///
/// SSRC groups need no word in the answer; they are in [`InboundTrackConfig::ssrcs`], lowest
/// layer first.
fn accept_simulcast(offered: &Section) -> (Vec<Rid>, Option<(RidDirection, String)>) {
    let Some((RidDirection::Send, list)) = &offered.simulcast else {
        return (Vec::new(), None);
    };
    let sent = offered
        .rids
        .iter()
        .filter(|rid| rid.direction == RidDirection::Send);
    // What is paused in the offer is not on our account.
    let list = list.replace('~', "");
    let rids = sent
        .map(|rid| Rid {
            id: rid.id.clone(),
            direction: RidDirection::Recv,
        })
        .collect();
    (rids, Some((RidDirection::Recv, list)))
}

/// Marks all but the lowest `layers` of a section's simulcast as paused (RFC 8853, 5.1). The list
/// has the best layer first.
fn pause(section: &mut Section, layers: usize) {
    let Some((RidDirection::Recv, list)) = &mut section.simulcast else {
        return;
    };
    let all = list.split(';').count();
    let marked = list.split(';').enumerate().map(|(index, layer)| {
        let paused = index + layers < all;
        let mark = if paused { "~" } else { "" };
        format!("{mark}{}", layer.trim())
    });
    *list = marked.collect::<Vec<_>>().join(";");
}

fn track(section: &Section, encrypted: bool, repeats: bool) -> Option<Track> {
    let pairs: Vec<(u32, u32)> = section
        .ssrc_groups
        .iter()
        .filter(|group| group.semantics == "FID")
        .filter_map(|group| match group.ssrcs[..] {
            [media, rtx] => Some((media, rtx)),
            _ => None,
        })
        .collect();
    let is_rtx = |ssrc: &u32| pairs.iter().any(|(_, rtx)| rtx == ssrc);
    let codecs = supported(section).map(|codec| InboundCodec {
        pt: codec.format.pt,
        rtx_pt: codec.rtx.map(|rtx| rtx.pt),
        codec: codec.codec,
        clock_rate: codec.format.clock_rate,
    });
    Some(Track {
        config: InboundTrackConfig {
            kind: section.kind()?,
            mid: section.mid.clone(),
            ssrcs: layers_first(section).filter(|s| !is_rtx(s)).collect(),
            rtx_ssrcs: pairs.clone(),
            simulcast: simulcast(section),
            codecs: codecs.collect(),
            extensions: extension::map(&extension::known(&section.extensions)),
            encrypted,
        },
        formats: supported(section)
            .map(|codec| codec.format.clone())
            .collect(),
        repeats: repeats && section.kind() == Some(MediaKind::Audio),
    })
}

/// The layers of a section. Those of `a=simulcast` come best first (RFC 8853, 5.2); of alternatives
/// for one layer the first counts, and a layer that begins paused is a layer.
fn simulcast(section: &Section) -> Simulcast {
    if let Some((RidDirection::Send, list)) = &section.simulcast {
        let first = |layer: &str| layer.split(',').next().map(str::to_owned);
        let rids = list.trim().split(';').rev().filter_map(first);
        let rids: Vec<_> = rids
            .map(|rid| rid.trim_start_matches('~').to_owned())
            .collect();
        return Simulcast::Rids(rids);
    }
    let is_sim = |group: &&SsrcGroup| group.semantics == "SIM" && group.ssrcs.len() > 1;
    match section.ssrc_groups.iter().find(is_sim) {
        Some(group) => Simulcast::Ssrcs(group.ssrcs.clone()),
        None => Simulcast::Off,
    }
}

/// The SSRCs of a section, those of a `SIM` group in front and in its order.
fn layers_first(section: &Section) -> impl Iterator<Item = u32> + '_ {
    let layers = section
        .ssrc_groups
        .iter()
        .find(|group| group.semantics == "SIM")
        .map_or(&[][..], |group| &group.ssrcs);
    let others = section.ssrcs.iter().filter(|ssrc| !layers.contains(ssrc));
    layers.iter().chain(others).copied()
}
