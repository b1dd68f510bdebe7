//! apiserver

pub mod decode;
pub mod jsonpath;
pub mod openapi;
pub mod schema;
pub mod seal;
pub mod table;
