//! The command line and standalone mode: what is printed, what exits with which code.

use crate::support::{client, gateway, upstream, world};
use anyhow::{Context as _, Result};
use deepseek_tests::binaries::bin;
use std::net::TcpListener;
use std::process::{Command, Output};

fn run(arguments: &[&str]) -> Result<Output> {
    Command::new(bin("deepseek-gateway")).args(arguments).output().context("the gateway runs")
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn check(manifests: &str) -> Result<(Option<i32>, String)> {
    let directory = tempfile::tempdir()?;
    std::fs::write(directory.path().join("manifests.yaml"), manifests)?;
    let output = run(&["standalone", "--check", &directory.path().display().to_string()])?;
    let printed = stdout(&output).replace(&format!("{}/", directory.path().display()), "");
    Ok((output.status.code(), printed))
}

const BACKEND: &str = "
apiVersion: deepseekroute.io/v1alpha1
kind: DeepSeekRoute
metadata: {name: chat}
spec:
  model: deepseek-flash
  backends:
  - {name: a, baseUrl: \"http://127.0.0.1:9\", apiKey: {secretRef: {name: provider, key: token}}}
";

#[test]
fn check_passes_good_manifests() -> Result<()> {
    assert_eq!(check(&world(BACKEND))?, (Some(0), "ok: 3 objects\n".to_owned()));
    Ok(())
}

#[test]
fn check_names_file_object_field_and_fault_of_every_problem() -> Result<()> {
    let wrong = world(BACKEND)
        .replace("name: provider, key", "name: nowhere, key")
        .replace("spec:\n  model", "spec:\n  modell: a\n  model");
    let (code, printed) = check(&wrong)?;
    assert_eq!(code, Some(1));
    assert!(
        printed
            .lines()
            .any(|line| line.starts_with("manifests.yaml: DeepSeekRoute/default/chat: spec.modell: ")),
        "{printed}"
    );
    let (code, printed) = check(&world(BACKEND).replace("name: provider, key", "name: nowhere, key"))?;
    assert_eq!(code, Some(1));
    let about = printed.lines().find(|line| line.starts_with("manifests.yaml: DeepSeekRoute/default/chat: "));
    assert!(
        about.is_some_and(|line| line.contains("spec.backends[0].apiKey") && line.contains("nowhere")),
        "{printed}"
    );
    Ok(())
}

#[test]
fn wrong_arguments_exit_with_2_and_say_what_is_right() -> Result<()> {
    for (arguments, fix) in [
        (&[][..], "Usage: deepseek-gateway"),
        (&["standalone"], "<PATH>"),
        (&["standalone", "/nowhere/at/all"], "/nowhere/at/all"),
        (&["standalone", ".", "--listen", "8080"], "127.0.0.1:8080"),
        (&["cluster"], "--gateway <NAME>"),
    ] {
        let mut command = Command::new(bin("deepseek-gateway"));
        let output =
            command.args(arguments).env_remove("POD_NAMESPACE").env_remove("GATEWAY_NAME").output()?;
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(stderr(&output).contains(fix), "{arguments:?}: {}", stderr(&output));
    }
    Ok(())
}

#[test]
fn help_lists_the_modes_and_version_is_the_packages() -> Result<()> {
    let help = stdout(&run(&["--help"])?);
    for mode in ["standalone", "cluster"] {
        assert!(help.contains(mode), "{help}");
    }
    assert_eq!(stdout(&run(&["--version"])?), format!("deepseek-gateway {}\n", env!("CARGO_PKG_VERSION")));
    Ok(())
}

#[test]
fn a_port_that_is_taken_ends_the_start_with_the_option_to_change() -> Result<()> {
    let taken = TcpListener::bind("127.0.0.1:0")?;
    let address = taken.local_addr()?.to_string();
    let directory = tempfile::tempdir()?;
    std::fs::write(directory.path().join("manifests.yaml"), world(BACKEND))?;
    let path = directory.path().display().to_string();
    for (option, other) in [("--listen", "--admin"), ("--admin", "--listen")] {
        let output = run(&["standalone", &path, option, &address, other, "127.0.0.1:0"])?;
        assert_eq!(output.status.code(), Some(1), "{option}");
        assert!(stderr(&output).contains(option), "{option}: {}", stderr(&output));
    }
    Ok(())
}

#[tokio::test]
async fn the_printed_addresses_are_the_real_ones() -> Result<()> {
    let a = upstream("a").await?;
    let gateway = gateway(&[&a], "").await?;
    assert_eq!(client().get(gateway.admin_url("/readyz")).send().await?.status(), 200);
    assert_eq!(client().get(gateway.url("/v1/models")).send().await?.status(), 401);
    Ok(())
}
