//! With which problems each operation may answer: all of them, so that any other is a mistake.

use http::Method;
use serde_json::{Map, Value};

use super::answer;
use crate::http::{
    gate::{self, Need},
    problem,
    route::Route,
};

/// What any operation may answer when it is not its caller's fault.
const OF_ALL: (&str, &str) = (
    "5XX",
    "The server's trouble: what failed (500), what passes, with Retry-After (503), or that there \
     is no room (507).",
);

/// What any operation answers while the service is open, to what is not of this machine.
const MISDIRECTED: u16 = 421;

/// The problems of an operation, by status.
pub(super) fn of(route: Route, method: &Method, schema: &Value) -> Map<String, Value> {
    let who: &[u16] = match gate::need(route, method) {
        Need::Nothing => &[],
        Need::OneOf(_) | Need::InPerson(_) | Need::Session => &[401, 403],
    };
    // Of what a request demands besides: see `demands`.
    let demands: &[u16] = if method.is_safe() { &[417] } else { &[400, 415, 417] };
    let said = who.iter().chain(demands).chain(own(route, method)).chain(&[MISDIRECTED]);
    let said = said.map(|status| (status.to_string(), description(*status)));
    let said = said.chain([(OF_ALL.0.to_owned(), OF_ALL.1)]);
    let said =
        said.map(|(status, text)| (status, answer(text, problem::CONTENT_TYPE, schema.clone())));
    said.collect()
}

fn own(route: Route, method: &Method) -> &'static [u16] {
    match route {
        Route::Flow if *method == Method::GET => &[400, 409, 413, 415],
        Route::Flow | Route::UploadCreative => &[400, 408, 409, 413, 415],
        Route::Lookup => &[400, 404, 409, 413, 415],
        Route::Uploads | Route::Creatives => &[400],
        Route::Upload(_) if *method == Method::DELETE => &[404, 409],
        Route::Creative(_) if *method == Method::PATCH => &[400, 404, 408, 413],
        Route::Upload(_) => &[400, 404],
        Route::Events(_) => &[404, 429],
        Route::Creative(_) => &[404],
        Route::Content(_) | Route::Asset => &[404, 412, 416],
        Route::Tickets => &[400, 408, 409, 413],
        Route::Code => &[400, 403, 408, 409, 413, 429],
        Route::Session if *method == Method::DELETE => &[],
        Route::Session => &[400, 401, 403, 408, 413],
        Route::Scheduled
        | Route::Limits
        | Route::Auth
        | Route::Health
        | Route::Ready
        | Route::Metrics
        | Route::OpenApi => &[],
    }
}

/// What a status means everywhere; `code` says more.
fn description(status: u16) -> &'static str {
    match status {
        400 => "The request is not right: `code` names what is not.",
        401 => "Credentials are needed, and none that count were shown.",
        403 => "The credentials, or the page that sends this, may not do it.",
        404 => "There is no such thing, or none of the caller's.",
        408 => "The body stopped coming.",
        409 => "It is not in a state for that, or it says something else than before.",
        412 => "A precondition does not hold.",
        413 => "Too large, or over a quota.",
        415 => {
            "The body is encoded, or the file is not of a kind that is taken, or the upload has \
             ended: do not send it again as it is."
        }
        416 => "There is no such range.",
        417 => "Something else is expected than `100-continue`.",
        421 => "Nobody has decided who may use the service, and this is not of its own machine.",
        429 => "Too often, for now: see Retry-After.",
        _ => unreachable!("each status that is listed has a description"),
    }
}
