use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::{
    dialect::{ScanLimits, scan},
    types::Operation,
};

fn view(body: &str) -> RequestView {
    scan(Operation::ChatCompletions, body.as_bytes(), &ScanLimits::default())
        .unwrap_or_else(|error| panic!("{error}: {body}"))
}

fn with_usage(body: &str) -> String {
    let splices: Vec<Splice> = view(body).splice_include_usage(body.as_bytes()).into_iter().collect();
    let out = apply(&Bytes::copy_from_slice(body.as_bytes()), &splices);
    String::from_utf8(out.to_vec()).unwrap()
}

#[test]
fn usage_is_asked_for_wherever_it_was_not() {
    for (body, expected) in [
        (r#"{"model":"m"}"#, r#"{"stream_options":{"include_usage":true},"model":"m"}"#),
        (r#"{ "model":"m"}"#, r#"{"stream_options":{"include_usage":true}, "model":"m"}"#),
        (
            r#"{"model":"m","stream_options":null}"#,
            r#"{"model":"m","stream_options":{"include_usage":true}}"#,
        ),
        (
            r#"{"model":"m","stream_options":{ }}"#,
            r#"{"model":"m","stream_options":{"include_usage":true }}"#,
        ),
        (
            r#"{"model":"m","stream_options": {"a":1}}"#,
            r#"{"model":"m","stream_options": {"include_usage":true,"a":1}}"#,
        ),
        (
            r#"{"model":"m","stream_options":{"a":1,"include_usage": false}}"#,
            r#"{"model":"m","stream_options":{"a":1,"include_usage": true}}"#,
        ),
        (
            r#"{"model":"m","stream_options":{"include\u005fusage":null}}"#,
            r#"{"model":"m","stream_options":{"include\u005fusage":true}}"#,
        ),
        (
            r#"{"model":"m","stream_options":{"include_usage":true}}"#,
            r#"{"model":"m","stream_options":{"include_usage":true}}"#,
        ),
    ] {
        assert_eq!(with_usage(body), expected);
        assert!(view(&with_usage(body)).includes_usage);
    }
}

#[test]
fn without_a_splice_nothing_is_copied() {
    let body = Bytes::from_static(b"{}");
    assert_eq!(apply(&body, &[]).as_ptr(), body.as_ptr());
}

#[test]
fn a_splice_that_does_not_fit_is_left_out() {
    let body = Bytes::from_static(b"0123456789");
    let splice = |span: Span, with: &'static str| Splice { span, with: Bytes::from_static(with.as_bytes()) };
    let splices = [splice(5..7, "B"), splice(1..2, "A"), splice(6..8, "overlaps"), splice(9..11, "beyond")];
    assert_eq!(apply(&body, &splices), "0A234B789");
}

proptest! {
    #[test]
    fn everything_but_the_splices_stays_byte_for_byte(
        name in ".{1,20}",
        before in "[a-z \\\\u00e9]{0,10}",
        options in proptest::sample::select(vec!["", r#","stream_options":{"x":[1]}"#, r#","stream_options" :null"#]),
        space in proptest::sample::select(vec!["", " ", "\n"]),
    ) {
        let before = serde_json::to_string(&before).unwrap();
        let body = format!(r#"{{"a":{before},{space}"model":{space}"old",{space}"seed":1.0e+2{options}}}"#);
        let bytes = Bytes::from(body.clone());
        let view = view(&body);
        let splices = [view.splice_model(&name), view.splice_include_usage(&bytes).unwrap()];
        let out = apply(&bytes, &splices);
        let value: Value = serde_json::from_slice(&out).unwrap();
        prop_assert_eq!(value["model"].as_str(), Some(name.as_str()));
        prop_assert_eq!(&value["stream_options"]["include_usage"], &Value::Bool(true));
        // What stands around and between the splices is what stood there.
        let mut ordered = splices.to_vec();
        ordered.sort_by_key(|splice| splice.span.start);
        let (mut in_body, mut in_out) = (0, 0);
        for splice in &ordered {
            let kept = splice.span.start - in_body;
            prop_assert_eq!(&out[in_out..in_out + kept], &bytes[in_body..splice.span.start]);
            in_out += kept;
            prop_assert_eq!(&out[in_out..in_out + splice.with.len()], &splice.with);
            in_out += splice.with.len();
            in_body = splice.span.end;
        }
        prop_assert_eq!(&out[in_out..], &bytes[in_body..]);
    }
}
