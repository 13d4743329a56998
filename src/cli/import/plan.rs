//! What an import amounts to, before it is written.

/// A configuration to be, and what did not make it.
#[derive(Default, Debug)]
pub(super) struct Plan {
    pub(super) providers: Vec<Provider>,
    pub(super) endpoints: Vec<Endpoint>,
    pub(super) models: Vec<Model>,
    /// The environment variable with the one token that callers held.
    pub(super) master_env: Option<String>,
    pub(super) max_attempts: Option<u64>,
    pub(super) total_secs: Option<u64>,
    pub(super) allowed_fails: Option<u64>,
    pub(super) cooldown_secs: Option<u64>,
    /// What cannot be carried over, and why.
    pub(super) left: Vec<String>,
    /// What was carried over in another form, and what to do.
    pub(super) changed: Vec<String>,
}

#[derive(PartialEq, Eq, Debug)]
pub(super) struct Provider {
    pub(super) name: String,
    pub(super) dialect: &'static str,
    /// `None` is the dialect's own.
    pub(super) base_url: Option<String>,
    pub(super) auth: Option<&'static str>,
}

#[derive(PartialEq, Eq, Debug)]
pub(super) struct Endpoint {
    pub(super) name: String,
    pub(super) provider: String,
    pub(super) key_env: Option<String>,
    pub(super) organization: Option<String>,
    /// Tokens a minute, requests a minute, or a plain weight: whichever the file has, largest first.
    pub(super) share: Share,
}

/// What says how much an endpoint can take.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(super) struct Share {
    pub(super) weight: Option<u64>,
    pub(super) tpm: Option<u64>,
    pub(super) rpm: Option<u64>,
}

#[derive(PartialEq, Eq, Debug)]
pub(super) struct Model {
    pub(super) name: String,
    pub(super) dialect: &'static str,
    pub(super) endpoints: Vec<String>,
    pub(super) upstream: Option<String>,
}

impl Plan {
    /// The provider like this one, made if it is not there.
    pub(super) fn provider(&mut self, wanted: Provider) -> String {
        let same = |known: &&Provider| {
            (known.dialect, &known.base_url, known.auth) == (wanted.dialect, &wanted.base_url, wanted.auth)
        };
        if let Some(known) = self.providers.iter().find(same) {
            return known.name.clone();
        }
        let name = free(&wanted.name, |name| self.providers.iter().any(|known| known.name == name));
        self.providers.push(Provider { name: name.clone(), ..wanted });
        name
    }

    /// The endpoint with this provider, key and organisation, made if it is not there.
    pub(super) fn endpoint(&mut self, wanted: Endpoint) -> String {
        let same = |known: &&mut Endpoint| {
            (&known.provider, &known.key_env, &known.organization)
                == (&wanted.provider, &wanted.key_env, &wanted.organization)
        };
        if let Some(known) = self.endpoints.iter_mut().find(same) {
            known.share = Share {
                weight: known.share.weight.max(wanted.share.weight),
                tpm: known.share.tpm.max(wanted.share.tpm),
                rpm: known.share.rpm.max(wanted.share.rpm),
            };
            return known.name.clone();
        }
        let name = free(&wanted.name, |name| self.endpoints.iter().any(|known| known.name == name));
        self.endpoints.push(Endpoint { name: name.clone(), ..wanted });
        name
    }

    /// Whether the model of this name and dialect goes upstream under another name already.
    pub(super) fn conflicts(&self, name: &str, dialect: &str, upstream: Option<&str>) -> bool {
        let known = self.models.iter().find(|known| known.name == name && known.dialect == dialect);
        known.is_some_and(|known| known.upstream.as_deref() != upstream)
    }

    /// Adds a model, or its endpoints to the one of the same name and dialect.
    pub(super) fn serve(&mut self, wanted: Model) {
        let same = |known: &&mut Model| known.name == wanted.name && known.dialect == wanted.dialect;
        let Some(known) = self.models.iter_mut().find(same) else {
            self.models.push(wanted);
            return;
        };
        for endpoint in wanted.endpoints {
            if !known.endpoints.contains(&endpoint) {
                known.endpoints.push(endpoint);
            }
        }
    }

    /// The weight of each endpoint, 1 to 100, where the file says how much each can take.
    pub(super) fn weights(&self) -> Vec<Option<u64>> {
        let kinds: [fn(&Share) -> Option<u64>; 3] =
            [|share| share.rpm, |share| share.tpm, |share| share.weight];
        // One measure for all, or they could not be compared: the most common one, on a tie the last.
        let kind =
            kinds.into_iter().max_by_key(|kind| self.endpoints.iter().filter_map(|e| kind(&e.share)).count());
        let shares: Vec<Option<u64>> =
            self.endpoints.iter().map(|endpoint| kind.and_then(|kind| kind(&endpoint.share))).collect();
        let most = shares.iter().flatten().copied().max().unwrap_or(0);
        let all_same = shares.iter().all(|share| *share == shares.first().copied().flatten());
        let scaled = |share: u64| (share.saturating_mul(100) / most.max(1)).clamp(1, 100);
        shares.into_iter().map(|share| share.filter(|_| most > 0 && !all_same).map(scaled)).collect()
    }
}

/// `name`, or `name-2` and so on where it is taken.
fn free(name: &str, taken: impl Fn(&str) -> bool) -> String {
    let mut candidate = name.to_owned();
    let mut n = 2_u64;
    while taken(&candidate) {
        candidate = format!("{name}-{n}");
        n = n.saturating_add(1);
    }
    candidate
}
