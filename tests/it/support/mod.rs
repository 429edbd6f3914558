//! What the tests are written with: an application without a socket, a flow.js client, and a
//! machine in memory whose processes can be killed.

mod app;
pub(crate) mod authority;
mod catalog;
mod checks;
mod directory;
mod flow;
mod form;
mod gate;
pub(crate) mod keys;
mod machine;
mod outbox;
mod stages;
mod store;
mod trickle;

pub(crate) use self::{
    app::{NOW, Reply, TestApp, TestAppBuilder},
    catalog::{CatalogOp, StagedCatalog},
    checks::with_missing,
    directory::CountedDirectory,
    flow::{FlowFile, multipart, pattern, sha256_hex},
    form::{Form, counted, cut},
    gate::Gate,
    machine::{Machine, idle, pass},
    outbox::{Outbox, code_in},
    store::StagedStore,
    trickle::Trickle,
};
