use warmkey::replay::*;
fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let seed: u64 = args.get(1).and_then(|s| s.parse().ok()).unwrap_or(1);
    let model = warmkey::sim::model("claude-sonnet-4-6").unwrap();
    for scn in SCENARIOS.iter().filter(|s| args.first().is_none_or(|a| a == "all" || s.name == a)) {
        let trace = scn.trace(model, seed);
        let cond = scn.conditions();
        println!("== {} requests {} Mtok {:.0}", scn.name, trace.requests(), trace.tokens() as f64 / 1e6);
        let limits: Vec<u64> = cond.accounts.iter().map(|a| a.itpm).collect();
        let oracle = Policy::Oracle5m.run(&trace, &cond, seed, &|| ());
        println!(
            "   busiest min {:.0}% of limits",
            oracle.busiest_minute() as f64 * 100.0 / limits.iter().sum::<u64>() as f64
        );
        for p in Policy::ALL
            .iter()
            .filter(|p| args.get(2).is_none_or(|only| only.split(',').any(|x| x == p.label())))
        {
            let t = std::time::Instant::now();
            let o = p.run(&trace, &cond, seed, &|| ());
            println!(
                "{:16} hit {:5.1}% cost {:8.2} {:5.3}x 429 {:7} 5xx {:6} ref {:8} p50 {:6.1} p99 {:7.1} cv {:.2} end {:?} {:.2?}",
                p.label(),
                o.hit_rate() * 100.0,
                o.cost.as_usd(),
                o.cost.0 as f64 / oracle.cost.0 as f64,
                o.client_429,
                o.client_5xx,
                o.refused,
                o.wait(0.5),
                o.wait(0.99),
                o.spread(&limits),
                o.ended,
                t.elapsed()
            );
        }
    }
}
