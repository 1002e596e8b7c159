//! Payloads as whoever has the keys could seal them: never longer than stated, never other content than the id says.
//!
//! The decoder is private to the store, so its file is compiled in here with the names it uses.
#![no_main]
#![allow(dead_code, reason = "the file has more than the decoder")]

use libfuzzer_sys::fuzz_target;
use russet_fuzz::{Small, small};
use std::cell::OnceCell;

use russet_store::{ids, pack, seal};

#[path = "../../store/src/pack/payload.rs"]
mod payload;

thread_local! {
    static SMALL: OnceCell<Small> = const { OnceCell::new() };
}

fuzz_target!(|data: &[u8]| {
    let Some((head, body)) = data.split_first_chunk::<4>() else { return };
    SMALL.with(|slot| {
        let keys = slot.get_or_init(small).repository.id_keys();
        // A frame of any bytes: 24 bits of stated length, and the encoding.
        let plain_len = u32::from_le_bytes([head[0], head[1], head[2], 0]);
        let id = keys.blob_id(seal::BlobType::Data, body);
        let got = payload::decode(head[3] & 3, body, plain_len, &id, seal::BlobType::Data, keys);
        if let Ok(plain) = got {
            assert_eq!(plain.len(), plain_len as usize);
        }
        // And what this program encodes comes back.
        let blob =
            payload::encode(id, seal::BlobType::Data, body.to_vec()).expect("it is short enough");
        let number = blob.encoding.number();
        let plain =
            payload::decode(number, &blob.payload, blob.plain_len, &id, blob.blob_type, keys);
        assert_eq!(plain.as_deref(), Ok(body));
    });
});
