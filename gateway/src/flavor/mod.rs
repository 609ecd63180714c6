//! Flavors: what a request has to say so that another kind of server means the same by it, and what of its answer has to
//! be put so that the client does not notice.
//!
//! Pure functions of bytes. A body is never parsed and written again: the few fields that differ are replaced where they
//! stand, all else stays as it came. What a server cannot carry is refused ([`Unfit`]) before anything is sent.
//! `docs/flavors.md` shows it to users.

pub mod answer;
mod carry;
mod deepseek;
pub mod errors;
mod history;
mod object;
mod thinking;
mod usage;

use crate::pipeline::endpoint::Endpoint;
use crate::upstream::splice::Splice;
use deepseek_crds::v1alpha1::Flavor;
use object::{Edit, Object};

/// A field that a server cannot carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unfit {
    /// Which.
    pub field: &'static str,
}

/// What has to be replaced in `body` for a server of kind `flavor`. The body is a JSON object: it was checked before.
pub fn fit(flavor: Flavor, endpoint: Endpoint, stream: bool, body: &[u8]) -> Result<Vec<Splice>, Unfit> {
    if !matches!(endpoint, Endpoint::Chat | Endpoint::BetaChat | Endpoint::Completions) {
        return Ok(Vec::new());
    }
    if flavor == Flavor::DeepSeek && !deepseek::may_differ(body) {
        return Ok(Vec::new());
    }
    let Some(top) = Object::of(body) else { return Ok(Vec::new()) };
    carry::check(flavor, &top)?;
    let mut edit = Edit::new(&top);
    if stream {
        usage::ask(flavor, body, &top, &mut edit);
    }
    if endpoint == Endpoint::Completions {
        // vLLM refuses it as well, for every caller.
        return match top.given("suffix") {
            Some(_) if flavor == Flavor::VLLM => Err(Unfit { field: "suffix" }),
            _ => Ok(edit.finish()),
        };
    }
    let wish = thinking::Wish::of(body, &top)?;
    thinking::tell(flavor, &top, &wish, &mut edit)?;
    if matches!(flavor, Flavor::DeepSeek | Flavor::Ollama | Flavor::SiliconFlow)
        && top.given("max_tokens").is_none()
        && top.given("max_completion_tokens").is_some()
    {
        edit.remove("max_tokens");
        edit.rename("max_completion_tokens", "max_tokens");
    }
    carry::end_user(flavor, &top, &mut edit);
    let is_prefix = history::fit(flavor, body, &top, &wish, &mut edit)?;
    carry::beginning(flavor, is_prefix, &top, &mut edit)?;
    Ok(edit.finish())
}

#[cfg(test)]
mod tests;
