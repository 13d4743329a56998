//! How times and sizes are written: `250ms`, `1h30m`, `32MiB`.

use std::time::Duration;

use toml::de::DeValue;

const TIMES: &[(&str, u64)] =
    &[("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 24 * 3_600_000)];

const SIZES: &[(&str, u64)] = &[
    ("B", 1),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
];

/// Splits `12ms3s` into `(12, "ms")` and `3s`.
fn number_and_unit(text: &str) -> Option<(u64, &str, &str)> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let number = text[..digits].parse().ok()?;
    let rest = &text[digits..];
    let unit_end = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
    Some((number, &rest[..unit_end], &rest[unit_end..]))
}

fn unit(units: &[(&str, u64)], name: &str) -> Option<u64> {
    units.iter().find(|(unit, _)| *unit == name).map(|&(_, factor)| factor)
}

/// Reads `10s`, `1h30m`, `250ms`; units only once each, largest first.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    let (mut rest, mut sum, mut last) = (text, 0_u64, u64::MAX);
    while !rest.is_empty() {
        let (number, name, after) = number_and_unit(rest)?;
        let factor = unit(TIMES, name).filter(|factor| *factor < last)?;
        sum = sum.checked_add(number.checked_mul(factor)?)?;
        (rest, last) = (after, factor);
    }
    (last != u64::MAX).then(|| Duration::from_millis(sum))
}

/// Writes what [`duration`] reads.
pub(crate) fn duration_text(span: Duration) -> String {
    let mut rest = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
    let mut text = String::new();
    for (name, factor) in TIMES.iter().rev() {
        if rest >= *factor {
            text.push_str(&format!("{}{name}", rest / factor));
            rest %= factor;
        }
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}

/// Reads `32MiB`, `64KB`, `512B`.
pub(crate) fn size(text: &str) -> Option<u64> {
    let (number, name, rest) = number_and_unit(text)?;
    if !rest.is_empty() {
        return None;
    }
    number.checked_mul(unit(SIZES, name)?)
}

/// Writes what [`size`] reads, in the largest binary unit that divides it.
pub(crate) fn size_text(bytes: u64) -> String {
    let whole = SIZES[..4].iter().rev().find(|(_, factor)| bytes != 0 && bytes.is_multiple_of(*factor));
    whole.map_or_else(|| format!("{bytes}B"), |(name, factor)| format!("{}{name}", bytes / factor))
}

/// A number of the file as it is written: money never passes through floating point.
pub(super) fn number_text<'a>(value: &'a DeValue<'_>) -> Option<&'a str> {
    match value {
        DeValue::Float(float) => Some(float.as_str()),
        DeValue::Integer(integer) if integer.radix() == 10 => Some(integer.as_str()),
        DeValue::String(_)
        | DeValue::Integer(_)
        | DeValue::Boolean(_)
        | DeValue::Datetime(_)
        | DeValue::Array(_)
        | DeValue::Table(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn durations_are_read_as_people_write_them() {
        for (text, millis) in
            [("250ms", 250), ("10s", 10_000), ("1h30m", 5_400_000), ("0s", 0), ("2d", 172_800_000)]
        {
            assert_eq!(duration(text), Some(Duration::from_millis(millis)), "{text}");
        }
    }

    #[test]
    fn half_written_durations_are_refused() {
        for text in
            ["", "10", "s", "-1s", "1.5s", "10 s", "10sec", "1s1h", "1s1s", "99999999999999999999s", "1h "]
        {
            assert_eq!(duration(text), None, "{text}");
        }
    }

    #[test]
    fn sizes_need_a_unit_that_we_know() {
        assert_eq!(size("32MiB"), Some(32 << 20));
        assert_eq!(size("64KB"), Some(64_000));
        for text in ["32", "MiB", "1MiB1B", "1mib", "99999999999GiB"] {
            assert_eq!(size(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(millis in 0_u64..1_000_000_000_000, bytes in 0_u64..u64::MAX) {
            let span = Duration::from_millis(millis);
            prop_assert_eq!(duration(&duration_text(span)), Some(span));
            prop_assert_eq!(size(&size_text(bytes)), Some(bytes));
        }

        #[test]
        fn no_text_makes_the_readers_panic(text in "\\PC*") {
            let _ = (duration(&text), size(&text));
        }
    }
}
