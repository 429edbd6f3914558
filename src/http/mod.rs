//! The service on the wire: the accept loop, the middleware, the routes and what answers them.
//!
//! Read [`server`] first (a socket becomes requests), then [`middleware`] (what every request and
//! every answer goes through), [`route`] (every address), [`gate`] (who may ask it) and [`service`]
//! (which of them is answered by what). Handlers are given a [`state::State`] and know neither each
//! other nor the service; what goes wrong below them becomes a [`problem`] in `trouble`. [`body`]
//! and [`problem`] are what answers are built from; [`content`] decides which bytes of a published
//! file are sent; [`assets`] are the pages.
//!
//! Invariant: no type of this layer is known below it.

pub mod assets;
mod auth;
pub mod body;
mod by;
pub mod content;
pub mod control;
pub mod cors;
mod creatives;
pub mod cross_site;
mod demands;
mod door;
mod events;
mod flow;
pub mod gate;
mod incoming;
mod intake;
mod lend;
pub mod limits;
mod local;
pub mod middleware;
pub mod openapi;
mod operation;
pub mod origin;
pub mod pace;
mod panic;
mod permission;
mod permitted;
mod preconditions;
pub mod problem;
pub mod proxies;
mod query;
pub mod readiness;
pub mod request_id;
pub mod route;
pub mod server;
pub mod service;
pub mod side;
mod slots;
mod stall;
pub mod state;
pub mod stop;
pub mod streams;
mod strict;
mod tickets;
pub mod tls;
mod trace;
mod trouble;
mod uploads;
pub mod visitors;

use std::convert::Infallible;

use tower::Service;

pub use self::body::{BoxError, Request, RequestBody, Response, ResponseBody};

/// A service that answers every request, be it with a problem.
pub trait Handler:
    Service<Request, Response = Response, Error = Infallible, Future: Send>
    + Clone
    + Send
    + Sync
    + 'static
{
}

impl<S> Handler for S where
    S: Service<Request, Response = Response, Error = Infallible, Future: Send>
        + Clone
        + Send
        + Sync
        + 'static
{
}
