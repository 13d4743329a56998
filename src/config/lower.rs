//! The order in which a file is read: what others refer to first.

use std::{
    collections::{BTreeSet, HashMap},
    path::Path,
};

use super::{
    Config, Faults, Host, allowance, caller, ledger, level, otlp, prices, provider,
    read::{At, Reader, Section},
    server, sim,
    target::{self, Known},
};
use crate::{
    snapshot::Settings,
    types::{Budget, Family, Levels, ModelName, VirtualKey},
    upstream::{EndpointParams, ModelParams, ProviderParams},
};

/// Reads `text` whole; beside the configuration, the keys that were asked for.
pub(super) fn config(text: &str, file: &Path, host: &dyn Host) -> Result<(Config, BTreeSet<String>), Faults> {
    let reader = Reader::new(file, text, host);
    let table = reader.parse()?;
    let config = {
        let root = reader.root(table.get_ref());
        let config = sections(&root);
        root.refuse_unknown();
        config
    };
    let found = reader.finish();
    if !found.faults.is_empty() {
        return Err(Faults(found.faults));
    }
    let settings = Settings { file: None, rows: found.settings };
    Ok((Config { notes: found.notes, files: found.files, settings, ..config }, found.knobs))
}

fn sections(root: &Section<'_>) -> Config {
    let sim = root.table("sim", sim::read);
    let mut levels = level::read(root);
    let (providers, provider_names) = providers(root, sim.as_ref().map(|sim| sim.listen), &mut levels);
    let accounts = sim.iter().flat_map(|sim| &sim.accounts);
    let mut known = Known {
        providers: &providers,
        provider_names,
        endpoints: &[],
        endpoint_names: Vec::new(),
        sim_keys: accounts.map(|account| account.key.as_str()).collect(),
    };
    let (endpoints, endpoint_names) = endpoints(root, &known, &mut levels);
    (known.endpoints, known.endpoint_names) = (&endpoints, endpoint_names);
    let models = models(root, &known, &mut levels);
    idle_providers(root, &known);
    let callers = callers(root, &known, &levels);
    levels.tags = level::tags(root, &callers);
    let has_callers =
        root.get("caller").and_then(|list| list.get_ref().as_array()).is_some_and(|list| !list.is_empty());
    let server = root.table("server", |section| server::read(section, has_callers));
    for (key, what) in [("provider", "no provider is configured"), ("endpoint", "no endpoint is configured")]
    {
        if root.get(key).is_none() {
            root.fault(key, what, "a gateway needs a `[[provider]]`, an `[[endpoint]]` and a `[[model]]`");
        }
    }
    let ledger = root.table("ledger", |section| ledger::read(section, server.state_file.as_deref()));
    let state = root.table("state", ledger::state);
    let alerts = root.table("alerts", ledger::alerts);
    let routing = root.table("routing", server::routing);
    let prices = root.table("metering", prices::read);
    root.shows("metering.models", format_args!("{} models have a price", prices.len()));
    let trace = root.table("trace", server::trace);
    let otlp = root.table("otlp", otlp::read);
    Config {
        server,
        routing,
        callers,
        levels,
        ledger,
        state,
        alerts,
        prices,
        trace,
        otlp,
        sim,
        models,
        notes: Vec::new(),
        files: Vec::new(),
        settings: Settings::default(),
        endpoints,
        providers,
    }
}

/// Remembers where a name stands; two of one name are a fault.
struct Names(Vec<At<String>>);

impl Names {
    fn take(&mut self, section: &Section<'_>) {
        let Some(name) = section.text("name") else { return };
        if let Some(first) = self.0.iter().find(|first| first.value == name.value) {
            let what =
                format!("`{}` is the name of `{}` already", name.value.escape_debug(), owner(&first.path));
            section.fault_at(&name, &what, "give each one its own name");
        }
        self.0.push(name);
    }

    fn texts(self) -> Vec<String> {
        self.0.into_iter().map(|name| name.value).collect()
    }
}

/// `endpoint[1]` of `endpoint[1].name`.
fn owner(path: &str) -> &str {
    path.rsplit_once('.').map_or(path, |(owner, _)| owner)
}

fn providers(
    root: &Section<'_>,
    sim: Option<std::net::SocketAddr>,
    levels: &mut Levels,
) -> (Vec<ProviderParams>, Vec<String>) {
    let mut names = Names(Vec::new());
    let read = root.tables("provider", |section| {
        names.take(section);
        let budgets = allowance::budgets(section, "budgets");
        let provider = provider::read(section, sim)?;
        take_budgets(&mut levels.providers, &provider.name, budgets);
        Some(provider)
    });
    (read.into_iter().flatten().collect(), names.texts())
}

/// Most have none.
fn take_budgets<N: Clone + Eq + std::hash::Hash>(
    all: &mut HashMap<N, Vec<Budget>>,
    name: &N,
    budgets: Vec<Budget>,
) {
    if !budgets.is_empty() {
        all.insert(name.clone(), budgets);
    }
}

fn endpoints(
    root: &Section<'_>,
    known: &Known<'_>,
    levels: &mut Levels,
) -> (Vec<EndpointParams>, Vec<String>) {
    let mut names = Names(Vec::new());
    let mut read: Vec<EndpointParams> = Vec::new();
    let mut first_with = HashMap::new();
    root.tables("endpoint", |section| {
        names.take(section);
        let budgets = allowance::budgets(section, "budgets");
        let Some(endpoint) = target::endpoint(section, known) else { return };
        take_budgets(&mut levels.endpoints, &endpoint.name, budgets);
        if let Some(digest) = endpoint.digest() {
            let account = (endpoint.provider.clone(), endpoint.region.clone(), digest);
            let first = first_with.entry(account).or_insert_with(|| endpoint.name.clone());
            if *first != endpoint.name {
                let what = format!("the same key as endpoint `{first}`: one account, counted twice");
                section.note_at(&section.here(), &what, "remove one of them, or give each its own key");
            }
        }
        read.push(endpoint);
    });
    (read, names.texts())
}

fn models(root: &Section<'_>, known: &Known<'_>, levels: &mut Levels) -> Vec<ModelParams> {
    let mut seen: Vec<(String, Option<Family>, String)> = Vec::new();
    let read = root.tables("model", |section| {
        let budgets = allowance::budgets(section, "budgets");
        let model = target::model(section, known)?;
        let name = ModelName::from(model.name.as_str());
        if !budgets.is_empty() && levels.models.contains_key(&name) {
            let what = format!("`{name}` has budgets in another dialect already, and they count for both");
            section.fault("budgets", &what, "write them at one of the two");
        }
        take_budgets(&mut levels.models, &name, budgets);
        let family = target::family_of_model(&model, known);
        let here = section.here();
        if let Some((_, _, first)) = seen.iter().find(|(name, of, _)| *name == model.name && *of == family) {
            let what = format!("`{}` is `{first}` already", model.name);
            section.fault("name", &what, "list all its endpoints in one `[[model]]`");
        }
        seen.push((model.name.clone(), family, here.path));
        Some(model)
    });
    read.into_iter().flatten().collect()
}

/// Says so where a provider, or an endpoint, can never be chosen.
fn idle_providers(root: &Section<'_>, known: &Known<'_>) {
    if !known.endpoint_names.is_empty() && root.get("model").is_none() {
        let passes = known.providers.iter().any(|provider| provider.pass_unlisted);
        if !passes {
            root.fault(
                "model",
                "no model is offered",
                "add a `[[model]]`, or `unlisted = \"pass\"` at a provider",
            );
        }
    }
    for provider in known.providers {
        let has_endpoint = known.endpoints.iter().any(|endpoint| endpoint.provider == provider.name);
        if !has_endpoint && known.endpoints.len() == known.endpoint_names.len() {
            let what = format!("provider `{}` has no endpoint, so nothing can go there", provider.name);
            root.note_at(
                &root.at("endpoint", 0..0, ()),
                &what,
                "add an `[[endpoint]]`, or remove the provider",
            );
        }
    }
}

fn callers(root: &Section<'_>, known: &Known<'_>, levels: &Levels) -> Vec<VirtualKey> {
    let mut names = Names(Vec::new());
    let mut read: Vec<VirtualKey> = Vec::new();
    root.tables("caller", |section| {
        names.take(section);
        let Some(caller) = caller::read(section, known, levels) else { return };
        let key = if section.get("token").is_some() { "token" } else { "token_sha256" };
        if let Some(twin) = read.iter().find(|other| other.digest == caller.digest) {
            let what = format!("the same token as caller `{}`", twin.name);
            section.fault(key, &what, "give each caller its own token");
        }
        let is_key = |endpoint: &&EndpointParams| {
            endpoint.key.as_ref().is_some_and(|key| key.digest() == caller.digest)
        };
        if let Some(endpoint) = known.endpoints.iter().find(is_key) {
            let what = format!("the token is the upstream key of endpoint `{}`", endpoint.name);
            section.fault(key, &what, "issue a token of your own: whoever holds that key needs no gateway");
        }
        read.push(caller);
    });
    read
}
