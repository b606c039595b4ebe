//! The chaos run: seeded faults under load, then a proof that nothing was lost or counted twice. Bounded here;
//! `make test-chaos` runs it for as long as one likes, on any server (see [`e2e::chaos::ChaosSettings`]).

use e2e::chaos::{self, ChaosSettings};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_or_counted_twice_whatever_fails() {
    let settings = ChaosSettings::from_env();
    println!("CHAOS_SEED={} replays this schedule of faults", settings.seed);
    let report = chaos::run(&settings).await;
    println!("{report}");
    assert!(report.is_clean(), "{report}");
    let happened = report.faults() > 0 && report.stored() > 0 && report.trimmed() > 0;
    assert!(happened, "a run in which nothing happened proves nothing");
}
