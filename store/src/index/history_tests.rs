//! Every index gives the answers of a plain list of packs, whatever was done to it before.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

/// One thing done to an index.
#[derive(Debug, Clone)]
pub(super) enum Step {
    Insert { pack: u8, entries: Vec<(u8, u32)> },
    Forget { pack: u8 },
    Flush,
    Clear,
    Reopen,
}

pub(super) fn steps() -> impl Strategy<Value = Vec<Step>> {
    let entries = prop::collection::vec((0..12_u8, any::<u32>()), 0..8);
    let insert = (0..6_u8, entries).prop_map(|(pack, entries)| Step::Insert { pack, entries });
    let step = prop_oneof![
        6 => insert,
        3 => (0..6_u8).prop_map(|pack| Step::Forget { pack }),
        2 => Just(Step::Flush),
        1 => Just(Step::Clear),
        2 => Just(Step::Reopen),
    ];
    prop::collection::vec(step, 0..40)
}

/// The model: packs as they would be read from the drive.
pub(super) type Model = BTreeMap<PackId, Known>;

/// File length and directory of a pack.
type Known = (u64, Vec<(BlobId, Spot)>);

pub(super) fn pack_id(pack: u8) -> PackId {
    PackId::decode([pack; 32])
}

pub(super) fn blob_id(blob: u8) -> BlobId {
    BlobId::decode([blob.wrapping_mul(37); 32])
}

pub(super) fn spot(seed: u32) -> Spot {
    let [ordinal, offset, sealed_len, plain_len] = [1, 3, 5, 7].map(|n| seed.wrapping_mul(n));
    Spot {
        ordinal,
        offset,
        sealed_len,
        plain_len,
        blob_type: if seed.is_multiple_of(2) { BlobType::Data } else { BlobType::Tree },
        encoding: seed.to_le_bytes()[3],
    }
}

/// Does one step to both.
pub(super) fn apply(step: &Step, index: &dyn Index, model: &mut Model) {
    match step {
        Step::Insert { pack, entries } => {
            let entries: Vec<_> = entries.iter().map(|(b, s)| (blob_id(*b), spot(*s))).collect();
            let file_len = entries.len() as u64 + 1;
            index.insert_pack(&pack_id(*pack), file_len, &entries).unwrap();
            model.insert(pack_id(*pack), (file_len, entries));
        }
        Step::Forget { pack } => {
            index.forget_pack(&pack_id(*pack)).unwrap();
            model.remove(&pack_id(*pack));
        }
        Step::Clear => {
            index.clear().unwrap();
            model.clear();
        }
        Step::Flush => index.flush().unwrap(),
        Step::Reopen => {}
    }
}

pub(super) fn expected(model: &Model, blob: u8) -> Vec<Place> {
    let first = |(pack, (_, entries)): (&PackId, &Known)| {
        let (_, spot) = entries.iter().find(|(id, _)| *id == blob_id(blob))?;
        Some(spot.within(*pack))
    };
    model.iter().filter_map(first).collect()
}

pub(super) fn assert_agrees(index: &dyn Index, model: &Model) {
    let packs: Vec<_> = model.iter().map(|(pack, (file_len, _))| (*pack, *file_len)).collect();
    assert_eq!(index.packs().unwrap(), packs);
    let ids: Vec<BlobId> = (0..13).rev().map(blob_id).collect();
    let many = index.lookup_many(&ids).unwrap();
    for (blob, many) in (0..13).rev().zip(many) {
        let wanted = expected(model, blob);
        assert_eq!(index.lookup(&blob_id(blob)).unwrap(), wanted, "blob {blob}");
        assert_eq!(many, wanted, "blob {blob} among many");
    }
}

proptest! {
    #[test]
    fn the_index_in_memory_agrees_with_a_list_of_packs(steps in steps()) {
        let (index, mut model) = (BTreeIndex::new(), Model::new());
        for step in &steps {
            apply(step, &index, &mut model);
            assert_agrees(&index, &model);
        }
    }
}

/// More copies than are answered: the ones of the smallest pack ids.
pub(super) fn copies_are_bounded(index: &dyn Index) {
    for pack in (0..40).rev() {
        index.insert_pack(&pack_id(pack), 1, &[(blob_id(1), spot(9))]).unwrap();
    }
    let packs = |index: &dyn Index| -> Vec<PackId> {
        index.lookup(&blob_id(1)).unwrap().into_iter().map(|place| place.pack).collect()
    };
    let first: Vec<PackId> = (0..16).map(pack_id).collect();
    assert_eq!(packs(index), first);
    for pack in 0..39 {
        index.forget_pack(&pack_id(pack)).unwrap();
    }
    assert_eq!(packs(index), [pack_id(39)], "a copy beyond the bound was lost");
}

#[test]
fn the_index_in_memory_answers_with_a_bounded_number_of_copies_and_loses_none() {
    copies_are_bounded(&BTreeIndex::new());
}
