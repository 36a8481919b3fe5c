use super::*;
use crate::hash::crc32;

fn slots(count: usize) -> Vec<NodeSpec> {
    specs((0..count).map(|slot| format!("slot-{slot}")))
}

#[test]
fn a_key_is_in_the_slot_of_its_crc32() {
    let placement = Placement::new(Algorithm::CodisSlots, slots(1_024)).unwrap();
    for i in 0..2_000 {
        let key = format!("key:{i}");
        assert_eq!(
            u32::from(placement.node(key.as_bytes()).0),
            crc32(key.as_bytes()) % 1_024
        );
    }
    // The published check value of CRC-32: 0xCBF43926.
    assert_eq!(placement.node(b"123456789").0, 0x126);
    assert_eq!(placement.node(b"a{123456789}b}").0, 0x126);
}

#[test]
fn an_empty_tag_is_hashed_and_an_open_one_is_not() {
    let placement = Placement::new(Algorithm::CodisSlots, slots(1_024)).unwrap();
    for (key, hashed) in [
        (&b"{}x"[..], &b""[..]),
        (b"{}{a}", b""),
        (b"x{}", b""),
        (b"{{a}}", b"{a"),
        (b"}{a}", b"a"),
        (b"{a", b"{a"),
        (b"", b""),
    ] {
        assert_eq!(placement.hashed(key), hashed);
        assert_eq!(u32::from(placement.node(key).0), crc32(hashed) % 1_024);
    }
    assert_eq!(placement.node(b"{}x").0, 0);
}

#[test]
fn refuses_any_other_number_of_nodes() {
    insta::assert_snapshot!(refusal(Algorithm::CodisSlots, slots(4)), @"codis-slots: a node is a slot here, of which there are 1024 always, and 4 nodes were given: list 1024 nodes, slot 0 first, and let the servers have ranges of them");
    refusal(Algorithm::CodisSlots, slots(1_023));
    refusal(Algorithm::CodisSlots, slots(1_025));
}
