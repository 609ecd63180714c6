//! The manifests of `examples/quickstart`, made to work without an account: fresh keys in the Secrets, and the fake
//! DeepSeek's address in place of the real one.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::Read as _,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use serde_json::Value;

use crate::cargo::workspace;

/// The manifests, ready to be applied.
pub(super) struct Quickstart {
    documents: Vec<Value>,
    /// The model to ask for.
    pub(super) model: String,
    /// What a client shows to the gateway.
    pub(super) api_key: String,
}

impl Quickstart {
    /// Reads the examples and sends their routes to `base_url`.
    pub(super) fn read(base_url: &str) -> anyhow::Result<Self> {
        let folder = workspace().join("examples/quickstart");
        let mut paths: Vec<PathBuf> = fs::read_dir(&folder)
            .with_context(|| format!("failed to read {}", folder.display()))?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| path.extension().is_some_and(|it| it == "yaml"))
            .collect();
        paths.sort();
        let mut documents = Vec::new();
        for path in paths {
            let yaml = fs::read_to_string(&path)?;
            let read: Vec<Value> = serde_saphyr::from_multiple(&yaml)
                .map_err(|error| anyhow::anyhow!("{}: {error}", path.display()))?;
            documents.extend(read);
        }
        Self::adapt(documents, base_url)
    }

    fn adapt(mut documents: Vec<Value>, base_url: &str) -> anyhow::Result<Self> {
        let mut keys = BTreeMap::new();
        for document in documents.iter_mut().filter(|it| it["kind"] == "Secret") {
            let name = document["metadata"]["name"].as_str().unwrap_or_default().to_owned();
            let Some(data) = document["stringData"].as_object_mut() else { continue };
            for (key, value) in data {
                let fresh = fresh_key(&name)?;
                *value = fresh.clone().into();
                keys.insert((name.clone(), key.clone()), fresh);
            }
        }
        let find = |reference: &Value| {
            let text = |field: &str| reference["secretRef"][field].as_str().map(str::to_owned);
            keys.get(&(text("name")?, text("key")?)).cloned()
        };
        let of_kind = |kind: &str| documents.iter().position(|it| it["kind"] == kind);
        let (route, consumer) = of_kind("DeepSeekRoute")
            .zip(of_kind("DeepSeekConsumer"))
            .context("the quickstart has no DeepSeekRoute or no DeepSeekConsumer")?;
        let api_key = find(&documents[consumer]["spec"]["apiKeys"][0]).context("the consumer has no key")?;
        let spec = &mut documents[route]["spec"];
        let model = spec["model"].as_str().context("the route has no model")?.to_owned();
        let backends = spec["backends"].as_array_mut().context("the route has no backends")?;
        for backend in backends {
            backend["baseUrl"] = base_url.into();
        }
        Ok(Self { documents, model, api_key })
    }

    /// The routes, as they were read.
    pub(super) fn routes(&self) -> impl Iterator<Item = &Value> {
        self.documents.iter().filter(|it| it["kind"] == "DeepSeekRoute")
    }

    /// Writes one file for each manifest into `folder`.
    pub(super) fn write(&self, folder: &Path) -> anyhow::Result<()> {
        fs::create_dir_all(folder).with_context(|| format!("failed to create {}", folder.display()))?;
        for document in &self.documents {
            let name = |value: &Value| value.as_str().unwrap_or_default().to_lowercase();
            let file = format!("{}-{}.yaml", name(&document["kind"]), name(&document["metadata"]["name"]));
            let yaml = serde_saphyr::to_string(document).context("failed to write YAML")?;
            fs::write(folder.join(&file), yaml).with_context(|| format!("failed to write {file}"))?;
        }
        Ok(())
    }
}

/// A key that nobody can guess: the demo listens where every program of this machine can reach it.
fn fresh_key(name: &str) -> anyhow::Result<String> {
    let mut random = [0_u8; 16];
    File::open("/dev/urandom")?.read_exact(&mut random).context("failed to read random bytes")?;
    Ok(format!("sk-{name}-{:032x}", u128::from_be_bytes(random)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_quickstart_gets_fresh_keys_and_another_address() {
        let first = Quickstart::read("http://127.0.0.1:1").unwrap();
        let second = Quickstart::read("http://127.0.0.1:1").unwrap();

        assert_ne!(first.api_key, second.api_key);
        let folder = tempfile::tempdir().unwrap();
        first.write(folder.path()).unwrap();
        let all: String = fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap())
            .collect();
        assert!(all.contains(&first.api_key) && all.contains("http://127.0.0.1:1"), "{all}");
        assert!(!all.contains("replace-me") && !all.contains("api.deepseek.com"), "{all}");
    }
}
