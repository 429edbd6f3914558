//! What the tests are written with: an application without a socket, a flow.js client, and a
//! machine in memory whose processes can be killed.

mod app;
mod catalog;
mod flow;
mod gate;
mod machine;
mod store;
mod trickle;

pub(crate) use self::{
    app::{NOW, Reply, TestApp, TestAppBuilder},
    catalog::{CatalogOp, StagedCatalog},
    flow::{FlowFile, multipart, sha256_hex},
    gate::Gate,
    machine::{Machine, idle},
    store::StagedStore,
};
