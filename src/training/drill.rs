//! Drills: a cluster in which something went wrong, to find, name and repair.
//!
//! A drill is a file in `assets/practice/drills/`, with the words in both languages. What goes wrong is done to the practice
//! cluster for real, so that what is seen is what real hosts would show.

use std::time::Duration;

use serde::Deserialize;

use crate::{
    lang::Words,
    practice::{Fault, Options, Practice, Scenario, ScenarioError, build, checks::Check, deeds::Deed},
    survey::{Observed, Severity},
};

macro_rules! drills {
    ($($name:literal)*) => {
        const BUILT_IN: &[(&str, &str)] = &[$(($name, include_str!(concat!("../../assets/practice/drills/", $name, ".yaml")))),*];
    };
}

drills! {
    "host-down" "member-down" "clocks-apart" "old-data" "disk-full"
    "read-only" "san-missing" "expired" "foreign-ca" "no-space" "typo-2378" "key-owner" "stranger"
    "stray-manifest" "nodename-newline" "proxy-not-restarted"
    "second-member" "unit-fails" "stuck-learner" "stale-etcd-servers" "service-account-keys" "fresh-ca"
}

/// What somebody did happened so long ago that it shows.
const AGO: Duration = Duration::from_mins(1);

/// A drill.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Drill {
    /// Its name: that of the file.
    #[serde(skip)]
    pub name: String,
    /// 1, 2 or 3: how hard it is.
    pub level: u8,
    /// The scenario it happens in.
    pub scenario: String,
    /// What it is called; says nothing of the cause.
    pub title: Words,
    /// What the trainee is told.
    pub story: Words,
    /// What it teaches, for the trainer.
    pub teaches: Words,
    /// What went wrong with hosts.
    #[serde(default)]
    pub faults: Vec<Fault>,
    /// What somebody did, in order.
    #[serde(default)]
    pub deeds: Vec<Deed>,
    /// How it shows.
    pub sign: Sign,
    /// How it shows elsewhere.
    #[serde(default)]
    pub also: Vec<Sign>,
    /// What is so once it is cured, besides that the survey blocks nothing.
    #[serde(default)]
    pub cured: Vec<Check>,
    /// What may be the cause; the first one is it.
    pub causes: Vec<Words>,
    /// What may be done.
    pub repairs: Vec<Repair>,
    /// Files worth a look, as `HOST:PATH`.
    #[serde(default)]
    pub files: Vec<String>,
    /// From general to plain.
    pub hints: Vec<Words>,
    /// What is said in the end.
    pub debrief: Debrief,
}

/// How a drill's fault shows.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "shows", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Sign {
    /// The survey says so, about that host if one is named.
    Finding {
        /// Which host.
        host: Option<String>,
        /// Part of what it says, in English.
        says: String,
    },
    /// A step fails.
    Step {
        /// Such as `etcd.join@master04`.
        step: String,
        /// Part of its error or output.
        says: String,
    },
    /// A step waits and gets no further.
    Waits {
        /// Such as `etcd.join@master04`.
        step: String,
    },
    /// A row of the masters side by side marks a host.
    Compared {
        /// The row's label, in English.
        row: String,
        /// Which host.
        host: String,
    },
    /// A log says so.
    Log {
        /// Which host.
        host: String,
        /// A unit, or a component that runs as a static pod.
        of: String,
        /// Part of a line.
        says: String,
    },
    /// The API lists a node that is not Ready.
    Node {
        /// Its host.
        host: String,
    },
}

/// Something that may be done about it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Repair {
    /// In words.
    pub text: Words,
    /// Whether it is what cures it.
    #[serde(default)]
    pub right: bool,
    /// What is done, in order.
    pub deeds: Vec<Deed>,
}

/// What is said in the end.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Debrief {
    /// What happened.
    pub happened: Words,
    /// What would have prevented it.
    pub prevents: Words,
}

impl Drill {
    /// The names of all drills, the easy ones first.
    pub fn names() -> impl Iterator<Item = &'static str> {
        BUILT_IN.iter().map(|(name, _)| *name)
    }

    /// One by its name; `None` where there is none of that name.
    ///
    /// # Errors
    /// When its file is no drill, with line and column.
    pub fn find(name: &str) -> Result<Option<Self>, ScenarioError> {
        let Some((_, text)) = BUILT_IN.iter().find(|(known, _)| *known == name) else { return Ok(None) };
        let malformed = |e: serde_yaml::Error| ScenarioError::Malformed { name: name.to_owned(), why: e.to_string() };
        let drill: Self = serde_yaml::from_str(text).map_err(malformed)?;
        Ok(Some(Self { name: name.to_owned(), ..drill }))
    }

    /// The cluster, with what went wrong.
    ///
    /// # Errors
    /// When the scenario cannot be laid out.
    pub fn build(&self, options: Options) -> Result<Practice, ScenarioError> {
        let mut scenario = Scenario::find(&self.scenario)?;
        scenario.faults.extend(self.faults.iter().cloned());
        let practice = build(&scenario, options)?;
        let malformed = |why: String| ScenarioError::Malformed { name: self.name.clone(), why };
        self.deeds.iter().try_for_each(|deed| practice.attempt(deed)).map_err(malformed)?;
        if !self.deeds.is_empty() {
            practice.pass(AGO);
        }
        Ok(practice)
    }

    /// Does everything of a repair, up to what is refused.
    ///
    /// # Errors
    /// The words of whoever refused.
    pub fn repair(&self, at: usize, practice: &Practice) -> Result<(), String> {
        let deeds = self.repairs.get(at).map(|r| r.deeds.as_slice()).unwrap_or_default();
        deeds.iter().try_for_each(|deed| practice.attempt(deed))
    }

    /// Whether nothing is left of it, whoever did what about it.
    pub fn cleared(&self, observed: &Observed, practice: &Practice) -> bool {
        // In the middle of a growth the survey has its reasons to block.
        let on_the_way = matches!(self.sign, Sign::Step { .. } | Sign::Waits { .. });
        let blocked = observed.findings.iter().any(|f| f.severity == Severity::Block);
        (on_the_way || !blocked) && practice.holds(&self.cured)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chinese(text: &str) -> bool {
        text.chars().any(|c| ('\u{4e00}'..='\u{9fff}').contains(&c))
    }

    #[test]
    fn every_drill_is_whole_and_in_both_languages() {
        assert!(Drill::names().count() >= 12);
        let mut level = 0;
        for name in Drill::names() {
            let drill = Drill::find(name).unwrap_or_else(|e| panic!("{e}")).unwrap();
            assert!((1..=3).contains(&drill.level) && drill.level >= level, "{name}: the easy ones come first");
            level = drill.level;
            Scenario::find(&drill.scenario).unwrap();
            assert!(!drill.faults.is_empty() || !drill.deeds.is_empty(), "{name}");
            let seen_by_the_survey = matches!(drill.sign, Sign::Finding { .. });
            assert!(seen_by_the_survey || !drill.cured.is_empty(), "{name}: nothing would show that it is cured");
            assert!((3..=5).contains(&drill.causes.len()), "{name}");
            assert!((2..=5).contains(&drill.repairs.len()) && drill.files.len() <= 5, "{name}");
            assert_eq!(drill.repairs.iter().filter(|r| r.right).count(), 1, "{name}");
            assert!((2..=4).contains(&drill.hints.len()), "{name}");
            let mut words =
                vec![&drill.title, &drill.story, &drill.teaches, &drill.debrief.happened, &drill.debrief.prevents];
            words.extend(drill.causes.iter().chain(&drill.hints).chain(drill.repairs.iter().map(|r| &r.text)));
            for text in words {
                assert!(!text.en.trim().is_empty() && !chinese(&text.en), "{name}: {}", text.en);
                assert!(chinese(&text.zh), "{name}: {}", text.zh);
                // Names, paths and numbers are the same in both.
                let facts = |t: &str| {
                    let mut all: Vec<String> = t
                        .split(|c: char| !(c.is_ascii_alphanumeric() || "./:-_".contains(c)))
                        .map(|w| w.trim_matches(['.', ':', '-', '/']).to_owned())
                        .filter(|w| w.contains("master0") || w.contains("10.10.33") || w.starts_with("etc/"))
                        .collect();
                    all.sort();
                    all.dedup();
                    all
                };
                assert_eq!(facts(&text.en), facts(&text.zh), "{name}: {} / {}", text.en, text.zh);
            }
        }
    }

    #[test]
    fn an_unknown_name_is_none() {
        assert!(Drill::find("nothing").unwrap().is_none());
    }
}
