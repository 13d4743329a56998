//! Gauges of what there are many of, written at each scrape and kept nowhere.
//!
//! A gauge in the registry costs an allocation for every label each time it is set and each time it is
//! gathered. A thousand endpoints have twenty thousand gauges, and none of them is worth keeping: they are
//! read off the live state. Here each costs its line of text, which is the same in both forms.

use std::fmt::Write as _;

use super::openmetrics::{Bare, Escaped};

/// The text of such families.
#[derive(Default)]
pub struct Readings(String);

/// One of them, being written. Its series must not be of one set of labels twice.
pub struct Reading<'a> {
    text: &'a mut String,
    name: &'static str,
}

impl Readings {
    /// Begins a family; `name` is without our prefix.
    pub fn family(&mut self, name: &'static str, help: &str) -> Reading<'_> {
        // Writing into memory cannot fail, here and below.
        let _ = writeln!(self.0, "# HELP warmkey_{name} {}\n# TYPE warmkey_{name} gauge", Escaped(help));
        Reading { text: &mut self.0, name }
    }

    pub(super) fn text(&self) -> &str {
        &self.0
    }
}

impl Reading<'_> {
    /// One series. The value is in the unit that the family's name says.
    pub fn series<const N: usize>(&mut self, labels: [(&str, &str); N], value: f64) {
        // Twenty thousand times a scrape: formatting is only for what needs it.
        self.text.push_str("warmkey_");
        self.text.push_str(self.name);
        let mut before = '{';
        for (label, value) in labels {
            self.text.push(before);
            self.text.push_str(label);
            self.text.push_str("=\"");
            if value.contains(['\\', '"', '\n']) {
                let _ = write!(self.text, "{}", Escaped(value));
            } else {
                self.text.push_str(value);
            }
            self.text.push('"');
            before = ',';
        }
        self.text.push_str(if N > 0 { "} " } else { " " });
        match value {
            0.0 => self.text.push('0'),
            1.0 => self.text.push('1'),
            _ => {
                let _ = write!(self.text, "{}", Bare(value));
            }
        }
        self.text.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_values_stay_between_their_quotes() {
        let mut readings = Readings::default();
        let mut state = readings.family("state", "A state.");
        state.series([("who", "a\"} 7\nwarmkey_x{b=\"\\"), ("how", "well")], 1.0);
        state.series([], f64::INFINITY);
        let expected = "# HELP warmkey_state A state.\n# TYPE warmkey_state gauge\n\
            warmkey_state{who=\"a\\\"} 7\\nwarmkey_x{b=\\\"\\\\\",how=\"well\"} 1\n\
            warmkey_state +Inf\n";
        assert_eq!(readings.text(), expected);
    }
}
