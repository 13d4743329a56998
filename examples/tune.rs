use warmkey::replay::*;
fn main() {
    let model = warmkey::sim::model("claude-sonnet-4-6").unwrap();
    let name = std::env::args().nth(1).unwrap();
    let scn = find(&name).unwrap();
    let cond = scn.conditions();
    let all: u64 = cond.accounts.iter().map(|a| a.itpm).sum();
    for seed in 1..=8 {
        let trace = scn.trace(model, seed);
        let c = compare(&name, (&trace, &cond), seed, &[Policy::Rendezvous, Policy::RendezvousWait], &|| ());
        println!(
            "{name} {seed}: peak {}% rdv {:.2} {} wait {:.3} {} {:?}",
            c.rows[2].outcome.peak() * 100 / all,
            c.rows[0].cost_ratio,
            c.rows[0].outcome.client_429,
            c.rows[1].cost_ratio,
            c.rows[1].outcome.client_429,
            c.invalid
        );
    }
}
