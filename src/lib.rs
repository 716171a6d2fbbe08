//! # Rekindle: architecture
//!
//! Rekindle runs on Kubernetes control-plane nodes ("masters") and brings a lost self-hosted
//! control plane back by itself. It keeps *checkpoints* of critical pods on the node's disk and
//! *activates* them when their parents are gone: after a reboot the kubelet has no API server to
//! ask what to run, so somebody on the node must remember.
//!
//! ## The loop
//!
//! ```text
//!  observe (each source may fail alone)      decide (pure)              commit     execute
//!  containerd · kubelet · manifests     ─►  core::decide(observed,  ─►  state  ─►  manifests
//!  API server · engine · probes · store      stored, policy, now)       file       containerd
//!        ▲                                        │                                engine · store
//!        └── every source is its own task ────────┴─► report ─► socket, metrics, STATUS=
//! ```
//!
//! Events only wake the loop ([`daemon`]); the next observation decides. Each source is a task
//! that publishes its latest [`core::reading::Reading`]; a source that hangs makes its own reading
//! unknown and stops nothing else.
//!
//! ## Where to look
//!
//! | question | place |
//! |---|---|
//! | where is it decided? | [`core::decide::decide`]; the state machine of one checkpoint is `core/phase.rs`, hand-over `core/handover.rs`, removal `core/removal.rs`, learning `core/learn.rs` |
//! | what may a decision know? | [`core::observed::Observed`], [`core::stored::Stored`], [`core::policy::Policy`] |
//! | what can it ask for? | [`core::action::Action`]; carried out in `daemon/execute.rs` |
//! | how does a pod become a static pod? | [`core::manifest`] |
//! | containerd | [`containerd`] (what runs, images, kill, exec) and [`engine`] (running pods ourselves) |
//! | kubelet | [`kubelet`] (its list of pods) and [`manifests`] (its static pod directory) |
//! | API server | [`apiserver`]: the pods of this node, their Secrets and ConfigMaps, by watch; single questions are an [`apiserver::ask::Asker`]'s |
//! | disk | [`store`]: the one writer of files, the state, the revisions |
//! | probes | [`probe`] |
//! | a port of two API servers | [`steering`]; when: `core/sharing.rs` |
//! | etcd | [`etcd`] (members, the snapshot as a stream), [`bolt`] (its file, read without it) |
//! | backups | [`backup`]; what is stored in etcd: [`objects`], [`encryption`]; targets: [`objectstore`] |
//! | a node before a recovery | [`cleanup`]; planned in `core/cleanup` |
//! | long operations | [`operation`]: one at a time, journaled; the daemon holds back meanwhile ([`core::operation`], `core/hold.rs`) |
//! | an operator's hold | [`hold`] on the disk; what it means: [`core::operator_hold`], `core/hold.rs` |
//! | a temporary control plane | [`start`]; decided in [`core::start`] |
//! | recovery by hand | [`core::recover`] decides what is written; [`recover`] reads the sources and writes the tree |
//! | etcd in a recovery | [`recovery::etcd`]; its steps are [`core::recovery::etcd`] |
//! | static manifests | copies: [`recovery::guard`]; when one is good or put back: [`core::recovery::guard`] |
//! | what a recovery leaves | [`recovery::report`], the page is `core/recovery/page`; stale data: [`recovery::hygiene`], who may still lead: [`core::recovery::leaders`] |
//! | who hooks into recovery mode | `rekindle-recovery.target`, by `daemon/recovery/hooks.rs` |
//! | recovery mode | decided in [`core::recovery`]: `assess.rs`, `plan.rs`, `course.rs`; carried out by [`daemon::recovery`] and [`recovery`] |
//! | how the binary is linked, to be small in memory | `src/link/build.rs` |
//! | people | [`cli`], [`api`] (socket), [`metrics`], [`systemd`] |
//! | configuration | [`config`]; `config/keys.rs` declares each key once |
//!
//! Dependencies point `cli → api → daemon → adapters → core`. Adapters never import each other;
//! the daemon wires them (`daemon/sources.rs`).
//!
//! ## Two engines
//!
//! An activated checkpoint is run by the *kubelet* (a manifest in its static pod directory) or,
//! when the kubelet does not run it within a deadline, by our own *engine* through containerd.
//! Never by both: the manifest is verified gone before the engine starts, and the reverse.
//!
//! ## Hand-over
//!
//! Copy and parent of a host-network pod want the same port, and a parent that finds it taken
//! waits out the kubelet's back-off. So the copy is killed when the parent's container is created,
//! and the parent is frozen until the copy has let go (`core/handover.rs`). One that could not be
//! frozen has most likely ended already, and its copy is not released for it
//! (`c09_a_parent_that_ended_before_it_was_frozen_costs_no_api`). A parent that does not serve in time
//! gives the checkpoint back, with growing back-off.
//!
//! An API server that permits port sharing needs none of that: copy and parent listen side by side,
//! new connections are steered to the copy until the parent is ready, and only then the copy goes
//! (`core/sharing.rs`, [`steering`], `c09_on_a_shared_port_the_copy_serves_until_the_parent_does`).
//! `start` does the same with its temporary API server (`core/start/beside.rs`).
//!
//! An API server that is told to end closes its port at once and lives on, for as long as its
//! clients' watches and its grace period. Where no API server answers, its checkpoint does not wait
//! for that end (`core/closed.rs`,
//! `the_checkpoint_of_an_api_server_that_has_closed_its_port_need_not_wait_for_its_end`).
//!
//! Masters that know each other's names let go of API servers one after another, each by the rank
//! of its own name (`core/policy.rs`, `handover_spread`): no agreement, and over after a bounded time.
//!
//! The API server goes first, at activation and at hand-over: the others can do nothing without
//! it and only take its processor time. Where the kubelet answers, their parents usually come by
//! themselves once the API server serves, and their checkpoints need not start at all.
//!
//! ## Operations
//!
//! A long operation of the command line (`start`, `cleanup`) takes the node for itself: a lock, and a
//! journal that lets a run go on where another was cut off ([`operation`]). While one is under way or
//! unfinished, or it is not known, the daemon starts, hands over, removes and prunes nothing; learning
//! and backups go on, and a copy that is being stopped is. During `cleanup` it stops its own copies.
//! An operation that was cut off holds the daemon back for as long as nobody ends it: no timer can
//! know how far it came. It is the first thing `status` says, a problem, a failure of `doctor`, and an
//! alert. What `cleanup` leaves stays so in the same way until `start` has succeeded, or somebody
//! says otherwise.
//!
//! ## Start
//!
//! `start` is a loop of the daemon's shape in a process of its own: observe ([`start`]), decide
//! ([`core::start::decide`]), write the journal ([`operation`]), act. It hands over as checkpoints
//! do, and believes of a self-hosted pod only what it sees itself: a container that runs and a
//! probe that passes here, or another node's kubelet that reports now. The daemon holds back
//! meanwhile.
//!
//! ## Backups
//!
//! ```text
//!  schedule or `backup now` ─► choose a member ─► stream to ID.part ─► verify ─► seal: ID
//!                                                                                  │
//!          restore ◄─── verify, signature ◄──── targets (S3, file) ◄── copy ◄──────┼─► rehearse
//!                                                                                  └─► prune
//! ```
//!
//! A backup is a directory, the *bundle*: the etcd snapshot, a tar of the host's files, a manifest
//! with the digest of each, and a signature over the manifest ([`backup::bundle`]). It has its
//! name only when all of it is verified and on the disk. The backups run beside the loop
//! ([`daemon::backups`]), which waits for nothing of theirs; every step works without the daemon
//! too, under the same locks. What a node knows beside its bundles is the index
//! ([`backup::index`]), which can be lost. When one is due and which are kept is decided in
//! [`core::backup`]. A backup counts only once it was *rehearsed*: restored, an etcd started on
//! it, everything read back ([`backup::rehearse`]).
//!
//! ## Recovery mode
//!
//! ```text
//!  observe ─► assess ─► plan ─► course ─► journal ─► act (one at a time, on a thread of its own)
//!  doors, etcd,   hysteresis   ways back    the next     on the      checkpoints · restart · static pods · etcd ·
//!  leases, pods                and costs    step         disk        temporary control plane · hygiene
//! ```
//!
//! A task beside the loop ([`daemon::recovery`]), with evidence of its own
//! ([`core::recovery::evidence`]). [`core::recovery::assess`] is slow to believe in a loss and
//! lets no unknown confirm one; [`core::recovery::plan`] orders the ways back by what they lose;
//! [`core::recovery::course`] takes one step after another until all is well, nothing is left, or
//! somebody ends it. What is done to etcd is an operation like `start` ([`recovery::etcd`]), so the
//! loop holds back meanwhile; it can be taken back up to the change of directories. The node's API
//! servers are ended when etcd is started again: one that has no etcd holds the kubelet up. A
//! temporary control plane is `recover` and `start`, called. Good copies of static manifests are
//! kept by [`recovery::guard`]; what a recovery leaves to read, by [`recovery::report`].
//!
//! ## Invariants
//!
//! 1. `core` does no I/O, knows no time but its argument, and cannot fail
//!    (`tidy::the_core_knows_no_outside_world`).
//! 2. Unknown never moves anything towards starting a second copy or removing one
//!    (`activation::c01_silent_containerd_changes_nothing`, `properties::unknown_never_removes`).
//! 3. Only the API server may say that a parent is deleted, twice, never of itself, and never about every checkpoint
//!    of a node at once (`removing::c04_an_empty_answer_removes_nothing`,
//!    `removing::c24_a_moved_parent_is_removed_here_after_the_grace_period_and_two_answers`).
//! 4. A revision replaces the last known good one only after its parent has been Ready and serving
//!    for a while (`activation::c06_a_bad_spec_never_replaces_the_good_revision`).
//! 5. A checkpoint is activated only whole: data first, manifest last, both fsynced
//!    (`failpoints_power::c11_a_power_cut_at_any_step_loses_nothing_that_was_acknowledged`).
//! 6. Never two copies of one checkpoint: `properties::never_two_copies_asked_for`,
//!    `activation::the_engine_waits_for_the_static_pod_to_be_gone`.
//! 7. Nothing is deleted before its replacement is proven; a removed checkpoint is moved aside
//!    (`activation::c18_a_changed_secret_becomes_good_only_when_proven_and_the_old_revision_stays_until_then`).
//! 8. The next state is on disk before its actions start; every action may be repeated; a kill at
//!    any instant converges (`failpoints::d01_killed_at_every_step_of_every_file_operation`,
//!    `daemon_kills::d01_killed_around_every_commit_and_action`, and the lab's
//!    `D01-kill-9-of-the-daemon`).
//! 9. Running means the *parent's* sandbox, never our own copy
//!    (`activation::c21_after_a_power_cut_all_come_back_and_are_verified`).
//! 10. One task owns the state; socket and metrics read a published copy ([`daemon::publish`]).
//! 11. One module writes files ([`store::durable`]), one reads the clock ([`daemon::clock`])
//!     (`tidy::one_module_writes_files`, and `disallowed-methods` of clippy).
//! 12. No secret value is ever logged, shown, or readable by another user than root
//!     (`store`, `manifest` tests on `Debug` and modes).
//! 13. While an operation has the node, an operator holds it, or it is not known, the daemon begins,
//!     hands over, removes and prunes nothing (`holding_back`, `operator_hold`,
//!     `properties::nothing_is_begun_while_an_operation_or_an_operator_may_have_the_node`).
//! 14. A start removes nothing that nobody has taken the place of, believes no phase from before
//!     it, and arrives from wherever it was cut off
//!     (`start_walks::it_never_removes_what_nobody_has_taken_the_place_of`,
//!     `start_decisions::r09_phases_from_before_the_disaster_count_for_nothing`,
//!     `start_walks::r08_from_wherever_it_was_cut_off_it_arrives`).
//! 15. No restore while a member of the old cluster answers, and never an empty cluster of etcd,
//!     whatever is missing (`recovery_etcd::r01_an_empty_cluster_is_never_made_whatever_is_missing`
//!     of `tests/real`, `recovery_plan::r01_etcd_is_not_started_again_where_its_data_is_gone`).
//! 16. etcd is never started on the old data again once it was restored, nor forced to be a new
//!     cluster on it: only on a copy
//!     (`r02_the_data_directory_that_survived_is_restored_whole_and_never_touched`,
//!     `r15_the_old_data_is_not_started_again_and_who_would_is_named`).
//! 17. What is not known confirms no loss, and no loss is acted on before all evidence has agreed
//!     for as long as the policy says, nor on one of a control plane that was never seen at work
//!     (`recovery_false_alarms`, `recovery_simulation_confirms_what_is_lost_and_nothing_else`,
//!     `what_was_never_seen_to_work_is_recovered_only_when_asked`).
//! 18. A recovery that was cut off at any step arrives (`r08_killed_at_every_step_…` of
//!     `tests/real`, the lab's `RM9-killed-and-cut`).
//!
//! ## What is not here yet
//!
//! Masters that agree on who recovers etcd: `recovery.other_masters` keeps every restore to an
//! operator, in `core/recovery/plan.rs`, where that agreement has its place.

pub mod api;
pub mod apiserver;
pub mod backup;
pub mod bolt;
pub mod cleanup;
pub mod cli;
pub mod config;
pub mod containerd;
pub mod core;
pub mod daemon;
pub mod encryption;
pub mod engine;
pub mod etcd;
pub mod failpoints;
pub mod fetch;
pub mod hold;
pub mod kubelet;
pub mod manifests;
pub mod metrics;
pub mod objects;
pub mod objectstore;
pub mod operation;
pub mod probe;
pub mod recover;
pub mod recovery;
pub mod signals;
pub mod start;
pub mod steering;
pub mod store;
pub mod systemd;
pub mod yaml;
