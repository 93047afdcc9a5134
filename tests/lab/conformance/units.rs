//! systemd: units that start, stop and fail, and their journals.

use std::time::Duration;

use banister::{
    cluster::HostName,
    remote::{
        Io, Op, Stdout,
        op::UnitVerb::{self, Disable, Enable, ResetFailed, Restart, Start, Stop},
    },
};
use tokio::io::{AsyncBufReadExt as _, BufReader};

use super::{
    files::write,
    norm::Norm,
    twin::{Side, Twin, until},
};

const HOST: &str = "master02";
const UNIT: &str = "conformance";
const STATE: &[Norm] = &[Norm::Unit, Norm::Order];

fn unit_file(service: &str) -> Op {
    let text =
        format!("[Unit]\nDescription=A unit to try\n\n[Service]\n{service}\n\n[Install]\nWantedBy=multi-user.target\n");
    write("/etc/systemd/system/conformance.service".into(), &text, 0o644, "root", None)
}

fn ask(verb: UnitVerb, unit: &str) -> Op {
    Op::Systemctl { verb, unit: unit.into() }
}

fn state(unit: &str) -> Op {
    Op::UnitState { unit: unit.into() }
}

fn log(unit: &str, lines: u32) -> Op {
    Op::UnitLog { unit: unit.into(), lines }
}

pub async fn all(twin: &mut Twin) {
    for unit in ["etcd", "kubelet", "docker", "no-such"] {
        twin.op_but(unit, HOST, state(unit), STATE).await;
    }
    twin.op_but("an etcd that is not there yet", "master04", state("etcd"), STATE).await;
    for verb in [Start, Stop, Restart, Enable, Disable, ResetFailed] {
        twin.op(&format!("{} of no unit", verb.word()), HOST, ask(verb, "no-such")).await;
    }
    twin.op("a journal without a line", HOST, log("no-such", 5)).await;
    lives(twin).await;
    fails(twin).await;
    twin.op(
        "the unit's file goes",
        HOST,
        Op::RemoveFiles { paths: vec!["/etc/systemd/system/conformance.service".into()] },
    )
    .await;
    twin.op("daemon-reload", HOST, Op::DaemonReload).await;
    twin.op_but("no unit any more", HOST, state(UNIT), STATE).await;
    twin.op("no unit any more", HOST, ask(Start, UNIT)).await;
}

async fn lives(twin: &mut Twin) {
    twin.op("a unit", HOST, unit_file("ExecStart=/usr/bin/tail -f /dev/null")).await;
    twin.op("daemon-reload", HOST, Op::DaemonReload).await;
    twin.op_but("made", HOST, state(UNIT), STATE).await;
    for verb in [Start, Start, Enable, Enable, Restart, Disable, Disable, ResetFailed, Stop, Stop, Restart] {
        twin.op(verb.word(), HOST, ask(verb, UNIT)).await;
        twin.op_but(&format!("after {}", verb.word()), HOST, state(UNIT), STATE).await;
    }
    let link = "/etc/systemd/system/multi-user.target.wants/conformance.service";
    twin.op("enabled again", HOST, ask(Enable, UNIT)).await;
    twin.op("its link goes by hand", HOST, Op::RemoveFiles { paths: vec![link.into()] }).await;
    twin.op_but("systemd did not hear of it", HOST, state(UNIT), STATE).await;
    twin.op("now it does", HOST, Op::DaemonReload).await;
    twin.rests("its journal", HOST, log(UNIT, 20), &[Norm::Journal], |t| t.matches("Started").count() == 3).await;
    twin.op_but("the last two lines", HOST, log(UNIT, 2), &[Norm::Journal]).await;
    followed(twin).await;
    twin.op("a changed file", HOST, unit_file("ExecStart=/usr/bin/tail -f /etc/hostname")).await;
    twin.op("restart without daemon-reload", HOST, ask(Restart, UNIT)).await;
    twin.op("daemon-reload", HOST, Op::DaemonReload).await;
    twin.op("restart", HOST, ask(Restart, UNIT)).await;
    twin.op("stop", HOST, ask(Stop, UNIT)).await;
}

/// What a follower sees first, and then as it comes.
async fn followed(twin: &mut Twin) {
    twin.tried(&Op::FollowLog { unit: UNIT.into(), lines: 1 });
    twin.both("master02: a journal that is followed", |side| async move {
        let told = tokio::time::timeout(Duration::from_secs(20), follow(&side)).await;
        told.map_or_else(|_| "no end".into(), |t| Norm::Journal.of(&t))
    })
    .await;
}

async fn follow(side: &Side) -> String {
    let (into, out_of) = tokio::io::duplex(64 << 10);
    let (op, host) = (Op::FollowLog { unit: UNIT.into(), lines: 1 }, HostName::new(HOST));
    let io = Io { stdout: Stdout::Writer(Box::pin(into)), ..Io::default() };
    let mut lines = BufReader::new(out_of).lines();
    let reading = async {
        let mut told = lines.next_line().await.ok().flatten().unwrap_or_default() + "\n";
        side.run(HOST, &ask(Stop, UNIT), None, &[]).await;
        while !told.contains("Stopped") {
            let Ok(Some(line)) = lines.next_line().await else { break };
            told += &(line + "\n");
        }
        told
    };
    tokio::select! {
        told = reading => told,
        done = side.remote.run(&host, &op, io) => format!("it ended: {done:?}"),
    }
}

/// systemd's own last lines: what the process says that was to run the program comes into the unit's journal only where
/// journald is quick enough to see whose it is.
async fn journal(side: &Side) -> String {
    let op = log(UNIT, 9);
    let ask = || side.run(HOST, &op, None, &[Norm::Journal]);
    let told = until(|t| t.trim_end_matches("\n--\n").ends_with("Failed with result 'exit-code'."), ask).await;
    let own: Vec<_> = told.lines().filter(|l| l.contains("systemd[")).map(str::to_owned).collect();
    own[own.len().saturating_sub(3)..].join("\n")
}

async fn fails(twin: &mut Twin) {
    let ways = [
        ("no such program", "ExecStart=/usr/local/bin/no-such --flag"),
        ("no such user", "User=nobody-here\nExecStart=/usr/bin/tail -f /dev/null"),
        ("no such directory", "WorkingDirectory=/no/such/dir\nExecStart=/usr/bin/tail -f /dev/null"),
    ];
    for (way, service) in ways {
        twin.op(way, HOST, unit_file(service)).await;
        twin.op("daemon-reload", HOST, Op::DaemonReload).await;
        twin.op(&format!("{way}: started"), HOST, ask(Start, UNIT)).await;
        twin.rests(&format!("{way}: state"), HOST, state(UNIT), STATE, |t| t.contains("ActiveState=failed")).await;
        twin.both(&format!("{HOST}: {way}: journal"), |side| async move { journal(&side).await }).await;
        twin.op(&format!("{way}: stopped"), HOST, ask(Stop, UNIT)).await;
        twin.op_but(&format!("{way}: still failed"), HOST, state(UNIT), STATE).await;
        twin.op(&format!("{way}: forgotten"), HOST, ask(ResetFailed, UNIT)).await;
        twin.op_but(&format!("{way}: state after it"), HOST, state(UNIT), STATE).await;
    }
}
