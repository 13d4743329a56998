//! The data path's shared state, and what a request asks for before it becomes a call.

use std::sync::Arc;

use http::{Method, header};
use parking_lot::Mutex;
use pingora_proxy::Session;
use tokio::sync::mpsc;

use super::{
    access,
    admit::{self, Payload},
    connect::Upstreams,
    denial::Denial,
    downlink::{Downlink, Lost},
    drive::{Drive, Ending, Request},
    exchange::Exchange,
    feedback, finish, identify, marks, models, passthrough, reply, reserve,
    route::{Route, Target},
    single, translation, upload,
};
use crate::{
    clock,
    dialect::{HardPin, PinKind},
    live::Live,
    types::{Dialect, Family, ModelName, Operation, Reason, TenantId},
};

/// Background answers whose usage is not settled yet.
const BACKGROUND: usize = 100_000;

/// The data path.
pub struct Gateway {
    /// Everything that outlives a reload.
    pub(crate) live: Arc<Live>,
    /// Connections to providers.
    pub(crate) upstreams: Arc<Upstreams>,
    background: Mutex<lru::LruCache<(TenantId, String), Background>>,
    _open: mpsc::Sender<()>,
}

struct Background {
    model: Option<ModelName>,
    upstream_model: Option<ModelName>,
}

/// What the shell does with a request.
pub(crate) enum Handled {
    /// It was answered.
    Done,
    /// It takes the native path.
    Native(passthrough::Way),
    /// The client is gone, or was cut off: its connection is to be dropped.
    Broken,
}

impl Gateway {
    /// A data path over this state. Pingora keeps it for as long as any client's connection lasts, so
    /// `open` is dropped when the last of them is closed, with everything that was said on it.
    pub fn new(live: Arc<Live>, upstreams: Arc<Upstreams>, open: mpsc::Sender<()>) -> Self {
        let room = std::num::NonZeroUsize::new(BACKGROUND).unwrap_or(std::num::NonZeroUsize::MIN);
        Self { live, upstreams, background: Mutex::new(lru::LruCache::new(room)), _open: open }
    }

    /// Answers a request, or says that it takes the native path.
    pub(crate) async fn handle(&self, session: &mut Session, x: &mut Exchange) -> Handled {
        let snapshot = Arc::clone(&x.snapshot);
        let bounds = &snapshot.server.bounds;
        let mut line = Downlink::new(session, bounds.write_timeout, Arc::clone(&x.live.flights));
        let ending = match self.enter(&mut line, x).await {
            Ok(Entered::Ended(ending)) => ending,
            Ok(Entered::Native(way)) => return Handled::Native(way),
            Err(denial) => Ending::Denied(denial),
        };
        finish::finish(&mut line, x, ending).await;
        if line.is_broken() { Handled::Broken } else { Handled::Done }
    }

    async fn enter(&self, line: &mut Downlink<'_>, x: &mut Exchange) -> Result<Entered, Denial> {
        let head = line.session.req_header();
        let (method, mut headers) = (head.method.clone(), head.headers.clone());
        let query = head.uri.query().map(str::to_owned);
        marks::begin(x, &method, head.uri.path(), &headers);
        let target = target(x, head.uri.path(), &headers)?;
        upload::check_size(&headers, &x.snapshot.server.bounds)?;
        if matches!(target.route, Route::Root | Route::Health) {
            return self.probe(line, x, &method, &target.route).await.map(Entered::Ended);
        }
        identify::caller(x, &headers)?;
        if let Some(own) = &x.own_credential {
            headers.remove(own);
        }
        match &target.route {
            Route::Root | Route::Health => Err(Denial::new(Reason::Internal, "unreachable")),
            Route::Models(id) => {
                expect_method(&method, &[Method::GET, Method::HEAD])?;
                x.silent = true;
                let prefix = target.prefix.as_deref().and_then(|prefix| family_named(x, prefix));
                let family = models::family_of(prefix, &headers);
                let body = models::list(x, family, prefix, id.as_deref())?;
                let sent = reply::json(line, x, 200, body).await;
                Ok(Entered::Ended(said(sent)))
            }
            Route::Feedback => {
                expect_method(&method, &[Method::POST])?;
                x.silent = true;
                let upload = receive(line, x).await?;
                feedback::take(line, x, &upload.body).await.map(Entered::Ended)
            }
            Route::Call(operation) => {
                expect_method(&method, &[Method::POST])?;
                let path = with_query(operation.path(), query.as_deref());
                let request = Request { method, path_and_query: path, headers: &headers };
                self.call(line, x, *operation, &request).await.map(Entered::Ended)
            }
            Route::Object { kind, id } => {
                expect_method(&method, &[Method::GET, Method::DELETE, Method::POST])?;
                let path = with_query(&format!("/v1{}", below_v1(&target.path)), query.as_deref());
                let request = Request { method, path_and_query: path, headers: &headers };
                self.object(line, x, *kind, id, &request).await.map(Entered::Ended)
            }
            Route::Other => self.pass_through(line, x, &target, method, query.as_deref(), &headers).await,
        }
    }

    /// `/` and `/healthz`: clients and load balancers ask before they send anything.
    async fn probe(
        &self,
        line: &mut Downlink<'_>,
        x: &mut Exchange,
        method: &Method,
        route: &Route,
    ) -> Result<Ending, Denial> {
        expect_method(method, &[Method::GET, Method::HEAD])?;
        x.silent = true;
        let now = clock::now();
        let usable = x
            .snapshot
            .pool
            .endpoints()
            .iter()
            .any(|endpoint| endpoint.availability(crate::upstream::Lane::PASSTHROUGH, now).usable());
        let (status, body) = match (*route == Route::Health, usable) {
            (true, false) => (503, r#"{"status":"no endpoint is available"}"#),
            (true, true) => (200, r#"{"status":"ok"}"#),
            (false, _) => (200, r#"{"service":"warmkey"}"#),
        };
        let sent = reply::json(line, x, status, body.into()).await;
        Ok(said(sent))
    }

    async fn call(
        &self,
        line: &mut Downlink<'_>,
        x: &mut Exchange,
        operation: Operation,
        request: &Request<'_>,
    ) -> Result<Ending, Denial> {
        x.operation = Some(operation);
        x.metered = true;
        let upload = receive(line, x).await?;
        let who = identify::call(x, operation, request.headers, &upload.body)?;
        marks::identified(x);
        if x.streamed {
            let snapshot = Arc::clone(&x.snapshot);
            line.beat_with(&snapshot.server.heartbeat);
        }
        let admitted = admit::admit(x, operation, who, upload)?;
        reserve::call(x, &admitted).await?;
        marks::admitted(x);
        if let Some(count) = translation::estimated_count(&admitted, x.request_bytes) {
            return Ok(said(reply::estimate(line, x, count).await));
        }
        let background = admitted.background;
        // What is learned later is the answer's, not the request's: a background answer has no usage yet.
        x.metered = !background;
        let ending = Box::pin(Drive::new(self, line, x, admitted, request).run()).await;
        let finished = x.reading.as_ref().is_some_and(|reading| reading.meter.stopped());
        if background && finished {
            // Streamed to its end (or done at once): nobody may ever look at it again.
            x.metered = true;
        } else if background && let Some(id) = x.reading.as_ref().and_then(|reading| reading.id.clone()) {
            let job = Background { model: x.model.clone(), upstream_model: x.upstream_model.clone() };
            self.background.lock().put((x.tenant.clone(), id), job);
        }
        Ok(ending)
    }

    /// A stored response, by id: at the account that owns it, for the tenant that made it.
    async fn object(
        &self,
        line: &mut Downlink<'_>,
        x: &mut Exchange,
        kind: PinKind,
        id: &str,
        request: &Request<'_>,
    ) -> Result<Ending, Denial> {
        x.dialect = Some(Dialect::OpenAiResponses);
        marks::identified(x);
        let upload = receive(line, x).await?;
        let pin = HardPin { kind, id: id.to_owned() };
        let Some(owner) = admit::pin(x, std::slice::from_ref(&pin))? else {
            return Err(Denial::new(
                Reason::UnknownObject,
                format!(
                    "this {} is not known here; it must be made through this gateway first",
                    kind.label()
                ),
            ));
        };
        let Some(endpoint) = x.snapshot.pool.endpoint(owner.as_str()).map(Arc::clone) else {
            return Err(Denial::new(
                Reason::OwnerGone,
                "the account that owns this object is not configured any more",
            ));
        };
        access::check_owner(x, &endpoint)?;
        let job = (x.tenant.clone(), pin.id);
        if let Some(background) = self.background.lock().peek(&job) {
            x.model = background.model.clone();
            x.upstream_model = background.upstream_model.clone();
        }
        // What was made here was paid for by its maker's permit, or will be by the look that finds it done.
        reserve::aside(x, false).await?;
        marks::admitted(x);
        let payload = Payload::plain(Some(upload));
        let ending = Box::pin(single::single(self, line, x, &endpoint, request, payload, None)).await;
        let finished =
            x.reading.as_ref().is_some_and(|reading| reading.meter.stopped() || reading.fault.is_some());
        if finished && self.background.lock().pop(&job).is_some() {
            // Settled once, by the first look that finds it finished.
            x.metered = true;
        }
        Ok(ending)
    }

    async fn pass_through(
        &self,
        line: &mut Downlink<'_>,
        x: &mut Exchange,
        target: &Target,
        method: Method,
        query: Option<&str>,
        headers: &http::HeaderMap,
    ) -> Result<Entered, Denial> {
        marks::identified(x);
        let has_body = headers.contains_key(header::TRANSFER_ENCODING)
            || headers.get(header::CONTENT_LENGTH).is_some_and(|length| length.as_bytes() != b"0")
            || (line.session.is_http2() && !line.session.is_body_empty());
        if !has_body || passthrough::is_opaque(headers) {
            let way = passthrough::way(x, &method, target, b"");
            x.pass_path = Some(with_query(&target.path, query));
            let closing = |no: Denial| if has_body { no.closing() } else { no };
            let way = way.map_err(closing)?;
            reserve::aside(x, false).await.map_err(closing)?;
            marks::admitted(x);
            return Ok(Entered::Native(way));
        }
        // Asked before the body is: a path that is not allowed gets no upload.
        passthrough::way(x, &method, target, b"").map_err(Denial::closing)?;
        // Nobody knows what it will cost: a batch may cost much.
        reserve::aside(x, method == Method::POST).await.map_err(Denial::closing)?;
        marks::admitted(x);
        let upload = receive(line, x).await?;
        let way = passthrough::way(x, &method, target, &upload.body)?;
        let request = Request { method, path_and_query: with_query(&target.path, query), headers };
        let payload = Payload::plain(Some(upload));
        let single = single::single(self, line, x, &way.endpoint, &request, payload, way.creates);
        Ok(Entered::Ended(Box::pin(single).await))
    }
}

enum Entered {
    Ended(Ending),
    Native(passthrough::Way),
}

fn target(x: &mut Exchange, path: &str, headers: &http::HeaderMap) -> Result<Target, Denial> {
    let pool = Arc::clone(&x.snapshot.pool);
    let named = |name: &str| pool.providers().iter().any(|provider| passthrough::answers_to(provider, name));
    x.dialect = Some(if headers.contains_key("anthropic-version") {
        Dialect::Anthropic
    } else {
        Dialect::OpenAiChat
    });
    let target = super::route::target(path, named)
        .map_err(|fault| Denial::new(Reason::BadRequest, fault.0).closing())?;
    let prefix = target.prefix.as_deref().and_then(|prefix| family_named(x, prefix));
    match (&target.route, prefix) {
        (Route::Call(operation), family) => {
            x.dialect = Some(operation.dialect());
            if family.is_some_and(|family| family != operation.dialect().family()) {
                return Err(Denial::new(
                    Reason::UnknownPath,
                    format!("`{}` is not an API of the provider that the path names", target.path),
                )
                .closing());
            }
        }
        (_, Some(Family::Anthropic)) => x.dialect = Some(Dialect::Anthropic),
        (_, Some(Family::OpenAi | Family::Gemini | Family::Bedrock)) => x.dialect = Some(Dialect::OpenAiChat),
        (_, None) => {}
    }
    Ok(target)
}

fn family_named(x: &Exchange, prefix: &str) -> Option<Family> {
    let mut providers = x.snapshot.pool.providers().iter();
    providers
        .find(|provider| passthrough::answers_to(provider, prefix))
        .map(|provider| provider.params.family)
}

fn expect_method(method: &Method, allowed: &[Method]) -> Result<(), Denial> {
    if allowed.contains(method) {
        return Ok(());
    }
    let names: Vec<&str> = allowed.iter().map(Method::as_str).collect();
    let mut no = Denial::new(Reason::MethodNotAllowed, format!("use {} here", names.join(" or "))).closing();
    no.allow = Some(names.join(", "));
    Err(no)
}

async fn receive(line: &mut Downlink<'_>, x: &mut Exchange) -> Result<upload::Upload, Denial> {
    let snapshot = Arc::clone(&x.snapshot);
    let bounds = &snapshot.server.bounds;
    upload::check_head(line.session, bounds)?;
    let began = clock::now();
    let read = upload::read(line.session, bounds, &x.live.buffers).await;
    x.upload = clock::now().since(began);
    let upload = read?;
    x.request_bytes = upload.body.len() as u64;
    Ok(upload)
}

fn with_query(path: &str, query: Option<&str>) -> String {
    query.map_or_else(|| path.to_owned(), |query| format!("{path}?{query}"))
}

fn below_v1(path: &str) -> &str {
    path.strip_prefix("/v1").filter(|rest| rest.starts_with('/')).unwrap_or(path)
}

/// An answer of our own went out whole, or the client left during it.
pub(crate) fn said(sent: Result<(), Lost>) -> Ending {
    match sent {
        Ok(()) => Ending::Said,
        Err(lost) => Ending::Lost(lost),
    }
}
