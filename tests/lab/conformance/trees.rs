//! Trees of files: packed on one, unpacked on the other too.

use banister::{
    cluster::HostName,
    remote::{Io, Op, tree::TreeOp},
};

use super::{
    files::{at, make_dir, write},
    norm::Norm,
    twin::{Side, Twin},
};

const HOST: &str = "master01";
const LIST: &[Norm] = &[Norm::Listing, Norm::Order];

fn tree(op: TreeOp) -> Op {
    Op::Tree(op)
}

pub async fn all(twin: &mut Twin) {
    twin.op("a tree", HOST, make_dir(at("t/in/deep"), 0o750, "root")).await;
    twin.op("its file", HOST, write(at("t/in/file"), "10.9.8.7 is here\n", 0o640, "etcd", None)).await;
    twin.op("its key", HOST, write(at("t/in/deep/key"), "key\n", 0o600, "root", None)).await;
    twin.op("its binary", HOST, write(at("t/in/bin"), "\0 10.9.8.7\n", 0o755, "root", None)).await;
    twin.op("its odd name", HOST, write(at("t/in/it's *"), "10.9.8x7\n", 0o644, "root", None)).await;
    let list = |dir: &str, except: &[&str]| {
        tree(TreeOp::List { dir: at(dir), except: except.iter().map(|e| at(e)).collect() })
    };
    twin.op_but("all of it", HOST, list("t/in", &[]), LIST).await;
    twin.op_but("without a part", HOST, list("t/in", &["t/in/deep", "t/elsewhere"]), LIST).await;
    twin.op_but("what is not there", HOST, list("t/none", &[]), LIST).await;
    twin.op_but("a file", HOST, list("t/in/file", &[]), LIST).await;
    mentions(twin).await;
    let pack = |root: &str| tree(TreeOp::Pack { root: at(root), except: vec![at("t/in/deep")] });
    twin.op("what is not there", HOST, pack("t/none")).await;
    twin.op("a file", HOST, pack("t/in/file")).await;
    carried(twin, &pack("t/in")).await;
    moved(twin, list).await;
}

async fn mentions(twin: &mut Twin) {
    let op = |roots: &[&str], except: &[&str], words: &[&str]| {
        tree(TreeOp::Mentions {
            roots: roots.iter().map(|r| at(r)).collect(),
            except: except.iter().map(|r| at(r)).collect(),
            words: words.iter().map(|w| (*w).to_owned()).collect(),
        })
    };
    twin.op_but("a word", HOST, op(&["t/in", "t/none"], &[], &["10.9.8.7", "it's"]), &[Norm::Order]).await;
    twin.op_but("in all but a part", HOST, op(&["t/in"], &["t/in/file"], &["10.9.8.7", "key"]), &[Norm::Order]).await;
    twin.op("a word that nothing holds", HOST, op(&["t/in"], &[], &["nowhere"])).await;
}

async fn packed(side: &Side, op: &Op) -> Vec<u8> {
    let out = side.remote.run(&HostName::new(HOST), op, Io::default()).await.expect("a stream");
    assert_eq!(out.status, 0, "{}", out.stderr);
    out.stdout.to_vec()
}

/// A stream of either arrives on both.
async fn carried(twin: &mut Twin, pack: &Op) {
    twin.tried(pack);
    let streams = [("the lab's", packed(&twin.lab, pack).await), ("practice's", packed(&twin.practice, pack).await)];
    let unpack = |root: &str| tree(TreeOp::Unpack { root: at(root) });
    for (whose, stream) in &streams {
        twin.fed(&format!("{whose} stream"), HOST, unpack("t/out"), Some(stream), &[]).await;
        let staged = tree(TreeOp::List { dir: at("t/.out.banister"), except: Vec::new() });
        twin.op_but(&format!("{whose} stream, staged"), HOST, staged, LIST).await;
    }
    let (_, stream) = &streams[0];
    twin.fed("half a stream", HOST, unpack("t/half"), Some(&stream[..700]), &[Norm::Chatter]).await;
    twin.fed("no stream", HOST, unpack("t/half"), Some(b""), &[Norm::Chatter]).await;
    twin.fed("nonsense", HOST, unpack("t/half"), Some(&[b'x'; 2000]), &[Norm::Chatter]).await;
    twin.fed("where it must not", HOST, tree(TreeOp::Unpack { root: "/var".into() }), Some(stream), &[]).await;
    twin.op("nothing is left of these", HOST, Op::ListDir { dir: at("t") }).await;
}

async fn moved(twin: &mut Twin, list: impl Fn(&str, &[&str]) -> Op) {
    let place = |root: &str| tree(TreeOp::Place { root: at(root), kept: at("t/kept").join(root) });
    let back = |root: &str| tree(TreeOp::PutBack { root: at(root), kept: at("t/kept").join(root) });
    twin.op("what was staged, where nothing was", HOST, place("t/out")).await;
    twin.op_but("is there", HOST, list("t/out", &[]), LIST).await;
    twin.op("nothing is staged any more", HOST, place("t/out")).await;
    let again = tree(TreeOp::Pack { root: at("t/in"), except: Vec::new() });
    let stream = packed(&twin.lab, &again).await;
    twin.fed("staged again", HOST, tree(TreeOp::Unpack { root: at("t/in") }), Some(&stream), &[]).await;
    twin.op("over what was there", HOST, place("t/in")).await;
    twin.op("what is kept", HOST, Op::ListDir { dir: at("t/kept/t") }).await;
    twin.op_but("as it was", HOST, list("t/kept/t/in", &[]), LIST).await;
    twin.op("back to nothing", HOST, back("t/out")).await;
    twin.op("back to what was there", HOST, back("t/in")).await;
    twin.op("back what was never placed", HOST, back("t/other")).await;
    twin.op("where it must not", HOST, tree(TreeOp::PutBack { root: "/var".into(), kept: at("k") })).await;
    twin.op_but("what came of it", HOST, list("t", &[]), LIST).await;
}
