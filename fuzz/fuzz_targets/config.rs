//! The config: clear text that anybody can change.
#![no_main]

use libfuzzer_sys::fuzz_target;
use russet_fuzz::{HEADER_LEN, mended};
use russet_store::config::{Config, Purpose};

fuzz_target!(|data: &[u8]| {
    let _ = Config::decode(data);
    // Length and MAC of the right size around any text.
    let mut file = vec![0; HEADER_LEN];
    file.extend_from_slice(&(data.len() as u32).to_le_bytes());
    file.extend_from_slice(data);
    file.extend_from_slice(&[0; 32]);
    if let Ok((config, _)) = Config::decode(&mended(&file, 1)) {
        let _ = config.allows(Purpose::Read);
        let _ = config.allows(Purpose::Check);
        let text = serde_json::to_vec(&config).expect("a config is JSON");
        let again: Config = serde_json::from_slice(&text).expect("and comes back");
        assert_eq!(again, config);
    }
});
