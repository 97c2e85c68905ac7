//! Where values are in memory, by what the kernel says of the process that holds them.

use std::env;
use std::fs;
use std::process::Command;

use keyroll_secret::{LockedMemory, SealingKey, SecretBytes};
use rustix::process::{Resource, Rlimit, setrlimit};
use rustix::thread::{CapabilitySet, capabilities, set_capabilities};

/// Set in the process in which a test is alone.
const ALONE: &str = "KEYROLL_TEST_ALONE";
const UNIT_BYTES: usize = 4096;

/// Runs a test again in a process of its own; true in that process. The limit on locked memory belongs to a process, and
/// the values of other tests count there too.
fn alone(test: &str) -> bool {
    if env::var_os(ALONE).is_some() {
        return true;
    }
    let test = format!("locked_memory::{test}");
    let again = Command::new(env::current_exe().unwrap()).args(["--exact", &test]).env(ALONE, "1").output();
    let again = again.unwrap();
    let said = String::from_utf8_lossy(&again.stdout).into_owned();
    assert!(again.status.success() && said.contains("1 passed"), "{said}");
    false
}

/// Lets this process lock so much memory and no more; root too.
fn limit(bytes: u64) {
    let mut held = capabilities(None).unwrap();
    held.effective.remove(CapabilitySet::IPC_LOCK);
    held.permitted.remove(CapabilitySet::IPC_LOCK);
    set_capabilities(None, held).unwrap();
    setrlimit(Resource::Memlock, Rlimit { current: Some(bytes), maximum: Some(bytes) }).unwrap();
}

/// A value of its own for each number.
fn value(number: usize, length: usize) -> SecretBytes {
    SecretBytes::new((0..length).map(|at| (at * 7 + number) as u8).collect())
}

fn is_value(read: &SecretBytes, number: usize, length: usize) -> bool {
    read.len() == length
        && read.expose().iter().enumerate().all(|(at, byte)| *byte == (at * 7 + number) as u8)
}

/// Whether the kernel calls the memory of these bytes locked, and whether a core dump leaves it out.
fn locked_and_undumped(bytes: &[u8]) -> (bool, bool) {
    let (start, end) = (bytes.as_ptr().addr(), bytes.as_ptr().addr() + bytes.len());
    let maps = fs::read_to_string("/proc/self/smaps").unwrap();
    let mut inside = false;
    for line in maps.lines() {
        if let Some((from, rest)) = line.split_once('-')
            && let Ok(from) = usize::from_str_radix(from, 16)
        {
            let to = rest.split(' ').next().and_then(|to| usize::from_str_radix(to, 16).ok()).unwrap();
            inside = from <= start && end <= to;
        } else if inside && let Some(flags) = line.strip_prefix("VmFlags:") {
            let has = |wanted| flags.split_whitespace().any(|flag| flag == wanted);
            return (has("lo"), has("dd"));
        }
    }
    unreachable!("every byte is in a mapping")
}

/// How much memory of this process is locked.
fn locked_bytes() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmLck:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse::<usize>().unwrap() * 1024
}

#[test]
fn a_value_is_in_locked_pages_that_no_core_dump_has() {
    if !alone("a_value_is_in_locked_pages_that_no_core_dump_has") {
        return;
    }
    let plain = vec![1_u8; 64];
    assert_eq!(locked_and_undumped(&plain), (false, false), "the heap is neither");
    let (one, other) = (value(1, 40), value(2, 40));
    let long = value(3, 20_000);
    for held in [&one, &other, &long] {
        assert_eq!(locked_and_undumped(held.expose()), (true, true));
    }
    assert_eq!(locked_and_undumped(one.duplicate().expose()), (true, true));
    drop(one);
    assert_eq!(locked_and_undumped(other.expose()), (true, true), "the end of a value unlocks no other");
    assert!(is_value(&other, 2, 40) && is_value(&long, 3, 20_000));

    let with_long = locked_bytes();
    assert_eq!(LockedMemory::now(), LockedMemory { locked_bytes: with_long, refused: false });
    drop(long);
    assert_eq!(locked_bytes(), with_long - 20_480, "what is unmapped is not locked any more");
    assert_eq!(LockedMemory::now().locked_bytes, locked_bytes());

    // Two pages wait for the next values: that of the first, and that of its duplicate.
    let rest = locked_bytes();
    let again = [value(4, 1), value(5, UNIT_BYTES)];
    assert_eq!(locked_bytes(), rest);
    let key = SealingKey::generate().unwrap();
    assert_eq!(locked_bytes(), rest + UNIT_BYTES, "the sealing key is locked as well");
    drop((again, key));
}

#[test]
fn a_page_that_waits_for_the_next_value_holds_nothing_of_the_last() {
    if !alone("a_page_that_waits_for_the_next_value_holds_nothing_of_the_last") {
        return;
    }
    let at = |value: &SecretBytes| value.expose().as_ptr().addr();
    let long = value(1, UNIT_BYTES);
    let first = at(&long);
    drop(long);
    // The bytes beyond the next value cannot be borrowed: they are read as a debugger reads them.
    let next = value(2, 1);
    assert_eq!(at(&next), first, "the page is used again");
    let memory = fs::File::open("/proc/self/mem").unwrap();
    let mut page = vec![1; UNIT_BYTES];
    std::os::unix::fs::FileExt::read_exact_at(&memory, &mut page, first as u64).unwrap();
    assert!(page[..1] == *next.expose() && page[1..].iter().all(|byte| *byte == 0));
}

#[test]
fn without_any_locked_memory_values_work_and_are_still_not_dumped() {
    if !alone("without_any_locked_memory_values_work_and_are_still_not_dumped") {
        return;
    }
    limit(0);
    let values: Vec<SecretBytes> = (0..3).map(|number| value(number, 5_000)).collect();
    for (number, held) in values.iter().enumerate() {
        assert!(is_value(held, number, 5_000));
        assert_eq!(locked_and_undumped(held.expose()), (false, true));
    }
    assert_eq!((locked_bytes(), LockedMemory::now()), (0, LockedMemory { locked_bytes: 0, refused: true }));
}

#[test]
fn beyond_the_limit_values_are_not_locked_and_no_later_allocation_fails() {
    if !alone("beyond_the_limit_values_are_not_locked_and_no_later_allocation_fails") {
        return;
    }
    limit(2 * UNIT_BYTES as u64);
    let values: Vec<SecretBytes> = (0..4).map(|number| value(number, 40)).collect();
    let locked = |value: &SecretBytes| locked_and_undumped(value.expose()).0;
    assert_eq!(values.iter().map(locked).collect::<Vec<_>>(), [true, true, false, false]);
    assert!((0..4).all(|number| is_value(&values[number], number, 40)));
    assert!(LockedMemory::now().refused);
    // What mlockall would have broken: memory and threads beyond the limit.
    let much = vec![1_u8; 64 << 20];
    assert_eq!(std::thread::spawn(move || much.len()).join().unwrap(), 64 << 20);
    // A locked page that is free again is taken before one that is not.
    drop(values);
    assert!(locked(&value(5, 40)));
}

#[test]
fn values_without_number_do_not_lock_memory_without_end() {
    if !alone("values_without_number_do_not_lock_memory_without_end") {
        return;
    }
    let values: Vec<SecretBytes> = (0..3_000).map(|number| value(number, 30)).collect();
    assert!(values.iter().enumerate().all(|(number, held)| is_value(held, number, 30)));
    assert!(locked_bytes() <= 4 << 20, "{}", locked_bytes());
    let huge = value(1, 300_000);
    assert!(is_value(&huge, 1, 300_000) && !locked_and_undumped(huge.expose()).0);
    assert!(is_value(&value(1, 0), 1, 0));
}
