//! Each remedy is left out once, and the test that is there for it has to fail then, and to pass with it.
//!
//! A test that hangs without the remedy has not seen anything: it is killed, and counts as blind.

mod common;

use common::tell;
use penstock_core::fault::Remedy;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// What is left out, and which test sees it: the same table stands in `docs/crash.md`.
const TABLE: &[(Remedy, &str)] = &[
    (Remedy::GenerationCounts, "crash::killed_while_putting"),
    (Remedy::NobodyIsBornMeanwhile, "participants::nobody_gets_the_number_of_one_whose_death_is_being_acted_on"),
    (Remedy::ForkWaitsForReaping, "participants::a_fork_in_the_middle_of_a_reaping_does_not_keep_the_dead_alive"),
    (Remedy::OwnDescription, "lifecycle::a_bystander_of_a_killed_heir_does_not_keep_the_dead_alive"),
    (Remedy::SignOfLifeOnAMap, "participants::whoever_closes_all_descriptors_lives_on"),
    (Remedy::DescriptorsAreChecked, "participants::whoever_closes_all_descriptors_lives_on"),
    (Remedy::OverlayIsProbed, "filesystems::signs_of_life_hang_on_a_kept_descriptor_on_an_overlay"),
    (Remedy::PidTellsToo, "filesystems::signs_of_life_hang_on_a_kept_descriptor_on_an_overlay"),
    (Remedy::MapsAreNotInherited, "participants::a_child_made_past_the_c_library_keeps_nobody_alive"),
    (Remedy::ForgottenAtFork, "participants::a_forked_child_is_somebody_else"),
    (Remedy::WipedByTheKernel, "participants::a_child_made_past_the_c_library_is_somebody_else"),
    (Remedy::NameIsLookedAtAgain, "lifecycle::whoever_opens_a_name_that_is_made_anew_meets_the_others"),
    (Remedy::RegisteredBeforeNamed, "lifecycle::a_visitor_while_it_is_being_made_takes_nothing_away"),
    (Remedy::SignalChangesTheWord, "sleepers::a_signal_between_announcement_and_sleep_ends_the_sleep"),
    (Remedy::LooksOnceAnnounced, "sleepers::what_comes_while_a_sleeper_gets_ready_is_not_slept_on"),
    (Remedy::BitIsSticky, "sleepers::each_signal_wakes_one_more_of_those_asleep"),
    (Remedy::WakeUpIsPassedOn, "sleepers::who_gives_up_passes_on_the_wake_up_that_was_meant_for_it"),
    (Remedy::TakenWithTheBit, "sleepers::who_has_slept_for_a_lock_wakes_the_next"),
    (Remedy::UnlockBySwap, "sleepers::no_bit_that_is_set_while_a_lock_is_given_back_is_lost"),
    (Remedy::SleepsAreBounded, "wakeups::consumer_asleep_on_an_empty_queue_gets_what_a_killed_producer_put"),
    (Remedy::SleepsAreBounded, "wakeups::the_second_sleeper_goes_on_when_the_first_is_woken_and_killed"),
    (Remedy::WakesAfterRepair, "sleepers::a_repair_wakes_whom_the_dead_should_have_woken"),
    (Remedy::LooksBeforeWaiting, "crash::killed_while_putting"),
    (Remedy::LooksInPassing, "lifecycle::what_the_dead_had_on_loan_comes_back_although_the_queue_never_runs_empty"),
    (Remedy::HeirsRepair, "crash::killed_while_putting"),
    (Remedy::ReservedComesBack, "crash::killed_while_putting"),
    (Remedy::LeasedComesBack, "crash::killed_while_taking"),
    (Remedy::RingsFollowSlots, "crash::killed_while_putting"),
    (Remedy::SequenceFollowsSlots, "crash::killed_while_putting"),
    (Remedy::SettlementIsNoted, "crash::killed_while_settling"),
    (Remedy::NothingByTime, "crash::nothing_is_taken_from_whoever_is_stopped_at_any_point"),
    (Remedy::CopiedOutsideTheLock, "stopped::in_the_middle_of_a_large_item_nobody_is_held_up"),
    (Remedy::LockWaitsEnd, "stopped::with_a_lock_in_hand_others_wait_as_long_as_they_wanted_to"),
    (Remedy::DeliveriesAreCounted, "crash::killed_among_dead_letters"),
    (Remedy::MovesByCas, "queue::a_slot_that_was_moved_meanwhile_is_not_moved_again"),
    (Remedy::WordIsTheFence, "queue::a_lease_that_was_settled_cannot_settle_what_came_after"),
    (Remedy::ReadyBeforeTold, "crash::killed_while_putting"),
    (Remedy::FreeBeforeTold, "crash::killed_while_taking"),
    (Remedy::CompleteBeforeNamed, "lifecycle::killed_while_creating_leaves_a_whole_queue_or_none"),
    (Remedy::NameIsGivenOnce, "participants::attaching_and_leaving_uses_nothing_up"),
    (Remedy::RoomBeforeStores, "filesystems::a_queue_that_does_not_fit_is_not_made"),
    (Remedy::NoNameIsNoticed, "lifecycle::killed_while_unlinking_leaves_the_name_or_tells_of_its_end"),
    (Remedy::PermitsByCas, "semaphore::whoever_stood_still_before_taking_it_does_not_take_what_another_has"),
    (Remedy::NoTickUnderALock, "stopped::with_a_lock_in_hand_nobody_else_ticks_with_one_in_hand"),
    (Remedy::StartIsNoted, "restart::locks_of_before_are_nobodys_even_if_they_name_the_newcomer"),
    (Remedy::ItemsAreChecked, "restart::an_item_that_came_to_disk_in_part_is_not_delivered"),
    (Remedy::KnownFileSystemsOnly, "filesystems::a_file_system_that_is_not_known_is_refused"),
    (Remedy::LifeBeforeRemoval, "listing::what_a_dead_process_left_is_removed_and_what_the_living_use_is_not"),
    (Remedy::NobodyComesMeanwhile, "lifecycle::a_name_is_not_removed_under_somebody_who_has_just_come"),
    (Remedy::NewcomersTell, "crash::killed_while_taking"),
    (Remedy::LeaversTell, "lifecycle::whoever_leaves_with_something_in_hand_leaves_it_to_others"),
    (Remedy::ForgetsExactly, "participants::whoever_took_a_dead_ones_number_is_not_forgotten_with_it"),
];

/// How long a test may take.
const LIMIT: Duration = Duration::from_secs(120);

const AT_ONCE: usize = 2;

/// A test is run once with everything in place, and once for each remedy that it is there for.
#[derive(Debug, Clone, Copy)]
struct Run {
    without: Option<Remedy>,
    test: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Verdict {
    Passed,
    Failed,
    /// Neither: it hung, was killed, or there is no such test.
    Blind(String),
}

impl Run {
    fn is_as_it_should_be(self, verdict: &Verdict) -> bool {
        *verdict == if self.without.is_some() { Verdict::Failed } else { Verdict::Passed }
    }

    fn story(self, verdict: &Verdict, took: Duration) -> String {
        let without = self.without.map_or("with all remedies".to_owned(), |remedy| format!("without {remedy:?}"));
        format!("{without}: {} {verdict:?}, {:.1} s", self.test, took.as_secs_f64())
    }
}

#[test]
fn each_remedy_is_missed_by_the_test_that_is_there_for_it() {
    let programs = build();
    let begun = Instant::now();
    let tests: BTreeSet<&str> = TABLE.iter().map(|(_, test)| *test).collect();
    let controls = tests.into_iter().map(|test| Run { without: None, test });
    let planted = TABLE.iter().map(|(remedy, test)| Run { without: Some(*remedy), test });
    let runs = Mutex::new(controls.chain(planted).filter(is_wanted).collect::<VecDeque<Run>>());
    let (count, failures) = (runs.lock().expect("not poisoned").len(), Mutex::new(Vec::new()));
    let work = || {
        loop {
            let Some(run) = runs.lock().expect("not poisoned").pop_front() else { return };
            let begun = Instant::now();
            let verdict = judge(&programs, run);
            let story = run.story(&verdict, begun.elapsed());
            tell(&story);
            if !run.is_as_it_should_be(&verdict) {
                failures.lock().expect("not poisoned").push(story);
            }
        }
    };
    std::thread::scope(|scope| (0..AT_ONCE).for_each(|_| drop(scope.spawn(work))));
    let failures = failures.into_inner().expect("not poisoned");
    tell(&format!("{count} runs, {} remedies, {:.0} s", Remedy::ALL.len(), begun.elapsed().as_secs_f64()));
    assert!(failures.is_empty(), "not as it should be:\n  {}", failures.join("\n  "));
}

/// `PENSTOCK_TEST_REMEDY`: only that one.
fn is_wanted(run: &Run) -> bool {
    let Ok(name) = std::env::var("PENSTOCK_TEST_REMEDY") else { return true };
    match run.without {
        Some(remedy) => format!("{remedy:?}") == name,
        None => TABLE.iter().any(|(remedy, test)| *test == run.test && format!("{remedy:?}") == name),
    }
}

/// Builds the tests that the table names, as this one was built. Returns where they are.
fn build() -> BTreeMap<String, PathBuf> {
    let files: BTreeSet<&str> = TABLE.iter().map(|(_, test)| file_of(test).0).collect();
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(env!("CARGO_MANIFEST_DIR"));
    cargo.args(["test", "--locked", "--no-run", "--message-format=json", "--features", "planted-bugs"]);
    cargo.args(files.iter().flat_map(|file| ["--test", file]));
    let built = cargo.stderr(Stdio::inherit()).output().expect("cargo runs");
    assert!(built.status.success(), "the tests do not build");
    let messages = String::from_utf8(built.stdout).expect("text");
    let executable = |line: &str| {
        let path = PathBuf::from(line.split_once(r#""executable":""#)?.1.split_once('"')?.0);
        let (name, _) = path.file_name()?.to_str()?.rsplit_once('-')?;
        Some((name.to_owned(), path.clone()))
    };
    messages.lines().filter_map(executable).collect()
}

fn file_of(test: &str) -> (&str, &str) {
    test.split_once("::").expect("file::test")
}

fn judge(programs: &BTreeMap<String, PathBuf>, run: Run) -> Verdict {
    let (file, test) = file_of(run.test);
    let mut command = Command::new(&programs[file]);
    command.args([test, "--exact"]).env_remove("PENSTOCK_WITHOUT");
    if let Some(remedy) = run.without {
        command.env("PENSTOCK_WITHOUT", format!("{remedy:?}"));
    }
    let said = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{test}-{:?}.txt", run.without));
    let output = File::create(&said).expect("made");
    command.stdin(Stdio::null()).stdout(output.try_clone().expect("shared")).stderr(output);
    let status = run_within(LIMIT, &mut command);
    let said = std::fs::read_to_string(&said).expect("text");
    let is_in_it = |words: &str| said.contains(words);
    match status {
        None => Verdict::Blind(format!("was killed after {LIMIT:?}")),
        Some(status) if status.success() && is_in_it("1 passed; 0 failed") => Verdict::Passed,
        Some(status) if status.code() == Some(101) && is_in_it("0 passed; 1 failed") => Verdict::Failed,
        Some(status) => Verdict::Blind(format!("ended with {status}: {said}")),
    }
}

/// Runs a program, and ends all that it leaves: a test that fails may leave processes and a directory behind.
fn run_within(limit: Duration, command: &mut Command) -> Option<ExitStatus> {
    let mut child = command.process_group(0).spawn().expect("started");
    let until = Instant::now() + limit;
    let status = loop {
        match child.try_wait().expect("our child") {
            Some(status) => break Some(status),
            None if Instant::now() > until => break None,
            None => std::thread::sleep(Duration::from_millis(5)),
        }
    };
    let group = i32::try_from(child.id()).expect("a pid");
    // SAFETY: no memory is passed; the group is the child's own.
    unsafe { libc::kill(-group, libc::SIGKILL) };
    child.wait().expect("our child");
    // A directory's name has the number of its maker, which may have been a child of the test.
    for entry in std::fs::read_dir("/dev/shm").expect("shared memory").flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let maker = name.strip_prefix("penstock-test-").and_then(|rest| rest.split('-').next());
        if maker.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
    status
}

#[test]
fn the_table_has_every_remedy() {
    let has = |remedy: &&Remedy| TABLE.iter().any(|(one, _)| one == *remedy);
    let missing: Vec<&Remedy> = Remedy::ALL.iter().filter(|remedy| !has(remedy)).collect();
    assert!(missing.is_empty(), "no test is there for {missing:?}");
}

#[test]
fn the_page_has_the_same_table() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/crash.md");
    let page = std::fs::read_to_string(page).expect("the page");
    let missing: Vec<String> = TABLE
        .iter()
        .map(|(remedy, test)| format!("| `{remedy:?}` | `core/{test}` |"))
        .filter(|row| !page.contains(row.as_str()))
        .collect();
    assert!(missing.is_empty(), "the page lacks\n{}", missing.join("\n"));
}
