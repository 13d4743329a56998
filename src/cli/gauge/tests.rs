use super::*;

struct Machine(&'static [(&'static str, &'static str)]);

impl Host for Machine {
    fn var(&self, name: &str) -> Option<String> {
        self.0.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
    }

    fn memory(&self) -> u64 {
        1 << 30
    }
}

const KEYS: Machine = Machine(&[
    ("ANTHROPIC_API_KEY", "sk-ant"),
    ("OPENAI_API_KEY", "sk-oai"),
    ("WARMKEY_TOKEN", "wk-own"),
    ("EMPTY", " "),
]);

fn args(list: &[&str]) -> Args {
    #[derive(clap::Parser)]
    struct Cli {
        #[command(flatten)]
        args: Args,
    }
    <Cli as clap::Parser>::parse_from([&["gauge"], list].concat()).args
}

#[test]
fn a_providers_key_goes_to_that_provider_or_where_it_is_named() {
    for (text, named, variable) in [
        ("https://api.anthropic.com", None, Some("ANTHROPIC_API_KEY")),
        ("https://api.openai.com/v1", None, Some("OPENAI_API_KEY")),
        ("https://api.anthropic.com.example.org", None, Some("WARMKEY_TOKEN")),
        ("http://127.0.0.1:8080", None, Some("WARMKEY_TOKEN")),
        ("http://127.0.0.1:8080", Some("OPENAI_API_KEY"), Some("OPENAI_API_KEY")),
        ("ANTHROPIC_API_KEY=http://127.0.0.1:8080", None, Some("ANTHROPIC_API_KEY")),
    ] {
        let target = key::target(text, named, &KEYS).expect(text);
        assert_eq!(target.key_name(), variable, "{text}");
        assert!(!target.name().contains('='));
    }
    assert_eq!(key::target("http://h", None, &Machine(&[])).expect("no key is a choice").key_name(), None);
}

#[test]
fn a_key_that_is_not_there_is_missed_before_anything_is_sent() {
    for name in ["EMPTY", "NO_SUCH"] {
        let why = key::target("http://h", Some(name), &KEYS).expect_err("no key").to_string();
        assert_eq!(why, format!("the variable {name} is not set; export it, or name another one"));
    }
    let why = key::target("EMPTY=http://h", Some("WARMKEY_TOKEN"), &KEYS).expect_err("two").to_string();
    assert!(why.contains("`EMPTY` and `WARMKEY_TOKEN`"), "{why}");
}

#[test]
fn dialect_and_model_follow_from_each_other() {
    for (list, dialect, model) in [
        (&["http://h"][..], Dialect::Anthropic, "claude-sonnet-4-6"),
        (&["http://h", "--dialect", "responses"], Dialect::OpenAiResponses, "gpt-5.6"),
        (&["http://h", "--model", "mistral-large-4"], Dialect::OpenAiChat, "mistral-large-4"),
        (&["http://h", "--model", "claude-opus-5"], Dialect::Anthropic, "claude-opus-5"),
        (
            &["http://h", "--model", "claude-opus-5", "--dialect", "chat"],
            Dialect::OpenAiChat,
            "claude-opus-5",
        ),
    ] {
        let conduct = args(list).conduct();
        assert_eq!((conduct.dialect, conduct.model.as_str()), (dialect, model), "{list:?}");
    }
}

#[test]
fn without_a_terminal_the_cap_has_to_be_passed_and_a_price_to_be_known() {
    let prices = Arc::new(config::price_list(&config::prices(None, &KEYS).expect("the built-in list")));
    let why = cost::tariff(None, "nobodys-model", &prices).expect_err("no price").to_string();
    assert!(why.contains("`nobodys-model` is not known") && why.contains("--price-like"), "{why}");
    let tariff = cost::tariff(Some("gpt-5.6"), "nobodys-model", &prices).expect("a price");
    let args = args(&["http://h"]);
    let estimate = gauge::estimate(&args.plan().expect("small"), &args.conduct(), &tariff);
    assert!((400..700).contains(&estimate.requests), "{estimate:?}");
    assert!((3_000_000..10_000_000).contains(&estimate.input), "{estimate:?}");
    assert!((10..120).contains(&(estimate.most.0 / 1_000_000_000)), "{estimate:?}");
    let words = cost::words(&estimate);
    assert!(words.contains("million tokens") && words.contains("at list prices"), "{words}");
}

#[test]
fn numbers_are_held_to_their_range() {
    assert_eq!(dollars("$2.50"), Ok(NanoUsd(2_500_000_000)));
    assert!(dollars("0").is_err() && dollars("-1").is_err() && dollars("much").is_err());
    assert_eq!((pace("0"), percent("80%")), (Ok(0.0), Ok(80.0)));
    assert!(pace("-1").is_err() && pace("NaN").is_err() && percent("101").is_err() && time("0s").is_err());
}
