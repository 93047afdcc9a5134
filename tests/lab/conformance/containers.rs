//! docker, static pods, and what a stopped kubelet leaves behind. Last, since pods are stopped here.

use std::time::Duration;

use banister::{
    cluster::HostName,
    remote::{Io, Op, Stdout, container::ContainerOp, op::UnitVerb, pods::PodsOp},
};
use tokio::io::{AsyncBufReadExt as _, BufReader};

use super::{
    files::{at, make_dir, write},
    norm::Norm,
    twin::{Side, Twin, until},
};

const PROXY: &str = "nginx-proxy";
const CONF: &str = "/opt/nginx/nginx.conf";

fn container(op: ContainerOp) -> Op {
    Op::Container(op)
}

pub async fn all(twin: &mut Twin) {
    for host in ["master01", "master04", "node01"] {
        let apiservers = container(ContainerOp::Apiservers);
        twin.op_but("apiservers", host, apiservers, &[Norm::Processes]).await;
    }
    looked_at(twin).await;
    tried(twin).await;
    followed(twin).await;
    parked(twin).await;
    environment(twin).await;
    stopped(twin).await;
}

fn look(name: &str, file: &str) -> Op {
    container(ContainerOp::Look { container: name.into(), file: file.into() })
}

async fn looked_at(twin: &mut Twin) {
    let restart = |name: &str| container(ContainerOp::Restart { container: name.into() });
    let log = |name: &str, lines| container(ContainerOp::Log { container: name.into(), lines });
    twin.op_but("the proxy", "node01", look(PROXY, CONF), &[Norm::Started]).await;
    twin.op_but("a file that it does not see", "node01", look(PROXY, "/etc/hostname"), &[Norm::Started]).await;
    twin.op("no such container", "node01", look("no-such", CONF)).await;
    twin.op("no such container restarted", "node01", restart("no-such")).await;
    twin.op("no such container's log", "node01", log("no-such", 5)).await;
    for op in [look(PROXY, CONF), restart(PROXY), log(PROXY, 5)] {
        twin.op_but("where docker does not run", "master04", op, &[Norm::Chatter]).await;
    }
    twin.op(
        "a file that was replaced",
        "node01",
        write(CONF.into(), "# not yet\n", 0o644, "root", Some(at("nginx.conf"))),
    )
    .await;
    twin.op_but("is not what the proxy sees", "node01", look(PROXY, CONF), &[Norm::Started]).await;
    let back = Op::RestoreFile { path: CONF.into(), backup: at("nginx.conf") };
    twin.op("put back", "node01", back).await;
    twin.op("restarted", "node01", restart(PROXY)).await;
    twin.rests("sees it", "node01", look(PROXY, CONF), &[Norm::Started], |t| t.contains("running")).await;
    twin.op("no line of its log", "node01", log(PROXY, 0)).await;
}

async fn tried(twin: &mut Twin) {
    let mut good = String::new();
    for side in [&twin.lab, &twin.practice] {
        let read = Op::ReadFile { path: CONF.into() };
        let out = side.remote.run(&HostName::new("node01"), &read, Io::default()).await.expect("nginx.conf");
        good = out.text().into_owned();
    }
    let op = |name: &str, file: &str, content: &str| {
        container(ContainerOp::NginxTest { container: name.into(), file: file.into(), content: content.into() })
    };
    twin.op("a good configuration", "node01", op(PROXY, CONF, &good)).await;
    let bad = [
        ("a line without an end", good.replacen("least_conn;", "least_conn", 1)),
        ("a word that is none", good.replacen("least_conn;", "most_conn;", 1)),
        ("a bracket too few", good.trim_end().trim_end_matches('}').to_owned()),
        ("no servers", good.lines().filter(|l| !l.contains("server 10.")).fold(String::new(), |t, l| t + l + "\n")),
        ("no stream module", good.lines().skip(1).fold(String::new(), |t, l| t + l + "\n")),
    ];
    for (case, text) in bad {
        twin.op_but(case, "node01", op(PROXY, CONF, &text), &[Norm::Nginx]).await;
    }
    twin.op("no such container", "node01", op("no-such", CONF, &good)).await;
    twin.op("a file that it does not see", "node01", op(PROXY, "/etc/hostname", &good)).await;
    twin.op_but("a file that is not there", "node01", op(PROXY, "/opt/nginx/none", &good), &[Norm::Chatter]).await;
    twin.op_but("where docker does not run", "master04", op(PROXY, "/etc/hostname", &good), &[Norm::Chatter]).await;
    twin.op("nothing is left", "node01", Op::ListDir { dir: "/opt/nginx".into() }).await;
}

fn follow(component: &str) -> Op {
    container(ContainerOp::Follow { components: vec![component.into()], lines: 1 })
}

async fn followed(twin: &mut Twin) {
    twin.op("no such component", "master01", follow("no-such")).await;
    twin.op("where docker does not run", "master04", follow("kube-scheduler")).await;
    twin.both("master01: the containers of a component", |side| async move {
        let first = tokio::time::timeout(Duration::from_secs(20), first_line(&side)).await;
        first.unwrap_or("no end".into())
    })
    .await;
}

/// The path is the runtime's.
async fn first_line(side: &Side) -> String {
    let (into, out_of) = tokio::io::duplex(64 << 10);
    let (op, host) = (follow("kube-scheduler"), HostName::new("master01"));
    let io = Io { stdout: Stdout::Writer(Box::pin(into)), ..Io::default() };
    let mut lines = BufReader::new(out_of).lines();
    let line = tokio::select! {
        line = lines.next_line() => line.ok().flatten().unwrap_or_default(),
        done = side.remote.run(&host, &op, io) => format!("it ended: {done:?}"),
    };
    line.split(' ').take(2).collect::<Vec<_>>().join(" ")
}

async fn parked(twin: &mut Twin) {
    let park = |name: &str, back| container(ContainerOp::Park { manifest: at("m").join(name), back });
    let host = "master01";
    twin.op("a directory", host, make_dir(at("m"), 0o755, "root")).await;
    twin.op("a manifest", host, write(at("m/pod.json"), "{}", 0o644, "root", None)).await;
    for (case, name, back) in [
        ("parked", "pod.json", false),
        ("again", "pod.json", false),
        ("back", "pod.json", true),
        ("again", "pod.json", true),
        ("what is not there", "none.json", false),
        ("what is not there, back", "none.json", true),
    ] {
        twin.op(case, host, park(name, back)).await;
        twin.op("what is there", host, Op::ListDir { dir: at("m") }).await;
    }
}

/// The container of calico's agent on a node.
async fn agent(side: &Side) -> String {
    let pods =
        side.kube().pods_on("kube-system", "k8s-app=calico-node", "node01.example.com").await.unwrap_or_default();
    pods.iter().find_map(|p| p.containers.get("calico-node").cloned()).unwrap_or_default()
}

async fn variable(side: &Side, host: &str, container: &str, name: &str) -> String {
    let op = Op::Pods(PodsOp::Env { container: container.into(), variable: name.into() });
    side.run(host, &op, None, &[]).await
}

async fn environment(twin: &mut Twin) {
    twin.tried(&Op::Pods(PodsOp::Env { container: String::new(), variable: String::new() }));
    for name in ["ETCD_ENDPOINTS", "NODENAME", "NO_SUCH"] {
        twin.both(&format!("node01: {name} of the agent"), |side| async move {
            let id = agent(&side).await;
            variable(&side, "node01", &id, name).await
        })
        .await;
    }
    for host in ["node01", "master04"] {
        twin.both(&format!("{host}: a variable of no container"), |side| async move {
            variable(&side, host, "0123456789abcdef0123", "NODENAME").await
        })
        .await;
    }
}

async fn stopped(twin: &mut Twin) {
    let unit = |verb| Op::Systemctl { verb, unit: "kubelet".into() };
    let stop = || Op::Pods(PodsOp::StopAll);
    twin.op("where docker does not run", "master04", stop()).await;
    let ids = (agent(&twin.lab).await, agent(&twin.practice).await);
    twin.op("kubelet is stopped", "node01", unit(UnitVerb::Stop)).await;
    twin.op("its pods are stopped", "node01", stop()).await;
    twin.op("again", "node01", stop()).await;
    let gone = (
        variable(&twin.lab, "node01", &ids.0, "NODENAME").await,
        variable(&twin.practice, "node01", &ids.1, "NODENAME").await,
    );
    twin.compare("node01: the agent's container is gone", &gone.0, &gone.1);
    twin.op_but("the proxy stays", "node01", look(PROXY, CONF), &[Norm::Started]).await;
    twin.op("kubelet is started", "node01", unit(UnitVerb::Start)).await;
    twin.both("node01: the agent is there again", |side| async move {
        let ready = || async {
            let pods = side.kube().pods_on("kube-system", "k8s-app=calico-node", "node01.example.com").await;
            let pods = pods.unwrap_or_default();
            pods.iter().map(|p| format!("ready {} {}", p.ready, p.state)).collect::<Vec<_>>().join("\n")
        };
        until(|t| t == "ready true Running", ready).await
    })
    .await;
}
