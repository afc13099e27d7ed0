//! Keys and values of sequences, in pages that sequences with a common beginning share.

use std::ops::Range;
use std::sync::Arc;

use huacaya_kernels::Format;

use crate::Result;
use crate::config::{Config, unusable};

/// Positions of a page: whole tiles of attention. A text wastes half of it on average, a fork copies at most one.
pub(super) const PAGE: usize = 256;

/// What keys and values are stored in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum KvFormat {
    /// As good as f32: nobody has measured a difference.
    #[default]
    F16,
    /// Half of it.
    Q8_0,
    /// A quarter, at a price.
    Q4_0,
}

impl KvFormat {
    pub const ALL: [KvFormat; 3] = [KvFormat::F16, KvFormat::Q8_0, KvFormat::Q4_0];

    /// "f16", "q8_0", "q4_0".
    pub fn name(self) -> &'static str {
        match self {
            KvFormat::F16 => "f16",
            KvFormat::Q8_0 => "q8_0",
            KvFormat::Q4_0 => "q4_0",
        }
    }

    pub fn from_name(name: &str) -> Option<KvFormat> {
        KvFormat::ALL.into_iter().find(|format| format.name() == name)
    }

    pub(super) fn stored(self) -> Format {
        match self {
            KvFormat::F16 => Format::F16,
            KvFormat::Q8_0 => Format::Q8_0,
            KvFormat::Q4_0 => Format::Q4_0,
        }
    }
}

/// Bytes of one position in all layers. Heads that are no whole blocks are refused.
pub(crate) fn kv_bytes_per_token(config: &Config, format: KvFormat) -> Result<u64> {
    let stored = format.stored();
    let Some(row) = stored.bytes_of(config.head_size as u64) else {
        return unusable(format!("heads of {} values cannot be kept in {}", config.head_size, format.name()));
    };
    Ok(2 * row * (config.layers * config.kv_heads) as u64)
}

/// How a page is laid out: for each layer keys and values; of each, for each kv head `PAGE` rows of a head.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    pub format: Format,
    pub layers: usize,
    pub heads: usize,
    /// Bytes of one position of one head.
    pub row: usize,
    /// Keys are kept as they were before rope, and turned as they are read: the angles depend on the text's length.
    pub unturned: bool,
}

/// Keys and values of `PAGE` positions in all layers.
pub(super) struct Page(Vec<u8>);

impl Layout {
    pub fn of(config: &Config, format: KvFormat) -> Result<Layout> {
        kv_bytes_per_token(config, format)?;
        let stored = format.stored();
        Ok(Layout {
            format: stored,
            layers: config.layers,
            heads: config.kv_heads,
            row: config.head_size / stored.block_length() * stored.block_bytes(),
            unturned: config.angles_depend_on_length(),
        })
    }

    /// Bytes of one head's rows.
    pub fn head(&self) -> usize {
        PAGE * self.row
    }

    fn section(&self) -> usize {
        self.heads * self.head()
    }

    fn layer(&self) -> usize {
        2 * self.section()
    }

    fn page(&self) -> Page {
        Page(vec![0; self.layers * self.layer()])
    }

    /// A page of its own with the first `used` positions of another.
    fn copy(&self, from: &Page, used: usize) -> Page {
        let mut page = self.page();
        for (to, from) in page.0.chunks_mut(self.head()).zip(from.0.chunks(self.head())) {
            to[..used * self.row].copy_from_slice(&from[..used * self.row]);
        }
        page
    }
}

impl Page {
    /// Keys and values of one head in one layer, each (PAGE, head).
    pub fn head(&self, layout: &Layout, layer: usize, head: usize) -> [&[u8]; 2] {
        let keys = layer * layout.layer() + head * layout.head();
        [keys, keys + layout.section()].map(|start| &self.0[start..start + layout.head()])
    }

    /// Keys, then values, of all heads in one layer.
    fn layer_mut(&mut self, layout: &Layout, layer: usize) -> &mut [u8] {
        &mut self.0[layer * layout.layer()..][..layout.layer()]
    }
}

/// One sequence.
pub(super) struct Sequence {
    pub pages: Vec<Arc<Page>>,
    pub length: usize,
}

impl Sequence {
    pub fn new() -> Sequence {
        Sequence { pages: Vec::new(), length: 0 }
    }

    /// The first `length` positions again; pages are shared until one of the two writes to them.
    pub fn fork(&self, length: usize) -> Sequence {
        let length = length.min(self.length);
        Sequence { pages: self.pages[..length.div_ceil(PAGE)].to_vec(), length }
    }

    pub fn truncate(&mut self, length: usize) {
        self.length = self.length.min(length);
        self.pages.truncate(self.length.div_ceil(PAGE));
    }

    /// Makes room for the positions from `first` to `end`, in pages of its own.
    pub fn reserve(&mut self, layout: &Layout, first: usize, end: usize) {
        let wanted = end.div_ceil(PAGE);
        self.pages.resize_with(wanted.max(self.pages.len()), || Arc::new(layout.page()));
        for number in first / PAGE..wanted {
            let used = self.length.saturating_sub(number * PAGE).min(PAGE);
            let page = &mut self.pages[number];
            if Arc::get_mut(page).is_none() {
                *page = Arc::new(layout.copy(page, used));
            }
        }
    }

    /// One layer of a page that `reserve` made room in.
    pub fn layer_mut(&mut self, layout: &Layout, page: usize, layer: usize) -> Option<&mut [u8]> {
        Arc::get_mut(self.pages.get_mut(page)?).map(|page| page.layer_mut(layout, layer))
    }
}

/// The parts of `first..end` that lie in one page each: its number, and the positions in it.
pub(super) fn parts(first: usize, end: usize) -> impl Iterator<Item = (usize, Range<usize>)> {
    (first / PAGE..end.div_ceil(PAGE)).map(move |page| {
        let start = page * PAGE;
        (page, first.max(start) - start..end.min(start + PAGE) - start)
    })
}
