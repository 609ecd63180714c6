//! The figures as tables.

use std::time::Duration;

use super::load::{Cost, Measured};

/// Measurements under the same load: of the fake itself, of nginx, of the gateway, of the gateway
/// that keeps answers.
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) measured: Measured,
}

/// Prints a table of figures under many connections.
pub(super) fn print_throughput(title: &str, rows: &[Row]) {
    println!("\n{title}");
    println!(
        "{:10}{:>12}{:>11}{:>11}{:>16}{:>10}{:>11}{:>12}",
        "", "requests/s", "p50 ms", "p99 ms", "CPU µs/request", "CPU busy", "RSS MB", "CPU ×nginx"
    );
    for Row { name, measured } in rows {
        let Measured { per_second, p50, p99, proxy } = measured;
        print!("{name:10}{per_second:>12.0}{:>11.2}{:>11.2}", millis(*p50), millis(*p99));
        if let Some(cost) = proxy {
            let Cost { cpu_per_request, busy, memory } = cost;
            print!("{:>16.1}{:>8.0} %{:>11.1}", micros(*cpu_per_request), busy * 100.0, megabytes(*memory));
            print!("{:>12}", ratio(cost, rows).map_or_else(String::new, |ratio| format!("{ratio:.2}")));
        }
        println!();
    }
}

/// Prints what each proxy adds to the latency of one connection.
pub(super) fn print_latency(title: &str, rows: &[Row]) {
    println!("\n{title}");
    println!(
        "{:10}{:>11}{:>11}{:>15}{:>15}{:>16}",
        "", "p50 ms", "p99 ms", "added p50 ms", "added p99 ms", "CPU µs/request"
    );
    let Some(direct) = rows.first() else { return };
    for Row { name, measured } in rows {
        let Measured { p50, p99, proxy, .. } = measured;
        print!("{name:10}{:>11.3}{:>11.3}", millis(*p50), millis(*p99));
        if let Some(cost) = proxy {
            let added = |it: Duration, base: Duration| millis(it) - millis(base);
            print!("{:>15.3}", added(*p50, direct.measured.p50));
            print!("{:>15.3}", added(*p99, direct.measured.p99));
            print!("{:>16.1}", micros(cost.cpu_per_request));
        }
        println!();
    }
}

/// Prints the memory of each proxy, without load and with streams open.
pub(super) fn print_memory(title: &str, rows: &[(&str, u64, u64)]) {
    println!("\n{title}");
    println!("{:10}{:>14}{:>14}", "", "idle RSS MB", "RSS MB");
    for (name, idle, open) in rows {
        println!("{name:10}{:>14.1}{:>14.1}", megabytes(*idle), megabytes(*open));
    }
}

/// Prints the memory of each proxy before, at its highest while clients read slowly, and what each of them costs.
pub(super) fn print_slow_readers(title: &str, rows: &[(&str, u64, u64, u64)]) {
    println!("\n{title}");
    println!("{:10}{:>14}{:>14}{:>16}", "", "idle RSS MB", "peak RSS MB", "KB per client");
    for (name, idle, peak, each) in rows {
        println!("{name:10}{:>14.1}{:>14.1}{:>16}", megabytes(*idle), megabytes(*peak), each / 1000);
    }
}

/// CPU per request in units of nginx's.
fn ratio(cost: &Cost, rows: &[Row]) -> Option<f64> {
    let nginx = rows.iter().find(|row| row.name == "nginx")?.measured.proxy?;
    Some(cost.cpu_per_request.as_secs_f64() / nginx.cpu_per_request.as_secs_f64())
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

fn megabytes(bytes: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "shown with one digit after the point")]
    let bytes = bytes as f64;
    bytes / 1e6
}
