//! `POST /v1/embeddings` of the servers that have them; DeepSeek has none.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::Deserialize;

use super::{
    errors::{ErrorKind, Refusal},
    object::object,
};
use crate::{
    answer::{digest, tokens_of},
    check::House,
};

#[derive(Debug, Deserialize)]
pub(crate) struct EmbeddingsRequest {
    model: String,
    input: Input,
    dimensions: Option<usize>,
    encoding_format: Option<Encoding>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Input {
    One(String),
    Many(Vec<String>),
    Tokens(Vec<u32>),
    ManyTokens(Vec<Vec<u32>>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Encoding {
    Float,
    Base64,
}

const DIMENSIONS: usize = 16;

/// Embeds each input: a vector that follows from its text.
pub(crate) fn answer(request: EmbeddingsRequest, house: House<'_>) -> Result<String, Refusal> {
    let model = house.model(&request.model)?;
    let texts = match request.input {
        Input::One(text) => vec![text],
        Input::Many(texts) => texts,
        Input::Tokens(tokens) => vec![format!("{tokens:?}")],
        Input::ManyTokens(lists) => lists.iter().map(|tokens| format!("{tokens:?}")).collect(),
    };
    let dimensions = request.dimensions.unwrap_or(DIMENSIONS);
    if dimensions == 0 || dimensions > 4096 {
        return Err(Refusal::saying(ErrorKind::Invalid, "dimensions must be between 1 and 4096"));
    }
    let data = texts.iter().enumerate().map(|(index, text)| {
        let vector = vector(text, dimensions);
        let mut item = object! {"object": "embedding", "index": index};
        if request.encoding_format == Some(Encoding::Base64) {
            let bytes: Vec<u8> = vector.iter().flat_map(|value| value.to_le_bytes()).collect();
            item.put("embedding", STANDARD.encode(bytes));
        } else {
            item.put("embedding", vector);
        }
        item
    });
    let data: Vec<_> = data.collect();
    let tokens: u64 = texts.iter().map(|text| tokens_of(text)).sum();
    let usage = object! {"prompt_tokens": tokens, "total_tokens": tokens};
    Ok(object! {"object": "list", "data": data, "model": model, "usage": usage}.to_text())
}

/// Values in steps of 1/128 within ±1, which floats hold exactly.
fn vector(text: &str, dimensions: usize) -> Vec<f32> {
    (0..dimensions)
        .map(|place| f32::from(digest((text, place)).to_le_bytes()[0].cast_signed()) / 128.0)
        .collect()
}
