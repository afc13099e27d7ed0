//! Memory that ends at a page which nobody may touch, so that a kernel which reads or writes past an end dies of it.

#[cfg(unix)]
mod pages {
    /// Some bytes between two protected pages.
    pub struct Pages {
        start: *mut u8,
        /// Bytes that may be touched: whole pages.
        room: usize,
    }

    fn page() -> usize {
        // SAFETY: asks for a number.
        let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
        usize::try_from(size).expect("a page has a size")
    }

    impl Pages {
        /// At least `bytes` zeros.
        pub fn new(bytes: usize) -> Pages {
            let (page, room) = (page(), Pages::room_of(bytes));
            // SAFETY: new pages, wherever the system likes.
            let all = unsafe {
                libc::mmap(
                    std::ptr::null_mut(),
                    room + 2 * page,
                    libc::PROT_NONE,
                    libc::MAP_PRIVATE | libc::MAP_ANON,
                    -1,
                    0,
                )
            };
            assert_ne!(all, libc::MAP_FAILED, "{room} bytes cannot be mapped");
            // SAFETY: inside what was just mapped.
            let start = unsafe { all.cast::<u8>().add(page) };
            // SAFETY: the pages between the first and the last, nobody's else.
            let opened = unsafe { libc::mprotect(start.cast(), room, libc::PROT_READ | libc::PROT_WRITE) };
            assert!(room == 0 || opened == 0, "{room} bytes cannot be opened");
            Pages { start, room }
        }

        /// How many bytes are open where `bytes` are asked for.
        pub fn room_of(bytes: usize) -> usize {
            bytes.next_multiple_of(page())
        }

        pub fn start(&self) -> *mut u8 {
            self.start
        }

        pub fn room(&self) -> usize {
            self.room
        }

        /// Gives pages back.
        ///
        /// # Safety
        /// `start` and `room` are those of pages that nobody uses any more.
        pub unsafe fn release(start: *mut u8, room: usize) {
            let page = page();
            // SAFETY: the caller says so.
            unsafe { libc::munmap(start.sub(page).cast(), room + 2 * page) };
        }
    }
}

#[cfg(not(unix))]
mod pages {
    //! Without `mprotect` the memory is only as long as asked for.

    pub struct Pages {
        bytes: Vec<u8>,
    }

    impl Pages {
        pub fn new(bytes: usize) -> Pages {
            Pages { bytes: vec![0; bytes] }
        }

        pub fn start(&self) -> *mut u8 {
            self.bytes.as_ptr().cast_mut()
        }

        pub fn room(&self) -> usize {
            self.bytes.len()
        }
    }
}

use pages::Pages;

/// Where values stand between the protected pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// They end at a protected page.
    End,
    /// They begin at one.
    Start,
    /// They begin one byte behind one, so at no address that any number likes.
    Odd,
}

/// Values in guarded memory. `T` is a number of which any bytes are one.
pub struct Guarded<T: Copy> {
    pages: Pages,
    start: *mut T,
    length: usize,
}

impl<T: Copy> Guarded<T> {
    /// A copy of `values`. Only bytes can stand at [`Place::Odd`].
    pub fn copy(values: &[T], place: Place) -> Guarded<T> {
        let bytes = size_of_val(values);
        let pages = Pages::new(bytes + usize::from(place == Place::Odd));
        let offset = match place {
            Place::End => pages.room() - bytes,
            Place::Start => 0,
            Place::Odd => 1,
        };
        let start: *mut T = pages.start().wrapping_add(offset).cast();
        assert!(start.is_aligned(), "{place:?} is no place for these numbers");
        // SAFETY: inside the open pages, which nobody else uses; aligned.
        unsafe { std::ptr::copy_nonoverlapping(values.as_ptr(), start, values.len()) };
        Guarded { pages, start, length: values.len() }
    }

    pub fn values(&self) -> &[T] {
        // SAFETY: written by `copy`, and alive as long as the pages are.
        unsafe { std::slice::from_raw_parts(self.start, self.length) }
    }

    pub fn values_mut(&mut self) -> &mut [T] {
        // SAFETY: as in `values`; borrowed alone.
        unsafe { std::slice::from_raw_parts_mut(self.start, self.length) }
    }
}

impl<T: Copy> Drop for Guarded<T> {
    fn drop(&mut self) {
        #[cfg(unix)]
        // SAFETY: its own pages.
        unsafe {
            Pages::release(self.pages.start(), self.pages.room());
        }
    }
}

/// Gives guarded memory, up to the protected page, to all that is aligned to a cache line (which is what the kernels'
/// own buffers are), and leaves the rest to the system.
#[cfg(unix)]
pub struct LinesGuarded;

/// Alignment from which on memory is guarded.
#[cfg(unix)]
const LINE: usize = 64;

#[cfg(unix)]
// SAFETY: memory of its own for each, given back by the same rule as it was taken: by the alignment.
unsafe impl std::alloc::GlobalAlloc for LinesGuarded {
    unsafe fn alloc(&self, layout: std::alloc::Layout) -> *mut u8 {
        if layout.align() != LINE {
            // SAFETY: the caller's terms are the same.
            return unsafe { std::alloc::System.alloc(layout) };
        }
        let pages = Pages::new(layout.size());
        // Sizes that are not whole lines would move the start; then a few bytes are left at the end.
        pages.start().wrapping_add(pages.room() - layout.size().next_multiple_of(LINE))
    }

    unsafe fn dealloc(&self, start: *mut u8, layout: std::alloc::Layout) {
        // SAFETY: the caller's terms are the same; the start of the pages is as far from the address as `alloc` put it.
        unsafe {
            if layout.align() != LINE {
                return std::alloc::System.dealloc(start, layout);
            }
            let room = Pages::room_of(layout.size());
            Pages::release(start.sub(room - layout.size().next_multiple_of(LINE)), room);
        }
    }
}

/// That the battery would notice: a process that reads past an end dies of it.
#[cfg(unix)]
mod proof {
    use std::{os::unix::process::ExitStatusExt, process::Command};

    use huacaya_kernels::{Activations, Grouping, Kernels};

    use super::{Guarded, Place};

    const TOUCH: &str = "HUACAYA_TEST_TOUCH";

    /// Run again by the other test, with the variable set.
    #[test]
    fn a_byte_is_read_where_the_environment_says() {
        let touch = |at: *const u8| {
            // SAFETY: the byte is inside what was mapped; where it is protected, the process is meant to end.
            let byte = unsafe { at.read_volatile() };
            println!("read {byte}");
        };
        let (last, first) = (Guarded::copy(&[7u8; 3], Place::End), Guarded::copy(&[7u8; 3], Place::Start));
        let mut activations = Activations::new(Grouping::Block, 2, 32);
        activations.reset(2, 32);
        activations.quantize_row(Kernels::chosen(), 1, &[1.0; 32]);
        let row: *const u8 = activations.values(1).as_ptr().cast();
        match std::env::var(TOUCH).as_deref() {
            Ok("past the end") => touch(last.values().as_ptr().wrapping_add(3)),
            Ok("before the start") => touch(first.values().as_ptr().wrapping_sub(1)),
            Ok("past the activations' line") => touch(row.wrapping_add(64)),
            _ => {
                touch(last.values().as_ptr().wrapping_add(2));
                touch(first.values().as_ptr());
                touch(row.wrapping_add(63));
            }
        }
    }

    #[test]
    fn a_process_that_reads_past_an_end_dies_of_it() {
        for (place, dies) in [
            ("inside", false),
            ("past the end", true),
            ("before the start", true),
            ("past the activations' line", true),
        ] {
            let mut command = Command::new(std::env::current_exe().unwrap());
            command.args(["guarded::proof::a_byte_is_read_where_the_environment_says", "--exact"]).env(TOUCH, place);
            let output = command.output().unwrap();
            let status = output.status;
            // AddressSanitizer catches the signal, says what it saw, and ends the process itself.
            let killed = matches!(status.signal(), Some(libc::SIGSEGV | libc::SIGBUS))
                || String::from_utf8_lossy(&output.stderr).contains("AddressSanitizer: SEGV");
            assert_eq!((killed, status.success()), (dies, !dies), "{place}: {status}");
        }
    }
}
