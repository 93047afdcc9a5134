//! The lab from the tests' side: `tests/lab/lab` does the work.

use std::{
    collections::HashMap,
    net::IpAddr,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::{LazyLock, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// One lab at a time, whatever `--test-threads` says.
static ONE: Mutex<()> = Mutex::new(());
static STARTED: LazyLock<Instant> = LazyLock::new(Instant::now);

/// A line of progress, with the seconds since the tests began.
pub fn say(what: impl AsRef<str>) {
    eprintln!("[{:6.1}s] {}", STARTED.elapsed().as_secs_f64(), what.as_ref());
}

/// A host by its name in the cluster file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    pub name: String,
    pub address: IpAddr,
}

/// A running lab. The next one replaces it; `tests/lab/run` takes the last one down.
pub struct Lab {
    env: HashMap<String, String>,
    pub masters: Vec<Host>,
    pub joiners: Vec<Host>,
    pub workers: Vec<Host>,
    _one: MutexGuard<'static, ()>,
}

fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lab/lab")
}

impl Lab {
    /// Three masters with etcd of that version, two bare hosts, one worker: fresh, without Kubernetes.
    pub fn up(etcd: &str) -> Self {
        Self::fresh(&["--etcd", etcd, "--workers", "1"])
    }

    /// So many masters, bare hosts and workers with Kubernetes: fresh.
    pub fn kubernetes(masters: usize, bare: usize, workers: usize) -> Self {
        let [masters, bare, workers] = [masters, bare, workers].map(|n| n.to_string());
        Self::fresh(&["--kube", "--masters", &masters, "--bare", &bare, "--workers", &workers])
    }

    fn fresh(arguments: &[&str]) -> Self {
        let one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
        say(format!("lab up {}", arguments.join(" ")));
        must(lab_command(["up"]).args(arguments));
        let env = environment();
        let hosts = |key: &str| -> Vec<Host> {
            let names = env[key].split_whitespace();
            names
                .map(|name| Host {
                    name: name.to_owned(),
                    address: env[&format!("LAB_ADDRESS_{name}")].parse().expect("an address"),
                })
                .collect()
        };
        let (masters, joiners, workers) = (hosts("LAB_MASTERS"), hosts("LAB_BARE"), hosts("LAB_WORKERS"));
        Self { env, masters, joiners, workers, _one: one }
    }

    pub fn state(&self) -> &Path {
        Path::new(&self.env["LAB_STATE"])
    }

    /// The cluster file that fits.
    pub fn cluster_file(&self) -> PathBuf {
        self.state().join("cluster.yaml")
    }

    /// A cluster file with the first so many of the lab's masters as masters, and the next ones to join.
    pub fn cluster_file_of(&self, masters: usize, join: usize, more: &str) -> PathBuf {
        let all = String::from_utf8(self.read("cluster.yaml")).expect("text");
        let (head, rest) = all.split_once("masters:\n").expect("masters");
        let (rest, workers) = rest.split_once("workers:\n").expect("workers");
        let hosts: Vec<_> = rest.lines().filter(|l| l.starts_with("  - ")).map(|l| format!("{l}\n")).collect();
        let (masters, rest) = hosts.split_at(masters);
        let path = self.state().join("other.yaml");
        let (masters, join) = (masters.concat(), rest[..join].concat());
        std::fs::write(&path, format!("{head}{more}masters:\n{masters}join:\n{join}workers:\n{workers}"))
            .expect("a file");
        path
    }

    pub fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.state().join(name)).expect(name)
    }

    /// Originals, then joiners.
    pub fn all_masters(&self) -> Vec<&Host> {
        self.masters.iter().chain(&self.joiners).collect()
    }

    pub fn all(&self) -> Vec<&Host> {
        self.masters.iter().chain(&self.joiners).chain(&self.workers).collect()
    }

    /// Runs a shell line on a host as root; what it printed.
    pub fn on(&self, host: &str, line: &str) -> String {
        let out = self.try_on(host, line);
        assert!(out.status.success(), "{host}: {line}: {}{}", text(&out.stdout), text(&out.stderr));
        text(&out.stdout)
    }

    /// The same, whatever comes of it.
    pub fn try_on(&self, host: &str, line: &str) -> Output {
        run(self.command(["exec", host, "bash", "-c", line]))
    }

    /// `tests/lab/lab` with these arguments, which must succeed.
    pub fn lab<const N: usize>(&self, arguments: [&str; N]) -> String {
        text(&must(&mut self.command(arguments)))
    }

    /// The end-state check of a Kubernetes cluster of so many masters, asked until all of it is green: a kubelet reports
    /// when it likes.
    pub fn check(&self, masters: usize) {
        let began = Instant::now();
        let masters = masters.to_string();
        let green = wait_for("the end-state check", Duration::from_mins(3), || {
            let out = run(self.command(["check", &masters]));
            let said = text(&out.stdout);
            let bad: Vec<_> = said.lines().filter(|l| !l.starts_with("ok ")).collect();
            if out.status.success() && bad.is_empty() {
                return Ok(said.lines().count());
            }
            Err(format!("{}\n{}", bad.join("\n"), text(&out.stderr)))
        });
        say(format!("check {masters}: all {green} green after {:.0} s", began.elapsed().as_secs_f64()));
    }

    fn command<const N: usize>(&self, arguments: [&str; N]) -> Command {
        let mut command = lab_command(["--state"]);
        command.arg(self.state()).args(arguments);
        command
    }

    /// Names of the members as the real etcdctl lists them, sorted, and how many of them are learners. A member that never
    /// started has no name: its peer URL stands for it.
    pub fn members(&self) -> (Vec<String>, usize) {
        let list: serde_json::Value =
            serde_json::from_str(&self.lab(["etcdctl", "member", "list", "-w", "json"])).expect("etcdctl's JSON");
        let members = list["members"].as_array().expect("members");
        let name = |m: &serde_json::Value| {
            let name = m["name"].as_str().unwrap_or_default();
            let url = m["peerURLs"][0].as_str().unwrap_or_default();
            if name.is_empty() { format!("unstarted {url}") } else { name.to_owned() }
        };
        let mut names: Vec<_> = members.iter().map(name).collect();
        names.sort();
        (names, members.iter().filter(|m| m["isLearner"] == true).count())
    }
}

fn environment() -> HashMap<String, String> {
    let mut command = lab_command(["state"]);
    let state = PathBuf::from(text(&must(&mut command)).trim());
    let path = state.join("env");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let lines = text.lines().map(|l| l.trim_start_matches("export "));
    let pair = |l: &str| l.split_once('=').map(|(k, v)| (k.to_owned(), v.trim_matches('\'').to_owned()));
    lines.filter_map(pair).collect()
}

fn lab_command<const N: usize>(arguments: [&str; N]) -> Command {
    let mut command = Command::new(script());
    command.args(arguments).stdin(Stdio::null());
    command
}

/// `tests/lab/lab` on the lab whose files are there, for a thread that has no [`Lab`].
pub fn lab_at(state: &Path, arguments: &[&str]) {
    let mut command = lab_command(["--state"]);
    command.arg(state).args(arguments);
    must(&mut command);
}

fn run(mut command: Command) -> Output {
    command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"))
}

fn must(command: &mut Command) -> Vec<u8> {
    let out = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    assert!(out.status.success(), "{command:?}\n{}{}", text(&out.stdout), text(&out.stderr));
    out.stdout
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Asks until the answer is there, or panics at the deadline with what was seen last.
pub fn wait_for<T>(what: &str, deadline: Duration, mut ask: impl FnMut() -> Result<T, String>) -> T {
    let began = Instant::now();
    loop {
        match ask() {
            Ok(answer) => return answer,
            Err(seen) => {
                assert!(
                    began.elapsed() < deadline,
                    "gave up waiting for {what} after {deadline:?}; last seen:\n{seen}"
                );
            }
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}
