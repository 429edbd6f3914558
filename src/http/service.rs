//! From a request to its answer: the one place where routes meet what answers them.

use std::{convert::Infallible, sync::Arc};

use futures_util::future::BoxFuture;
use http::{Method, StatusCode, header, request};
use http_body::Body;
use tokio::time::Instant;

use super::{
    assets, auth,
    body::{self, Request, Response},
    creatives, demands, events, flow, gate,
    intake::HeadLease,
    lend, limits, local, operation,
    permission::Permission,
    permitted::{LetIn, permitted},
    problem::{Problem, allow},
    request_id,
    route::Route,
    side::Side,
    state::{Answer, State},
    stop, tickets, uploads,
    visitors::Greeting,
};
use crate::metrics::RequestLabels;

/// The service: answers every request, be it with a problem.
#[derive(Debug, Clone)]
pub struct Service(Arc<State>, Side);

impl Service {
    /// The service on this state, at one of its addresses.
    #[must_use]
    pub fn new(state: Arc<State>, side: Side) -> Self {
        Self(state, side)
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
        let (state, side) = (self.0.clone(), self.1);
        Box::pin(async move { Ok(answer(state, side, request).await) })
    }
}

async fn answer(state: Arc<State>, side: Side, request: Request) -> Response {
    let begun = Instant::now();
    let mut request = request.map(|body| stop::stoppable(body, &state.stop));
    let greeting = Greeting::new(state.engine.clock());
    request.extensions_mut().insert(gate::Begun(begun));
    request.extensions_mut().insert(greeting.clone());
    let id = request_id::of(request.extensions()).to_owned();
    let route = Route::of(request.uri().path()).filter(|route| side.serves(*route));
    let is_head = request.method() == Method::HEAD;
    let shared = state.clone();
    // What only some requests go through is boxed, here and below: a probe would pay for its size.
    let answered = if request.method().is_safe() {
        dispatch(state, route, request).await
    } else {
        Box::pin(carry_out(state, route, request)).await
    };
    let mut response = answered.unwrap_or_else(|problem| problem.into_response(&id));
    greeting.give(&mut response, shared.engine.clock());
    if is_head {
        drop_body(&mut response);
    }
    let labels = RequestLabels {
        route: route.map_or("other", Route::name),
        status: class(response.status()),
    };
    shared.metrics.requests.get_or_create(&labels).observe(begun.elapsed().as_secs_f64());
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
        // Held as long as the head is: by those headers, too.
        let _lease = parts.extensions.get::<HeadLease>().cloned();
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
    let request = local::admit(&state, request)?;
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
    demands::check(&method, request.headers())?;
    state.sites.check(&method, request.headers())?;
    let (parts, body) = request.into_parts();
    let (parts, let_in) = (Arc::new(parts), LetIn::default());
    let body = if method.is_safe() { body } else { permitted(body, let_in.clone()) };
    if let Route::Flow | Route::Lookup = route {
        return flow(&state, route, &parts, (body, let_in)).await;
    }
    if let Route::Auth | Route::Code | Route::Session = route {
        return Box::pin(auth::answer(&state, route, &parts, body)).await;
    }
    let grant = gate::grant(&state, route, &parts, None).await?;
    let principal = &grant.principal;
    let permission = || Permission::new(&state, route, &parts, principal);
    if !method.is_safe() {
        let_in.get_or_init(|| permission().for_body(None));
    }
    let query = parts.uri.query().unwrap_or_default();
    match route {
        Route::Flow | Route::Lookup | Route::Auth | Route::Code | Route::Session => {
            unreachable!("they were answered above")
        }
        Route::UploadCreative => {
            gate::begin(&state, &parts, principal, None).await;
            Box::pin(creatives::upload(&state, &grant, &parts.headers, body)).await
        }
        Route::Uploads => uploads::list(&state, principal, query).await,
        Route::Upload(id) if method == Method::DELETE => uploads::cancel(&state, &grant, id).await,
        Route::Upload(id) => uploads::show(&state, principal, id, query).await,
        Route::Events(id) => events::follow(&state, permission(), principal, id, &parts).await,
        Route::Scheduled => creatives::scheduled(&state, principal).await,
        Route::Creatives => creatives::list(&state, principal, query).await,
        Route::Creative(id) if method == Method::DELETE => {
            creatives::delete(&state, &grant, id).await
        }
        Route::Creative(id) if method == Method::PATCH => {
            creatives::reschedule(&state, &grant, id, body).await
        }
        Route::Creative(id) => creatives::show(&state, principal, id).await,
        Route::Content(id) => {
            let permission = permission();
            creatives::content(state.clone(), principal, id, &parts, permission).await
        }
        Route::Tickets => tickets::issue(&state, &grant.by, body).await,
        Route::Limits => limits::show(&state, principal).await,
        Route::Health => Ok(operation::health()),
        Route::Ready => operation::ready(&state).await,
        Route::Metrics => operation::metrics(&state).await,
        Route::OpenApi => Ok(operation::openapi()),
        Route::Asset => asset(&state, &parts, &method),
    }
}

/// The dialect of flow.js, in which a ticket may be a field: who asks is known when they were read.
async fn flow(
    state: &Arc<State>,
    route: Route,
    parts: &Arc<request::Parts>,
    (body, let_in): (body::RequestBody, LetIn),
) -> Answer {
    let gate = gate::FlowGate { state, route, parts, let_in };
    match route {
        Route::Lookup => flow::lookup(&gate).await,
        _ if parts.method == Method::GET => flow::probe(&gate).await,
        _ => Box::pin(flow::upload(&gate, body)).await,
    }
}

fn options(route: Route) -> Response {
    let mut response = body::no_content();
    let methods: Vec<Method> = route.methods().iter().cloned().chain([Method::OPTIONS]).collect();
    response.headers_mut().insert(header::ALLOW, allow(&methods));
    response
}

fn asset(state: &State, parts: &request::Parts, method: &Method) -> Answer {
    let asset = assets::find(parts.uri.path()).ok_or_else(Problem::not_found)?;
    let mut response = asset.respond(method, &parts.headers, request_id::of(&parts.extensions));
    if parts.uri.path() == "/" && state.access.is_open() && !response.status().is_client_error() {
        state.visitors.greet_page(&parts.headers, &mut response);
    }
    Ok(response)
}
