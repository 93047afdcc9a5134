//! All six chapters on real Kubernetes.

mod growth;
mod outage;
mod secrets;
mod sizes;
mod wizard;
mod workers;
