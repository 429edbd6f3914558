//! What the tests are written with: an application without a socket, and a flow.js client.

mod app;
mod checks;
mod flow;
mod form;

pub(crate) use self::{
    app::{Reply, TestApp, TestAppBuilder},
    flow::{FlowFile, multipart, pattern, sha256_hex},
    form::{Form, counted, cut},
};
