//! Writes the custom resource definitions as YAML: `crdgen DIR` writes one file a kind, `crdgen` prints them all.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

fn main() -> ExitCode {
    match run(std::env::args_os().nth(1).map(PathBuf::from).as_deref()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("crdgen: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(dir: Option<&Path>) -> Result<(), Box<dyn std::error::Error>> {
    for (file, _) in deepseek_crds::all() {
        let yaml = deepseek_crds::yaml(file)?;
        match dir {
            Some(dir) => std::fs::write(dir.join(file), yaml)?,
            None => print!("---\n{yaml}"),
        }
    }
    Ok(())
}
