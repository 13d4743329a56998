//! What goes up at one try: the body as it came or in the provider's words, its headers, and what the
//! model is called there.

use std::{borrow::Cow, sync::Arc};

use bytes::Bytes;
use http::HeaderMap;

use super::{Drive, Ending, Step};
use crate::{
    proxy::{admit::Shape, choose::Choice, denial::Denial, last_word::LastWord, translation},
    routing::Tried,
    types::{CareDone, ModelName},
    upstream::{Endpoint, ProviderParams},
};

impl<'a> Drive<'a, '_> {
    /// The body for this endpoint, and whether our usage option is in it.
    pub(super) fn outgoing(&mut self, endpoint: &Endpoint) -> Result<(Bytes, bool), Denial> {
        let params = &endpoint.provider().params;
        let rename = self.call.model.upstream_name_at(endpoint, self.call.requested.as_str());
        let name = rename.map_or_else(|| self.call.requested.clone(), ModelName::from);
        if self.x.upstream_model.as_ref() != Some(&name) {
            // Another name there, maybe at another price: what is taken from budgets and what is charged
            // in the end go by it.
            let tokens = self.call.ratios.input_tokens(self.x.request_bytes);
            let rates = self.x.snapshot.prices.rates(name.as_str(), tokens);
            if let Some(claim) = &mut self.x.claim {
                claim.rates = rates;
            }
            self.x.upstream_model = Some(name.clone());
        }
        self.x.words = None;
        if let Some(into) = translation::needed(self.call.operation, params, self.call.carries) {
            self.x.care = CareDone::default();
            let operation = self.call.operation;
            let outgoing = self.call.payload.worded(self.x, operation, endpoint, into, name.as_str())?;
            self.x.words = Some(outgoing.words);
            return Ok((outgoing.body, false));
        }
        let care = self.call.payload.care(params, !self.no_care);
        self.x.care = care.done;
        self.x.ttl = care.ttl;
        let usage = self.call.payload.adds_usage(params) && !self.usage_is_refused(endpoint);
        let shape = Shape { usage, care: !self.no_care };
        Ok((self.call.payload.bytes(params, rename, shape), usage))
    }

    /// The client's headers; those of a translated request, which speak of another API, are ours.
    pub(super) fn headers(&self, params: &ProviderParams) -> Cow<'a, HeaderMap> {
        let from = self.request.headers;
        let session = self.x.identity.as_ref().and_then(|identity| identity.key);
        let mut headers = match &self.x.words {
            Some(words) => Cow::Owned(translation::headers(from, words.dialect)),
            None => Cow::Borrowed(from),
        };
        if let Some((name, value)) = translation::affinity(params, session, from) {
            headers.to_mut().insert(name, value);
        }
        headers
    }

    /// The provider has no words for the request: it is not asked, and neither are its other accounts.
    /// Somebody who speaks another dialect may have them.
    pub(super) fn untranslatable(&mut self, choice: &Choice, denial: Denial) -> Step {
        let provider = &choice.endpoint.provider().params.name;
        let all = &self.call.model.endpoints;
        for endpoint in all.iter().filter(|endpoint| endpoint.provider().params.name == *provider) {
            if !self.tried.iter().any(|tried| tried.endpoint == *endpoint.name()) {
                self.tried.push(Tried::new(endpoint, false));
            }
        }
        let is_left =
            |endpoint: &&Arc<Endpoint>| !self.tried.iter().any(|tried| tried.endpoint == *endpoint.name());
        if self.call.pin.is_some() || !all.iter().any(|endpoint| is_left(&endpoint)) {
            return Step::Ended(Ending::Denied(denial));
        }
        self.last = Some(LastWord::Untranslatable(denial));
        Step::Ask
    }
}
