//! What the documentation points at is there: links to files, paths named in the text, every reason.

use std::{fs, path::PathBuf};

use crate::repository;
use deepseek_crds::conditions::Reason;

/// Paths in the text that begin with one of these are meant from the top of the repository.
const ROOMS: [&str; 9] =
    ["charts/", "config/", "crds/", "docs/", "examples/", "gateway/", "operator/", "tests/", "xtask/"];

/// Every Markdown page of the repository, with its text.
fn pages() -> Vec<(PathBuf, String)> {
    let mut folders = vec![repository()];
    let mut pages = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_dir() && !name.starts_with('.') && name != "target" && name != "node_modules" {
                folders.push(path);
            } else if path.extension().is_some_and(|it| it == "md") {
                let text = fs::read_to_string(&path).unwrap();
                pages.push((path, text));
            }
        }
    }
    assert!(pages.len() >= 10, "{} pages", pages.len());
    pages
}

#[test]
fn every_link_to_a_file_leads_to_one() {
    let mut broken = Vec::new();
    for (page, text) in pages() {
        let folder = page.parent().unwrap();
        let targets = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        for target in targets.filter(|target| !target.contains("://")) {
            let file = target.split('#').next().unwrap_or_default();
            if !file.is_empty() && !folder.join(file).exists() {
                broken.push(format!("{}: {target}", page.display()));
            }
        }
    }
    assert_eq!(broken, Vec::<String>::new());
}

#[test]
fn every_path_named_in_the_text_exists() {
    let mut missing = Vec::new();
    for (page, text) in pages() {
        let quoted = text.split('`').skip(1).step_by(2);
        for path in quoted.filter(|text| ROOMS.iter().any(|room| text.starts_with(room))) {
            let is_pattern = path.contains(['*', '{', '<', '…', ' ', '\n']);
            if !is_pattern && !repository().join(path).exists() {
                missing.push(format!("{}: {path}", page.display()));
            }
        }
    }
    assert_eq!(missing, Vec::<String>::new());
}

#[test]
fn the_page_on_conditions_explains_every_reason_and_no_other() {
    let page = fs::read_to_string(repository().join("docs/conditions.md")).unwrap();
    let (_, table) = page.split_once("## Reasons").unwrap();
    let explained: Vec<&str> =
        table.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect();
    let exist: Vec<&str> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
    assert_eq!(explained, exist);
}
