//! Quota windows of the clock: when the present one ends.

use deepseek_config::document::{Window, WindowUnit};
use jiff::civil::{Date, date};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};

/// A window, with its time zone looked up.
#[derive(Clone, Debug)]
pub struct Clock {
    window: Window,
    zone: TimeZone,
}

impl Clock {
    /// Looks up the time zone; the compiler has checked that it exists.
    #[must_use]
    pub fn new(window: &Window) -> Self {
        let zone = TimeZone::get(&window.time_zone).unwrap_or(TimeZone::UTC);
        Self { window: window.clone(), zone }
    }

    /// The window this is a clock of.
    #[must_use]
    pub fn window(&self) -> &Window {
        &self.window
    }

    /// When the window that holds `now` ends, in milliseconds since the epoch.
    #[must_use]
    pub fn end_after(&self, now_ms: i64) -> i64 {
        let count = i64::from(self.window.count.max(1));
        match self.window.unit {
            WindowUnit::Second => next_multiple(now_ms, count * 1000),
            WindowUnit::Minute => next_multiple(now_ms, count * 60_000),
            WindowUnit::Hour => next_multiple(now_ms, count * 3_600_000),
            WindowUnit::Day => self.midnight(now_ms, |today| {
                let epoch = date(1970, 1, 1);
                let day = i64::from((today - epoch).get_days());
                epoch.checked_add(next_multiple(day, count).days()).ok()
            }),
            WindowUnit::Month => self.midnight(now_ms, |today| {
                let month = i64::from(today.year()) * 12 + i64::from(today.month()) - 1;
                let next = next_multiple(month, count);
                let (year, month) = (i16::try_from(next / 12).ok()?, i8::try_from(next % 12 + 1).ok()?);
                Date::new(year, month, 1).ok()
            }),
        }
    }

    /// The midnight, in the window's zone, of the day that `next` makes of today.
    fn midnight(&self, now_ms: i64, next: impl Fn(Date) -> Option<Date>) -> i64 {
        let today =
            Timestamp::from_millisecond(now_ms).unwrap_or_default().to_zoned(self.zone.clone()).date();
        next(today)
            .and_then(|day| day.to_zoned(self.zone.clone()).ok())
            .map_or(now_ms + 86_400_000, |midnight| midnight.timestamp().as_millisecond())
    }
}

fn next_multiple(value: i64, of: i64) -> i64 {
    (value.div_euclid(of) + 1) * of
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(count: u32, unit: WindowUnit, zone: &str, now: &str) -> String {
        let clock = Clock::new(&Window { count, unit, time_zone: zone.to_owned() });
        let now: Timestamp = now.parse().expect("a timestamp");
        Timestamp::from_millisecond(clock.end_after(now.as_millisecond())).expect("in range").to_string()
    }

    #[test]
    fn minutes_and_hours_end_on_the_full_one() {
        assert_eq!(end(1, WindowUnit::Minute, "UTC", "2026-11-21T10:00:59.999Z"), "2026-11-21T10:01:00Z");
        assert_eq!(end(1, WindowUnit::Hour, "UTC", "2026-11-21T10:00:00Z"), "2026-11-21T11:00:00Z");
    }

    #[test]
    fn a_day_ends_at_midnight_of_its_time_zone() {
        assert_eq!(end(1, WindowUnit::Day, "Asia/Shanghai", "2026-11-21T15:59:59Z"), "2026-11-21T16:00:00Z");
        assert_eq!(end(1, WindowUnit::Day, "Asia/Shanghai", "2026-11-21T16:00:00Z"), "2026-11-22T16:00:00Z");
    }

    #[test]
    fn a_day_with_a_clock_change_is_as_long_as_it_is() {
        assert_eq!(end(1, WindowUnit::Day, "Europe/Berlin", "2026-10-25T00:00:00Z"), "2026-10-25T23:00:00Z");
    }

    #[test]
    fn months_end_on_the_first() {
        assert_eq!(end(1, WindowUnit::Month, "UTC", "2026-12-31T23:59:59Z"), "2027-01-01T00:00:00Z");
        assert_eq!(end(3, WindowUnit::Month, "UTC", "2026-11-21T00:00:00Z"), "2027-01-01T00:00:00Z");
    }
}
