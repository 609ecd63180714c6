//! The table of what was seen, on the terminal and in `docs/failures.md`.

use super::{Case, Seen};
use anyhow::{Context as _, Result};
use std::fmt::Write as _;
use std::time::Duration;

/// What became of a case.
pub struct Row {
    /// The case.
    pub case: Case,
    /// What was seen, or why it failed.
    pub outcome: Result<Seen>,
}

impl Row {
    /// Its line on the terminal.
    pub fn line(&self) -> String {
        let Case { id, title, .. } = &self.case;
        match &self.outcome {
            Ok(seen) => format!(
                "pass  {id:5} {title}\n            client: {} · backends: {} · added {}",
                seen.client,
                attempts(seen),
                time(seen.added)
            ),
            Err(error) => format!("FAIL  {id:5} {title}\n            {error:#}"),
        }
    }

    fn markdown(&self) -> String {
        let Case { id, title, settings, scenarios, .. } = &self.case;
        let (client, attempts, added, pass) = match &self.outcome {
            Ok(seen) => (seen.client.clone(), attempts(seen), time(seen.added), "yes"),
            Err(_) => (String::new(), String::new(), String::new(), "**no**"),
        };
        format!("| {id} | {title} | {settings} | {client} | {attempts} | {added} | {pass} | {scenarios} |")
    }
}

fn attempts(seen: &Seen) -> String {
    let each: Vec<_> = seen.attempts.iter().map(|(name, count)| format!("{name} {count}")).collect();
    format!("{} of {}", each.join(", "), seen.calls)
}

fn time(time: Duration) -> String {
    if time < Duration::from_millis(950) {
        format!("{} ms", time.as_millis())
    } else {
        format!("{:.1} s", time.as_secs_f64())
    }
}

/// The page with the tables of these rows in the places of its own.
pub fn write_into(page: &str, rows: &[Row]) -> Result<String> {
    let header = "| | shown | settings | what the client saw | attempts of calls | added time | pass |";
    let bench = |row: &&Row| row.case.id.starts_with('S');
    let mut known = format!("{header} failoverbench |\n|---|---|---|---|---|---|---|---|\n");
    for row in rows.iter().filter(|row| !bench(row)) {
        let _ = writeln!(known, "{}", row.markdown());
    }
    for absent in super::ABSENT {
        let _ = writeln!(known, "| {} | {} | | {} | | | – | |", absent.id, absent.title, absent.reason);
    }
    let mut scored = format!("{header} the same failure |\n|---|---|---|---|---|---|---|---|\n");
    for row in rows.iter().filter(bench) {
        let _ = writeln!(scored, "{}", row.markdown());
    }
    let page = replaced(page, "table", &known)?;
    replaced(&page, "failoverbench", &scored)
}

/// The page with `text` between the marks of that name.
fn replaced(page: &str, name: &str, text: &str) -> Result<String> {
    let marks = [format!("<!-- {name} -->\n"), format!("<!-- /{name} -->\n")];
    let (before, rest) = page.split_once(&marks[0]).context("the page has no place for the table")?;
    let (_, after) = rest.split_once(&marks[1]).context("the place for the table has no end")?;
    Ok(format!("{before}{}{text}{}{after}", marks[0], marks[1]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_takes_the_place_between_its_marks() {
        let page = "before\n<!-- x -->\nold\n<!-- /x -->\nafter\n";
        assert_eq!(replaced(page, "x", "new\n").unwrap(), "before\n<!-- x -->\nnew\n<!-- /x -->\nafter\n");
        assert!(replaced(page, "y", "").is_err());
    }
}
