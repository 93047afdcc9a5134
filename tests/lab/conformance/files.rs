//! Files: looked at, written, kept, put back.

use std::path::PathBuf;

use banister::remote::{
    Content, Op, SecretBytes,
    op::{Owner, sha256_hex},
};

use super::{
    norm::Norm,
    twin::{DIR, Twin},
};

const HOST: &str = "master01";
const STAT: &[Norm] = &[Norm::Stat];

pub fn at(name: &str) -> PathBuf {
    PathBuf::from(DIR).join(name)
}

pub fn write(path: PathBuf, text: &str, mode: u32, owner: &str, backup: Option<PathBuf>) -> Op {
    Op::WriteFile { path, content: Content::Text(text.into()), mode, owner: Owner::both(owner), backup }
}

pub fn make_dir(path: PathBuf, mode: u32, owner: &str) -> Op {
    Op::MakeDir { path, mode, owner: Owner::both(owner) }
}

fn stat(names: &[&str]) -> Op {
    Op::Stat { paths: names.iter().map(|n| at(n)).collect() }
}

fn read(path: impl Into<PathBuf>) -> Op {
    Op::ReadFile { path: path.into() }
}

pub async fn all(twin: &mut Twin) {
    twin.op("what an earlier run left", HOST, Op::RemoveTree { path: DIR.into() }).await;
    twin.op("a scratch directory", HOST, make_dir(DIR.into(), 0o755, "root")).await;
    written(twin).await;
    read_and_listed(twin).await;
    directories(twin).await;
    put_back(twin).await;
    received(twin).await;
    backed_up(twin).await;
    removed(twin).await;
}

async fn written(twin: &mut Twin) {
    let odd = "line\n\\t 'quoted' \"twice\" $HOME `id` ! é\n\n";
    twin.op("a new file", HOST, write(at("new"), odd, 0o640, "root", None)).await;
    twin.op("another's file", HOST, write(at("etcd's"), "x", 0o600, "etcd", None)).await;
    twin.op("an empty one", HOST, write(at("empty"), "", 0o644, "root", None)).await;
    let secret = Op::WriteFile {
        path: at("secret"),
        content: Content::Secret(SecretBytes::new(b"\0\xff key".to_vec())),
        mode: 0o600,
        owner: Owner { user: "root".into(), group: "etcd".into() },
        backup: None,
    };
    twin.op("a secret", HOST, secret).await;
    twin.op("an odd name", HOST, write(at("it's $a \"name\" "), "x", 0o644, "root", None)).await;
    let kept = || Some(at("kept/new"));
    twin.op("over a file, which is kept", HOST, write(at("new"), "two\n", 0o644, "root", kept())).await;
    twin.op("and again, the first one stays kept", HOST, write(at("new"), "three\n", 0o644, "root", kept())).await;
    twin.op("what was kept", HOST, read(at("kept/new"))).await;
    twin.op("nothing to keep", HOST, write(at("fresh"), "x\n", 0o644, "root", Some(at("kept/fresh")))).await;
    twin.op("a directory that is not there", HOST, write(at("no/such/file"), "x", 0o644, "root", None)).await;
    twin.op("below a file", HOST, write(at("new/below"), "x", 0o644, "root", None)).await;
    twin.op("a user that is not there", HOST, write(at("mine"), "x", 0o644, "nobody-here", None)).await;
    twin.op("a backup below a file", HOST, write(at("new"), "x", 0o644, "root", Some(at("fresh/new")))).await;
    let all = ["new", "etcd's", "empty", "secret", "it's $a \"name\" ", "fresh", "mine", "no", "kept", "kept/new"];
    twin.op_but("what came of it", HOST, stat(&all), STAT).await;
    twin.op_but("and no more", HOST, Op::ListTree { dir: DIR.into() }, STAT).await;
}

async fn read_and_listed(twin: &mut Twin) {
    twin.op("a file", HOST, read(at("new"))).await;
    twin.op("a secret", HOST, Op::ReadSecret { path: at("secret") }).await;
    twin.op("a secret that is not there", HOST, Op::ReadSecret { path: at("none") }).await;
    twin.op("a file that is not there", HOST, read(at("none"))).await;
    twin.op("below a file", HOST, read(at("new/below"))).await;
    twin.op("a directory", HOST, read(DIR)).await;
    let link = "/etc/systemd/system/multi-user.target.wants/etcd.service";
    twin.op("through a link", HOST, read(link)).await;
    twin.op_but("a link", HOST, Op::Stat { paths: vec![link.into()] }, STAT).await;
    twin.op("names", HOST, Op::ListDir { dir: DIR.into() }).await;
    twin.op("names in nothing", HOST, Op::ListDir { dir: at("none") }).await;
    twin.op("names in a file", HOST, Op::ListDir { dir: at("new") }).await;
    twin.op_but("a tree that is not there", HOST, Op::ListTree { dir: at("none") }, STAT).await;
    twin.op_but("a tree that is a file", HOST, Op::ListTree { dir: at("new") }, STAT).await;
    let etc =
        ["/etc/etcd", "/etc/etcd/etcd.conf", "/etc/etcd/ssl/server.key", "/var/lib/etcd", "/etc/kubernetes/pki/sa.key"];
    let modes: Vec<PathBuf> = etc.iter().map(PathBuf::from).collect();
    twin.both("master01: owners and modes of etcd's files", |side| {
        let op = Op::Stat { paths: modes.clone() };
        async move {
            let told = side.run(HOST, &op, None, STAT).await;
            let field = |l: &str| {
                l.split(' ')
                    .enumerate()
                    .filter(|(n, _)| *n < 4 || *n == 7)
                    .map(|(_, w)| w.to_owned())
                    .collect::<Vec<_>>()
            };
            told.lines().map(|l| field(l).join(" ") + "\n").collect()
        }
    })
    .await;
}

async fn directories(twin: &mut Twin) {
    twin.op("with its parents", HOST, make_dir(at("d/e/f"), 0o750, "etcd")).await;
    twin.op("one that is there gets owner and mode", HOST, make_dir(at("d"), 0o700, "root")).await;
    twin.op("below a file", HOST, make_dir(at("new/dir"), 0o755, "root")).await;
    twin.op("where a file is", HOST, make_dir(at("new"), 0o755, "root")).await;
    twin.op("for nobody", HOST, make_dir(at("g"), 0o755, "nobody-here")).await;
    twin.op_but("what came of it", HOST, stat(&["d", "d/e", "d/e/f", "g", "new"]), STAT).await;
    twin.op("over a directory", HOST, write(at("d/e"), "x", 0o644, "root", None)).await;
    twin.op_but("which is as it was", HOST, Op::ListTree { dir: at("d") }, STAT).await;
    twin.op("set aside", HOST, Op::SetAside { dir: at("d"), to: at("aside") }).await;
    twin.op_but("what is aside", HOST, Op::ListTree { dir: at("aside") }, STAT).await;
    twin.op_but("what is left", HOST, stat(&["d", "aside"]), STAT).await;
    twin.op("set aside what is empty", HOST, Op::SetAside { dir: at("d"), to: at("aside2") }).await;
    twin.op("set aside what is not there", HOST, Op::SetAside { dir: at("none"), to: at("aside3") }).await;
    twin.op("set aside a top", HOST, Op::SetAside { dir: "/var".into(), to: at("aside4") }).await;
    twin.op("set aside below a file", HOST, Op::SetAside { dir: at("aside"), to: at("new/x") }).await;
    twin.op_but("what that made", HOST, stat(&["aside2", "aside3", "aside4"]), STAT).await;
    twin.op("an empty one goes", HOST, Op::RemoveEmptyDir { path: at("d") }).await;
    twin.op("one with something in it stays", HOST, Op::RemoveEmptyDir { path: at("aside") }).await;
    twin.op("one that is not there", HOST, Op::RemoveEmptyDir { path: at("none") }).await;
    twin.op("a file stays", HOST, Op::RemoveEmptyDir { path: at("new") }).await;
    twin.op_but("what is left", HOST, stat(&["d", "aside", "new"]), STAT).await;
}

async fn put_back(twin: &mut Twin) {
    let restore = |name: &str| Op::RestoreFile { path: at(name), backup: at("kept").join(name) };
    twin.op("what was kept", HOST, restore("new")).await;
    twin.op("only once", HOST, restore("new")).await;
    twin.op("what was not there", HOST, restore("fresh")).await;
    twin.op("what was never kept", HOST, restore("empty")).await;
    twin.op_but("what came of it", HOST, stat(&["new", "fresh", "empty"]), STAT).await;
    twin.op_but("and of what was kept", HOST, Op::ListTree { dir: at("kept") }, STAT).await;
    twin.op("as it was", HOST, read(at("new"))).await;
    twin.op("kept anew", HOST, write(at("new"), "four\n", 0o644, "root", Some(at("kept/new")))).await;
    twin.op_but("beside the older one", HOST, Op::ListTree { dir: at("kept") }, STAT).await;
    twin.op("a file to be replaced", HOST, write(at("turned"), "one\n", 0o644, "root", None)).await;
    twin.op("replaced", HOST, write(at("turned"), "two\n", 0o644, "root", Some(at("kept/turned")))).await;
    twin.op("gone", HOST, Op::RemoveFiles { paths: vec![at("turned")] }).await;
    twin.op("a directory in its place", HOST, make_dir(at("turned"), 0o755, "root")).await;
    twin.op("nothing is put over that", HOST, restore("turned")).await;
    twin.op_but("nor beside it", HOST, stat(&["turned", ".turned.banister", "kept/turned"]), STAT).await;
    twin.op("nothing below it", HOST, Op::ListDir { dir: at("turned") }).await;
    twin.op("away with it", HOST, Op::RemoveEmptyDir { path: at("turned") }).await;
}

async fn received(twin: &mut Twin) {
    let bytes: Vec<u8> = (0..200_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let op = |name: &str, sum: String| Op::ReceiveFile {
        path: at(name),
        mode: 0o755,
        owner: Owner::root(),
        sha256: sum,
        backup: Some(at("kept").join(name)),
    };
    let sum = sha256_hex(&bytes);
    twin.fed("a stream", HOST, op("stream", sum.clone()), Some(&bytes), &[]).await;
    twin.fed("another one over it", HOST, op("stream", sha256_hex(b"short")), Some(b"short"), &[]).await;
    twin.fed("half of one", HOST, op("half", sum.clone()), Some(&bytes[..1000]), &[]).await;
    twin.fed("nothing", HOST, op("half", sum), Some(b""), &[]).await;
    twin.op_but(
        "what came of it",
        HOST,
        stat(&["stream", "half", "kept/stream", "kept/half", "kept/half.absent"]),
        STAT,
    )
    .await;
    twin.op("and no more", HOST, Op::ListDir { dir: DIR.into() }).await;
}

async fn backed_up(twin: &mut Twin) {
    let files = [("tree/a", "one"), ("tree/b/c", "two"), ("tree/b/data/db", "not this"), ("single", "three")];
    twin.op("a tree", HOST, make_dir(at("tree/b/data"), 0o700, "etcd")).await;
    for (name, text) in files {
        twin.op("a tree's file", HOST, write(at(name), text, 0o640, "etcd", None)).await;
    }
    let backup = |to: &str| Op::BackupTrees {
        from: vec![at("tree"), at("single"), at("none")],
        except: at("tree/b/data"),
        to: at(to),
    };
    twin.op("trees and files", HOST, backup("backup/one")).await;
    twin.op("again: nothing to do", HOST, backup("backup/one")).await;
    twin.op("below a file", HOST, backup("new/two")).await;
    twin.both("master01: what was kept", |side| async move {
        let op = Op::ListTree { dir: at("backup") };
        let told = side.run(HOST, &op, None, STAT).await;
        // The list of sums stands in the order in which find walks; it is compared by itself.
        told.lines().filter(|l| !l.ends_with("/SHA256SUMS")).fold(String::new(), |out, l| out + l + "\n")
    })
    .await;
    let sums = read(at("backup/one/SHA256SUMS"));
    twin.op_but("the sums", HOST, sums, &[Norm::Order]).await;
}

async fn removed(twin: &mut Twin) {
    let files = |names: &[&str]| Op::RemoveFiles { paths: names.iter().map(|n| at(n)).collect() };
    twin.op("files, one of them not there", HOST, files(&["empty", "none", "it's $a \"name\" "])).await;
    twin.op("a directory and a file", HOST, files(&["kept", "etcd's"])).await;
    twin.op_but("what came of it", HOST, stat(&["empty", "kept", "etcd's"]), STAT).await;
    twin.op("a tree", HOST, Op::RemoveTree { path: at("aside") }).await;
    twin.op("a tree that is not there", HOST, Op::RemoveTree { path: at("aside") }).await;
    twin.op("a tree that is a file", HOST, Op::RemoveTree { path: at("single") }).await;
    for path in ["/", "/var", "var/tmp/conformance", "/var/tmp/../tmp/conformance"] {
        twin.op(&format!("refused: {path}"), HOST, Op::RemoveTree { path: path.into() }).await;
    }
    twin.op("what is left", HOST, Op::ListDir { dir: DIR.into() }).await;
}
