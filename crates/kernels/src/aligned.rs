//! Numbers that start at a cache line, so that no vector load crosses one.

/// Bytes of a cache line, and of the widest vector.
pub(crate) const LINE: usize = 64;

#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([u8; LINE]);

/// Numbers of which any bytes are one, without padding.
pub(crate) trait Number: Copy {}
impl Number for i8 {}
impl Number for i16 {}
impl Number for f32 {}

/// A fixed number of values, at first zero; its first stands at the start of a cache line.
#[derive(Clone)]
pub(crate) struct Aligned<T: Number> {
    lines: Vec<Line>,
    number: std::marker::PhantomData<T>,
}

/// `count` rounded up to whole cache lines of `T`.
pub(crate) const fn whole_lines<T>(count: usize) -> usize {
    count.next_multiple_of(LINE / size_of::<T>())
}

impl<T: Number> Aligned<T> {
    /// At least `count` zeros: as many as whole cache lines hold.
    pub fn zeros(count: usize) -> Aligned<T> {
        Aligned {
            lines: vec![Line([0; LINE]); whole_lines::<T>(count) * size_of::<T>() / LINE],
            number: std::marker::PhantomData,
        }
    }

    pub fn values(&self) -> &[T] {
        // SAFETY: the lines are that many bytes, initialised, aligned to more than `T`; any bytes are a `Number`.
        #[allow(unsafe_code)]
        unsafe {
            std::slice::from_raw_parts(self.lines.as_ptr().cast(), self.lines.len() * (LINE / size_of::<T>()))
        }
    }

    pub fn values_mut(&mut self) -> &mut [T] {
        // SAFETY: as in `values`; borrowed alone.
        #[allow(unsafe_code)]
        unsafe {
            std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), self.lines.len() * (LINE / size_of::<T>()))
        }
    }
}
