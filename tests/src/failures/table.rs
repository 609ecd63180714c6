//! The table of what was seen, on the terminal and in `docs/failures.md`.

use super::{Case, Seen};
use anyhow::{Context as _, Result};
use std::fmt::Write as _;
use std::time::Duration;

/// Where the table stands in the page.
const MARKS: [&str; 2] = ["<!-- table -->\n", "<!-- /table -->\n"];

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

/// The page with the table of these rows in the place of its own.
pub fn write_into(page: &str, rows: &[Row]) -> Result<String> {
    let (before, rest) = page.split_once(MARKS[0]).context("the page has no place for the table")?;
    let (_, after) = rest.split_once(MARKS[1]).context("the place for the table has no end")?;
    let mut table = String::from(
        "| | shown | settings | what the client saw | attempts | added time | pass | failoverbench |\n\
         |---|---|---|---|---|---|---|---|\n",
    );
    for row in rows {
        let _ = writeln!(table, "{}", row.markdown());
    }
    for absent in super::ABSENT {
        let _ = writeln!(table, "| {} | {} | | {} | | | – | |", absent.id, absent.title, absent.reason);
    }
    Ok(format!("{before}{}{table}{}{after}", MARKS[0], MARKS[1]))
}
