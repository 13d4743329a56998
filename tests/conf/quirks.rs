//! What each host of a Chat preset gets of one request that says nearly everything.
//!
//! `WARMKEY_WRITE_GOLDEN=1 cargo test --test conf quirks` writes the files anew; read the difference.

use std::{fs, path::Path};

use serde_json::{Value, json};
use warmkey::{
    config,
    dialect::{Maker, OnLoss, Target, translate_request},
    types::{Operation, ProviderDialect},
    upstream::ProviderParams,
};

use super::Lab;

const PRESETS: &[&str] = &[
    "openai",
    "azure",
    "mistral",
    "deepseek",
    "xai",
    "cohere",
    "groq",
    "together",
    "fireworks",
    "openrouter",
    "vllm",
    "sglang",
    "ollama",
    "llama-cpp",
];

fn provider(preset: &str) -> ProviderParams {
    let text = format!(
        "[[provider]]\nname = \"p\"\npreset = {preset:?}\n{}[[endpoint]]\nname = \"e\"\nprovider = \"p\"\n\
         key = {{ env = \"KEY\" }}\n[[model]]\nname = \"m\"\nprovider = \"p\"\n",
        if preset == "azure" { "resource = \"r\"\n" } else { "" }
    );
    let config = config::parse(&text, Path::new("w.toml"), &Lab::with(&[("KEY", "sk-1")]));
    config.unwrap_or_else(|faults| panic!("{faults}")).providers.remove(0)
}

fn sent(preset: &str, body: &[u8]) -> Value {
    let provider = provider(preset);
    let target = Target {
        dialect: ProviderDialect::OpenAiChat,
        maker: Maker::of("p"),
        model: "their-name",
        quirks: &provider.quirks,
        on_loss: OnLoss::Drop,
    };
    let written =
        translate_request(Operation::ChatCompletions, body, &target, "id", 0).expect("a translation");
    let body: Value = serde_json::from_slice(&written.body).expect("JSON");
    json!({ "path": written.path, "lost": written.dropped, "body": body })
}

#[test]
fn each_host_gets_what_it_understands_and_no_more() {
    let folder = Path::new("tests/golden/quirks");
    let request = fs::read(folder.join("request.json")).expect("the request");
    for preset in PRESETS {
        let path = folder.join(format!("{preset}.json"));
        let found = sent(preset, &request);
        if std::env::var_os("WARMKEY_WRITE_GOLDEN").is_some() {
            let text = serde_json::to_string_pretty(&found).expect("JSON") + "\n";
            fs::write(&path, text).expect("written");
        }
        let expected: Value =
            serde_json::from_slice(&fs::read(&path).expect("its expectation")).expect("JSON");
        assert_eq!(found, expected, "{preset}");
    }
}
