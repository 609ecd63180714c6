//! Every known failure as a test: what the client saw, and what the backends received.

use anyhow::Result;
use deepseek_tests::failures::{ABSENT, cases};

macro_rules! tests {
    ($($module:ident::$case:ident: $settings:literal, $scenarios:literal;)*) => {
        $(
            #[tokio::test]
            async fn $case() -> Result<()> {
                let seen = deepseek_tests::failures::$module::$case().await?;
                assert!(!seen.client.is_empty() && !seen.attempts.is_empty(), "{seen:?}");
                Ok(())
            }
        )*
    };
}

deepseek_tests::every_case!(tests);

#[test]
fn the_page_on_failures_names_every_case_and_what_has_none() {
    let page = include_str!("../../docs/failures.md");
    let named = |id: &str| page.lines().any(|line| line.starts_with(&format!("| {id} |")));
    let cases = cases();
    let ids = cases.iter().map(|case| &*case.id).chain(ABSENT.iter().map(|absent| absent.id));
    let missing: Vec<_> = ids.filter(|id| !named(id)).collect();
    assert!(missing.is_empty(), "cargo xtask failures --write brings {missing:?}");
}
