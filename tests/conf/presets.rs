//! Providers by name, how they are let in, and what is said where that cannot be.

use std::{fs, path::Path};

use warmkey::{
    config::{self, Config},
    dialect::{OnLoss, Quirks},
    types::ProviderDialect,
    upstream::{AuthScheme, AwsSource, CacheRule, ContainerToken, EndpointParams, Grant},
};

use super::Lab;

/// A provider `p`, an endpoint `e` of it with this key, and a model.
fn file(provider: &str, key: &str) -> String {
    format!(
        "[[provider]]\nname = \"p\"\n{provider}\n[[endpoint]]\nname = \"e\"\nprovider = \"p\"\n{key}\n\
         [[model]]\nname = \"m\"\nprovider = \"p\"\n"
    )
}

fn read_on(lab: &Lab, provider: &str, key: &str) -> Result<Config, Vec<String>> {
    let dir = tempfile::tempdir().expect("a folder");
    fs::write(dir.path().join("secret"), "hush").expect("written");
    fs::copy("tests/data/service-account.json", dir.path().join("google.json")).expect("copied");
    config::parse(&file(provider, key), &dir.path().join("w.toml"), lab).map_err(|faults| {
        faults.0.iter().map(|fault| format!("{}: {}; {}", fault.path, fault.what, fault.remedy)).collect()
    })
}

fn read(provider: &str, key: &str) -> Config {
    read_on(&Lab::with(&[("KEY", "sk-1")]), provider, key).unwrap_or_else(|faults| panic!("{faults:#?}"))
}

fn faults(provider: &str, key: &str) -> Vec<String> {
    read_on(&Lab::with(&[("KEY", "sk-1")]), provider, key).err().unwrap_or_default()
}

fn endpoint(config: &Config) -> &EndpointParams {
    &config.endpoints[0]
}

const KEY: &str = "key = { env = \"KEY\" }";

fn check(preset: &str, (url, auth): (&str, AuthScheme), speaks: &[ProviderDialect]) {
    let config = read(preset, if auth == AuthScheme::GoogleServiceAccount { GOOGLE } else { KEY });
    let provider = &config.providers[0];
    assert_eq!(format!("{}{}", provider.host, provider.base_path), url, "{preset}");
    assert_eq!(provider.auth, auth, "{preset}");
    assert_eq!(provider.speaks, speaks, "{preset}");
}

const GOOGLE: &str = "key = { google_service_account = { file = \"google.json\" } }";

#[test]
fn presets_know_host_dialect_and_key() {
    use AuthScheme::{ApiKey, Bearer, GoogApiKey, GoogleServiceAccount, SigV4, XApiKey};
    use ProviderDialect::{
        Anthropic, Bedrock, BedrockClaude, Gemini, OpenAiChat as Chat, OpenAiResponses as Responses,
    };
    check("preset = \"openai\"", ("api.openai.com", Bearer), &[Chat, Responses]);
    check("preset = \"anthropic\"", ("api.anthropic.com", XApiKey), &[Anthropic]);
    check("preset = \"azure\"\nresource = \"r\"", ("r.openai.azure.com/openai", ApiKey), &[Chat, Responses]);
    let foundry = "preset = \"foundry-anthropic\"\nresource = \"r\"";
    check(foundry, ("r.services.ai.azure.com/anthropic", XApiKey), &[Anthropic]);
    check("preset = \"google\"", ("generativelanguage.googleapis.com/v1beta", GoogApiKey), &[Gemini]);
    let vertex = "preset = \"vertex\"\nproject = \"my-p\"\nlocation = \"europe-west4\"";
    let url =
        "europe-west4-aiplatform.googleapis.com/v1/projects/my-p/locations/europe-west4/publishers/google";
    check(vertex, (url, GoogleServiceAccount), &[Gemini]);
    let bedrock = ("bedrock-runtime.eu-west-1.amazonaws.com", SigV4);
    check("preset = \"bedrock\"\nregion = \"eu-west-1\"", bedrock, &[Bedrock]);
    check("preset = \"bedrock-claude\"\nregion = \"eu-west-1\"", bedrock, &[BedrockClaude]);
    check("preset = \"mistral\"", ("api.mistral.ai", Bearer), &[Chat]);
    check("preset = \"deepseek\"", ("api.deepseek.com", Bearer), &[Chat]);
    check("preset = \"xai\"", ("api.x.ai", Bearer), &[Chat, Responses]);
    check("preset = \"cohere\"", ("api.cohere.ai/compatibility", Bearer), &[Chat]);
    check("preset = \"groq\"", ("api.groq.com/openai", Bearer), &[Chat]);
    check("preset = \"together\"", ("api.together.xyz", Bearer), &[Chat]);
    check("preset = \"fireworks\"", ("api.fireworks.ai/inference", Bearer), &[Chat]);
    check("preset = \"openrouter\"", ("openrouter.ai/api", Bearer), &[Chat]);
    for engine in ["vllm", "sglang", "ollama", "llama-cpp"] {
        check(&format!("preset = \"{engine}\""), ("127.0.0.1", Bearer), &[Chat]);
    }
    // Without a preset: as its maker's.
    check("dialect = \"gemini\"", ("generativelanguage.googleapis.com/v1beta", GoogApiKey), &[Gemini]);
    check("dialect = \"bedrock-claude\"\nregion = \"eu-west-1\"", bedrock, &[BedrockClaude]);
}

#[test]
fn what_is_written_goes_before_what_the_preset_says() {
    let config = read(
        "preset = \"mistral\"\nbase_url = \"http://127.0.0.1:9/x\"\nspeaks = [\"anthropic\", \"openai-chat\"]\n\
         auth = \"api-key\"\non_loss = \"refuse\"\ninject_usage = true\n[provider.quirks]\nhints = true\n\
         max_tokens = \"max_completion_tokens\"\napi_version = \"2024-10-21\"\n[provider.cache]\nrule = \"never\"",
        KEY,
    );
    let provider = &config.providers[0];
    assert_eq!((provider.host.as_str(), provider.base_path.as_str()), ("127.0.0.1", "/x"));
    assert_eq!(provider.speaks, [ProviderDialect::Anthropic, ProviderDialect::OpenAiChat]);
    assert_eq!((provider.auth, provider.on_loss), (AuthScheme::ApiKey, OnLoss::Refuse));
    assert_eq!((provider.inject_usage, provider.cache.rule), (true, CacheRule::Never));
    assert!(provider.quirks.hints && provider.quirks.random_seed, "the rest is Mistral's");
    assert_eq!(provider.quirks.api_version.as_deref(), Some("2024-10-21"));
}

#[test]
fn presets_know_limits_caches_and_health() {
    let of = |preset: &str| read(&format!("preset = \"{preset}\""), KEY).providers.remove(0);
    let (groq, cohere, vllm, mistral) = (of("groq"), of("cohere"), of("vllm"), of("mistral"));
    assert!(!groq.limits.cached_reads_count && of("openai").limits.cached_reads_count);
    assert_eq!(groq.cache.short.as_secs(), 7_200);
    assert_eq!(cohere.cache.rule, CacheRule::Never);
    assert_eq!((vllm.health_path.as_deref(), vllm.validate_keys), (Some("/health"), false));
    assert!(!mistral.inject_usage && groq.inject_usage, "Mistral refuses `stream_options`");
    assert_eq!(of("openai").quirks, Quirks::default());
}

#[test]
fn a_preset_that_lacks_a_part_says_which() {
    assert_eq!(
        faults("preset = \"bedrok\"", KEY),
        ["provider[1].preset: unknown preset `bedrok`; did you mean `bedrock`?"]
    );
    assert_eq!(
        faults("preset = \"azure\"", KEY),
        ["provider[1].resource: missing, and the base URL of `azure` needs it; \
          write `resource = \"my-resource\"`, or `base_url`"]
    );
    assert_eq!(
        faults("preset = \"azure\"\nresource = \"evil.com/\"", KEY),
        [
            "provider[1].resource: `evil.com/` cannot stand in a URL; write it as in `resource = \"my-resource\"`"
        ]
    );
    assert_eq!(
        faults("preset = \"openai\"\nproject = \"x\"", KEY),
        ["provider[1].project: the base URL of `openai` has no place for it; remove it"]
    );
    assert_eq!(
        faults("preset = \"bedrock\"\nbase_url = \"http://127.0.0.1:1\"", KEY),
        ["provider[1].region: missing, and signatures are for one region; \
          write `region = \"us-east-1\"`: where the host stands"]
    );
    assert_eq!(
        faults("preset = \"openai\"\nspeaks = [\"openai-chats\"]", KEY),
        ["provider[1].speaks: unknown dialect `openai-chats`; did you mean `openai-chat`?"]
    );
}

#[test]
fn what_signatures_make_impossible_is_refused() {
    let signed = "preset = \"bedrock\"\nregion = \"eu-west-1\"\n";
    assert_eq!(
        faults(&format!("{signed}passthrough = [\"POST /v1/files\"]"), KEY),
        ["provider[1].passthrough: bodies pass through unread, and a signature covers the body; \
          name methods without a body, such as `GET`"]
    );
    assert_eq!(
        faults(&format!("{signed}credentials = \"caller\""), ""),
        [
            "provider[1].credentials: a caller's signature is for the host that it called, and that is not the provider; \
          write `\"gateway\"`, and keys at the endpoints"
        ]
    );
}

#[test]
fn whoever_needs_credentials_is_asked_for_them() {
    assert_eq!(
        faults("preset = \"bedrock\"\nregion = \"eu-west-1\"", ""),
        [
            "endpoint[1].key: missing, and `bedrock-runtime.eu-west-1.amazonaws.com` answers nobody without one; \
          write `key = { aws = \"default\" }`"
        ]
    );
    assert_eq!(
        faults(
            "preset = \"openai\"",
            "key = { aws_access_key_id = \"A\", aws_secret_access_key = { file = \"secret\" } }"
        ),
        [
            "endpoint[1].key: AWS keys, and keys are sent as `bearer` there; write `auth = \"sigv4\"` at provider `p`"
        ]
    );
}

const BEDROCK: &str = "preset = \"bedrock\"\nregion = \"eu-west-1\"";

fn aws_on(vars: &[(&str, &str)], key: &str) -> AwsSource {
    let config = read_on(&Lab::with(vars), BEDROCK, key).unwrap_or_else(|faults| panic!("{faults:#?}"));
    let Some(Grant::Aws(source)) = endpoint(&config).grant.clone() else { panic!("an AWS source") };
    source
}

#[test]
fn aws_keys_are_read_from_wherever_they_are() {
    let key = "key = { aws_access_key_id = \"AKIA\", aws_secret_access_key = { file = \"secret\" }, aws_session_token = { env = \"KEY\" } }";
    let AwsSource::Keys(keys) = aws_on(&[("KEY", "st")], key) else { panic!("keys") };
    assert_eq!((keys.id.as_str(), keys.secret.expose()), ("AKIA", "hush"));
    assert_eq!(keys.session.as_ref().map(|token| token.expose()), Some("st"));

    let chain = |vars: &[(&str, &str)]| aws_on(vars, "key = { aws = \"default\" }");
    let env = [("AWS_ACCESS_KEY_ID", "A"), ("AWS_SECRET_ACCESS_KEY", "S")];
    assert!(matches!(chain(&env), AwsSource::Keys(keys) if keys.id == "A" && keys.session.is_none()));
    let pod = [("AWS_WEB_IDENTITY_TOKEN_FILE", "/t"), ("AWS_ROLE_ARN", "arn:r"), ("AWS_REGION", "eu-west-1")];
    assert!(matches!(chain(&pod), AwsSource::WebIdentity { url, role, .. }
        if url == "https://sts.eu-west-1.amazonaws.com" && role == "arn:r"));
    let task = [("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/v2/x")];
    assert!(
        matches!(chain(&task), AwsSource::Container { url, token: None } if url == "http://169.254.170.2/v2/x")
    );
    let eks = [
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://169.254.170.23/v1/credentials"),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "/t"),
    ];
    assert!(matches!(chain(&eks), AwsSource::Container { token: Some(ContainerToken::File(_)), .. }));
    assert!(
        matches!(chain(&[("HOME", "/nowhere")]), AwsSource::InstanceRole { url } if url == "http://169.254.169.254")
    );
}

#[test]
fn keys_of_other_kinds_say_what_they_lack() {
    assert!(matches!(
        endpoint(&read("preset = \"vertex\"\nproject = \"p\"\nlocation = \"global\"", GOOGLE)).grant,
        Some(Grant::Google(_))
    ));
    let entra = "key = { entra_tenant = \"t.com\", entra_client_id = \"app\", entra_client_secret = { env = \"KEY\" } }";
    let config = read("preset = \"azure\"\nresource = \"r\"", entra);
    let Some(Grant::Entra(client)) = &endpoint(&config).grant else { panic!("Entra") };
    assert_eq!(client.url, "https://login.microsoftonline.com/t.com/oauth2/v2.0/token");
    assert_eq!(client.scope, "https://cognitiveservices.azure.com/.default");
    assert!(!format!("{config:?}").contains("sk-1"), "a secret shows in Debug output");

    let told = |key: &str| faults(BEDROCK, key).join("\n");
    let check = |key: &str, words: &str| assert!(told(key).contains(words), "{}", told(key));
    check("key = { aws = \"defualt\" }", "did you mean `default`?");
    check("key = { aws = \"environment\" }", "are not both in the environment");
    check("key = { aws = \"default\", aws_profile = \"x\" }", "exactly one place");
    check("key = { aws_access_key_id = \"A\" }", "endpoint[1].key.aws_secret_access_key: missing");
    check("key = { aws_profile = \"x\" }", "no `$HOME`");
    check("key = { aws = \"instance-role\", entra_scope = \"x\" }", "belongs to `entra_tenant`");
    check("key = { google_service_account = { file = \"secret\" } }", "the file is not JSON");
    check(
        "key = { entra_tenant = \"a/b\", entra_client_id = \"c\", entra_client_secret = { env = \"KEY\" } }",
        "is not a tenant",
    );
}

#[test]
fn a_model_has_a_name_at_each_of_its_providers() {
    let text = file("preset = \"openai\"", KEY).replace(
        "name = \"m\"\n",
        "name = \"m\"\nupstream = { \"*\" = \"far\", \"p\" = \"near\", \"e*\" = \"glob\" }\n",
    );
    let config =
        config::parse(&text, Path::new("w.toml"), &Lab::with(&[("KEY", "sk-1")])).expect("it passes");
    let names: Vec<_> =
        config.models[0].upstream_names.iter().map(|(of, name)| (of.as_str(), name.as_str())).collect();
    assert_eq!(names, [("p", "near"), ("e*", "glob"), ("*", "far")], "the closest first");
    let wrong = text.replace("\"p\" = \"near\"", "\"q\" = \"ne*r\"");
    let faults =
        config::parse(&wrong, Path::new("w.toml"), &Lab::with(&[("KEY", "sk-1")])).expect_err("faults");
    let told: Vec<_> = faults.0.iter().map(|fault| format!("{}: {}", fault.path, fault.what)).collect();
    assert_eq!(
        told,
        [
            "model[1].upstream.q: no endpoint or provider is called `q`",
            "model[1].upstream.q: a provider knows no globs"
        ]
    );
}
