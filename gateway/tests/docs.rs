//! `docs/request-lifecycle.md` tells what is: its headings are functions, its error codes all there are.

use clap::CommandFactory as _;
use deepseek_gateway::args::Args;
use deepseek_gateway::pipeline::error::Code;
use std::fs;
use std::path::{Path, PathBuf};

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn page() -> String {
    fs::read_to_string(repository().join("docs/request-lifecycle.md")).unwrap_or_default()
}

#[test]
fn each_heading_names_a_function_and_the_file_it_is_in() {
    let mut seen = 0;
    for line in page().lines() {
        let Some((function, file)) = line.strip_prefix("## `").and_then(|rest| rest.split_once("` (")) else {
            continue;
        };
        let file = file.trim_end_matches(')');
        let source = fs::read_to_string(repository().join(file)).unwrap_or_default();
        assert!(source.contains(&format!("fn {function}(")), "{file} has no function {function}");
        seen += 1;
    }
    assert!(seen >= 10, "{seen} headings are functions");
}

#[test]
fn the_table_of_errors_has_every_code_with_its_status() {
    let page = page();
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` | "));
    let told: Vec<(String, String)> = rows
        .filter(|(code, _)| Code::ALL.iter().any(|known| known.as_str() == *code))
        .map(|(code, rest)| (code.to_owned(), rest.split(' ').next().unwrap_or_default().to_owned()))
        .collect();
    let real: Vec<(String, String)> = Code::ALL
        .iter()
        .map(|code| {
            // Within a stream there is no status to send any more.
            let status = if *code == Code::StreamInterrupted {
                "in".to_owned()
            } else {
                code.status().as_u16().to_string()
            };
            (code.as_str().to_owned(), status)
        })
        .collect();
    assert_eq!(told, real);
}

#[test]
fn the_page_on_running_it_has_every_option_and_every_metric() {
    let page = fs::read_to_string(repository().join("docs/gateway.md")).unwrap_or_default();
    for mode in Args::command().get_subcommands() {
        assert!(page.contains(&format!("`{}", mode.get_name())), "no mode {}", mode.get_name());
        for option in mode.get_arguments().filter_map(clap::Arg::get_long).filter(|long| *long != "help") {
            assert!(
                page.contains(&format!("`--{option}")) || page.contains(&format!(" --{option} ")),
                "--{option}"
            );
        }
    }
    for file in [
        "metrics.rs",
        "config/metrics.rs",
        "pipeline/metrics.rs",
        "pipeline/cache/metrics.rs",
        "upstream/account/metrics.rs",
    ] {
        let source = fs::read_to_string(repository().join("gateway/src").join(file)).unwrap_or_default();
        let names = source.split('"').skip(1).step_by(2).filter(|text| {
            let prefix =
                ["deepseek_gateway_", "http_", "process_"].iter().any(|prefix| text.starts_with(prefix));
            prefix && text.chars().all(|c| c.is_ascii_lowercase() || c == '_')
        });
        let names: Vec<_> = names.collect();
        assert!(names.len() >= 2, "{file} names {names:?}");
        for name in names {
            assert!(page.contains(&format!("`{name}")), "no metric {name}");
        }
    }
}
