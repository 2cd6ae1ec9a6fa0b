//! What one packet costs to seal and to open.
//!
//! Method: packets of 1200 bytes (12 of header) in bursts of 40, as one frame of four packets for
//! ten subscribers, each with a key of its own. Times are per burst; the throughput criterion
//! prints counts packets, so its inverse is the cost of one. *Single* finishes the tag of each
//! packet at once, *lanes* finishes all of a burst together, side by side. Opening copies a
//! sealed packet first, since it decrypts in place; each is new to its opener.

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use parlor::srtp::mac::MacQueue;
use parlor::srtp::{MasterKey, Opener, Profile, Sealer};

const HEADER: [u8; 12] = [0x80, 96, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
const PAYLOAD_LEN: usize = 1188;
const SUBSCRIBERS: usize = 10;
const FRAME: u64 = 4;
const BURST: u64 = SUBSCRIBERS as u64 * FRAME;
/// Room for a packet with either tag.
const STRIDE: usize = HEADER.len() + PAYLOAD_LEN + 16;

fn key(number: usize) -> MasterKey {
    MasterKey {
        key: [number as u8; 16],
        salt: [3; 14],
    }
}

fn write_header(slab: &mut [u8], at: usize, index: u64) {
    slab[at..at + HEADER.len()].copy_from_slice(&HEADER);
    slab[at + 2..at + 4].copy_from_slice(&(index as u16).to_be_bytes());
}

fn seal(criterion: &mut Criterion, profile: Profile, name: &str, finish_each: bool) {
    let mut sealers: Vec<_> = (0..SUBSCRIBERS)
        .map(|n| Sealer::new(profile, &key(n)))
        .collect();
    let mut macs = MacQueue::new();
    let mut slab = vec![0; STRIDE * BURST as usize];
    let payload = [7; PAYLOAD_LEN];
    let mut first = 0;
    let mut group = criterion.benchmark_group("seal");
    group.throughput(Throughput::Elements(BURST));
    group.bench_function(name, |bencher| {
        bencher.iter(|| {
            let mut at = 0;
            for sealer in &mut sealers {
                for index in first..first + FRAME {
                    write_header(&mut slab, at, index);
                    let payload = black_box(&payload);
                    sealer.seal_rtp(&mut slab, at, HEADER.len(), payload, index, &mut macs);
                    at += STRIDE;
                    if finish_each {
                        macs.finish(&mut slab);
                    }
                }
            }
            macs.finish(&mut slab);
            first += FRAME;
        });
    });
    group.finish();
}

fn open(criterion: &mut Criterion, profile: Profile, name: &str) {
    let mut sealer = Sealer::new(profile, &key(1));
    let payload = [7; PAYLOAD_LEN];
    let packets: Vec<Vec<u8>> = (0..BURST)
        .map(|index| {
            let mut slab = vec![0; STRIDE];
            let mut macs = MacQueue::new();
            write_header(&mut slab, 0, index);
            let len = sealer.seal_rtp(&mut slab, 0, HEADER.len(), &payload, index, &mut macs);
            macs.finish(&mut slab);
            slab.truncate(len);
            slab
        })
        .collect();
    let mut slot = [0; STRIDE];
    let mut group = criterion.benchmark_group("open");
    group.throughput(Throughput::Elements(BURST));
    group.bench_function(name, |bencher| {
        bencher.iter_batched_ref(
            || Opener::new(profile, &key(1)),
            |opener| {
                for packet in &packets {
                    let slot = &mut slot[..packet.len()];
                    slot.copy_from_slice(packet);
                    opener.open_rtp(black_box(slot)).expect("a new packet");
                }
            },
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

fn srtp(criterion: &mut Criterion) {
    seal(
        criterion,
        Profile::Aes128CmHmacSha1_80,
        "aes-cm-hmac/lanes",
        false,
    );
    seal(
        criterion,
        Profile::Aes128CmHmacSha1_80,
        "aes-cm-hmac/single",
        true,
    );
    seal(criterion, Profile::AeadAes128Gcm, "aes-gcm", false);
    open(criterion, Profile::Aes128CmHmacSha1_80, "aes-cm-hmac");
    open(criterion, Profile::AeadAes128Gcm, "aes-gcm");
}

criterion_group!(benches, srtp);
criterion_main!(benches);
