use std::time::Duration;

use super::*;
use crate::upstream::{EndpointParams, Pool, testing};

fn pool(n: usize) -> Pool {
    let endpoints = (0..n).map(|i| testing::endpoint(&format!("key-{i}"), "p", "")).collect();
    Pool::build(vec![testing::provider("p")], endpoints, None).unwrap()
}

fn choice(nodes: &Nodes, seed: u64) -> String {
    nodes.best(seed, |_| true).unwrap().endpoint.name().to_string()
}

/// Other figures here mean that every session of every deployment moves: do not change them.
#[test]
fn golden_vectors_hold() {
    assert_eq!(Endpoint::id_of("anthropic-1"), 0x37c4_e075_d9c6_252d);
    assert_eq!(score_hash(Endpoint::id_of("anthropic-1"), 42), 0x9e6f_eae8_d42a_c336);
    let pool = testing::eight();
    let nodes = Nodes::new(pool.endpoints());
    let chosen: Vec<_> = (0..12).map(|seed| choice(&nodes, seed)).collect();
    assert_eq!(chosen, ["b3", "b2", "a2", "a3", "c1", "c2", "a2", "b1", "a1", "a1", "a3", "a2"]);
}

#[test]
fn the_order_of_the_configuration_does_not_matter() {
    let pool = pool(20);
    let (forth, back) = (Nodes::new(pool.endpoints()), Nodes::new(pool.endpoints().iter().rev()));
    for seed in 0..500 {
        assert_eq!(choice(&forth, seed), choice(&back, seed));
    }
}

#[test]
fn adding_an_endpoint_takes_its_share_and_only_for_itself() {
    let pool = pool(11);
    let (ten, eleven) = (Nodes::new(&pool.endpoints()[..10]), Nodes::new(pool.endpoints()));
    let moved: Vec<_> = (0..11_000).filter(|&seed| choice(&ten, seed) != choice(&eleven, seed)).collect();
    assert!(moved.iter().all(|&seed| choice(&eleven, seed) == "key-10"));
    assert!((900..1_100).contains(&moved.len()), "{} of 11,000 moved, not about 1,000", moved.len());
}

#[test]
fn an_organisations_weight_is_shared_by_its_endpoints() {
    let pool = testing::eight();
    let nodes = Nodes::new(pool.endpoints());
    let mut counts: HashMap<char, u32> = HashMap::new();
    for seed in 0..9_000_u64 {
        *counts.entry(choice(&nodes, seed).chars().next().unwrap()).or_default() += 1;
    }
    for (organisation, count) in counts {
        assert!((2_800..3_200).contains(&count), "{organisation}: {count} of 9,000");
    }
}

#[test]
fn weights_are_respected() {
    let weighted = |name: &str, weight| EndpointParams { weight, ..testing::endpoint(name, "p", "") };
    let endpoints = vec![weighted("one", 1), weighted("two", 2), weighted("five", 5)];
    let pool = Pool::build(vec![testing::provider("p")], endpoints, None).unwrap();
    let nodes = Nodes::new(pool.endpoints());
    let count = |name: &str| (0..8_000_u64).filter(|&seed| choice(&nodes, seed) == name).count();
    for (name, share) in [("one", 1_000), ("two", 2_000), ("five", 5_000)] {
        assert!(count(name).abs_diff(share) < 150, "{name}: {}", count(name));
    }
}

#[test]
fn the_first_choice_is_the_head_of_the_order() {
    let weighted =
        |n: u32| EndpointParams { weight: n % 3 + 1, ..testing::endpoint(&format!("k{n}"), "p", "") };
    let pool = Pool::build(vec![testing::provider("p")], (0..30).map(weighted).collect(), None).unwrap();
    let nodes = Nodes::new(pool.endpoints());
    for seed in 0..300 {
        let order: Vec<_> = nodes.order(seed).iter().map(|&(_, at)| nodes.nodes[at].id).collect();
        assert_eq!(nodes.best(seed, |_| true).unwrap().id, order[0]);
        let top: Vec<_> = nodes.top(seed, 5, |_| true).iter().map(|node| node.id).collect();
        assert_eq!(top, order[..5]);
        let odd = |node: &Node| node.id % 2 == 1;
        let odds: Vec<_> = order.iter().copied().filter(|id| id % 2 == 1).take(3).collect();
        let top: Vec<_> = nodes.top(seed, 3, odd).iter().map(|node| node.id).collect();
        assert_eq!(top, odds);
        assert_eq!(nodes.top(seed, 100, |_| true).len(), 30);
        assert!(nodes.top(seed, 0, |_| true).is_empty());
        let second = nodes.best(seed, |node| node.id != order[0]).unwrap();
        assert_eq!(second.id, order[1]);
    }
}

#[test]
fn the_iterator_walks_every_usable_endpoint_once() {
    let pool = pool(12);
    let ring = Arc::new(Rendezvous::build(&pool.endpoints().iter().map(backend_of).collect()));
    let (lane, now) = (Lane::PASSTHROUGH, Moment::from_millis(1));
    pool.endpoints()[3].cool(Duration::from_secs(60), now);
    let key = SelectKey::new(7, lane, now);
    let mut iter = ring.iter(key.as_bytes());
    let mut seen = Vec::new();
    while let Some(backend) = iter.next() {
        seen.push(endpoint_of(backend).unwrap().name().to_string());
    }
    let distinct: BTreeSet<_> = seen.iter().collect();
    assert_eq!((seen.len(), distinct.len()), (11, 11));
    assert!(!seen.contains(&"key-3".to_owned()));
    assert!(ring.iter(b"any other key").next().is_some());
}

#[test]
fn pseudo_addresses_differ_and_weight_stays_out_of_them() {
    let pool = pool(100);
    let backends: BTreeSet<_> = pool.endpoints().iter().map(backend_of).collect();
    assert_eq!(backends.len(), 100);
    assert!(backends.iter().all(|b| b.weight == 1 && b.addr.to_string().starts_with("[fd00:")));
}

proptest::proptest! {
    #[test]
    fn removing_an_endpoint_moves_only_its_sessions(n in 2_usize..30, gone in 0_usize..30, seed: u64) {
        let pool = pool(n);
        let gone = gone % n;
        let all = Nodes::new(pool.endpoints());
        let left = Nodes::new(pool.endpoints().iter().enumerate().filter(|&(i, _)| i != gone).map(|(_, e)| e));
        let before = choice(&all, seed);
        if before != format!("key-{gone}") {
            proptest::prop_assert_eq!(before, choice(&left, seed));
        }
    }

    #[test]
    fn any_bytes_are_a_key(bytes: Vec<u8>) {
        let pool = pool(3);
        let ring = Arc::new(Rendezvous::build(&pool.endpoints().iter().map(backend_of).collect()));
        let _ = ring.iter(&bytes).next();
    }
}
