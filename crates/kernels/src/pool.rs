//! Threads for the token path: a region of numbered blocks, taken one by one by whichever thread is free.
//!
//! The caller works too, and waits only for blocks that somebody has begun: a thread whose core another program took away
//! delays the block that it holds and nothing else. Threads spin for some microseconds after a region, as the next one is
//! near, and then park. No allocation and no lock on the way, but for the system's own when a parked thread is woken.

mod cores;

use std::any::Any;
use std::cell::UnsafeCell;
use std::hint::spin_loop;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle, Thread};
use std::time::{Duration, Instant};

pub use cores::physical_cores;

use crate::Strip;

/// How long a thread looks for the next region before it parks: the steps between two regions of a token take less, and
/// waking a parked thread takes 5 to 50 us.
const SPIN: Duration = Duration::from_micros(60);
/// Looks between two looks at the clock.
const LOOKS: u32 = 32;
/// More threads than any desktop has cores; who asks for more has mistaken something.
const THREADS_MAX: usize = 512;

type Work<'a> = dyn Fn(usize) + Sync + 'a;

/// What a region is about.
struct Job {
    /// Of the region, from 1; a new one with each.
    number: usize,
    /// Whom the last block wakes, where it sleeps.
    caller: Thread,
    /// The caller's closure, its lifetime taken away: it is only called for a claimed block, and the caller waits for these.
    work: *const Work<'static>,
    count: usize,
}

/// A value alone in its cache lines, as neighbours are fetched in pairs.
#[repr(align(128))]
struct Apart<T>(T);

struct Shared {
    /// Held by the caller whose region it is. Whoever finds it taken works alone.
    taken: Apart<AtomicBool>,
    /// Blocks of the region that nobody has begun. Taking one off is what entitles to read `job`, and to its block.
    unclaimed: Apart<AtomicUsize>,
    /// Blocks that are not done. The caller waits for zero; then nobody reads `job` any more.
    unfinished: Apart<AtomicUsize>,
    job: UnsafeCell<Job>,
    /// The region whose caller sleeps until its last block is done; 0 where none does.
    caller_parked: AtomicUsize,
    /// A block panicked: the rest of the region is skipped.
    broken: AtomicBool,
    panic: Mutex<Option<Box<dyn Any + Send>>>,
    /// Threads that may work, the caller among them.
    allowed: AtomicUsize,
    quit: AtomicBool,
    /// For each thread but the caller: it is parked, or about to be.
    parked: Box<[Apart<AtomicBool>]>,
}

// SAFETY: `job` is all that is not `Sync` by itself. It is written only by the holder of `taken` while `unclaimed` and
// `unfinished` are zero, and read only for a claimed block, between the claim (acquire, of the caller's release) and the
// block's end (release, which the caller acquires before it writes again). The closure that it points to is `Sync`.
#[allow(unsafe_code)]
unsafe impl Sync for Shared {}
// SAFETY: as above; nothing in it belongs to a thread.
#[allow(unsafe_code)]
unsafe impl Send for Shared {}

impl Shared {
    /// Does one block of the region. False where all are taken.
    fn work(&self) -> bool {
        let mut left = self.unclaimed.0.load(Ordering::Relaxed);
        loop {
            if left == 0 {
                return false;
            }
            // Acquire: what the caller wrote before it opened the region is seen by who claims a block of it. The claims
            // between are read-modify-writes, which hand its release on.
            match self.unclaimed.0.compare_exchange_weak(left, left - 1, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) => break,
                Err(now) => left = now,
            }
        }
        // SAFETY: a block of the open region was claimed and is not yet done, so the caller waits: it neither writes `job`
        // nor lets go of the closure.
        #[allow(unsafe_code)]
        let (work, count) = unsafe {
            let job = &*self.job.get();
            (&*job.work, job.count)
        };
        if !self.broken.load(Ordering::Relaxed)
            && let Err(panic) = catch_unwind(AssertUnwindSafe(|| work(count - left)))
        {
            self.broken.store(true, Ordering::Relaxed);
            self.panic.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(panic);
        }
        self.end_block();
        true
    }

    /// Ends a claimed block, and wakes the caller where it was the last.
    fn end_block(&self) {
        let mut left = self.unfinished.0.load(Ordering::Relaxed);
        while left > 1 {
            // Release: the block's results are seen by the caller, as what follows on this counter hands them on.
            match self.unfinished.0.compare_exchange_weak(left, left - 1, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return,
                Err(now) => left = now,
            }
        }
        // SAFETY: this block is not yet done, so the caller does not write `job`. What is needed behind the block's end, when
        // the next region may begin, is taken out of it here.
        #[allow(unsafe_code)]
        let (number, caller) = unsafe {
            let job = &*self.job.get();
            (job.number, job.caller.clone())
        };
        // Release: as above. SeqCst: in one order with the caller's going to sleep.
        self.unfinished.0.fetch_sub(1, Ordering::SeqCst);
        // By its number: the caller of a later region, which may be another thread, is not this one's to wake.
        if self.caller_parked.compare_exchange(number, 0, Ordering::SeqCst, Ordering::Relaxed).is_ok() {
            caller.unpark();
        }
    }

    /// Until the last block of the caller's region is done. Some other thread holds a block, or did a moment ago.
    fn wait(&self, number: usize) {
        if spin_until(|| self.unfinished.0.load(Ordering::Acquire) == 0) {
            return;
        }
        loop {
            self.caller_parked.store(number, Ordering::SeqCst);
            // SeqCst: either this sees the last block's end, or that end sees that the caller is parked.
            if self.unfinished.0.load(Ordering::SeqCst) == 0 {
                break;
            }
            thread::park();
        }
        self.caller_parked.store(0, Ordering::SeqCst);
    }

    /// What a thread does all its life. `number`: from 1, as the caller is thread 0.
    fn live(&self, number: usize) {
        let parked = &self.parked[number - 1].0;
        let may_work = || number < self.allowed.load(Ordering::Relaxed);
        let called = || may_work() && self.unclaimed.0.load(Ordering::Relaxed) > 0 || self.quit.load(Ordering::Relaxed);
        loop {
            if spin_until(called) {
                if self.quit.load(Ordering::Relaxed) {
                    return;
                }
                while self.work() {}
                continue;
            }
            parked.store(true, Ordering::Relaxed);
            // Either this sees the region that was opened meanwhile, or its caller sees that this thread is parked.
            fence(Ordering::SeqCst);
            while parked.load(Ordering::Relaxed) && !called() {
                thread::park();
            }
            parked.store(false, Ordering::Relaxed);
        }
    }
}

/// How many of `threads` leave one of `cores` free; at least one.
fn beside_others(threads: usize, cores: usize) -> usize {
    threads.min(cores).saturating_sub(1).max(1)
}

/// Looks for some microseconds. False where it was in vain.
fn spin_until(done: impl Fn() -> bool) -> bool {
    let mut began = None;
    loop {
        for _ in 0..LOOKS {
            if done() {
                return true;
            }
            spin_loop();
        }
        if began.get_or_insert_with(Instant::now).elapsed() > SPIN {
            return false;
        }
    }
}

/// A matrix that a region writes, in blocks of columns.
pub struct Part<'a> {
    /// Rows of `width` values.
    pub out: &'a mut [f32],
    pub width: usize,
    /// Columns of a block; the last one may be narrower.
    pub block: usize,
}

/// Threads that wait for regions.
pub struct Pool {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl Pool {
    /// A pool of `threads` threads, one of which is whoever calls. Where the system refuses some, there are fewer.
    pub fn new(threads: usize) -> Pool {
        let others = threads.clamp(1, THREADS_MAX) - 1;
        let nothing: &Work<'static> = &|_| {};
        let shared = Arc::new(Shared {
            taken: Apart(AtomicBool::new(false)),
            unclaimed: Apart(AtomicUsize::new(0)),
            unfinished: Apart(AtomicUsize::new(0)),
            job: UnsafeCell::new(Job { number: 0, caller: thread::current(), work: nothing, count: 0 }),
            caller_parked: AtomicUsize::new(0),
            broken: AtomicBool::new(false),
            panic: Mutex::new(None),
            allowed: AtomicUsize::new(threads),
            quit: AtomicBool::new(false),
            parked: (0..others).map(|_| Apart(AtomicBool::new(false))).collect(),
        });
        let spawn = |number: usize| {
            let shared = shared.clone();
            thread::Builder::new().name(format!("kernels-{number}")).spawn(move || shared.live(number)).ok()
        };
        let threads = (1..=others).map_while(spawn).collect();
        Pool { shared, threads }
    }

    /// How many there are, the caller among them.
    pub fn threads(&self) -> usize {
        self.threads.len() + 1
    }

    /// How many may work, the caller among them; at least one.
    pub fn allow(&self, threads: usize) {
        self.shared.allowed.store(threads.max(1), Ordering::Relaxed);
    }

    /// Leaves one core free while the person uses the machine, or takes it again. Where there are more threads than cores,
    /// one thread less would leave none free.
    pub fn set_quiet(&self, quiet: bool) {
        self.allow(if quiet { beside_others(self.threads(), physical_cores()) } else { self.threads() });
    }

    /// Calls `work` once for each number below `count`, spread over the threads, and comes back when all are done. Called
    /// from inside a region, or while another thread's region is at work, it does all of it on the caller's thread. A panic
    /// in a block skips the blocks that were not begun, and is handed on; the pool stays usable.
    pub fn each(&self, count: usize, work: &Work<'_>) {
        let shared = &*self.shared;
        let alone = count < 2 || self.threads.is_empty() || shared.allowed.load(Ordering::Relaxed) < 2;
        if alone || shared.taken.0.swap(true, Ordering::Acquire) {
            return (0..count).for_each(work);
        }
        // SAFETY: only the lifetime changes. The closure is called for claimed blocks only, and `wait` below does not come
        // back before all of them are done, whatever panics.
        #[allow(unsafe_code)]
        let work = unsafe { std::mem::transmute::<*const Work<'_>, *const Work<'static>>(work) };
        // SAFETY: `taken` is held and no region is open: nobody has a claim, so nobody reads.
        #[allow(unsafe_code)]
        let number = unsafe {
            let job = &mut *shared.job.get();
            *job = Job { number: job.number.wrapping_add(1).max(1), caller: thread::current(), work, count };
            job.number
        };
        shared.unfinished.0.store(count, Ordering::Relaxed);
        // Release: opens the region, and shows what was written above to who claims.
        shared.unclaimed.0.store(count, Ordering::Release);
        self.wake(count - 1);
        while shared.work() {}
        shared.wait(number);
        let panic = shared.broken.swap(false, Ordering::Relaxed).then(|| {
            let mut panic = shared.panic.lock().unwrap_or_else(PoisonError::into_inner);
            panic.take()
        });
        shared.taken.0.store(false, Ordering::Release);
        if let Some(panic) = panic.flatten() {
            resume_unwind(panic);
        }
    }

    /// Wakes those of the first threads that sleep.
    fn wake(&self, blocks: usize) {
        fence(Ordering::SeqCst); // the other half of the one in `live`
        let allowed = self.shared.allowed.load(Ordering::Relaxed) - 1;
        for (parked, thread) in self.shared.parked.iter().zip(&self.threads).take(blocks.min(allowed)) {
            if parked.0.load(Ordering::Relaxed) && parked.0.swap(false, Ordering::Relaxed) {
                thread.thread().unpark();
            }
        }
    }

    /// One region over the column blocks of several matrices: `work` gets the part's number, the block's columns and their
    /// strip.
    ///
    /// # Panics
    /// Where a part is not whole rows.
    pub fn strips(&self, parts: &mut [Part<'_>], work: &(dyn Fn(usize, Range<usize>, &mut Strip<'_>) + Sync)) {
        let blocks_of = |part: &Part<'_>| part.width.div_ceil(part.block.max(1));
        let count = parts.iter().map(blocks_of).sum();
        for part in parts.iter() {
            let rows = part.out.len().checked_div(part.width).unwrap_or(0);
            assert_eq!(
                rows * part.width,
                part.out.len(),
                "a matrix of {} values, rows of {}",
                part.out.len(),
                part.width
            );
        }
        let parts: Ptr<Part<'_>> = Ptr(parts.as_mut_ptr(), parts.len());
        self.each(count, &|mut number| {
            let parts = &parts;
            for i in 0..parts.1 {
                // SAFETY: inside the slice, which is borrowed for the region. The fields are only read: the matrix's start
                // is taken without making a reference to its values.
                #[allow(unsafe_code)]
                let (matrix, block) = unsafe {
                    let part = parts.0.add(i);
                    let out: *const *mut [f32] = (&raw const (*part).out).cast();
                    (Matrix { start: (*out).cast(), length: (*out).len(), width: (*part).width }, (*part).block.max(1))
                };
                let blocks = matrix.width.div_ceil(block);
                if number >= blocks {
                    number -= blocks;
                    continue;
                }
                let columns = number * block..((number + 1) * block).min(matrix.width);
                // SAFETY: each number is worked on once, and different numbers have different columns or matrices; they
                // are borrowed for the region.
                #[allow(unsafe_code)]
                let mut strip = unsafe { matrix.strip(0..matrix.length / matrix.width, columns.clone()) };
                return work(i, columns, &mut strip);
            }
        });
    }

    /// One region over the column blocks of two matrices of one shape, whose strips of the same columns go together.
    ///
    /// # Panics
    /// Where they are not whole rows, or of different sizes.
    pub fn pairs(
        &self,
        [a, b]: [&mut [f32]; 2],
        width: usize,
        block: usize,
        work: &(dyn Fn(Range<usize>, &mut Strip<'_>, &mut Strip<'_>) + Sync),
    ) {
        assert_eq!(a.len(), b.len(), "two matrices of different sizes");
        let (a, b, block) = (Matrix::of(a, width), Matrix::of(b, width), block.max(1));
        self.each(width.div_ceil(block), &|number| {
            let (columns, rows) = (number * block..((number + 1) * block).min(width), 0..a.length / width);
            // SAFETY: each number is worked on once, and different numbers have different columns; the matrices are two,
            // and borrowed for the region.
            #[allow(unsafe_code)]
            let (mut a, mut b) = unsafe { (a.strip(rows.clone(), columns.clone()), b.strip(rows, columns.clone())) };
            work(columns, &mut a, &mut b);
        });
    }

    /// One region over the column blocks of bands of rows, which stand in order and do not overlap: `work` gets the band's
    /// number, the block's columns and their strip, of the band's rows.
    ///
    /// # Panics
    /// Where `out` is not whole rows, or a band overlaps the one before or the end.
    pub fn bands(
        &self,
        out: &mut [f32],
        width: usize,
        bands: &[Range<usize>],
        block: usize,
        work: &(dyn Fn(usize, Range<usize>, &mut Strip<'_>) + Sync),
    ) {
        let (out, block) = (Matrix::of(out, width), block.max(1));
        let mut end = 0;
        for band in bands {
            assert!(band.start >= end && band.end >= band.start, "bands overlap at row {}", band.start);
            end = band.end;
        }
        assert!(end * width <= out.length, "a band ends at row {end}, behind the matrix");
        let blocks = width.div_ceil(block);
        self.each(bands.len() * blocks, &|number| {
            let (band, column) = (number / blocks, number % blocks * block);
            let columns = column..(column + block).min(width);
            // SAFETY: each number is worked on once, and different numbers have different columns, or bands, which were
            // seen not to overlap; the matrix is borrowed for the region.
            #[allow(unsafe_code)]
            let mut strip = unsafe { out.strip(bands[band].clone(), columns.clone()) };
            work(band, columns, &mut strip);
        });
    }

    /// One region over pieces of `length` elements (the last one may be shorter), each with its number.
    pub fn chunks<T: Send>(&self, data: &mut [T], length: usize, work: &(dyn Fn(usize, &mut [T]) + Sync)) {
        let (length, total) = (length.max(1), data.len());
        let data = Ptr(data.as_mut_ptr(), total);
        self.each(total.div_ceil(length), &|number| {
            let start = number * length;
            // SAFETY: inside the slice, which is borrowed for the region; each number is worked on once, and pieces of
            // different numbers share nothing.
            #[allow(unsafe_code)]
            let piece = unsafe {
                let data = &data;
                std::slice::from_raw_parts_mut(data.0.add(start), length.min(data.1 - start))
            };
            work(number, piece);
        });
    }
}

/// Where a matrix starts, for closures that take it apart. `length` values in rows of `width`.
struct Matrix {
    start: *mut f32,
    length: usize,
    width: usize,
}

// SAFETY: whoever takes a strip makes sure that no two threads have the same values.
#[allow(unsafe_code)]
unsafe impl Sync for Matrix {}

impl Matrix {
    fn of(values: &mut [f32], width: usize) -> Matrix {
        let rows = values.len().checked_div(width).unwrap_or(0);
        assert_eq!(rows * width, values.len(), "a matrix of {} values does not have rows of {width}", values.len());
        Matrix { start: values.as_mut_ptr(), length: values.len(), width }
    }

    /// # Safety
    /// The rows and columns are inside, the values are borrowed for as long as the strip lives, and nothing else reaches
    /// those of the strip meanwhile.
    #[allow(unsafe_code)]
    unsafe fn strip<'a>(&self, rows: Range<usize>, columns: Range<usize>) -> Strip<'a> {
        debug_assert!(rows.end * self.width <= self.length && columns.end <= self.width);
        // SAFETY: as asked for above. An empty strip may start behind the last value, which is no address to reach.
        #[allow(unsafe_code)]
        unsafe {
            let start = self.start.wrapping_add(rows.start * self.width + columns.start);
            Strip::from_raw_parts(start, rows.len(), columns.len(), self.width)
        }
    }
}

/// Where a slice starts, and its length, for closures that take it apart.
struct Ptr<T>(*mut T, usize);

// SAFETY: whoever uses it makes sure that no element is used by two threads; elements may go to another thread.
#[allow(unsafe_code)]
unsafe impl<T: Send> Sync for Ptr<T> {}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.quit.store(true, Ordering::SeqCst);
        for thread in self.threads.drain(..) {
            thread.thread().unpark();
            // A thread's own panic would be a fault of this file; there is nobody left to tell.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests;
