//! The continuation of broken streams. An input is a request, what was sent of its answer, and what another backend
//! goes on with, with `====` between them: what that backend is asked is JSON, and what the client is sent is still a
//! stream of JSON if both parts were one.
#![no_main]

use bytes::Bytes;
use deepseek_crds::v1alpha1::Flavor;
use deepseek_fuzz::{data_lines, pieces};
use deepseek_gateway::pipeline::endpoint::Endpoint;
use deepseek_gateway::pipeline::frames::Framer;
use deepseek_gateway::pipeline::resume::continuation::{Next, Resumption};
use deepseek_gateway::pipeline::resume::stitch::Stitched;
use deepseek_gateway::pipeline::resume::thread::Thread;
use libfuzzer_sys::fuzz_target;
use serde_json::value::RawValue;

fuzz_target!(|data: &[u8]| {
    let [request, sent, continuation] = parts(data);
    let mut transcript = Thread::of(Endpoint::Chat).expect("chat can be continued");
    for run in runs(sent) {
        transcript.sent(&run);
    }
    // As the check of requests lets nothing else through.
    if serde_json::from_slice::<&RawValue>(request).is_err() {
        return;
    }
    let request = Bytes::copy_from_slice(request);
    let Ok(Next::Ask(resumption)) = Resumption::of(Endpoint::Chat, &request, &transcript.transcript) else {
        return;
    };
    for flavor in [Flavor::DeepSeek, Flavor::VLLM, Flavor::SGLang, Flavor::OpenAI] {
        let Some(asked) = resumption.request(flavor) else { continue };
        assert!(serde_json::from_slice::<&RawValue>(&asked.body).is_ok(), "asked what is not JSON");
        let mut thread = Thread::of(Endpoint::Chat).expect("chat can be continued");
        thread.transcript = transcript.transcript.clone();
        thread.goes_on(Some(resumption.stitch(&asked)));
        for run in runs(continuation) {
            let was_json = is_json(&run);
            let (out, over) = match thread.join(run) {
                Stitched::Pass(out) => (out, false),
                Stitched::Over(out) | Stitched::Astray(out) => (out, true),
            };
            // What was held back of an earlier run may come with this one.
            assert!(!was_json || !is_json(continuation) || is_json(&out), "sent what is not JSON");
            thread.sent(&out);
            if over {
                break;
            }
        }
    }
});

fn parts(data: &[u8]) -> [&[u8]; 3] {
    let mut rest = data;
    let mut next = || {
        let at = rest.windows(4).position(|window| window == b"====");
        let (part, more) = at.map_or((rest, &[][..]), |at| (&rest[..at], &rest[at + 4..]));
        rest = more;
        part
    };
    [next(), next(), next()]
}

fn runs(stream: &[u8]) -> impl Iterator<Item = Bytes> {
    let mut framer = Framer::default();
    pieces(stream).into_iter().filter_map(move |piece| framer.push(piece))
}

fn is_json(events: &[u8]) -> bool {
    data_lines(events).all(|data| data == b"[DONE]" || serde_json::from_slice::<&RawValue>(data).is_ok())
}
