//! Container images, built without a container engine and without a network.
//!
//! Binaries are linked statically, so that an image can be `FROM scratch`; buildah makes an OCI archive of them, which
//! a node loads.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use kubernetes_assets::{cache_dir, program};
use tempfile::TempDir;
use tokio::process::Command;

/// What an image is made of.
#[derive(Clone, Copy, Debug)]
pub struct Build<'a> {
    /// Its name, with a tag: `localhost/deepseek:test`.
    pub name: &'a str,
    /// The Dockerfile; it can build on what is here only: `FROM scratch`, or an argument that says so.
    pub dockerfile: &'a Path,
    /// The folder that `COPY` takes from.
    pub context: &'a Path,
    /// `--build-arg`s.
    pub args: &'a [(&'a str, &'a str)],
}

/// A built image; the archive goes when this is dropped.
#[derive(Debug)]
pub struct Image {
    /// The name that pods use.
    pub name: String,
    archive: PathBuf,
    _dir: TempDir,
}

impl Image {
    /// The OCI archive.
    pub fn archive(&self) -> &Path {
        &self.archive
    }
}

/// Builds an image as `docker build` would.
pub async fn build(build: Build<'_>) -> anyhow::Result<Image> {
    let Build { name, dockerfile, context, args } = build;
    let dir = tempfile::Builder::new().prefix("deepseek-image-").tempdir()?;
    let archive = dir.path().join("image.tar");
    let mut bud = buildah(dir.path())?;
    bud.args(["bud", "--quiet", "--isolation", "chroot", "--layers=false", "--tag", name, "--file"])
        .arg(dockerfile);
    for (key, value) in args {
        bud.arg("--build-arg").arg(format!("{key}={value}"));
    }
    run(bud.arg(context)).await.with_context(|| format!("failed to build the image {name}"))?;
    let destination = format!("oci-archive:{}:{name}", archive.display());
    let mut push = buildah(dir.path())?;
    run(push.args(["push", "--quiet", name, &destination]))
        .await
        .with_context(|| format!("failed to save {name}"))?;
    // Only the archive is of use; the store is as large again.
    fs::remove_dir_all(dir.path().join("store")).context("failed to remove buildah's store")?;
    Ok(Image { name: name.to_owned(), archive, _dir: dir })
}

/// buildah with a store of its own: the user's images are not ours to touch, and two builds do not wait for each other.
fn buildah(dir: &Path) -> anyhow::Result<Command> {
    let mut command = Command::new(program("buildah")?);
    command.args(["--storage-driver", "vfs", "--root"]).arg(dir.join("store"));
    command.arg("--runroot").arg(dir.join("store-run")).env("TMPDIR", dir);
    Ok(command)
}

/// The operator and the gateway, as users build them from the `Dockerfile` of this repository.
pub async fn product(name: &str, profile: &str) -> anyhow::Result<Image> {
    let dockerfile = workspace().join("Dockerfile");
    of_binaries(name, &dockerfile, &["deepseek-operator", "deepseek-gateway"], profile).await
}

/// The fake DeepSeek; a pod tells it where to listen: `args: [--listen, 0.0.0.0:8080]`.
pub async fn mock_deepseek(name: &str, profile: &str) -> anyhow::Result<Image> {
    let dockerfile = workspace().join("tests/mock-deepseek/Dockerfile");
    of_binaries(name, &dockerfile, &["mock-deepseek"], profile).await
}

async fn of_binaries(
    name: &str,
    dockerfile: &Path,
    binaries: &[&str],
    profile: &str,
) -> anyhow::Result<Image> {
    let built = static_binaries(profile).await?;
    let context = tempfile::tempdir()?;
    let folder = context.path().join("binaries");
    fs::create_dir(&folder)?;
    for binary in binaries {
        // Symbols of a debug build would be ten times what the image should be.
        let mut strip = Command::new(program("strip")?);
        run(strip.arg("-o").arg(folder.join(binary)).arg(built.join(binary))).await?;
    }
    build(Build {
        name,
        dockerfile,
        context: context.path(),
        args: &[("BASE", "scratch"), ("BINARIES", "binaries")],
    })
    .await
}

/// Builds the programs that images hold, linked statically, and returns the folder they are in.
pub async fn static_binaries(profile: &str) -> anyhow::Result<PathBuf> {
    let (mut cargo, folder) = kubernetes_assets::static_build(profile);
    cargo.arg("--quiet");
    run(&mut cargo.into()).await.context("failed to build the static programs")?;
    Ok(folder)
}

fn workspace() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// The image of the process that holds a pod's namespaces; built once per machine.
pub(crate) async fn pause() -> anyhow::Result<PathBuf> {
    let source = workspace().join("tests/kubernetes/pause");
    let cached = kubernetes_assets::pause_archive();
    if cached.is_file() {
        return Ok(cached);
    }
    let context = tempfile::tempdir()?;
    let mut compiler = Command::new(program("cc")?);
    compiler
        .args(["-Os", "-static", "-s", "-o"])
        .arg(context.path().join("pause"))
        .arg(source.join("pause.c"));
    run(&mut compiler)
        .await
        .context("failed to compile the pause program (libc6-dev has the static libc)")?;
    let dockerfile = source.join("Dockerfile");
    let image =
        build(Build { name: PAUSE, dockerfile: &dockerfile, context: context.path(), args: &[] }).await?;
    // Moved in one step: another test may look for it right now.
    fs::create_dir_all(cache_dir())?;
    let unfinished = tempfile::Builder::new().tempfile_in(cache_dir())?;
    fs::copy(image.archive(), unfinished.path()).context("failed to copy the pause image into the cache")?;
    unfinished.persist(&cached).context("failed to keep the pause image")?;
    Ok(cached)
}

/// The name of [`pause`]'s image.
pub(crate) const PAUSE: &str = "localhost/pause:1";

async fn run(command: &mut Command) -> anyhow::Result<()> {
    let program = command.as_std().get_program().to_string_lossy().into_owned();
    let output =
        command.kill_on_drop(true).output().await.with_context(|| format!("failed to start {program}"))?;
    let text =
        [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    anyhow::ensure!(output.status.success(), "{program} ended with {}:\n{text}", output.status);
    Ok(())
}
