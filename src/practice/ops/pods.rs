//! The pods of a node: what a stopped kubelet leaves behind, and what an agent was started with.

use super::Done;
use crate::{
    cluster::HostName,
    practice::{
        kube::{docker, process},
        world::World,
    },
    remote::pods::PodsOp,
};

/// What an agent is told in its environment besides the endpoints.
const NODENAME: &str = "NODENAME";

pub fn run(world: &mut World, name: &HostName, op: &PodsOp) -> Done {
    match op {
        PodsOp::StopAll => stop_all(world, name),
        PodsOp::Env { container, variable } => env(world, name, container, variable),
    }
}

/// Where docker does not run there is nothing to stop, and nothing is wrong.
fn stop_all(world: &mut World, name: &HostName) -> Done {
    if docker::active(world, name) {
        process::killed(world, name);
        for store in world.kube.stores.values_mut() {
            for agent in store.agents.values_mut().filter(|a| &a.host == name) {
                agent.stop();
            }
        }
    }
    Done::default()
}

fn env(world: &World, name: &HostName, container: &str, variable: &str) -> Done {
    if !docker::active(world, name) {
        return Done::not_there();
    }
    let agents = world.kube.stores.values().flat_map(|s| &s.agents);
    let own = agents.into_iter().find(|(_, a)| &a.host == name && a.container == container);
    match (own, variable) {
        (Some((_, agent)), "ETCD_ENDPOINTS") => Done::out(format!("{}\n", agent.endpoints)),
        (Some((node, _)), NODENAME) => Done::out(format!("{node}\n")),
        _ => Done::not_there(),
    }
}
