use std::collections::HashMap;

use proptest::prelude::*;

use super::{super::prompt::PromptFacts, *};
use crate::{
    dialect::TtlAsked,
    types::{PrefixChain, PrefixPoint, Section},
    upstream::{CacheLife, CacheRule},
};

const SHORT: Duration = Duration::from_secs(300);
const LONG: Duration = Duration::from_secs(3_600);
const UNIX: UnixTime = UnixTime(Duration::from_secs(1_795_000_000));

fn at(secs: u64) -> Moment {
    Moment::from_millis(secs * 1_000)
}

fn mark(key: u64, tokens: u32, life: Duration) -> Mark {
    Mark { key, tokens, life, shared: false }
}

/// A prompt that looks up these keys, the last of them first. (Without salts a key is a hash.)
fn asking(keys: &[u64]) -> Prompt {
    let point = |(n, hash): (usize, &u64)| PrefixPoint {
        hash: *hash,
        bytes: 10_000 * (n as u64 + 1),
        section: Section::User,
        breakpoint: false,
    };
    let chain = PrefixChain { points: keys.iter().enumerate().map(point).collect() };
    let cache = CacheLife { rule: CacheRule::Marked, min_tokens: 0, short: SHORT, long: LONG };
    let facts = PromptFacts {
        marks: &[(keys.len() - 1, TtlAsked::Short)],
        cache,
        model: 0,
        settings: 0,
        message_settings: 0,
        tokens: 1_000 * u32::try_from(keys.len()).unwrap(),
        ttl: TtlAsked::Short,
    };
    Prompt::of(&chain, &facts)
}

fn index() -> WarmIndex {
    WarmIndex::new(100_000)
}

fn tokens(index: &WarmIndex, key: u64, domain: u64, now: Moment) -> Option<u32> {
    index.read(&asking(&[key]), domain, now).map(|probe| probe.tokens)
}

fn pending(index: &WarmIndex, key: u64, now: Moment) -> Option<u64> {
    let found = index.look(&asking(&[key]), now);
    found.first()?.pending.as_ref().map(|(_, leader)| leader.id())
}

#[test]
fn a_prefix_is_pending_until_the_first_byte_and_readable_from_then_on() {
    let index = index();
    let (marks, leader) = ([mark(1, 5_000, SHORT)], Leader::new(at(0)));
    index.lead(&marks, 7, &leader, at(0));
    assert_eq!(tokens(&index, 1, 7, at(1)), None);
    assert_eq!(pending(&index, 1, at(1)), Some(leader.id()));
    let found = index.look(&asking(&[1]), at(1));
    assert_eq!((found[0].domain, found[0].tokens, found[0].pending.as_ref().unwrap().0), (7, 0, 5_000));
    index.reveal(&marks, 7, at(0));
    leader.end();
    assert_eq!(tokens(&index, 1, 7, at(2)), Some(5_000));
    assert_eq!(pending(&index, 1, at(2)), None);
    assert_eq!(tokens(&index, 1, 8, at(2)), None, "in that domain only");
}

#[test]
fn expiry_is_counted_from_the_start_of_the_request_not_from_its_answer() {
    let index = index();
    let marks = [mark(1, 5_000, SHORT)];
    index.lead(&marks, 7, &Leader::new(at(0)), at(0));
    index.reveal(&marks, 7, at(0));
    assert!(tokens(&index, 1, 7, at(299)).is_some());
    assert_eq!(tokens(&index, 1, 7, at(300)), None);
    assert!(index.look(&asking(&[1]), at(300)).is_empty());
}

#[test]
fn a_read_refreshes_what_it_read_for_the_life_that_it_has() {
    let index = index();
    for (key, life) in [(1, SHORT), (2, LONG)] {
        index.reveal(&[mark(key, 5_000, life)], 7, at(0));
        index.refresh(key, 7, at(200));
    }
    assert!(tokens(&index, 1, 7, at(499)).is_some() && tokens(&index, 1, 7, at(500)).is_none());
    assert!(tokens(&index, 2, 7, at(3_799)).is_some() && tokens(&index, 2, 7, at(3_800)).is_none());
    // An older request that is answered late does not shorten it.
    index.refresh(2, 7, at(100));
    assert!(tokens(&index, 2, 7, at(3_799)).is_some());
    index.refresh(9, 7, at(100));
    assert_eq!(tokens(&index, 9, 7, at(100)), None, "what is unknown is not made up");
}

#[test]
fn an_hour_that_was_paid_for_is_kept_when_a_short_mark_falls_on_it() {
    let index = index();
    index.reveal(&[mark(1, 5_000, LONG)], 7, at(0));
    index.reveal(&[mark(1, 5_000, SHORT)], 7, at(10));
    assert!(tokens(&index, 1, 7, at(3_609)).is_some() && tokens(&index, 1, 7, at(3_610)).is_none());
}

#[test]
fn an_hour_that_is_over_is_not_had_again_for_the_price_of_five_minutes() {
    let index = index();
    index.reveal(&[mark(1, 5_000, LONG)], 7, at(0));
    let short = [mark(1, 5_000, SHORT)];
    index.lead(&short, 7, &Leader::new(at(4_000)), at(4_000));
    index.reveal(&short, 7, at(4_000));
    assert!(tokens(&index, 1, 7, at(4_299)).is_some() && tokens(&index, 1, 7, at(4_300)).is_none());
    // And without the lead, as after an answer that named another domain.
    index.reveal(&[mark(2, 5_000, LONG)], 7, at(0));
    index.reveal(&[mark(2, 5_000, SHORT)], 7, at(4_000));
    assert_eq!(tokens(&index, 2, 7, at(4_300)), None);
}

#[test]
fn a_leader_that_fails_leaves_nothing_and_takes_nothing_of_others() {
    let index = index();
    let marks = [mark(1, 1_000, SHORT), mark(2, 2_000, SHORT)];
    index.reveal(&marks[..1], 7, at(0));
    let leader = Leader::new(at(1));
    index.lead(&marks, 7, &leader, at(1));
    index.lead(&marks[1..], 8, &leader, at(1));
    index.abandon(&marks, 7, &leader);
    assert_eq!(tokens(&index, 1, 7, at(2)), Some(1_000), "what could be read still can");
    let found = index.look(&asking(&[2]), at(2));
    assert_eq!(found.iter().map(|warmth| warmth.domain).collect::<Vec<_>>(), [8]);
    index.abandon(&marks, 8, &Leader::new(at(1)));
    assert!(pending(&index, 2, at(2)).is_some(), "another's failure");
}

#[test]
fn the_first_to_come_leads_and_a_later_one_after_it_is_over() {
    let index = index();
    let marks = [mark(1, 1_000, SHORT)];
    let (first, second, third) = (Leader::new(at(0)), Leader::new(at(1)), Leader::new(at(2)));
    index.lead(&marks, 7, &first, at(0));
    index.lead(&marks, 7, &second, at(1));
    assert_eq!(pending(&index, 1, at(1)), Some(first.id()));
    index.abandon(&marks, 7, &first);
    first.end();
    index.lead(&marks, 7, &third, at(2));
    assert_eq!(pending(&index, 1, at(2)), Some(third.id()));
    // The second answers all the same: then it can be read, whoever led.
    index.reveal(&marks, 7, at(1));
    assert_eq!((tokens(&index, 1, 7, at(2)), pending(&index, 1, at(2))), (Some(1_000), None));
}

#[test]
fn a_leader_that_is_over_is_waited_for_no_more() {
    let index = index();
    let leader = Leader::new(at(0));
    index.lead(&[mark(1, 1_000, SHORT)], 7, &leader, at(0));
    leader.end();
    assert_eq!(pending(&index, 1, at(1)), None);
}

#[tokio::test]
async fn whoever_waits_for_a_leader_is_woken_also_when_late() {
    let leader = Leader::new(at(0));
    let waits = leader.over();
    leader.end();
    leader.end();
    waits.await;
    leader.over().await;
    assert!(leader.is_over());
}

#[test]
fn the_longest_prefix_of_each_domain_counts_and_the_warmest_comes_first() {
    let index = index();
    index.reveal(&[mark(1, 1_000, SHORT), mark(2, 2_000, SHORT)], 7, at(0));
    index.reveal(&[mark(1, 1_000, SHORT), mark(2, 2_000, SHORT), mark(3, 3_000, SHORT)], 8, at(0));
    index.reveal(&[mark(1, 1_000, SHORT)], 9, at(0));
    index.lead(&[mark(3, 3_000, SHORT)], 9, &Leader::new(at(0)), at(0));
    let found = index.look(&asking(&[1, 2, 3]), at(1));
    let seen: Vec<_> = found.iter().map(|w| (w.domain, w.tokens, w.key, w.pending.is_some())).collect();
    assert_eq!(seen, [(8, 3_000, 3, false), (7, 2_000, 2, false), (9, 1_000, 1, true)]);
    assert_eq!(index.read(&asking(&[1, 2, 3]), 7, at(1)).unwrap().key, 2);
}

#[test]
fn what_usage_reports_deny_is_forgotten_and_sizes_are_theirs() {
    let index = index();
    index.reveal(&[mark(1, 1_000, SHORT)], 7, at(0));
    index.resize(1, 7, 1_500);
    assert_eq!(tokens(&index, 1, 7, at(1)), Some(1_500));
    assert!(!index.forget(1, 8) && index.forget(1, 7) && !index.forget(1, 7));
    assert!(index.is_empty());
}

#[test]
fn it_is_bounded_in_prefixes_and_keeps_what_lives_longest() {
    let index = WarmIndex::new(SHARDS * 16);
    let key = |n: u64| n.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    for n in 0..20_000 {
        index.reveal(&[mark(key(n), 1_000, SHORT)], 7, Moment::from_millis(n));
    }
    assert!(index.len() <= SHARDS * 16, "{}", index.len());
    assert!(index.len() > SHARDS * 12, "{}: room is not given away", index.len());
    let now = Moment::from_millis(20_000);
    let recent = (19_600..20_000).filter(|&n| tokens(&index, key(n), 7, now).is_some()).count();
    assert!(recent > 300, "of the newest 400 only {recent} are left");
}

#[test]
fn what_expired_makes_room_first() {
    let index = WarmIndex::new(SHARDS * 1_000);
    let key = |n: u64| n.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    for n in 0..30_000 {
        index.reveal(&[mark(key(n), 1_000, SHORT)], 7, at(0));
    }
    for n in 30_000..90_000 {
        index.reveal(&[mark(key(n), 1_000, SHORT)], 7, at(400));
    }
    let left = (30_000..90_000).filter(|&n| tokens(&index, key(n), 7, at(401)).is_some()).count();
    assert!(left > 59_000, "{left} of 60,000");
    assert!(index.len() < 64_000 + SHARDS);
}

#[test]
fn of_one_prefix_so_many_domains_are_kept_as_live_longest() {
    let index = index();
    for domain in 0..200 {
        index.reveal(&[mark(1, 1_000, SHORT)], domain, at(domain));
    }
    let found = index.look(&asking(&[1]), at(200));
    assert_eq!(found.len(), MAX_DOMAINS);
    assert!(found.iter().all(|warmth| warmth.domain >= 200 - MAX_DOMAINS as u64));
}

#[test]
fn what_is_readable_survives_a_restart_less_the_time_that_it_was_down() {
    let (old, new) = (index(), index());
    old.reveal(&[mark(1, 1_000, SHORT)], 7, at(0));
    old.reveal(&[mark(2, 2_000, LONG)], u64::MAX, at(0));
    old.reveal(&[mark(3, 3_000, SHORT)], 7, at(20));
    old.lead(&[mark(4, 4_000, SHORT)], 7, &Leader::new(at(100)), at(100));
    let saved = old.dump(at(100), UNIX);
    assert_eq!(saved.prefixes.len(), 3, "what is pending is not saved");
    let text = serde_json::to_string(&saved).unwrap();
    let saved: SavedWarm = serde_json::from_str(&text).unwrap();
    let later = UnixTime(UNIX.0 + Duration::from_secs(210));
    assert_eq!(new.restore(&saved, at(5), later), 2);
    assert_eq!(tokens(&new, 1, 7, at(5)), None, "200 s were left, it was down for 210");
    assert!(tokens(&new, 3, 7, at(14)).is_some() && tokens(&new, 3, 7, at(15)).is_none());
    assert_eq!(tokens(&new, 2, u64::MAX, at(5)), Some(2_000));
    new.refresh(2, u64::MAX, at(10));
    assert!(tokens(&new, 2, u64::MAX, at(3_609)).is_some(), "it keeps its hour");
    // What this process learned meanwhile is the better knowledge.
    new.reveal(&[mark(3, 9_000, SHORT)], 7, at(12));
    new.restore(&saved, at(13), later);
    assert_eq!(tokens(&new, 3, 7, at(311)), Some(9_000));
}

#[test]
fn torn_or_made_up_values_do_no_harm() {
    let index = index();
    let entry =
        |key: &str, domain: &str, left, life| SavedPrefix(key.into(), domain.into(), left, life, 1_000);
    let prefixes = vec![
        entry("zz", "7", 1_000, 300_000),
        entry("", "7", 1_000, 300_000),
        entry("1", "-7", 1_000, 300_000),
        entry("11111111111111111", "7", 1_000, 300_000),
        entry("2", "7", 0, 300_000),
        entry("3", "7", 1_000, 0),
        entry("4", "7", u64::MAX, 300_000),
    ];
    // Saved in the future: a clock that was set back in between.
    let saved = SavedWarm { saved_at_unix: u64::MAX, prefixes };
    assert_eq!(index.restore(&saved, at(0), UNIX), 1);
    assert!(tokens(&index, 4, 7, at(299)).is_some() && tokens(&index, 4, 7, at(300)).is_none());
    assert!(serde_json::from_str::<SavedWarm>(r#"{"saved_at_unix":1,"prefixes":[["1","7"]]}"#).is_err());
}

#[derive(Clone, Debug)]
enum Step {
    Lead {
        key: u64,
        domain: u64,
        long: bool,
    },
    /// The n-th of those who lead is answered ..
    Answer(usize),
    /// .. or fails.
    Fail(usize),
    Refresh {
        key: u64,
        domain: u64,
    },
    Forget {
        key: u64,
        domain: u64,
    },
    Resize {
        key: u64,
        domain: u64,
        tokens: u32,
    },
    Pass(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let place = || (0_u64..6, 0_u64..3);
    prop_oneof![
        4 => (place(), any::<bool>()).prop_map(|((key, domain), long)| Step::Lead { key, domain, long }),
        4 => any::<usize>().prop_map(Step::Answer),
        1 => any::<usize>().prop_map(Step::Fail),
        1 => place().prop_map(|(key, domain)| Step::Refresh { key, domain }),
        1 => place().prop_map(|(key, domain)| Step::Forget { key, domain }),
        1 => (place(), 1_u32..9_000)
            .prop_map(|((key, domain), tokens)| Step::Resize { key, domain, tokens }),
        3 => (1_u64..2_000).prop_map(Step::Pass),
    ]
}

/// What is said above, as plainly as can be: one map, no shards, nothing cleared out.
#[derive(Default)]
struct Naive {
    entries: HashMap<(u64, u64), Plain>,
}

#[derive(Clone, Copy)]
struct Plain {
    expires: u64,
    life: u64,
    tokens: u32,
    leader: Option<u64>,
}

struct Out {
    leader: Arc<Leader>,
    mark: Mark,
    domain: u64,
    started: u64,
}

impl Naive {
    fn lead(&mut self, out: &Out, alive: impl Fn(u64) -> bool) {
        let life = out.mark.life.as_secs();
        let new = Plain {
            expires: out.started + life,
            life,
            tokens: out.mark.tokens,
            leader: Some(out.leader.id()),
        };
        let place = (out.mark.key, out.domain);
        match self.entries.get(&place) {
            Some(old) if old.expires > out.started || old.leader.is_some_and(alive) => {}
            Some(old) => {
                // (Its size is corrected when it is revealed.)
                self.entries.insert(place, Plain { tokens: old.tokens, ..new });
            }
            None => {
                self.entries.insert(place, new);
            }
        }
    }

    fn reveal(&mut self, out: &Out) {
        let before = self.entries.get(&(out.mark.key, out.domain)).filter(|old| old.expires > out.started);
        let life = before.map_or(0, |old| old.life).max(out.mark.life.as_secs());
        let expires = before.map_or(0, |old| old.expires).max(out.started + life);
        let plain = Plain { expires, life, tokens: out.mark.tokens, leader: None };
        self.entries.insert((out.mark.key, out.domain), plain);
    }
}

proptest! {
    #[test]
    fn it_knows_what_a_plain_map_would_know(steps in proptest::collection::vec(step(), 1..120)) {
        let index = index();
        let mut naive = Naive::default();
        let mut out: Vec<Out> = Vec::new();
        let mut now = 0;
        for step in steps {
            match step {
                Step::Lead { key, domain, long } => {
                    let tokens = 1_000 + u32::try_from(out.len()).unwrap();
                    let mark = mark(key, tokens, if long { LONG } else { SHORT });
                    let new = Out { leader: Leader::new(at(now)), mark, domain, started: now };
                    naive.lead(&new, |id| out.iter().any(|other| other.leader.id() == id));
                    index.lead(&[mark], domain, &new.leader, at(now));
                    out.push(new);
                }
                Step::Answer(n) if !out.is_empty() => {
                    let n = n % out.len();
                    let out = out.swap_remove(n);
                    naive.reveal(&out);
                    index.reveal(&[out.mark], out.domain, at(out.started));
                    out.leader.end();
                }
                Step::Fail(n) if !out.is_empty() => {
                    let n = n % out.len();
                    let out = out.swap_remove(n);
                    naive.entries.retain(|place, plain| {
                        *place != (out.mark.key, out.domain) || plain.leader != Some(out.leader.id())
                    });
                    index.abandon(&[out.mark], out.domain, &out.leader);
                    out.leader.end();
                }
                Step::Answer(_) | Step::Fail(_) => {}
                Step::Refresh { key, domain } => {
                    // Only what could be read when the request began.
                    if tokens(&index, key, domain, at(now)).is_some() {
                        let plain = naive.entries.get_mut(&(key, domain)).unwrap();
                        plain.expires = plain.expires.max(now + plain.life);
                        index.refresh(key, domain, at(now));
                    }
                }
                Step::Forget { key, domain } => {
                    let known = naive.entries.remove(&(key, domain)).is_some();
                    prop_assert_eq!(index.forget(key, domain), known);
                }
                Step::Resize { key, domain, tokens } => {
                    if let Some(plain) = naive.entries.get_mut(&(key, domain)) {
                        plain.tokens = tokens;
                    }
                    index.resize(key, domain, tokens);
                }
                Step::Pass(secs) => now += secs,
            }
            for key in 0..6 {
                for domain in 0..3 {
                    let plain = naive.entries.get(&(key, domain)).filter(|plain| plain.expires > now);
                    let readable = plain.filter(|plain| plain.leader.is_none()).map(|plain| plain.tokens);
                    prop_assert_eq!(tokens(&index, key, domain, at(now)), readable);
                    let led = plain.and_then(|plain| plain.leader);
                    let found = index.look(&asking(&[key]), at(now));
                    let here = found.iter().find(|warmth| warmth.domain == domain);
                    let seen = here.and_then(|warmth| warmth.pending.as_ref()).map(|(_, l)| l.id());
                    prop_assert_eq!(seen, led);
                }
            }
        }
    }
}
