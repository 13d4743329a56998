//! What goes up is what came in, and what comes down is what was answered, byte for byte.

use bytes::Bytes;
use serde_json::{Value, json};
use warmkey::{
    sim::{Fault, RetryHint},
    types::Dialect,
};

use crate::{
    harness::{Ask, Gateway, Reply, Setup, body, path, within},
    wire::{Fixed, Script, Wire, head, roomy, sha256},
};

/// A body of exactly `size` bytes.
fn sized(dialect: Dialect, size: usize) -> Bytes {
    let empty = serde_json::to_vec(&body(dialect, "")).expect("JSON").len();
    let text: String = ('a'..='z').cycle().take(size - empty).collect();
    let bytes = serde_json::to_vec(&body(dialect, &text)).expect("JSON");
    assert_eq!(bytes.len(), size);
    bytes.into()
}

/// How a body is sent.
#[derive(Clone, Copy, Debug)]
enum Way {
    Length,
    Chunked,
    Expect,
    Http2,
    Http2NoLength,
}

impl Way {
    const ALL: [Self; 5] = [Self::Length, Self::Chunked, Self::Expect, Self::Http2, Self::Http2NoLength];

    async fn send(self, gateway: &Gateway, dialect: Dialect, body: Bytes, session: &str) -> Reply {
        let ask = gateway.ask(dialect).session(session).raw(body.clone());
        match self {
            Self::Length => ask.send().await,
            Self::Chunked => ask.pieces(9_973).send().await,
            Self::Expect => {
                let mut wire = Wire::connect(gateway.data).await;
                let expecting = head(path(dialect), body.len()).replace(
                    "\r\n\r\n",
                    &format!("\r\nexpect: 100-continue\r\nx-session-id: session-{session}\r\n\r\n"),
                );
                wire.say(expecting).await;
                wire.read_until("HTTP/1.1 100 Continue\r\n\r\n").await;
                wire.say(&body).await;
                wire.reply().await
            }
            Self::Http2 => ask.http2(true).send().await,
            Self::Http2NoLength => ask.http2(true).pieces(9_973).send().await,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_of_any_size_arrives_as_it_was_sent_however_it_was_sent() {
    let sim = roomy().await;
    let gateway = Setup::over(&sim).start().await;
    let small = [1_000, 65_535, 65_536, 65_537];
    let sizes = Dialect::ALL.into_iter().flat_map(|dialect| small.map(|size| (dialect, size)));
    let large = [(Dialect::OpenAiChat, 400_000), (Dialect::Anthropic, 6_000_000)];
    for (dialect, size) in sizes.chain(large) {
        let body = sized(dialect, size);
        let digest = sha256(&body);
        for way in Way::ALL {
            let name = format!("{dialect}-{size}-{way:?}");
            way.send(&gateway, dialect, body.clone(), &name).await.assert_ok();
            let seen = sim.seen().pop().expect("a request");
            assert_eq!((seen.body_len, &seen.body_sha256), (size, &digest), "{name}");
            assert_eq!(seen.header("content-length"), size.to_string(), "{name}");
        }
    }
    gateway.assert_all_ready().await;
    gateway.assert_no_panic();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_arrives_again_as_it_was_sent_when_the_first_account_fails() {
    let sim = roomy().await;
    let gateway = Setup::over(&sim)
        .provider("routing = \"pinned\"\nretry_budget_percent = 100\n[provider.cooling]\ndefault_429 = \"100ms\"\npace = \"0ms\"")
        .start()
        .await;
    let faults = [Fault::ServerError, Fault::RateLimited { hint: RetryHint::None }, Fault::ResetBeforeHeader];
    let sizes = [
        (Dialect::OpenAiResponses, 1_000),
        (Dialect::Anthropic, 65_535),
        (Dialect::OpenAiChat, 65_536),
        (Dialect::OpenAiResponses, 65_537),
        (Dialect::OpenAiChat, 400_000),
        (Dialect::Anthropic, 6_000_000),
    ];
    for (fault, ways) in faults.into_iter().zip([
        [Way::Length, Way::Http2],
        [Way::Chunked, Way::Http2NoLength],
        [Way::Expect, Way::Http2],
    ]) {
        for ((dialect, size), way) in sizes.into_iter().zip(ways.into_iter().cycle()) {
            let body = sized(dialect, size);
            let before = sim.seen().len();
            sim.script(fault.clone());
            let name = format!("{fault:?}-{size}-{way:?}").replace(|c: char| !c.is_alphanumeric(), "-");
            way.send(&gateway, dialect, body.clone(), &name).await.assert_ok();
            let seen = sim.seen().split_off(before);
            assert_eq!(seen.len(), 2, "{name}: {seen:#?}");
            for request in &seen {
                assert_eq!(request.body_len, size, "{name}");
                assert_eq!(request.body_sha256, sha256(&body), "{name}");
            }
            // A pooled connection that breaks says nothing against its account: the same one again.
            if fault != Fault::ResetBeforeHeader {
                assert_ne!(seen[0].key, seen[1].key, "{name}: another account answers");
            }
        }
    }
    gateway.at_rest().await;
    gateway.assert_no_panic();
}

/// Bodies that a parser and a printer would not leave alone. `MODEL` stands for the model's name.
fn odd(dialect: Dialect) -> Vec<Vec<u8>> {
    let prompt = match dialect {
        Dialect::Anthropic => r#""max_tokens" :16,"messages": [ {"role":"user","content":"TEXT"} ]"#,
        Dialect::OpenAiChat => r#""messages": [ {"role":"user","content":"TEXT"} ]"#,
        Dialect::OpenAiResponses => r#""input": [ {"role":"user","content":"TEXT"} ]"#,
    };
    let text = |text: &str| prompt.replace("TEXT", text);
    let hello = text("hello");
    let texts = [
        format!("{{\"model\":\"MODEL\",{hello}}}"),
        // Whitespace of every kind, everywhere.
        format!(" \r\n\t{{ \"model\"\t:\r\n \"MODEL\" \n,\r{hello} \t}} \r\n\t "),
        // A trailing newline, and lines in the manner of DOS.
        format!("{{{hello},\"model\":\"MODEL\"}}\n"),
        format!("{{\r\n  \"model\": \"MODEL\",\r\n  {hello}\r\n}}\r\n"),
        // Escapes that need none, in values and in keys.
        format!(
            r#"{{"\u006dodel":"MODEL",{}}}"#,
            text(r"\u0068\u0065llo \/ \b\f\n\r\t\u0000 \u00e9 \ud83d\ude00")
        ),
        // Lone surrogates, in both halves and out of order.
        format!(r#"{{"model":"MODEL",{}}}"#, text(r"\ud83d and \ude00 and \ude00\ud83d")),
        // Numbers that a double cannot hold, or would print otherwise.
        format!(
            r#"{{"model":"MODEL",{hello},"x":[1.0e+2,-0,-0.0,1E5,0.10,123456789012345678901234567890,1e-400,1.7976931348623157e309]}}"#
        ),
        // Keys that repeat inside of something else.
        format!(r#"{{"model":"MODEL",{hello},"x":{{"a":1,"a":2,"a":{{"model":1,"model":2}}}},"y":1,"y":2}}"#),
        // Empty keys, empty everything, what looks like structure inside of a string.
        format!(
            r#"{{"":"","model":"MODEL","x":[{{}},[],"",null,true,false],{}}}"#,
            text(r#"}],\"model\":\"x\",[{"#)
        ),
        // Text that is not ASCII, a BOM and separators within a string, DEL.
        format!("{{\"model\":\"MODEL\",{}}}", text("Grüße 東京 😀 \u{feff}\u{2028}\u{2029}\u{7f}")),
    ];
    texts.into_iter().map(String::into_bytes).collect()
}

/// A gateway over a provider whose answers are fixed to the byte.
async fn over(fixed: &Fixed) -> Gateway {
    Setup::at(&fixed.base_url(), vec!["fixed-1".to_owned(), "fixed-2".to_owned()])
        .more("[[model]]\nname = \"fast\"\nprovider = \"anthropic\"\nupstream = \"claude \\\"haiku\\\"\"")
        .more("[[model]]\nname = \"quick\"\nprovider = \"openai\"\nupstream = \"gpt-5.6-mini\"")
        .start()
        .await
}

fn replaced(bytes: &[u8], what: &str, with: &str) -> Vec<u8> {
    String::from_utf8(bytes.to_vec()).expect("text").replace(what, with).into_bytes()
}

fn answer(body: &str) -> Script {
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    Script::Pieces(vec![head.into(), body.to_owned().into()])
}

#[tokio::test(flavor = "multi_thread")]
async fn odd_json_arrives_as_it_was_written() {
    let fixed = Fixed::start().await;
    let gateway = over(&fixed).await;
    fixed.says(answer("{}"));
    for dialect in Dialect::ALL {
        let model = crate::harness::model(dialect);
        for body in odd(dialect) {
            let body = replaced(&body, "MODEL", model);
            gateway.ask(dialect).raw(body.clone()).send().await.assert_ok();
            let arrived = fixed.bodies().pop().expect("a body");
            assert_eq!(String::from_utf8_lossy(&arrived), String::from_utf8_lossy(&body), "{dialect}");
        }
    }
    gateway.assert_all_ready().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_name_upstream_changes_the_bytes_of_that_name_only() {
    let fixed = Fixed::start().await;
    let gateway = over(&fixed).await;
    fixed.says(answer("{}"));
    for dialect in Dialect::ALL {
        let (name, upstream) = match dialect {
            Dialect::Anthropic => ("fast", r#""claude \"haiku\"""#),
            Dialect::OpenAiChat | Dialect::OpenAiResponses => ("quick", r#""gpt-5.6-mini""#),
        };
        for body in odd(dialect) {
            let wanted = replaced(&body, "\"MODEL\"", upstream);
            gateway.ask(dialect).raw(replaced(&body, "MODEL", name)).send().await.assert_ok();
            let arrived = fixed.bodies().pop().expect("a body");
            assert_eq!(String::from_utf8_lossy(&arrived), String::from_utf8_lossy(&wanted), "{dialect}");
        }
        // The name as it can be written, too.
        let escaped: String = name.bytes().map(|byte| format!("\\u{byte:04x}")).collect();
        let body = &odd(dialect)[1];
        gateway.ask(dialect).raw(replaced(body, "MODEL", &escaped)).send().await.assert_ok();
        let arrived = fixed.bodies().pop().expect("a body");
        assert_eq!(arrived, replaced(body, "\"MODEL\"", upstream), "{dialect}");
    }
    gateway.assert_all_ready().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_usage_option_is_put_in_and_nothing_else_is_touched() {
    let fixed = Fixed::start().await;
    let gateway = over(&fixed).await;
    fixed.says(answer("{}"));
    let with = |options: &str| -> Vec<Vec<u8>> {
        let streamed = |body: Vec<u8>| {
            let text = replaced(&body, "MODEL", "gpt-5.6");
            let open = text.iter().position(|&byte| byte == b'{').expect("an object") + 1;
            [&text[..open], br#" "stream" : true ,"#, options.as_bytes(), &text[open..]].concat()
        };
        odd(Dialect::OpenAiChat).into_iter().map(streamed).collect()
    };
    // Nothing there, or an object to which it can be added: an insertion and nothing else.
    for (options, is) in [
        ("", json!({"include_usage": true})),
        (r#""stream_options": { } ,"#, json!({"include_usage": true})),
        (
            r#""stream_options":{ "include_obfuscation" : false } ,"#,
            json!({"include_usage": true, "include_obfuscation": false}),
        ),
    ] {
        for body in with(options) {
            gateway.ask(Dialect::OpenAiChat).raw(body.clone()).send().await.assert_ok();
            let arrived = fixed.bodies().pop().expect("a body");
            assert_inserted(&body, &arrived, &is);
        }
    }
    // There with another value: that value and nothing else.
    for body in with(r#""stream_options":{"include_usage" : false} ,"#) {
        gateway.ask(Dialect::OpenAiChat).raw(body.clone()).send().await.assert_ok();
        let arrived = fixed.bodies().pop().expect("a body");
        assert_eq!(arrived, replaced(&body, "\"include_usage\" : false", "\"include_usage\" : true"));
    }
    // There already, or not streamed: as it came.
    for body in with(r#""stream_options":{"include_usage" : true} ,"#) {
        gateway.ask(Dialect::OpenAiChat).raw(body.clone()).send().await.assert_ok();
        assert_eq!(fixed.bodies().pop().expect("a body"), body);
    }
    gateway.assert_all_ready().await;
}

/// `arrived` is `sent` with one thing put in, and that is the usage option.
#[track_caller]
fn assert_inserted(sent: &[u8], arrived: &[u8], options: &Value) {
    let (text, shown) = (String::from_utf8_lossy(sent), String::from_utf8_lossy(arrived));
    let same = sent.iter().zip(arrived).take_while(|(a, b)| a == b).count();
    let rest = sent.iter().rev().zip(arrived.iter().rev()).take_while(|(a, b)| a == b).count();
    assert!(arrived.len() > sent.len() && same + rest >= sent.len(), "{text}\nbecame\n{shown}");
    let at = shown.find("\"stream_options\"").expect("it is there") + "\"stream_options\"".len();
    let value = shown[at..].trim_start().strip_prefix(':').expect("a member");
    let value = serde_json::Deserializer::from_str(value).into_iter::<Value>().next();
    assert_eq!(value.expect("a value").expect("JSON"), *options, "{shown}");
    assert_eq!(shown.matches("include_usage").count(), 1, "{shown}");
}

/// Splits bytes into pieces of this many.
fn pieces(bytes: &[u8], size: usize) -> Vec<Bytes> {
    bytes.chunks(size).map(Bytes::copy_from_slice).collect()
}

fn chunked(kind: &str, bytes: &[u8], size: usize) -> Script {
    let head = format!("HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ntransfer-encoding: chunked\r\n\r\n");
    let mut said = vec![Bytes::from(head)];
    for piece in pieces(bytes, size) {
        let framed = [format!("{:x}\r\n", piece.len()).as_bytes(), &piece, b"\r\n"].concat();
        said.push(framed.into());
    }
    said.push(Bytes::from_static(b"0\r\n\r\n"));
    Script::Pieces(said)
}

/// A stream with everything that the format allows, and that nobody would write twice the same way.
fn odd_stream(dialect: Dialect) -> String {
    match dialect {
        Dialect::Anthropic => concat!(
            ": a comment\n\n",
            "event: message_start\r\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\",\"usage\":{\"input_tokens\":3,\"output_tokens\":1}}}\r\n\r\n",
            "event: ping\ndata: {\"type\": \"ping\"}\n\n",
            "event:content_block_start\ndata:{\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n",
            "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"Grüße 東京 😀 \\u00e9\\n\"}}\n\n",
            "id: 7\nretry: 10\nevent: new_kind\ndata: {\"type\":\"new_kind\",\ndata: \"x\": 1.0e+2}\n\n",
            "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\n",
            "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":9}}\n\n",
            "event: message_stop\ndata: {\"type\":\"message_stop\"  }\n\n",
        )
        .to_owned(),
        Dialect::OpenAiChat => concat!(
            ": OPENROUTER PROCESSING\n\n",
            "data: {\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n",
            "data:{\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Grüße 東京 😀\"},\"x\":-0}]}\r\n\r\n",
            "data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\" \\ud83d\"}}]}\n\n\n\n",
            "data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n",
            "data: [DONE]\n\n",
        )
        .to_owned(),
        Dialect::OpenAiResponses => concat!(
            "event: response.created\ndata: {\"type\":\"response.created\",\"sequence_number\":0,\"response\":{\"id\":\"resp_1\",\"status\":\"in_progress\"}}\n\n",
            "event: response.output_text.delta\rdata: {\"type\":\"response.output_text.delta\",\"sequence_number\":1,\"delta\":\"Grüße 東京 😀\"}\r\r",
            "event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\"sequence_number\":2,\"delta\":\"x\" , \"obfuscation\" : \"ab\" }\n\n",
            "event: response.completed\ndata: {\"type\":\"response.completed\",\"sequence_number\":3,\"response\":{\"id\":\"resp_1\",\"status\":\"completed\",\"usage\":{\"input_tokens\":3,\"output_tokens\":9}}}\n\n",
        )
        .to_owned(),
    }
}

async fn ask_both(gateway: &Gateway, ask: &Ask, wanted: &str, what: &str) {
    for http2 in [false, true] {
        let reply = ask.clone().http2(http2).send().await.assert_ok();
        assert_eq!(reply.text(), wanted, "{what}, HTTP/2: {http2}\n{}", gateway.log());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_comes_down_as_it_was_given_however_it_was_cut() {
    let fixed = Fixed::start().await;
    let gateway = over(&fixed).await;
    for dialect in Dialect::ALL {
        let plain = "\r\n { \"id\" : \"x\" , \"a\":1.0e+2,\"b\":[ -0 , 123456789012345678901234567890 ],\"c\":\"\\ud83d Grüße 😀\" } \n";
        for size in [1, 7, 4_096] {
            fixed.says(chunked("application/json", plain.as_bytes(), size));
            ask_both(&gateway, &gateway.ask(dialect), plain, &format!("{dialect} plain by {size}")).await;
        }
        let stream = odd_stream(dialect);
        for size in [1, 2, 3, 7, 64, 100_000] {
            fixed.says(chunked("text/event-stream; charset=utf-8", stream.as_bytes(), size));
            let ask = gateway.ask(dialect).stream(true);
            ask_both(&gateway, &ask, &stream, &format!("{dialect} stream by {size}")).await;
        }
    }
    gateway.assert_all_ready().await;
    gateway.assert_no_panic();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_of_megabytes_comes_down_whole() {
    let fixed = Fixed::start().await;
    let gateway = over(&fixed).await;
    let text: String = ('a'..='z').cycle().take(5_000_000).collect();
    let plain = format!("{{\"id\":\"x\",\"text\":\"{text}\"}}");
    let event = format!(
        "data: {{\"id\":\"c\",\"choices\":[{{\"delta\":{{\"content\":\"{}\"}}}}]}}\n\n",
        &text[..200_000]
    );
    let stream = event.repeat(20)
        + "data: {\"id\":\"c\",\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";
    for http2 in [false, true] {
        fixed.says(chunked("application/json", plain.as_bytes(), 60_000));
        let ask = gateway.ask(Dialect::OpenAiChat).http2(http2);
        assert_eq!(sha256(&ask.send().await.assert_ok().body), sha256(plain.as_bytes()));
        fixed.says(chunked("text/event-stream", stream.as_bytes(), 50_021));
        assert_eq!(sha256(&ask.stream(true).send().await.assert_ok().body), sha256(stream.as_bytes()));
    }
    gateway.assert_all_ready().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_provider_answers_is_what_the_gateway_answers() {
    let sim = roomy().await;
    let gateway = Setup::over(&sim).start().await;
    for dialect in Dialect::ALL {
        for stream in [false, true] {
            let asked = gateway.ask(dialect).stream(stream);
            let asked = if dialect == Dialect::OpenAiChat && stream {
                asked.with(|body| body["stream_options"] = json!({"include_usage": true}))
            } else {
                asked
            };
            let through = asked.send().await.assert_ok();
            let key = sim.seen().pop().expect("a request").key;
            let url = format!("{}{}", sim.base_url(), path(dialect));
            let direct = Ask::new(url, Value::Null)
                .header("authorization", &format!("Bearer {key}"))
                .raw(asked.body.clone());
            let direct = within("the provider answers", direct.send()).await.assert_ok();
            assert_eq!(unnamed(&through.text()), unnamed(&direct.text()), "{dialect} {stream}");
            assert_eq!(through.header("content-type"), direct.header("content-type"));
        }
    }
    gateway.assert_all_ready().await;
}

/// The text with ids and times taken out; everything else stays where it was.
fn unnamed(text: &str) -> String {
    let mut out = String::new();
    for part in text.split('"') {
        let is_id = ["msg_", "chatcmpl", "resp_", "rs_", "req_"].iter().any(|head| part.starts_with(head));
        out += if is_id { "ID" } else { part };
        out.push('"');
    }
    let mut rest = out.as_str();
    let mut timeless = String::new();
    for name in std::iter::repeat("\"created") {
        let Some(at) = rest.find(name) else { break };
        let digits = rest[at..].find(|c: char| c.is_ascii_digit()).unwrap_or(0);
        timeless += &rest[..at + digits];
        rest = rest[at + digits..].trim_start_matches(|c: char| c.is_ascii_digit());
    }
    timeless + rest
}
