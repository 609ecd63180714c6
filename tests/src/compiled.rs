//! What the operator would write for manifests, made by the compiler itself.

use anyhow::{Result, anyhow, bail};
use deepseek_config::compile::Output;
use deepseek_config::manifest::{self, Manifest};
use deepseek_config::world::World;

/// Compiles `manifests`, all of which must be right; `know` tells what the operator knows besides, such as ready pods.
pub fn compiled(manifests: &str, know: impl FnOnce(&mut World)) -> Result<Vec<Output>> {
    let mut world = World::default();
    let mut secrets = Vec::new();
    for document in manifest::read(manifests).map_err(anyhow::Error::msg)? {
        match document.map_err(|wrong| anyhow!("{wrong:?}"))? {
            Manifest::Resource(resource) => drop(world.apply(resource)),
            Manifest::Secret { namespace, name, data } => secrets.push((namespace, name, data)),
            Manifest::Grant(_) => {}
        }
    }
    know(&mut world);
    for (namespace, name, data) in secrets {
        world.set_secret(&namespace, &name, Some(data));
    }
    let compiled: Vec<_> = world.ids().iter().filter_map(|id| world.compile(id)).collect();
    if let Some(bad) = compiled.iter().find(|compilation| !compilation.verdict.ok()) {
        bail!("{:?}", bad.verdict);
    }
    Ok(compiled.into_iter().flat_map(|compilation| compilation.outputs).collect())
}
