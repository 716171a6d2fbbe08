//! How a node lives on by itself during a start.

use crate::start_world::{NAMES, NODE, Parent, World};

impl World {
    /// What a healthy node does by itself while `millis` pass: the kubelet runs what stands in its
    /// directory and what is bound to it, and a server that runs serves.
    pub fn live(&mut self, millis: u64) {
        self.now += millis;
        for index in 0..3 {
            if self.kubelet {
                self.temporary[index] = self.manifests[index].is_some();
            }
        }
        let temporary_api = self.temporary[0] || self.engine[0];
        let own_api = self.parents[0] == Parent::Serving;
        self.api_answers = temporary_api || own_api || self.api_elsewhere;
        for (index, name) in NAMES.iter().enumerate() {
            let bound = self
                .bound
                .iter()
                .any(|bound| bound.node == NODE && bound.pod.name == format!("{name}-x"));
            let blocked =
                (self.temporary[index] || self.engine[index]) && !(index == 0 && self.shares);
            self.parents[index] = match self.parents[index] {
                Parent::Nothing | Parent::Ended if self.kubelet && bound && self.api_answers => {
                    Parent::Starting
                }
                // The port is taken.
                Parent::Starting if blocked => Parent::Ended,
                Parent::Starting => Parent::Serving,
                other => other,
            };
        }
    }

    /// Lives on until `done`; what a run of so many turns must reach.
    #[track_caller]
    pub fn until(&mut self, what: &str, done: impl Fn(&Self) -> bool) {
        for _ in 0..500 {
            if done(self) {
                return;
            }
            let decision = self.turn();
            assert_eq!(decision.ended, None, "{what}: {:?}", decision.waits);
            self.live(500);
        }
        panic!("{what} was not reached: {:#?}", self.journal);
    }
}
