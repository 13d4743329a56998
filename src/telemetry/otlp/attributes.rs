//! A span's attributes: name and value, left out where there is none.

use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};

/// Attributes being collected.
#[derive(Default)]
pub(super) struct Attributes(Vec<KeyValue>);

impl Attributes {
    fn put(&mut self, key: &'static str, value: Value) {
        let value = Some(AnyValue { value: Some(value) });
        self.0.push(KeyValue { key: key.to_owned(), value, ..KeyValue::default() });
    }

    pub(super) fn text(&mut self, key: &'static str, value: &str) {
        self.put(key, Value::StringValue(value.to_owned()));
    }

    pub(super) fn maybe(&mut self, key: &'static str, value: Option<&str>) {
        if let Some(value) = value {
            self.text(key, value);
        }
    }

    pub(super) fn count(&mut self, key: &'static str, value: u64) {
        self.put(key, Value::IntValue(i64::try_from(value).unwrap_or(i64::MAX)));
    }

    pub(super) fn number(&mut self, key: &'static str, value: f64) {
        self.put(key, Value::DoubleValue(value));
    }

    pub(super) fn flag(&mut self, key: &'static str, value: bool) {
        self.put(key, Value::BoolValue(value));
    }

    pub(super) fn take(self) -> Vec<KeyValue> {
        self.0
    }
}
