//! Numbers, times and shares as people write them.

use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;

pub(super) use crate::observe::{by_count, count, counted, size as bytes};

/// A moment in the local zone: 2026-05-03 21:04.
pub(super) fn moment(secs: i64) -> String {
    crate::observe::moment(secs, &TimeZone::system())
}

/// A moment for machines: RFC 3339 in UTC.
pub(super) fn rfc3339(secs: i64) -> String {
    Timestamp::from_second(secs).map_or_else(|_| String::new(), |at| at.to_string())
}

/// About how long: 40 s, 12 min, 3 h 5 min.
pub(super) fn duration(time: Duration) -> String {
    let secs = time.as_secs();
    match secs {
        0..60 => format!("{secs} s"),
        60..3600 => format!("{} min", secs.div_ceil(60)),
        _ => format!("{} h {} min", secs / 3600, secs % 3600 / 60),
    }
}

/// Text from a phone or folder, safe to print on a terminal: no control characters.
pub(super) fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// Bytes of a path, safe to print on one line.
pub(super) fn path(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes)
        .chars()
        .flat_map(|c| {
            let escaped = c.is_control() || c == '\\';
            let plain = (!escaped).then_some(c);
            plain.into_iter().chain(escaped.then(|| c.escape_default()).into_iter().flatten())
        })
        .collect()
}

/// Reads 30s, 5m, 1h, or seconds.
pub(super) fn parse_time(text: &str) -> Result<Duration, String> {
    let (number, unit) = match text.strip_suffix(['s', 'm', 'h']) {
        Some(number) => (number, text.chars().last().unwrap_or('s')),
        None => (text, 's'),
    };
    let number: u64 = number.parse().map_err(|_| "write it as 30s, 5m or 1h".to_owned())?;
    let secs = match unit {
        'm' => number.checked_mul(60),
        'h' => number.checked_mul(3600),
        _ => Some(number),
    };
    secs.map(Duration::from_secs).ok_or_else(|| "that is too long".to_owned())
}

/// Reads 5% or 0.05.
pub(super) fn parse_share(text: &str) -> Result<f64, String> {
    let wrong = || "write it as 5% or 0.05".to_owned();
    let share = match text.strip_suffix('%') {
        Some(percent) => percent.trim().parse::<f64>().map_err(|_| wrong())? / 100.0,
        None => text.parse::<f64>().map_err(|_| wrong())?,
    };
    if (0.0..=1.0).contains(&share) { Ok(share) } else { Err("between 0% and 100%".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_shares_are_read_as_written() {
        assert_eq!(parse_time("5m"), Ok(Duration::from_secs(300)));
        assert!(parse_time("5x").is_err());
        assert_eq!(parse_share("5%"), Ok(0.05));
        assert!(parse_share("120%").is_err());
    }

    #[test]
    fn a_name_cannot_move_the_cursor() {
        assert_eq!(path(b"a\x1b[2Jb\n"), "a\\u{1b}[2Jb\\n");
        assert_eq!(plain("a\u{1b}b"), "a\u{fffd}b");
    }
}
