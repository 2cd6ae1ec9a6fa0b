//! What subscribers get.

use std::time::Duration;

use parlor::rtp::ntp::Ntp;
use parlor::rtp::rtcp::report::{SenderInfo, push_sender_report};
use parlor::rtp::rtcp::{Compound, Rtcp};
use parlor::sfu::command::Command;
use parlor::sfu::{PublicationId, SubscriptionId, Wanted};
use parlor::srtp::Profile;

use crate::world::*;

const MS: Duration = Duration::from_millis(1);

fn pli_count(feedback: &[Vec<u8>]) -> usize {
    pli_count_of(feedback, VIDEO_SSRC)
}

fn pli_count_of(feedback: &[Vec<u8>], ssrc: u32) -> usize {
    let packets = feedback.iter().flat_map(|datagram| Compound::new(datagram));
    packets
        .filter(|packet| *packet == Rtcp::Pli { media_ssrc: ssrc })
        .count()
}

fn update(world: &mut World, id: u64, audio: bool, video: bool) {
    let wanted = Wanted {
        audio,
        video,
        ..Wanted::default()
    };
    world.command(Command::Update {
        subscription: SubscriptionId(id),
        wanted,
    });
}

#[test]
fn a_packet_that_is_too_long_to_be_sent_again_is_forwarded_like_any_other() {
    let mut world = World::new();
    let mut publisher = world.publisher(1, 1, CM);
    let mut subscriber = world.subscriber(1, 1, 11, CM);
    let sound = [7; 1_200];
    let packet = publisher.rtp((AUDIO_SSRC, OPUS), 1, 960, &[], &sound);
    world.receive_one(&packet, publisher.address);
    let (media, _) = subscriber.open(&mut world.net);
    let payloads: Vec<_> = media.iter().map(|packet| &packet.payload[..]).collect();
    assert_eq!(payloads, [&sound[..]]);
}

#[test]
fn every_subscriber_gets_every_packet_under_its_own_names() {
    for profile in [CM, Profile::AeadAes128Gcm] {
        let mut world = World::new();
        let mut publisher = world.publisher(1, 1, profile);
        let mut subscribers = [
            world.subscriber(1, 1, 11, CM),
            world.subscriber(2, 1, 12, profile),
        ];
        let packets = [
            publisher.video(65_534, true),
            publisher.audio(7),
            publisher.video(65_535, false),
            publisher.video(65_536, false),
        ];
        world.receive(packets.iter().map(|p| (&p[..], publisher.address)));
        for (id, subscriber) in (1..).zip(&mut subscribers) {
            let (media, _) = subscriber.open(&mut world.net);
            let (audio, video): (Vec<_>, Vec<_>) = media
                .into_iter()
                .partition(|p| p.header.payload_type == OUT_OPUS);
            let payloads: Vec<_> = video.iter().map(|p| p.payload.clone()).collect();
            assert_eq!(
                payloads,
                [vp8(65_534, true), vp8(65_535, false), vp8(65_536, false)]
            );
            for pair in video.windows(2) {
                let step = pair[1]
                    .header
                    .sequence
                    .wrapping_sub(pair[0].header.sequence);
                assert_eq!(step, 1);
            }
            assert!(video.iter().all(|p| p.header.ssrc == out_ssrc(id)));
            assert!(video.iter().all(|p| p.header.payload_type == OUT_VP8));
            assert_eq!(audio.len(), 1);
            assert_eq!(audio[0].header.ssrc, out_ssrc(id) + 1);
            assert!(
                audio[0].elements.contains(&(6, vec![0x85])),
                "{:?}",
                audio[0].elements
            );
            assert!(audio[0].elements.contains(&(9, b"a".to_vec())));
        }
        assert_eq!(world.engine.counters().forwarded, 8);
    }
}

#[test]
fn transport_wide_numbers_count_all_packets_of_a_subscriber() {
    let mut world = World::new();
    let mut publisher = world.publisher(1, 1, CM);
    let mut subscriber = world.subscriber(1, 1, 11, CM);
    let packets = [
        publisher.video(1, true),
        publisher.audio(1),
        publisher.video(2, false),
    ];
    world.receive(packets.iter().map(|p| (&p[..], publisher.address)));
    let (media, _) = subscriber.open(&mut world.net);
    let numbers: Vec<_> = media
        .iter()
        .flat_map(|p| p.elements.iter().filter(|(id, _)| *id == 5))
        .map(|(_, data)| u16::from_be_bytes([data[0], data[1]]))
        .collect();
    assert_eq!(numbers.len(), 3);
    assert_eq!(numbers[1], numbers[0].wrapping_add(1));
    assert_eq!(numbers[2], numbers[0].wrapping_add(2));
}

#[test]
fn a_new_subscriber_begins_with_a_key_frame_that_is_asked_for() {
    let mut world = World::new();
    let mut publisher = world.publisher(1, 1, CM);
    let packet = publisher.video(1, true);
    world.receive_one(&packet, publisher.address);
    let mut subscriber = world.subscriber(1, 1, 11, CM);
    assert_eq!(pli_count(&publisher.open(&mut world.net).1), 1);
    for (index, keyframe) in [(2, false), (3, true), (4, false)] {
        let packet = publisher.video(index, keyframe);
        world.receive_one(&packet, publisher.address);
    }
    let (media, _) = subscriber.open(&mut world.net);
    let payloads: Vec<_> = media.into_iter().map(|p| p.payload).collect();
    assert_eq!(payloads, [vp8(3, true), vp8(4, false)]);
}

#[test]
fn key_frame_requests_are_merged_paced_and_end_with_the_key_frame() {
    let mut world = World::new();
    let mut publisher = world.publisher(1, 1, CM);
    let packet = publisher.video(1, true);
    world.receive_one(&packet, publisher.address);
    let _first = world.subscriber(1, 1, 11, CM);
    let _second = world.subscriber(2, 1, 12, CM);
    assert_eq!(pli_count(&publisher.open(&mut world.net).1), 1);
    world.advance(499 * MS);
    assert_eq!(pli_count(&publisher.open(&mut world.net).1), 0);
    world.advance(MS);
    assert_eq!(pli_count(&publisher.open(&mut world.net).1), 1);
    let packet = publisher.video(2, true);
    world.receive_one(&packet, publisher.address);
    world.advance(3_000 * MS);
    assert_eq!(pli_count(&publisher.open(&mut world.net).1), 0);
}

#[test]
fn a_pause_leaves_no_hole_and_video_resumes_with_a_key_frame() {
    let mut world = World::new();
    let mut publisher = world.publisher(1, 1, CM);
    let mut subscriber = world.subscriber(1, 1, 11, CM);
    let mut send = |world: &mut World, index, keyframe| {
        let packets = [publisher.video(index, keyframe), publisher.audio(index)];
        world.receive(packets.iter().map(|p| (&p[..], publisher.address)));
    };
    send(&mut world, 1, true);
    update(&mut world, 1, false, false);
    send(&mut world, 2, false);
    update(&mut world, 1, true, true);
    send(&mut world, 3, false);
    send(&mut world, 4, true);
    let (media, _) = subscriber.open(&mut world.net);
    let (audio, video): (Vec<_>, Vec<_>) = media
        .iter()
        .map(|p| &p.header)
        .partition(|h| h.payload_type == OUT_OPUS);
    let sequences = |headers: &[&parlor::rtp::header::Header]| -> Vec<u16> {
        headers
            .iter()
            .map(|h| h.sequence.wrapping_sub(headers[0].sequence))
            .collect()
    };
    assert_eq!(sequences(&video), [0, 1]);
    assert_eq!(sequences(&audio), [0, 1, 2]);
    assert_eq!(
        video[1].timestamp.wrapping_sub(video[0].timestamp),
        3 * 3_000
    );
    assert_eq!(audio[1].timestamp.wrapping_sub(audio[0].timestamp), 2 * 960);
}

#[test]
fn the_subscribers_of_a_removed_publication_are_gone_and_others_stay() {
    let mut world = World::new();
    let first = world.publisher(1, 1, CM);
    let mut second = world.publisher(2, 2, CM);
    let mut gone = world.subscriber(1, 1, 11, CM);
    let mut stays = world.subscriber(2, 2, 12, CM);
    world.command(Command::Remove(first.leg));
    assert_eq!(world.events(), []);
    update(&mut world, 1, true, true);
    let packet = second.audio(1);
    world.receive_one(&packet, second.address);
    assert_eq!(gone.open(&mut world.net).0.len(), 0);
    assert_eq!(stays.open(&mut world.net).0.len(), 1);
}

#[test]
fn sender_reports_keep_the_distance_between_sound_and_picture() {
    let mut world = World::new();
    let mut publisher = world.publisher(1, 1, CM);
    let mut subscriber = world.subscriber(1, 1, 11, CM);
    let packets = [publisher.video(1, true), publisher.audio(1)];
    world.receive(packets.iter().map(|p| (&p[..], publisher.address)));
    // The publisher's clock stands at 50 s when its media clocks stand at these values.
    let mut reports = Vec::new();
    for (ssrc, rtp_timestamp) in [(VIDEO_SSRC, 900_000), (AUDIO_SSRC, 4_800)] {
        let info = SenderInfo {
            ntp: Ntp(50 << 32),
            rtp_timestamp,
            packets: 1,
            octets: 1,
        };
        push_sender_report(&mut reports, ssrc, &info);
    }
    let datagram = publisher.rtcp(&reports);
    world.receive_one(&datagram, publisher.address);
    world.advance(2_000 * MS);
    let (_, feedback) = subscriber.open(&mut world.net);
    let packets = feedback.iter().flat_map(|datagram| Compound::new(datagram));
    let reports: Vec<_> = packets
        .filter_map(|packet| match packet {
            Rtcp::SenderReport { ssrc, info, .. } => Some((ssrc, info)),
            _ => None,
        })
        .collect();
    assert!(reports.len() >= 2, "{reports:?}");
    let of = |wanted| {
        reports
            .iter()
            .rev()
            .find(|(ssrc, _)| *ssrc == wanted)
            .expect("reported")
            .1
    };
    let (video, audio) = (of(out_ssrc(1)), of(out_ssrc(1) + 1));
    assert_eq!(video.ntp, audio.ntp);
    let video_s = f64::from(video.rtp_timestamp - 900_000) / 90_000.0;
    let audio_s = f64::from(audio.rtp_timestamp - 4_800) / 48_000.0;
    assert!(
        video_s > 0.5 && (video_s - audio_s).abs() < 0.001,
        "{video_s} {audio_s}"
    );
    assert_eq!(video.packets, 1);
}

#[test]
fn a_stream_without_declared_ssrcs_is_found_by_mid() {
    let mut world = World::new();
    let mut publisher = world.publisher(1, 1, CM);
    let mut subscriber = world.subscriber(1, 1, 11, CM);
    let packet = publisher.rtp((77, VP8), 1, 0, &[(4, b"1")], &vp8(1, true));
    world.receive_one(&packet, publisher.address);
    let (media, _) = subscriber.open(&mut world.net);
    assert_eq!(media.len(), 1);
    assert_eq!(media[0].header.ssrc, out_ssrc(1));
}

#[test]
fn video_that_cannot_be_read_is_forwarded_from_the_next_frame_on() {
    let mut world = World::new();
    let mut publisher = world.publisher(1, 1, CM);
    let mut subscriber = world.subscriber(1, 1, 11, CM);
    for index in 1..4u32 {
        let encrypted = [0x10, 0x00, 9, 9, 9, 9, 9, 9];
        let packet = publisher.rtp(
            (VIDEO_SSRC, VP8),
            index.into(),
            index * 3_000,
            &[],
            &encrypted,
        );
        world.receive_one(&packet, publisher.address);
    }
    assert_eq!(subscriber.open(&mut world.net).0.len(), 3);
}

#[test]
fn a_stream_that_replaces_another_goes_on_where_that_ended() {
    let mut world = World::new();
    let mut publisher = world.publisher(1, 1, CM);
    let mut subscriber = world.subscriber(1, 1, 11, CM);
    let packet = publisher.video(1, true);
    world.receive_one(&packet, publisher.address);
    let mut config = publication(PublicationId(1), publisher.transport());
    config.tracks[1].ssrcs = vec![4_000];
    config.tracks[1].rtx_ssrcs = vec![(4_000, 4_001)];
    world.command(Command::UpdatePublication(Box::new(config)));
    world.advance(100 * MS);
    for (index, keyframe) in [(30_000, false), (30_001, true)] {
        let payload = vp8(index, keyframe);
        let packet = publisher.rtp((4_000, VP8), index, 500, &[], &payload);
        world.receive_one(&packet, publisher.address);
    }
    assert_eq!(pli_count_of(&publisher.open(&mut world.net).1, 4_000), 1);
    let (media, _) = subscriber.open(&mut world.net);
    assert_eq!(media.len(), 2);
    let (before, after) = (&media[0].header, &media[1].header);
    assert_eq!(after.ssrc, before.ssrc);
    assert_eq!(after.sequence, before.sequence.wrapping_add(1));
    assert_eq!(after.timestamp.wrapping_sub(before.timestamp), 9_000);
}

#[test]
fn an_update_of_a_publication_that_is_gone_does_nothing() {
    let mut world = World::new();
    let publisher = world.publisher(1, 1, CM);
    world.command(Command::Remove(publisher.leg));
    let config = publication(PublicationId(1), publisher.transport());
    world.command(Command::UpdatePublication(Box::new(config)));
    world.net.sent.clear();
    world.check(&publisher);
    assert_eq!(world.net.sent, []);
}
