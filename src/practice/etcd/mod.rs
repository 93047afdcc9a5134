//! etcd in memory: a model of membership behind etcd's own services, and units that start or fail as etcd does.

pub mod config;
pub mod links;
pub mod model;
pub mod rules;
pub mod server;
mod services;
pub mod start;
pub mod store;
pub mod tools;
pub mod words;
