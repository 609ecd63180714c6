//! Cargo, called by what Cargo runs.

use std::{
    env,
    ffi::OsString,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// What `cargo run` and `cargo test` tell the program about its package. `ring` compiles anew when these change, and
/// everything with TLS after it: a build called from such a program must look like one called from a shell.
const OF_THE_CALLER: [&str; 4] = ["CARGO_MANIFEST_", "CARGO_PKG_", "CARGO_BIN_NAME", "CARGO_CRATE_NAME"];

/// The Cargo that runs us, for a `subcommand` in this workspace, without input.
pub fn cargo(subcommand: &str) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo")));
    let of_the_caller = |name: &OsString| {
        name.to_str().is_some_and(|name| OF_THE_CALLER.iter().any(|prefix| name.starts_with(prefix)))
    };
    for (name, _) in env::vars_os().filter(|(name, _)| of_the_caller(name)) {
        command.env_remove(name);
    }
    command.arg(subcommand).current_dir(workspace()).stdin(Stdio::null());
    command
}

/// The build of the programs that images hold, linked statically, and the folder they come into.
///
/// `profile` is one of Cargo's: `dev`, `release`, `bench-fast`. The programs are always built together: separate
/// builds would choose other features of the same dependencies, and compile them twice.
pub fn static_build(profile: &str) -> (Command, PathBuf) {
    let target = format!("{}-unknown-linux-gnu", env::consts::ARCH);
    let mut command = cargo("build");
    command.args(["--bins", "--profile", profile, "--target", &target]);
    command.args(["-p", "deepseek-operator", "-p", "deepseek-gateway", "-p", "mock-deepseek"]);
    // With `--target`, these flags are for the programs alone and not for build scripts and macros.
    command.env("RUSTFLAGS", "-C target-feature=+crt-static");
    let target_dir =
        env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace().join("target"), PathBuf::from);
    let profile_dir = if profile == "dev" { "debug" } else { profile };
    (command, target_dir.join(target).join(profile_dir))
}

fn workspace() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}
