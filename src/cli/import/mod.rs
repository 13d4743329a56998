//! `warmkey import litellm FILE`: what another gateway's file says, in ours.
//!
//! Reads LiteLLM's `config.yaml`. Owns the mapping, and the list of what has no counterpart here:
//! that list stands at the top of the result, so that it stays with it.
//!
//! Invariant: no secret is copied. One that stands in the file itself becomes an environment
//! variable to be set, and the list says so.

mod litellm;
mod plan;
mod write;

use std::{fs, io::Write, path::PathBuf, process::ExitCode};

use anyhow::Context as _;

#[derive(clap::Subcommand, Debug)]
pub(super) enum Command {
    /// Read a LiteLLM `config.yaml`; the result goes to standard output
    Litellm {
        /// The file
        file: PathBuf,
    },
}

pub(super) fn run(command: &Command, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let Command::Litellm { file } = command;
    let text = fs::read_to_string(file).with_context(|| format!("cannot read `{}`", file.display()))?;
    let plan = litellm::read(&text).with_context(|| format!("cannot import `{}`", file.display()))?;
    out.write_all(write::toml(&plan, &file.display().to_string()).as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{self, Config, Host};

    /// Every variable is set here.
    struct AnyVariable;

    impl Host for AnyVariable {
        fn var(&self, name: &str) -> Option<String> {
            Some(format!("a-key-kept-in-{name}"))
        }

        fn memory(&self) -> u64 {
            8 << 30
        }
    }

    fn import(file: &str) -> (String, Config) {
        let mut out = Vec::new();
        run(&Command::Litellm { file: file.into() }, &mut out).expect("it imports");
        let text = String::from_utf8(out).expect("text");
        let config = config::parse(&text, "imported.toml".as_ref(), &AnyVariable);
        (text.clone(), config.unwrap_or_else(|faults| panic!("{faults}\n\n{text}")))
    }

    #[test]
    fn a_teams_file_becomes_one_that_passes() {
        let (_, config) = import("tests/data/litellm.yaml");
        let endpoints: Vec<String> = config
            .endpoints
            .iter()
            .map(|e| {
                format!("{} {} {}", e.name, e.provider, e.key.as_ref().map_or("none", |key| key.expose()))
            })
            .collect();
        assert_eq!(
            endpoints,
            [
                "anthropic-key-a anthropic a-key-kept-in-ANTHROPIC_KEY_A",
                "anthropic-key-b anthropic a-key-kept-in-ANTHROPIC_KEY_B",
                "imported-key-4 openai a-key-kept-in-IMPORTED_KEY_4",
                "azure-key azure a-key-kept-in-AZURE_KEY",
                "hosted-vllm hosted-vllm none",
            ]
        );
        let models: Vec<String> = config
            .models
            .iter()
            .map(|m| {
                format!(
                    "{} {:?} {:?}",
                    m.name,
                    m.endpoints,
                    m.upstream_names.first().map_or("-", |(_, name)| name)
                )
            })
            .collect();
        assert_eq!(
            models,
            [
                r#"claude-sonnet [anthropic-key-a, anthropic-key-b] "claude-sonnet-4-6""#,
                r#"claude-* [anthropic-key-a] "-""#,
                r#"gpt-5.6 [imported-key-4] "-""#,
                r#"gpt-mini [azure-key] "mini-deployment""#,
                r#"coder [hosted-vllm] "Qwen/Qwen3-Coder""#,
            ]
        );
        let weights: Vec<u32> = config.endpoints.iter().map(|endpoint| endpoint.weight).collect();
        assert_eq!(weights[..2], [100, 20], "five times the tokens a minute, five times the sessions");
        let openai = config.endpoints[2].rate_domain.as_ref().map(|name| name.as_str());
        assert_eq!(openai, Some("org-Abc123"));
        let vllm =
            config.providers.iter().find(|provider| provider.name.as_str() == "hosted-vllm").expect("vLLM");
        assert_eq!(
            (vllm.tls, vllm.host.as_str(), vllm.port, vllm.base_path.as_str()),
            (false, "10.0.0.7", 8000, "")
        );
        let provider = &config.providers[0];
        assert_eq!((provider.timeouts.total.as_secs(), provider.cooling.allowed_fails), (300, 5));
        assert_eq!(provider.cooling.base.as_secs(), 10);
        assert_eq!(config.server.max_attempts, 3);
        assert_eq!(
            config.callers[0].digest,
            crate::types::KeyDigest::of(b"a-key-kept-in-IMPORTED_MASTER_KEY")
        );
    }

    #[test]
    fn what_cannot_be_carried_over_is_listed() {
        let (text, _) = import("tests/data/litellm.yaml");
        let list: Vec<&str> = text.lines().take_while(|line| line.starts_with('#')).collect();
        assert_eq!(
            list,
            [
                "# Imported from tests/data/litellm.yaml. Check it with `warmkey check --live FILE`.",
                "# rpm and tpm became weights; the limits themselves are learned from the providers' answers.",
                "#",
                "# Carried over in another form:",
                "#   model_list[4]: its key stands in the file and was not copied; put it into `IMPORTED_KEY_4`",
                "#   model_list[6]: Azure is asked through its `/openai/v1` paths, which need no `api_version`",
                "#   general_settings.master_key: it stands in the file and was not copied; put it into `IMPORTED_MASTER_KEY`",
                "#",
                "# Not carried over:",
                "#   model_list[1].model_info: prices stand in a list of their own, `metering.prices`",
                "#   model_list[4].litellm_params.timeout: no counterpart",
                "#   model_list[5]: `gpt-5.6` as `azure/my-gpt-56-deployment`: a model has one upstream name, and it has another one already",
                "#   model_list[8]: `bedrock/us.anthropic.claude-sonnet-4-6`: its provider's dialect is not spoken here",
                "#   model_list[9]: `openai/*` to `openai/*`: names cannot be rewritten by pattern; name it `*`, and let callers leave out the prefix",
                "#   model_list[10]: needs `model_name` and `litellm_params.model`",
                "#   litellm_settings.drop_params: no counterpart",
                "#   litellm_settings.callbacks: no counterpart",
                "#   litellm_settings.cache: no store is needed",
                "#   router_settings.routing_strategy: sessions stay where their prompt is warm; there is nothing to choose",
                "#   router_settings.fallbacks: one model never stands in for another here; list several endpoints for one model instead",
                "#   general_settings.database_url: keys and spend in a database are not read; list callers in the file",
            ]
        );
    }

    #[test]
    fn no_secret_is_copied() {
        let (text, _) = import("tests/data/litellm.yaml");
        assert!(!text.contains("sk-live") && !text.contains("master-secret"), "{text}");
    }

    #[test]
    fn what_is_no_litellm_file_is_refused() {
        let dir = tempfile::tempdir().expect("a folder");
        for (yaml, told) in [
            ("a: [", "not YAML"),
            ("a: 1", "not a LiteLLM configuration: no `model_list`"),
            ("- 1", "not a LiteLLM configuration: no `model_list`"),
            (
                "model_list: [{model_name: a, litellm_params: {model: gemini/x}}]",
                "no model can be carried over:\nmodel_list[1]: `gemini/x`: its provider's dialect is not spoken here",
            ),
        ] {
            let file = dir.path().join("config.yaml");
            fs::write(&file, yaml).expect("written");
            let error = run(&Command::Litellm { file }, &mut Vec::new()).expect_err("a refusal");
            let cause = error.chain().nth(1).expect("a cause").to_string();
            assert_eq!(cause, told);
        }
    }
}
