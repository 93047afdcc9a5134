//! What suffers says so, again and again, where an engineer would read it: in kubelet's journal and in the apiservers' logs.

use std::time::Duration;

use super::{
    agents::AGENT,
    docker,
    process::{Loaded, Process, klog, said},
};
use crate::{cluster::HostName, practice::world::World};

/// How often, in practice time. Where time runs fast, less often: nobody reads that.
const EVERY: Duration = Duration::from_secs(10);
const FAST: u32 = 50;

/// A line: where, of an apiserver or of kubelet, klog's letter and the words.
struct Line {
    host: HostName,
    apiserver: bool,
    letter: char,
    words: String,
}

/// Writes what there is to complain about.
pub fn settle(world: &mut World) {
    let now = world.clock.now();
    if world.kube.complains > now {
        return;
    }
    world.kube.complains = now + EVERY * (world.clock.speed() / FAST).max(1);
    let mut lines = agents(world);
    lines.extend(alone(world));
    lines.extend(apiservers(world));
    for Line { host, apiserver, letter, words } in lines {
        let unit = world.kube.kubelets.get(&host).map(|k| k.unit.clone());
        let Some(machine) = world.hosts.get_mut(&host) else { continue };
        if apiserver {
            said(machine, "kube-apiserver", letter, &words);
        } else if let Some(unit) = unit {
            let line = klog(machine, letter, &words);
            machine.log(&unit, line);
        }
    }
}

/// Calico's agents that fail again and again.
fn agents(world: &World) -> Vec<Line> {
    let failing = world.kube.stores.values().flat_map(|s| &s.agents).filter(|(_, a)| a.ready.is_none());
    let line = |(node, agent): (&String, &super::agents::Agent)| {
        let pod = format!("{}_kube-system({})", agent.name, agent.uid);
        let text = world.hosts.get(&agent.host).and_then(|h| h.files.text("/var/lib/calico/nodename"));
        // The agent says the name that it took, escapes and all; where that is its node's, something else ails it.
        let why = text.filter(|t| t != node).map(|t| format!("; its last line: {t:?} is not the name of a node"));
        Line {
            host: agent.host.clone(),
            apiserver: false,
            letter: 'E',
            words: format!(
                "pod_workers.go:191] Error syncing pod {} (\"{pod}\"), skipping: failed to \"StartContainer\" for \"{AGENT}\" with CrashLoopBackOff: \"back-off 5m0s restarting failed container={AGENT} pod={pod}\"{}",
                agent.uid,
                why.unwrap_or_default()
            ),
        }
    };
    failing.map(line).collect()
}

/// Kubelets whose proxy passes on to no master.
fn alone(world: &World) -> Vec<Line> {
    let alone = world.kube.kubelets.iter().filter(|(host, _)| docker::cut_off(world, host));
    let line = |(host, kubelet): (&HostName, &super::kubelet::Kubelet)| Line {
        host: host.clone(),
        apiserver: false,
        letter: 'E',
        words: format!(
            "kubelet_node_status.go:447] Error updating node status, will retry: error getting node {:?}: Get \"https://127.0.0.1:6443/api/v1/nodes/{}?timeout=10s\": EOF",
            kubelet.node, kubelet.node
        ),
    };
    alone.map(line).collect()
}

/// What the apiservers complain about: etcd's members that do not answer, tokens and callers that others take.
fn apiservers(world: &World) -> Vec<Line> {
    let up: Vec<(&Process, &Loaded)> =
        world.kube.processes.iter().filter_map(|p| Some((p, p.api.as_ref().filter(|a| a.up)?))).collect();
    let mut lines = Vec::new();
    for (process, api) in &up {
        let mut say = |letter, words: String| {
            lines.push(Line { host: process.host.clone(), apiserver: true, letter, words });
        };
        let answers = |at: &&std::net::SocketAddr| {
            let there = world.hosts.values().find(|h| h.address == at.ip()).map(|h| &h.name);
            let there = if at.ip().is_loopback() { Some(&process.host) } else { there };
            there.is_some_and(|h| world.etcd.listener(h, at.port()).is_some())
        };
        for at in api.etcd.iter().filter(|at| !answers(at)) {
            say(
                'W',
                format!(
                    "clientconn.go:1223] grpc: addrConn.createTransport failed to connect to {{https://{at}  <nil> 0 <nil>}}. Err :connection error: desc = \"transport: Error while dialing dial tcp {at}: connect: connection refused\". Reconnecting..."
                ),
            );
        }
        let few = |same: &dyn Fn(&Loaded) -> bool| up.iter().filter(|(_, other)| same(other)).count() * 2 < up.len();
        if few(&|other| other.sa_keys == api.sa_keys) {
            say(
                'E',
                "authentication.go:53] Unable to authenticate the request due to an error: [invalid bearer token, square/go-jose: error in cryptographic primitive]".into(),
            );
        }
        if few(&|other| other.ca == api.ca) {
            say(
                'E',
                "authentication.go:53] Unable to authenticate the request due to an error: x509: certificate signed by unknown authority".into(),
            );
        }
    }
    lines
}
