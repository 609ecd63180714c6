//! The soak of `cargo xtask soak`, short: mixed faults, every answer judged.

use anyhow::Result;
use deepseek_tests::soak::Soak;
use std::time::Duration;

#[tokio::test]
async fn under_mixed_faults_each_call_gets_one_right_answer_or_one_clear_error_and_all_is_given_back()
-> Result<()> {
    let soak = Soak { time: Duration::from_secs(10), seed: 4, clients: 12, progress: false };
    let report = soak.run().await?;
    assert!(report.problems().is_empty(), "{}\n{report}", report.problems().join("\n"));
    Ok(())
}
