//! The reader of compiled documents: what it takes it writes down again as the same document.
#![no_main]

use deepseek_config::document::Document;
use deepseek_config::keys::sha256_hex;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(json) = str::from_utf8(data) else { return };
    let Ok(document) = Document::decode(json, &sha256_hex(data)) else { return };
    let encoded = document.encode().expect("what was read can be written");
    let again = Document::decode(&encoded.json, &encoded.sha256).expect("what was written can be read");
    assert_eq!(again, document);
});
