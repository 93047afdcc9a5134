//! Questions before a step: what a trainee is asked to predict, and whether that was right.
//!
//! A question names the kind of step it goes with and one of [`Ask`]; what is right is worked out from [`Facts`]. Its words
//! lie in `assets/training/questions.en.yaml` and `questions.zh.yaml`, with placeholders for what was worked out.

use std::{collections::BTreeMap, sync::LazyLock};

use serde::Deserialize;

use crate::{
    cluster::{Cluster, Voters, quorum},
    engine::{Risk, StepId, plan::PlanView},
    lang::{self, Lang},
    remote::{clean, etcd::Membership},
};

/// Most choices offered: the keys 1 to 4.
pub const CHOICES: usize = 4;

const ENGLISH: &str = include_str!("../../assets/training/questions.en.yaml");
const CHINESE: &str = include_str!("../../assets/training/questions.zh.yaml");

/// What can be asked about. All but `Fixed` are worked out from the state of the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Ask {
    /// The choices stand in the data, the right one first.
    Fixed,
    /// How many voters may fail now.
    MarginNow,
    /// How many must agree now.
    QuorumNow,
    /// Voters once the step is done.
    VotersAfter,
    /// How many must agree once it is done.
    QuorumAfter,
    /// How many may fail at the weakest moment of the step.
    MarginDuring,
    /// How many may fail once it is done.
    MarginAfter,
    /// How many might fail had this host been added as a voter and not started yet.
    MarginIfVoter,
    /// The same, had two been added at once.
    MarginIfTwo,
    /// How many must agree then.
    QuorumIfTwo,
    /// Which action comes first.
    FirstAct,
    /// Which action comes right after one that is named.
    NextAct,
    /// Which action comes last.
    LastAct,
    /// Which action is the first of the way back.
    FirstUndo,
    /// Which step comes next.
    NextStep,
    /// The step's risk.
    Risk,
    /// What is restarted.
    Restarts,
    /// The name a certificate lacks.
    AddedSan,
    /// How many files change.
    FilesChanged,
    /// The one file that changes.
    ChangedFile,
    /// Which host is changed.
    Host,
    /// The joiner's peer URL.
    PeerUrl,
    /// Which member leads.
    Leader,
    /// As what the joiner joins: the data's choices are learner, voter.
    JoinsAs,
    /// How many of etcd's members the apiserver's manifest names afterwards.
    EtcdServers,
    /// How many masters a worker's proxy passes on to afterwards.
    ProxyServers,
    /// How many hosts the step changes.
    HostsTouched,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Question {
    step: String,
    answer: Ask,
    /// Whether it is worth asking again where the numbers or names are others.
    #[serde(default)]
    again: bool,
    #[serde(flatten)]
    words: QuestionWords,
}

#[derive(Debug, Clone, Deserialize)]
struct QuestionWords {
    ask: String,
    #[serde(default)]
    choices: Vec<String>,
    why: String,
}

/// Data that does not parse is no questions: a test holds that it does, and a training must not end over words.
static QUESTIONS: LazyLock<BTreeMap<String, Question>> =
    LazyLock::new(|| serde_yaml::from_str(ENGLISH).unwrap_or_default());
static TRANSLATED: LazyLock<BTreeMap<String, QuestionWords>> =
    LazyLock::new(|| serde_yaml::from_str(CHINESE).unwrap_or_default());

/// The state of the moment.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// The cluster file.
    pub cluster: &'a Cluster,
    /// etcd as last seen.
    pub etcd: Option<&'a Membership>,
    /// The step that is about to run.
    pub step: &'a StepId,
    /// What it would do.
    pub plan: &'a PlanView,
    /// Titles of all steps, and where this one stands among them.
    pub steps: &'a [String],
    /// See `steps`.
    pub at: usize,
}

/// A question ready to be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Posed {
    /// Its name in the data.
    pub id: String,
    /// The question.
    pub ask: String,
    /// Two to [`CHOICES`] answers.
    pub choices: Vec<String>,
    /// Which is right.
    pub right: usize,
    /// Why.
    pub why: String,
}

/// A question that suits the step and was not asked before (or is worth asking again), if any. `asked` counts by name.
pub fn pick(facts: &Facts<'_>, asked: &BTreeMap<String, u32>) -> Option<Posed> {
    let times = |id: &str| asked.get(id).copied().unwrap_or(0);
    let mut fitting: Vec<(&String, &Question)> =
        QUESTIONS.iter().filter(|(id, q)| q.step == facts.step.kind && (times(id) == 0 || q.again)).collect();
    fitting.sort_by_key(|(id, _)| times(id));
    fitting.into_iter().find_map(|(id, q)| pose(id, q, facts, u64::from(times(id))))
}

fn pose(id: &str, question: &Question, facts: &Facts<'_>, round: u64) -> Option<Posed> {
    let words = TRANSLATED.get(id).filter(|_| chinese()).unwrap_or(&question.words);
    let found = Found::of(question.answer, &words.choices, facts)?;
    let mut choices: Vec<String> = vec![found.right.clone()];
    for wrong in found.wrong {
        if choices.len() < CHOICES && !choices.contains(&wrong) {
            choices.push(wrong);
        }
    }
    if choices.len() < 2 {
        return None;
    }
    if found.sorted {
        choices.sort_by_key(|c| c.parse::<i64>().unwrap_or(i64::MAX));
    } else {
        // The same question at the same step comes out the same: what is on screen can be talked about.
        let seed = format!("{id}{}{}{round}", facts.step, facts.at)
            .bytes()
            .fold(7_usize, |h, b| h * 31 % 9973 + usize::from(b));
        let by = seed % choices.len();
        choices.rotate_left(by);
    }
    let right = choices.iter().position(|c| *c == found.right)?;
    let mut fill = facts.values();
    fill.push(("right", found.right));
    fill.extend(found.extra);
    let filled = |text: &str| {
        clean::line(&fill.iter().fold(text.trim().to_owned(), |t, (k, v)| t.replace(&format!("{{{k}}}"), v)))
    };
    let posed = Posed {
        id: id.to_owned(),
        ask: filled(&words.ask),
        choices: choices.iter().map(|c| clean::line(c)).collect(),
        right,
        why: filled(&words.why),
    };
    // A value that is not known now leaves its placeholder: then this is not the moment to ask.
    let open = |text: &str| PLACEHOLDERS.iter().any(|p| text.contains(&format!("{{{p}}}")));
    (!open(&posed.ask) && !open(&posed.why)).then_some(posed)
}

/// Every placeholder a question may have.
const PLACEHOLDERS: [&str; 13] = [
    "host",
    "address",
    "voters",
    "quorum",
    "margin",
    "voters_after",
    "quorum_after",
    "margin_after",
    "right",
    "act",
    "file",
    "leader",
    "joiners",
];

impl Facts<'_> {
    fn voters(&self) -> Option<Voters> {
        self.etcd.map(Membership::voters)
    }

    /// What placeholders stand for.
    fn values(&self) -> Vec<(&'static str, String)> {
        let mut values = vec![("joiners", self.cluster.join.len().to_string())];
        if let Some(host) = &self.step.host {
            values.push(("host", host.to_string()));
            if let Some(node) = self.cluster.node(host) {
                values.push(("address", node.address.to_string()));
            }
        }
        if let Some(voters) = self.voters() {
            values.extend([
                ("voters", voters.total.to_string()),
                ("quorum", quorum(voters.total).to_string()),
                ("margin", voters.margin().max(0).to_string()),
            ]);
        }
        if let Some(change) = &self.plan.quorum {
            values.extend([
                ("voters_after", change.after.total.to_string()),
                ("quorum_after", quorum(change.after.total).to_string()),
                ("margin_after", change.after.margin().max(0).to_string()),
            ]);
        }
        if let Some(leader) = self.leader() {
            values.push(("leader", leader));
        }
        values
    }

    fn leader(&self) -> Option<String> {
        let etcd = self.etcd?;
        let id = etcd.leader()?;
        etcd.members.iter().find(|m| m.id == id).map(|m| m.name.clone()).filter(|n| !n.is_empty())
    }
}

/// What was worked out.
struct Found {
    right: String,
    /// Most telling first; those equal to the right one are left out later.
    wrong: Vec<String>,
    /// Numbers are offered in order.
    sorted: bool,
    extra: Vec<(&'static str, String)>,
}

impl Found {
    fn number(right: isize, wrong: &[isize]) -> Self {
        let show = |n: isize| n.max(0).to_string();
        let near = [right + 1, right - 1, right + 2, right + 3].into_iter().filter(|n| *n >= 0);
        let wrong = wrong.iter().copied().chain(near).map(show).collect();
        Self { right: show(right), wrong, sorted: true, extra: Vec::new() }
    }

    fn one(right: String, wrong: Vec<String>) -> Self {
        Self { right, wrong, sorted: false, extra: Vec::new() }
    }

    fn of(ask: Ask, choices: &[String], facts: &Facts<'_>) -> Option<Self> {
        let plan = facts.plan;
        let change = plan.quorum.as_ref();
        let acts = || distinct(plan.acts.iter().map(|a| a.title.clone()));
        let size = |n: usize| isize::try_from(n).unwrap_or(0);
        Some(match ask {
            Ask::Fixed => Self::one(choices.first()?.clone(), choices[1..].to_vec()),
            Ask::MarginNow => Self::number(facts.voters()?.margin(), &[]),
            Ask::QuorumNow => Self::number(size(quorum(facts.voters()?.total)), &[size(facts.voters()?.total)]),
            Ask::VotersAfter => Self::number(size(change?.after.total), &[size(change?.before.total)]),
            Ask::QuorumAfter => Self::number(
                size(quorum(change?.after.total)),
                &[size(quorum(change?.before.total)), size(change?.after.total)],
            ),
            Ask::MarginDuring => {
                Self::number(change?.during.margin(), &[change?.after.margin(), change?.before.margin()])
            }
            Ask::MarginAfter => Self::number(change?.after.margin(), &[change?.before.margin()]),
            Ask::MarginIfVoter => Self::number(facts.unstarted(1)?.margin(), &[facts.voters()?.margin()]),
            Ask::MarginIfTwo => Self::number(facts.unstarted(2)?.margin(), &[facts.voters()?.margin()]),
            Ask::QuorumIfTwo => {
                Self::number(size(quorum(facts.unstarted(2)?.total)), &[size(quorum(facts.voters()?.total))])
            }
            Ask::FirstAct => split(acts(), 0)?,
            Ask::LastAct => split(acts(), acts().len().checked_sub(1)?)?,
            Ask::NextAct => {
                let acts = acts();
                let before = acts.first()?.clone();
                let mut found = split(acts[1..].to_vec(), 0)?;
                found.extra.push(("act", before));
                found
            }
            Ask::FirstUndo => split(distinct(plan.undo.acts.iter().map(|a| a.title.clone())), 0)?,
            Ask::NextStep => {
                let later = distinct(facts.steps.get(facts.at + 1..)?.iter().cloned());
                split(later, 0)?
            }
            Ask::Risk => {
                let all = [Risk::ReadOnly, Risk::Reversible, Risk::Disruptive, Risk::Irreversible];
                let wrong = all.iter().filter(|r| **r != plan.risk).map(|r| risk_words(*r)).collect();
                Self::one(risk_words(plan.risk), wrong)
            }
            Ask::Restarts => facts.restarts(choices)?,
            Ask::AddedSan => {
                let cert = plan.certs.iter().find(|c| !c.sans.added.is_empty() && !c.sans.kept.is_empty())?;
                let wrong = cert.sans.kept.iter().rev().map(ToString::to_string).collect();
                let mut found = Self::one(cert.sans.added.first()?.to_string(), wrong);
                found.extra.push(("file", cert.path.display().to_string()));
                found
            }
            Ask::FilesChanged => Self::number(size(plan.diffs.len()), &[0]),
            Ask::ChangedFile => {
                let etcd = &facts.cluster.etcd;
                let changed = distinct(plan.diffs.iter().map(|d| d.path.display().to_string()));
                let [only] = changed.as_slice() else { return None };
                let others = [etcd.config.clone(), etcd.unit_file.clone(), etcd.ca(), etcd.data.clone()];
                Self::one(only.clone(), others.iter().map(|p| p.display().to_string()).filter(|p| p != only).collect())
            }
            Ask::Host => {
                let hosts = distinct(plan.acts.iter().filter_map(|a| a.host.as_ref().map(ToString::to_string)));
                let [only] = hosts.as_slice() else { return None };
                let others = facts.cluster.all_masters().map(|n| n.name.to_string()).filter(|n| n != only);
                Self::one(only.clone(), others.collect())
            }
            Ask::PeerUrl => {
                let node = facts.cluster.node(facts.step.host.as_ref()?)?;
                let wrong = vec![
                    crate::cluster::url(node.address, 2378),
                    facts.cluster.client_url(node),
                    format!("https://{}:{}", node.name, facts.cluster.etcd.peer_port),
                ];
                Self::one(facts.cluster.peer_url(node), wrong)
            }
            Ask::Leader => {
                let leader = facts.leader()?;
                let others = facts.etcd?.members.iter().map(|m| m.name.clone());
                Self::one(leader.clone(), others.filter(|n| !n.is_empty() && *n != leader).collect())
            }
            Ask::EtcdServers => facts.counted(|text| {
                let (_, list) = text.split_once("--etcd-servers=")?;
                let list = list.split(['"', '\'', ' ', '\n']).next()?;
                Some(list.split(',').filter(|s| !s.is_empty()).count())
            })?,
            Ask::ProxyServers => facts.counted(|text| {
                let servers = text.lines().filter(|l| l.trim_start().starts_with("server ") && l.contains(':'));
                Some(servers.count()).filter(|n| *n > 0)
            })?,
            Ask::HostsTouched => {
                let hosts = distinct(plan.acts.iter().filter_map(|a| a.host.as_ref().map(ToString::to_string)));
                Self::number(size(hosts.len()), &[1, size(facts.cluster.all_masters().count())])
            }
            Ask::JoinsAs => {
                let learners = facts.etcd?.lowest_version()?.has_learners();
                let [learner, voter, ..] = choices else { return None };
                let (right, wrong) = if learners { (learner, voter) } else { (voter, learner) };
                let others = choices.get(2..)?.iter().cloned();
                Self::one(right.clone(), std::iter::once(wrong.clone()).chain(others).collect())
            }
        })
    }
}

impl Facts<'_> {
    /// The voters there would be with so many more that have not started.
    fn unstarted(&self, more: usize) -> Option<Voters> {
        let voters = self.voters()?;
        Some(Voters { total: voters.total + more, ..voters })
    }

    /// Something that is counted in a file, after the step and before.
    fn counted(&self, count: impl Fn(&str) -> Option<usize>) -> Option<Found> {
        let of = |text: &str| count(text).and_then(|n| isize::try_from(n).ok());
        let change = self.plan.diffs.iter().find_map(|d| Some((d, of(&d.after)?)));
        let (diff, after) = change?;
        let before = diff.before.as_deref().and_then(of);
        Some(Found::number(after, &before.into_iter().collect::<Vec<_>>()))
    }

    /// What the commands restart: nothing, or one thing; more than one is no question for one answer. `choices` hold the
    /// word for nothing.
    fn restarts(&self, choices: &[String]) -> Option<Found> {
        let nothing = choices.first()?.clone();
        let known = ["etcd", "kube-apiserver", "kubelet", "nginx-proxy"];
        let line = |l: &str| {
            let words: Vec<&str> = l.split(|c: char| !(c.is_alphanumeric() || "-._".contains(c))).collect();
            let verb = words.iter().any(|w| matches!(*w, "restart" | "start"));
            let tool = words.iter().any(|w| matches!(*w, "systemctl" | "docker"));
            known.iter().find(|k| verb && tool && words.iter().any(|w| w.trim_end_matches(".service") == **k)).copied()
        };
        let hit = distinct(self.plan.acts.iter().flat_map(|a| a.commands.lines()).filter_map(line).map(str::to_owned));
        let right = match hit.as_slice() {
            [] => nothing.clone(),
            [one] => one.clone(),
            _ => return None,
        };
        let all = known.iter().map(|k| (*k).to_owned());
        Some(Found::one(right.clone(), std::iter::once(nothing).chain(all).filter(|c| *c != right).collect()))
    }
}

/// One of a list, the others as wrong answers; nothing where there are no others.
fn split(mut all: Vec<String>, at: usize) -> Option<Found> {
    if all.len() < 2 || at >= all.len() {
        return None;
    }
    let right = all.remove(at);
    Some(Found::one(right, all))
}

/// In order, each once.
fn distinct(all: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    for one in all {
        if !one.is_empty() && !out.contains(&one) {
            out.push(one);
        }
    }
    out
}

/// Whether the session's language is Chinese.
fn chinese() -> bool {
    lang::current() == Lang::Chinese
}

fn risk_words(risk: Risk) -> String {
    let (en, zh) = match risk {
        Risk::ReadOnly => ("read-only: it only looks", "只读：只查看，不改动"),
        Risk::Reversible => ("reversible: it can be taken back at no cost", "可撤销：可以无代价地撤销"),
        Risk::Disruptive => ("disruptive: something restarts", "有中断：有服务会重启"),
        Risk::Irreversible => ("irreversible: a point of no return", "不可逆：没有回头路"),
    };
    (if chinese() { zh } else { en }).to_owned()
}

#[cfg(test)]
#[path = "quiz_tests.rs"]
mod tests;
