//! Descriptors as Chromium sends them, and whatever else.

use super::*;

/// Fields from most to least significant, in bytes.
fn packed(fields: &[(u32, usize)]) -> Vec<u8> {
    let mut bytes = [0; MAX_LEN];
    let mut out = BitsMut::new(&mut bytes);
    for (value, count) in fields {
        out.write(*value, *count).expect("room");
    }
    let len = out.finish();
    bytes[..len].to_vec()
}

fn targets(structure: &Structure) -> &[(u8, u8)] {
    &structure.targets[..structure.target_count]
}

/// The first frame of two spatial and two temporal layers, `L2T2_KEY`, with sizes: targets
/// are (0, 0), (0, 1), (1, 0), (1, 1); the templates a key and a delta frame of each.
fn l2t2_key() -> Vec<u8> {
    let (n, d, s, r) = (0, 1, 2, 3);
    let mut fields = vec![(1, 1), (1, 1), (0, 6), (7, 16), (0b10000, 5)];
    fields.extend([(0, 6), (3, 5)]);
    // (0,0) twice, (0,1), (1,0) twice, (1,1).
    fields.extend([(0, 2), (1, 2), (2, 2), (0, 2), (1, 2), (3, 2)]);
    for targets in [
        [s, s, s, s],
        [r, r, n, n],
        [n, d, n, n],
        [n, n, s, s],
        [n, n, r, r],
        [n, n, n, d],
    ] {
        fields.extend(targets.map(|target| (target, 2)));
    }
    for distances in [&[][..], &[4], &[2], &[1], &[4], &[2]] {
        for distance in distances {
            fields.extend([(1, 1), (distance - 1, 4)]);
        }
        fields.push((0, 1));
    }
    // Two chains (of at most five: three bits would be too many), each target protected.
    fields.extend([(2, 2), (0, 1), (0, 1), (1, 1), (1, 1)]);
    fields.extend([(0, 4); 12]);
    fields.extend([(1, 1), (319, 16), (179, 16), (639, 16), (359, 16)]);
    packed(&fields)
}

#[test]
fn a_structure_names_layers_roles_references_and_sizes() {
    let mut structure = Structure::default();
    let key = structure.read(&l2t2_key()).expect("readable");
    assert!(key.key && key.starts && key.ends);
    assert_eq!((key.number, key.spatial, key.temporal), (7, 0, 0));
    assert_eq!(key.references, 0);
    assert_eq!(key.roles.of(1, 1), Role::Switch);
    assert_eq!(key.roles.of(2, 2), Role::Switch);
    assert_eq!(structure.spatial_layers(), 2);
    assert_eq!(targets(&structure), [(0, 0), (0, 1), (1, 0), (1, 1)]);
    let size = |width, height| Some(Size { width, height });
    assert_eq!(structure.size(0), size(320, 180));
    assert_eq!(structure.size(1), size(640, 360));
    let top_key = structure.read(&[0xc3, 0, 8]).expect("announced");
    assert_eq!((top_key.spatial, top_key.references), (1, 1));
    assert!(!top_key.key);
    let delta = structure.read(&[0xc1, 0, 9]).expect("announced");
    assert_eq!(delta.references, 1 << 3);
    assert_eq!(delta.roles.of(0, 0), Role::Required);
    assert_eq!(delta.roles.of(1, 0), Role::NotPresent);
    let droppable = structure.read(&[0xc2, 0, 10]).expect("announced");
    assert_eq!(droppable.roles.of(0, 1), Role::Discardable);
    assert_eq!(droppable.roles.of(0, 0), Role::NotPresent);
}

#[test]
fn a_frame_may_differ_from_its_template() {
    let mut structure = Structure::default();
    structure.read(&l2t2_key());
    // Own indications, own references: 70 and 3 frames back.
    let mut fields = vec![(1, 1), (0, 1), (1, 6), (9, 16), (0b00110, 5)];
    fields.extend([(2, 2), (2, 2), (0, 2), (1, 2)]);
    fields.extend([(2, 2), (69, 8), (1, 2), (2, 4), (0, 2)]);
    let frame = structure.read(&packed(&fields)).expect("readable");
    assert_eq!(frame.roles.of(0, 1), Role::Switch);
    assert_eq!(frame.roles.of(1, 1), Role::Discardable);
    assert_eq!(frame.references, 1 << 2);
    assert!(frame.starts && !frame.ends);
}

#[test]
fn what_chromium_sends_is_read() {
    let key = [
        0xc0, 0x00, 0x01, 0x80, 0x02, 0x04, 0x4e, 0xaa, 0xaf, 0x28, 0x60, 0x41, 0x4d, 0x34, 0x53,
        0x8a, 0x09, 0x40, 0x40, 0x4f, 0xc0, 0x3b, 0xc0,
    ];
    let mut structure = Structure::default();
    let frame = structure.read(&key).expect("readable");
    assert!(frame.key);
    assert_eq!(structure.spatial_layers(), 1);
    let size = structure.size(0).expect("announced");
    assert_eq!((size.width, size.height), (320, 240));
    assert_eq!(targets(&structure), [(0, 0), (0, 1), (0, 2)]);
    // A frame of the highest layer, with its own reference.
    let frame = structure.read(&[0xc3, 0, 7, 0x12, 0x40]).expect("readable");
    assert_eq!(frame.roles.of(0, 0), Role::NotPresent);
    assert_ne!(frame.roles.of(0, 2), Role::NotPresent);
}

#[test]
fn half_a_structure_is_none() {
    let whole = l2t2_key();
    for len in 0..whole.len() {
        let mut structure = Structure::default();
        structure.read(&whole);
        assert_eq!(
            structure.read(&whole[..len]).filter(|f| f.key),
            None,
            "{len}"
        );
        // What was cut in its structure leaves none behind.
        let usable = structure.read(&[0xc1, 0, 9]).is_some();
        assert_eq!(usable, len < MANDATORY_LEN + 1, "{len}");
    }
}

#[test]
fn the_targets_that_are_left_are_written_into_any_descriptor() {
    let mut structure = Structure::default();
    let key = l2t2_key();
    structure.read(&key);
    let active = structure.active(0, 1);
    assert_eq!((active.targets, active.count), (0b0011, 4));
    assert_eq!(structure.active(1, 0).targets, 0b0101);
    assert_eq!(structure.active(2, 2).targets, 0b1111);
    assert!(structure.active(2, 2).is_all() && !active.is_all());

    let own = packed(&[
        (0xc1, 8),
        (9, 16),
        (0b01010, 5),
        (15, 4),
        (1, 2),
        (2, 4),
        (0, 2),
    ]);
    for descriptor in [&key[..], &[0xc1, 0, 9], &own] {
        let mut out = [0; MAX_LEN];
        let len = rewrite(descriptor, 0xffff, Some(active), &mut out).expect("room");
        let mut before = structure.clone();
        let expected = before.read(descriptor).expect("readable");
        let read = structure.read(&out[..len]).expect("readable");
        let shifted = expected.number.wrapping_sub(1);
        assert_eq!(
            read,
            Frame {
                number: shifted,
                ..expected
            }
        );
        assert_eq!(targets(&structure), targets(&before));
        // It may be written again, and then says no more than that.
        let mut again = [0; MAX_LEN];
        let again_len = rewrite(&out[..len], 1, Some(active), &mut again);
        assert_eq!(again_len, Some(len));
    }
    let mut out = [0; MAX_LEN];
    assert_eq!(rewrite(&own, 5, None, &mut out), Some(own.len()));
    assert_eq!(out[..3], [0xc1, 0, 14]);
    assert_eq!(out[3..own.len()], own[3..]);
    assert_eq!(rewrite(&[1, 2], 0, None, &mut out), None);
}
