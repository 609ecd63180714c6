//! Writes what is generated from the types: `crdgen DIR…` writes one definition a kind into each directory, `crdgen`
//! prints them all, `crdgen --docs FILE` writes the API reference.

use std::path::PathBuf;
use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("crdgen: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &[PathBuf]) -> Result<(), Box<dyn std::error::Error>> {
    match args {
        [] => print()?,
        [flag, file] if flag.as_os_str() == "--docs" => std::fs::write(file, deepseek_crds::reference())?,
        [flag, ..] if flag.to_string_lossy().starts_with('-') => {
            return Err("usage: crdgen [DIR… | --docs FILE]".into());
        }
        dirs => write(dirs)?,
    }
    Ok(())
}

fn print() -> Result<(), Box<dyn std::error::Error>> {
    for (file, _) in deepseek_crds::all() {
        print!("---\n{}", deepseek_crds::yaml(file)?);
    }
    Ok(())
}

fn write(dirs: &[PathBuf]) -> Result<(), Box<dyn std::error::Error>> {
    for (file, _) in deepseek_crds::all() {
        let yaml = deepseek_crds::yaml(file)?;
        for dir in dirs {
            std::fs::write(dir.join(file), &yaml)?;
        }
    }
    Ok(())
}
