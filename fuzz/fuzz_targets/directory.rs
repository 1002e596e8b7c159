//! A pack's directory: what decodes lies inside the pack, overlaps nothing, and encodes to what was read.
#![no_main]

use libfuzzer_sys::fuzz_target;
use russet_store::pack::{ENTRY_LEN, PackType, decode_entries, encode_entries};

fuzz_target!(|data: &[u8]| {
    let Some((head, bytes)) = data.split_first_chunk::<9>() else { return };
    let pack_type = if head[0] & 1 == 0 { PackType::Data } else { PackType::Tree };
    let area_end = u64::from(u32::from_le_bytes([head[1], head[2], head[3], head[4]]));
    let asked = u32::from_le_bytes([head[5], head[6], head[7], head[8]]);
    for count in [asked, (bytes.len() / ENTRY_LEN) as u32] {
        if let Ok(entries) = decode_entries(bytes, count, pack_type, area_end) {
            assert_eq!(entries.len(), count as usize);
            assert!(
                entries.iter().all(|e| u64::from(e.offset) + u64::from(e.sealed_len) <= area_end)
            );
            let again = decode_entries(&encode_entries(&entries), count, pack_type, area_end);
            assert_eq!(again, Ok(entries));
        }
    }
});
