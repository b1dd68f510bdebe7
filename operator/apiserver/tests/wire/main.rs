//! Answers on the wire, request by request, in process: codes, reasons, texts and headers as
//! kube-apiserver gives them.

#![allow(clippy::unwrap_used, clippy::panic)]

mod client;
mod reads;
mod refusals;
mod relations;
#[path = "../support/mod.rs"]
mod support;
mod writes;
