//! From a request to its answer: the one place where routes meet what answers them.

use std::{borrow::Cow, convert::Infallible, sync::Arc};

use futures_util::{Stream, TryStreamExt, future::BoxFuture};
use http::{HeaderMap, HeaderName, Method, StatusCode, header, request};
use http_body::Body;
use http_body_util::BodyExt;
use tokio::time::Instant;

use super::{
    assets,
    body::{self, Request, RequestBody, Response},
    creatives, events, lend, operation,
    problem::{Problem, allow},
    request_id,
    route::Route,
    uploads,
};
use crate::{
    dialect::{Refusal, Status, direct, flow},
    engine::{BodyError, Engine},
    metrics::{Metrics, RequestLabels},
    upload::{Principal, UploadState},
};

/// What every handler can reach. Built in one place (`app`), shared by all connections.
#[derive(Debug)]
pub struct State {
    /// The engine.
    pub engine: Engine,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Cancelled when the service is to stop: it is not ready any more then.
    pub stopping: tokio_util::sync::CancellationToken,
}

/// What an answer is before it is known for which request it is.
pub(super) type Answer = Result<Response, Problem>;

/// The service: answers every request, be it with a problem.
#[derive(Debug, Clone)]
pub struct Service(Arc<State>);

impl Service {
    /// The service on this state.
    #[must_use]
    pub fn new(state: Arc<State>) -> Self {
        Self(state)
    }
}

impl tower::Service<Request> for Service {
    type Response = Response;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response, Infallible>>;

    fn poll_ready(
        &mut self,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), Infallible>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let state = self.0.clone();
        Box::pin(async move { Ok(answer(state, request).await) })
    }
}

async fn answer(state: Arc<State>, request: Request) -> Response {
    let begun = Instant::now();
    let id = request_id::of(request.extensions()).to_owned();
    let route = Route::of(request.uri().path());
    let is_head = request.method() == Method::HEAD;
    let metrics = state.metrics.clone();
    let answered = if request.method().is_safe() {
        dispatch(state, route, request).await
    } else {
        carry_out(state, route, request).await
    };
    let mut response = answered.unwrap_or_else(|problem| problem.into_response(&id));
    if is_head {
        drop_body(&mut response);
    }
    let labels = RequestLabels {
        route: route.map_or("other", Route::name),
        status: class(response.status()),
    };
    metrics.requests.get_or_create(&labels).observe(begun.elapsed().as_secs_f64());
    response
}

fn class(status: StatusCode) -> &'static str {
    match status.as_u16() {
        100..200 => "1xx",
        200..300 => "2xx",
        300..400 => "3xx",
        400..500 => "4xx",
        _ => "5xx",
    }
}

/// What the answer to a GET would be, but for its bytes.
fn drop_body(response: &mut Response) {
    let body = std::mem::replace(response.body_mut(), body::empty());
    if let Some(len) = body.size_hint().exact()
        && response.status() != StatusCode::NOT_MODIFIED
    {
        response.headers_mut().entry(header::CONTENT_LENGTH).or_insert(len.into());
    }
}

/// A request that may change something runs to its end in a task of its own, whether or not its
/// client waits for the answer: half a change is worse than none.
async fn carry_out(state: Arc<State>, route: Option<Route>, request: Request) -> Answer {
    let own = state.clone();
    let exchange = async move {
        let (parts, body) = request.into_parts();
        let headers = parts.headers.clone();
        let (body, rest) = lend::lend(body);
        let answer = dispatch(own, route, Request::from_parts(parts, body)).await;
        if answer.is_err() {
            body::drain(&headers, rest.take()).await;
        }
        answer
    };
    let answer = state.engine.detach(tracing::Instrument::in_current_span(exchange)).await;
    answer.unwrap_or_else(|| Err(Problem::internal()))
}

async fn dispatch(state: Arc<State>, route: Option<Route>, request: Request) -> Answer {
    let route = route.ok_or_else(Problem::not_found)?;
    let method = request.method().clone();
    if method == Method::OPTIONS {
        return Ok(options(route));
    }
    if route == Route::Flow && method == Method::HEAD {
        // A browser drops the parameters of a HEAD test; a 200 would make flow.js skip the file.
        return Err(Problem::bad_request(
            "invalid_method",
            "Probe with GET: HEAD has no parameters.",
        ));
    }
    if !route.methods().contains(&method) {
        return Err(Problem::method_not_allowed(route.methods()));
    }
    let principal = Principal::anonymous();
    let (parts, body) = request.into_parts();
    let query = parts.uri.query().unwrap_or_default();
    match route {
        Route::Flow if method == Method::GET => {
            flow_answer(flow::probe(&state.engine, &principal, query).await)
        }
        Route::Flow => upload(&state, &principal, &parts, body).await,
        Route::UploadCreative => upload_creative(&state, &principal, &parts, body).await,
        Route::Uploads => uploads::list(&state, &principal, query).await,
        Route::Lookup => match flow::lookup(&state.engine, &principal, query).await? {
            Some(status) => Ok(body::json(StatusCode::OK, &status)),
            None => Err(Problem::not_found()),
        },
        Route::Upload(id) if method == Method::DELETE => {
            uploads::cancel(&state, &principal, id).await
        }
        Route::Upload(id) => uploads::show(&state, &principal, id).await,
        Route::Events(id) => events::follow(&state, &principal, id).await,
        Route::Scheduled => creatives::scheduled(&state, &principal).await,
        Route::Creatives => creatives::list(&state, &principal, query).await,
        Route::Creative(id) if method == Method::DELETE => {
            creatives::delete(&state, &principal, id).await
        }
        Route::Creative(id) if method == Method::PATCH => {
            creatives::reschedule(&state, &principal, id, body).await
        }
        Route::Creative(id) => creatives::show(&state, &principal, id).await,
        Route::Content(id) => {
            creatives::content(
                state,
                &principal,
                id,
                &method,
                &parts.headers,
                request_id::of(&parts.extensions),
            )
            .await
        }
        Route::Health => Ok(operation::health()),
        Route::Ready => operation::ready(&state).await,
        Route::Metrics => operation::metrics(&state).await,
        Route::OpenApi => Ok(operation::openapi()),
        Route::Asset => asset(&parts, &method),
    }
}

fn options(route: Route) -> Response {
    let mut response = Response::new(body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let methods: Vec<Method> = route.methods().iter().cloned().chain([Method::OPTIONS]).collect();
    response.headers_mut().insert(header::ALLOW, allow(&methods));
    response
}

fn asset(parts: &request::Parts, method: &Method) -> Answer {
    let asset = assets::find(parts.uri.path()).ok_or_else(Problem::not_found)?;
    Ok(asset.respond(method, &parts.headers, request_id::of(&parts.extensions)))
}

async fn upload(
    state: &State,
    principal: &Principal,
    parts: &request::Parts,
    body: RequestBody,
) -> Answer {
    let content_type = text(&parts.headers, &header::CONTENT_TYPE);
    let content_digest = text(&parts.headers, &CONTENT_DIGEST);
    let request = flow::Upload {
        principal,
        query: parts.uri.query().unwrap_or_default(),
        content_type: content_type.as_deref(),
        content_digest: content_digest.as_deref(),
    };
    flow_answer(flow::upload(&state.engine, request, frames(body)).await)
}

async fn upload_creative(
    state: &State,
    principal: &Principal,
    parts: &request::Parts,
    body: RequestBody,
) -> Answer {
    let content_type = text(&parts.headers, &header::CONTENT_TYPE);
    let content_type = content_type.as_deref();
    let status =
        direct::upload_creative(&state.engine, principal, content_type, frames(body)).await?;
    Ok(match (status.upload.state, &status.creative) {
        (UploadState::Complete, Some(creative)) => creatives::one(StatusCode::CREATED, creative),
        // It is safe and will be complete; the status says where to ask.
        _ => body::json(StatusCode::ACCEPTED, &status),
    })
}

const CONTENT_DIGEST: HeaderName = HeaderName::from_static("content-digest");

/// What a header says, all of its lines as one, joined by commas. Bytes that are no text become
/// U+FFFD and are refused by whoever understands the rest: a header that is there but unreadable
/// must not count as missing, or a form would be stored as if it were the file.
fn text(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let lines = headers.get_all(name).iter().map(|line| String::from_utf8_lossy(line.as_bytes()));
    lines.map(Cow::into_owned).reduce(|all, line| all + ", " + &line)
}

/// The bytes of a body, with its troubles in the engine's words. Trailers are dropped.
fn frames(
    body: RequestBody,
) -> impl Stream<Item = Result<bytes::Bytes, BodyError>> + Send + 'static {
    body.into_data_stream().map_err(|error| {
        if body::is_timeout(error.as_ref()) {
            BodyError::TimedOut
        } else {
            BodyError::Broken(error)
        }
    })
}

fn flow_answer(answer: Result<flow::Answer, Refusal>) -> Answer {
    let json = |status, body: Box<Status>| Ok(body::json(status, &body));
    match answer? {
        flow::Answer::Here(status) => json(StatusCode::OK, status),
        flow::Answer::Completed(status) => json(StatusCode::CREATED, status),
        flow::Answer::Missing => {
            let mut response = Response::new(body::empty());
            *response.status_mut() = StatusCode::NO_CONTENT;
            Ok(response)
        }
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let problem = Self::new(refusal.status, refusal.code, sentence(&refusal.detail));
        Self { retry_after: refusal.retry_after, ..problem }
    }
}

/// A detail as a sentence: upper case first, a full stop last.
pub(super) fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    let first: String = chars.next().map(|c| c.to_uppercase().collect()).unwrap_or_default();
    let stop = if text.ends_with(['.', '…']) { "" } else { "." };
    format!("{first}{}{stop}", chars.as_str())
}
