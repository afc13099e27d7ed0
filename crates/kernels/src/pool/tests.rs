//! The pool under stress: every block once, whatever else goes on.

use std::sync::atomic::AtomicU32;

use super::*;

/// Calls `each` and holds that every number was worked on exactly once.
fn all_once(pool: &Pool, count: usize) {
    let seen: Vec<AtomicU32> = (0..count).map(|_| AtomicU32::new(0)).collect();
    pool.each(count, &|i| {
        seen[i].fetch_add(1, Ordering::Relaxed);
    });
    assert!(seen.iter().all(|times| times.load(Ordering::Relaxed) == 1), "{count} blocks");
}

#[test]
fn every_block_is_done_exactly_once_in_many_tiny_regions() {
    for threads in [1, 2, 3, 8, 33] {
        let pool = Pool::new(threads);
        assert_eq!(pool.threads(), threads);
        for round in 0..3000 {
            all_once(&pool, [0, 1, 2, 3, 7, 64, 129][round % 7]);
        }
    }
}

/// Long enough between regions that the threads park.
#[test]
fn threads_that_went_to_sleep_wake_for_the_next_region() {
    let pool = Pool::new(4);
    for _ in 0..40 {
        thread::sleep(Duration::from_millis(2));
        all_once(&pool, 16);
    }
    // And they take part: blocks that take a while are not all left to the caller.
    let caller = thread::current().id();
    let others = AtomicU32::new(0);
    pool.each(16, &|_| {
        thread::sleep(Duration::from_millis(2));
        others.fetch_add(u32::from(thread::current().id() != caller), Ordering::Relaxed);
    });
    assert!(others.into_inner() > 0);
}

#[test]
fn the_caller_sleeps_until_a_slow_block_elsewhere_is_done() {
    let pool = Pool::new(2);
    let caller = thread::current().id();
    for _ in 0..20 {
        let done = AtomicU32::new(0);
        pool.each(2, &|_| {
            let long = thread::current().id() != caller;
            thread::sleep(Duration::from_millis(if long { 5 } else { 1 }));
            done.fetch_add(1, Ordering::Relaxed);
        });
        assert_eq!(done.into_inner(), 2);
    }
}

#[test]
fn what_blocks_write_is_seen_by_the_caller_and_the_next_region() {
    let pool = Pool::new(4);
    let mut numbers = vec![0u64; 1000];
    for round in 1..=200 {
        pool.chunks(&mut numbers, 7, &|_, piece| piece.iter_mut().for_each(|number| *number += 1));
        assert!(numbers.iter().all(|&number| number == round));
    }
    pool.chunks(&mut numbers, 300, &|i, piece| piece.fill((i * 10 + piece.len()) as u64));
    assert_eq!((numbers[0], numbers[899], numbers[999]), (300, 320, 130));
    pool.chunks(&mut [0u8; 0], 5, &|_, _| panic!("there is no piece"));
}

#[test]
fn a_panic_is_handed_on_and_the_pool_goes_on() {
    let pool = Pool::new(3);
    for round in 0..200 {
        let panic = catch_unwind(AssertUnwindSafe(|| {
            pool.each(50, &|i| assert!(i != round % 50, "block {i} went astray"));
        }));
        let message = panic.unwrap_err().downcast::<String>().unwrap();
        assert_eq!(*message, format!("block {} went astray", round % 50));
        all_once(&pool, 20);
    }
}

#[test]
fn a_region_inside_a_region_is_done_on_the_spot() {
    let pool = Pool::new(3);
    let inner = AtomicU32::new(0);
    pool.each(10, &|_| {
        let own = thread::current().id();
        pool.each(10, &|_| {
            assert_eq!(thread::current().id(), own);
            inner.fetch_add(1, Ordering::Relaxed);
        });
    });
    assert_eq!(inner.into_inner(), 100);
}

#[test]
fn callers_at_the_same_time_do_not_mix() {
    let pool = Pool::new(3);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..2000).for_each(|_| all_once(&pool, 9)));
        }
    });
}

#[test]
fn quiet_leaves_a_core_free_however_many_threads_there_are() {
    for (threads, cores, left) in [(4, 4, 3), (8, 4, 3), (3, 8, 2), (16, 8, 7), (2, 1, 1), (1, 8, 1)] {
        assert_eq!(beside_others(threads, cores), left, "{threads} threads on {cores} cores");
    }
}

#[test]
fn no_more_threads_work_than_are_allowed() {
    let pool = Pool::new(3);
    for most in [2, 3, 2] {
        pool.allow(most);
        // A thread that was at the last region's end may still be on its way out.
        thread::sleep(Duration::from_millis(5));
        let names = Mutex::new(std::collections::BTreeSet::new());
        pool.each(60, &|_| {
            names.lock().unwrap().insert(format!("{:?}", thread::current().id()));
            thread::sleep(Duration::from_micros(300));
        });
        assert!(names.into_inner().unwrap().len() <= most);
    }
    let alone = Pool::new(1);
    alone.set_quiet(true);
    all_once(&alone, 5);
}

#[test]
fn strips_cover_every_column_of_every_matrix_once() {
    let pool = Pool::new(4);
    for rows in [0, 1, 3] {
        let (mut a, mut b, mut c) = (vec![0.0; rows * 10], vec![0.0; rows * 64], vec![0.0; 0]);
        let mut parts = [
            Part { out: &mut a, width: 10, block: 4 },
            Part { out: &mut c, width: 0, block: 4 },
            Part { out: &mut b, width: 64, block: 64 },
        ];
        pool.strips(&mut parts, &|part, columns, strip| {
            assert_eq!((strip.rows(), strip.width()), (rows, columns.len()));
            for row in 0..rows {
                for (value, column) in strip.row(row).iter_mut().zip(columns.clone()) {
                    *value += (part * 1000 + row * 100 + column) as f32;
                }
            }
        });
        let expected = |part: usize, width: usize| -> Vec<f32> {
            (0..rows * width).map(|i| (part * 1000 + i / width * 100 + i % width) as f32).collect()
        };
        assert_eq!((a, b), (expected(0, 10), expected(2, 64)));
    }
}

#[test]
fn pairs_and_bands_cover_their_part_once() {
    let pool = Pool::new(4);
    let (mut a, mut b) = (vec![0.0; 3 * 10], vec![0.0; 3 * 10]);
    pool.pairs([&mut a, &mut b], 10, 4, &|columns, a, b| {
        for row in 0..3 {
            a.row(row).iter_mut().zip(columns.clone()).for_each(|(value, column)| *value += (row * 10 + column) as f32);
            b.row(row).iter_mut().for_each(|value| *value -= 1.0);
        }
    });
    assert!(a.iter().enumerate().all(|(i, &value)| value == i as f32) && b.iter().all(|&value| value == -1.0));
    let mut c = vec![0.0; 6 * 9];
    pool.bands(&mut c, 9, &[0..2, 2..2, 3..6], 4, &|band, columns, strip| {
        for row in 0..strip.rows() {
            let numbers = columns.clone().map(|column| (100 * band + 10 * row + column) as f32);
            strip.row(row).iter_mut().zip(numbers).for_each(|(value, number)| *value += number);
        }
    });
    let expected = (0..54).map(|i| match (i / 9, i % 9) {
        (row @ 0..2, column) => (10 * row + column) as f32,
        (2, _) => 0.0,
        (row, column) => (200 + 10 * (row - 3) + column) as f32,
    });
    assert!(c.iter().copied().eq(expected));
    let overlapping = catch_unwind(AssertUnwindSafe(|| pool.bands(&mut c, 9, &[0..2, 1..3], 4, &|_, _, _| {})));
    assert!(overlapping.is_err());
}
