//! What the tests are written with: an application without a socket, and a flow.js client.

mod app;
mod flow;

pub(crate) use self::{
    app::{Reply, TestApp, TestAppBuilder},
    flow::{FlowFile, multipart, sha256_hex},
};
