//! The second verb: may it run, and what does it hold.
//!
//! Permission for the model, the owner of what the request refers to, and the body with the splices
//! that its provider needs. From here on the scan of the body is not needed any more and is let go:
//! a stream may run for an hour, and its request was large.

use std::sync::Arc;

use bytes::Bytes;

use super::{
    access,
    care::{Care, Plans},
    denial::Denial,
    exchange::Exchange,
    identify::Identified,
    translation::{self, Outgoing},
    upload::Upload,
    warmth,
};
use crate::{
    clock,
    dialect::{self, HardPin, Span, Splice, TtlAsked},
    live::Held,
    metering::Ratios,
    routing::{Price, Prompt},
    session::Owner,
    snapshot,
    telemetry::Traced,
    types::{EndpointName, ModelName, Operation, ProviderDialect, ProviderName, Rates, Reason},
    upstream::{Endpoint, Model, ProviderParams},
};

/// A call that may run.
pub(crate) struct Admitted {
    /// What was asked for.
    pub operation: Operation,
    /// The model, resolved.
    pub model: Arc<Model>,
    /// The model as the caller wrote it.
    pub requested: ModelName,
    /// The only endpoint that can serve it.
    pub pin: Option<EndpointName>,
    /// What it refers to, where nobody here has made any of that.
    pub unknown: Vec<HardPin>,
    /// The model has spoken before.
    pub has_history: bool,
    /// What the provider's cache sees of it; let go with the first byte of the answer.
    pub prompt: Prompt,
    /// What its tokens cost.
    pub price: Price,
    /// Its history holds thinking that is signed for the account that made it.
    pub signed_thinking: bool,
    /// It carries reasoning that only the organisation that made it can read.
    pub encrypted_content: bool,
    /// The most output that the client lets it have.
    pub max_output: Option<u64>,
    /// What its tokens are billed at; `None` where no price is known.
    pub rates: Option<Rates>,
    /// The body is sent to be worked on later (`background`).
    pub background: bool,
    /// It holds what was sealed for somebody in particular.
    pub carries: bool,
    /// Tokens per byte, as learned so far: for the estimate of the prompt and the live count.
    pub ratios: Ratios,
    /// The body, until the first byte of the answer is sent.
    pub payload: Payload,
}

/// What goes into a body beside what came.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Shape {
    /// The usage option.
    pub usage: bool,
    /// What the provider's cache is to know.
    pub care: bool,
}

impl Shape {
    /// As it came, but for the model's name.
    pub(crate) const PLAIN: Self = Self { usage: false, care: false };
}

/// A request's body as it came, and how it goes up.
pub(crate) struct Payload {
    body: Bytes,
    /// Where the model's name stands.
    model: Option<Span>,
    usage: Option<Splice>,
    care: Plans,
    /// The provider takes it as a request that only warms the cache.
    warms: bool,
    /// The body with its splices, made once for each provider that it is sent to.
    made: Option<Made>,
    /// The body in other words, made once for each provider and name of the model there.
    worded: Option<(ProviderName, String, Outgoing)>,
    _held: Option<Held>,
}

impl Payload {
    /// A request without a body, or whose body goes up as it came.
    pub(crate) fn plain(upload: Option<Upload>) -> Self {
        let (body, held) = upload.map_or((Bytes::new(), None), |upload| (upload.body, Some(upload.held)));
        Self {
            body,
            model: None,
            usage: None,
            care: Plans::default(),
            warms: false,
            made: None,
            worded: None,
            _held: held,
        }
    }

    /// Lets go of everything.
    pub(crate) fn release(&mut self) {
        *self = Self::plain(None);
    }

    /// Whether the usage option is to be added for this provider, unless it has refused it.
    pub(crate) fn adds_usage(&self, provider: &ProviderParams) -> bool {
        self.usage.is_some() && provider.inject_usage
    }

    /// Whether the provider takes it as a request that only warms the cache.
    pub(crate) const fn warms(&self) -> bool {
        self.warms
    }

    /// What the body asks of this provider's cache, once it goes there.
    pub(crate) fn care(&self, provider: &ProviderParams, wanted: bool) -> Care {
        self.care.care(provider, wanted)
    }

    /// The body as it goes up. Byte for byte what came, but for declared splices. `rename`: what the
    /// model is called there, where that is not what the caller calls it.
    pub(crate) fn bytes(&mut self, provider: &ProviderParams, rename: Option<&str>, shape: Shape) -> Bytes {
        if let Some(made) = &self.made
            && (&made.provider, made.rename.as_deref(), made.shape) == (&provider.name, rename, shape)
        {
            return made.bytes.clone();
        }
        let usage = self.usage.iter().filter(|_| shape.usage);
        let care = self.care.splices(provider).filter(|_| shape.care);
        let model = self.model.clone().zip(rename).map(|(at, name)| Splice::text(at, name));
        let splices: Vec<Splice> = model.into_iter().chain(usage.chain(care).cloned()).collect();
        let bytes = dialect::apply(&self.body, &splices);
        self.made = Some(Made {
            provider: provider.name.clone(),
            rename: rename.map(str::to_owned),
            shape,
            bytes: bytes.clone(),
        });
        bytes
    }

    /// The body in the words of `endpoint`'s provider, which calls the model `model`.
    pub(crate) fn worded(
        &mut self,
        x: &Exchange,
        operation: Operation,
        endpoint: &Endpoint,
        into: ProviderDialect,
        model: &str,
    ) -> Result<Outgoing, Denial> {
        let provider = &endpoint.provider().params.name;
        if let Some((made_for, called, outgoing)) = &self.worded
            && (made_for, called.as_str()) == (provider, model)
        {
            return Ok(outgoing.clone());
        }
        let outgoing = translation::write(x, operation, &self.body, endpoint, into, model)?;
        self.worded = Some((provider.clone(), model.to_owned(), outgoing.clone()));
        Ok(outgoing)
    }
}

/// A body with its splices.
struct Made {
    provider: ProviderName,
    rename: Option<String>,
    shape: Shape,
    bytes: Bytes,
}

/// Admits a call, or says why not.
pub(crate) fn admit(
    x: &mut Exchange,
    operation: Operation,
    mut who: Identified,
    upload: Upload,
) -> Result<Admitted, Denial> {
    permitted(x, &who.requested)?;
    access::check_model(x, &who.model)?;
    let pin = pin(x, &who.view.pins)?;
    if let Some(owner) = pin.as_ref().and_then(|pin| x.snapshot.pool.endpoint(pin.as_str())) {
        access::check_owner(x, owner)?;
    }
    let now = clock::now();
    let session = x.identity.as_ref().and_then(|identity| identity.key);
    let ratios = x.live.learned.ratios(who.model.label.as_str(), session);
    let carries = who.view.has_history && dialect::carries(&upload.body);
    let care = Plans::of(x, &who.model, &who.view, &upload.body);
    let foreseen = care.foresee(x, (operation, carries), &who.model, &mut who.view.settings);
    let tokens = ratios.input_tokens(x.request_bytes);
    let upstream = x.upstream_model.as_ref().map_or("", |model| model.as_str());
    let rates = x.snapshot.prices.rates(upstream, tokens);
    let (prompt, price) = warmth::prompt(x, operation, &who, &foreseen, tokens);
    if let Some(identity) = &mut x.identity {
        if operation.generates() {
            x.live.links.learn_request(identity, now);
            x.traced = x.live.tracer.as_ref().zip(x.upstream_model.as_ref()).and_then(|(tracer, model)| {
                tracer.began(Traced {
                    session: identity.key,
                    parent: identity.parent,
                    caller: x.caller.clone(),
                    model: model.clone(),
                    long: x.ttl == TtlAsked::Long,
                    points: identity.chain.points.clone(),
                    at: now,
                })
            });
            x.case = x.live.forensics.look(identity, &who.view, &upload.body, now).map(Box::new);
        }
        // A long history's chain is larger than all the rest of a waiting stream; only its end is
        // needed again, to link the answer to what it answered.
        identity.chain.points = identity.chain.last().copied().into_iter().collect();
    }
    let view = who.view;
    let has_option = matches!(operation, Operation::ChatCompletions | Operation::Completions);
    let payload = Payload {
        model: Some(view.model.span.clone()),
        usage: (has_option && view.stream).then(|| view.splice_include_usage(&upload.body)).flatten(),
        care,
        warms: view.prewarm.is_some(),
        body: upload.body,
        made: None,
        worded: None,
        _held: Some(upload.held),
    };
    Ok(Admitted {
        operation,
        model: who.model,
        requested: who.requested,
        // Without an owner among them, none of them has one that is known.
        unknown: if pin.is_none() { view.pins } else { Vec::new() },
        pin,
        has_history: view.has_history,
        prompt,
        price,
        signed_thinking: view.signed_thinking,
        encrypted_content: view.encrypted_content,
        max_output: view.max_output_tokens,
        rates,
        background: view.background,
        carries,
        ratios,
        payload,
    })
}

fn permitted(x: &Exchange, requested: &ModelName) -> Result<(), Denial> {
    if x.key.as_ref().is_none_or(|key| snapshot::may_use(key, requested.as_str())) {
        return Ok(());
    }
    let shown: String = requested.as_str().chars().take(100).collect();
    Err(Denial::new(Reason::Forbidden, format!("your key may not use model `{shown}`")))
}

/// The endpoint that owns what the request refers to. Objects of other tenants do not exist here.
pub(crate) fn pin(x: &Exchange, pins: &[HardPin]) -> Result<Option<EndpointName>, Denial> {
    let mut found: Option<EndpointName> = None;
    for pin in pins {
        match x.live.owners.find(&x.tenant, pin.kind, &pin.id, clock::unix_now()) {
            Owner::Ours(endpoint) => {
                if found.as_ref().is_some_and(|other| *other != endpoint) {
                    return Err(Denial::new(
                        Reason::BadRequest,
                        "the request refers to objects that live in different accounts; no account can serve it",
                    ));
                }
                found = Some(endpoint);
            }
            // With one tenant an unknown object may have been made before a restart, or elsewhere:
            // the provider knows. With several it might be somebody else's.
            Owner::Unknown if x.live.keys.tenants() <= 1 => {}
            Owner::NotYours | Owner::Unknown => {
                return Err(Denial::new(
                    Reason::UnknownObject,
                    format!(
                        "this {} is not known here; it must be made through this gateway first",
                        pin.kind.label()
                    ),
                ));
            }
        }
    }
    Ok(found)
}
