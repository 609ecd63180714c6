//! The check of requests: what it lets pass is JSON, and the model it found is where it says.
#![no_main]

use bytes::Bytes;
use deepseek_gateway::pipeline::check::check;
use deepseek_gateway::pipeline::endpoint::Endpoint;
use libfuzzer_sys::fuzz_target;
use serde_json::value::RawValue;

fuzz_target!(|data: &[u8]| {
    let body = Bytes::copy_from_slice(data);
    for endpoint in Endpoint::UPSTREAM {
        match check(endpoint, &body) {
            Ok(call) => {
                let model: String = serde_json::from_slice(&body[call.model_span]).expect("a JSON string");
                assert_eq!(model, call.model);
                assert!(str::from_utf8(&body).is_ok_and(is_json), "no JSON passes");
            }
            Err(error) => {
                let envelope: serde_json::Value = serde_json::from_str(&error.envelope()).expect("JSON");
                assert!(envelope["error"]["message"].is_string());
            }
        }
    }
});

fn is_json(text: &str) -> bool {
    serde_json::from_str::<&RawValue>(text).is_ok()
}
