//! sequential-storage's map, with the bug that a stored value can be gone after a restart.
//!
//! A page begins and ends with a marker byte: none set, it is open; the first, it is being filled;
//! both, it is closed. Items follow each other: a header of a CRC of the data, the length of the data
//! and a CRC of the length, then the data. The last item with a key counts. When an item does not fit,
//! the page is closed and the next one begun, the newest items of the page behind that are moved there,
//! and that page is erased.
//!
//! **136**, <https://github.com/tweedegolf/sequential-storage/issues/136>: power is cut while a header
//! is written. Its CRC does not fit, so the search for items goes on one byte further, and again, until
//! it comes to erased bytes; there the next item is written. The first bytes of its header can be just
//! those that make the torn header valid, or one that begins inside it. From then on the search sees a
//! phantom, skips as many bytes as its length says and misses the real item: `store` has returned
//! success, and after a restart the value is not there. The proposed correction,
//! <https://github.com/tweedegolf/sequential-storage/pull/137>: a page with a torn header takes no more
//! items.
//!
//! The issue has two cuts, after as many bytes each. One is enough, if it leaves all of the header but its
//! last byte: that byte comes from the next item when the CRC of its data begins with it, for one value in
//! 256. [`PHANTOM`] is such a value.
//!
//! Left out: caches, queues, removal, words of more than one byte. A page takes the first
//! [`PAGE`] bytes of a sector. Only programs are torn: the crate takes erases for safe once it finds a
//! page half erased, but tells that by its two markers alone.

use crate::flash::fault::{FaultClass, FaultProfile};
use crate::flash::{Memory, Part, SECTOR_SIZE};
use crate::machine::{Explore, Machine, Run, Stop};
use crc::{Algorithm, Crc};
use std::fmt;

/// Bytes of a page.
const PAGE: u32 = 26;
const PAGES: u32 = 2;
const SECTOR: u32 = SECTOR_SIZE as u32;
/// Bytes of an item's header.
const HEADER: u32 = 8;
/// The one key there is.
const KEY: u8 = 0;
/// Bytes of an item's data: key and value.
const DATA: usize = 2;

/// CRC-16F/4.2, as the crate uses it.
const LENGTH_CRC: Crc<u16> = Crc::<u16>::new(&Algorithm {
    width: 16,
    poly: 0x7458,
    init: 0xFFFF,
    refin: true,
    refout: true,
    xorout: 0xFFFF,
    check: 0,
    residue: 0,
});

/// CRC-32C with the crate's initial value.
const DATA_CRC: Crc<u32> = Crc::<u32>::new(&Algorithm {
    width: 32,
    poly: 0x1EDC_6F41,
    init: 0x7777_7777,
    refin: true,
    refout: true,
    xorout: 0xFFFF_FFFF,
    check: 0,
    residue: 0,
});

fn length_crc(length: [u8; 2]) -> u16 {
    LENGTH_CRC.checksum(&length).min(0xFFFE)
}

/// Never 0, which would mark an erased item, and not all ones or zeros in its first byte.
fn data_crc(data: &[u8]) -> u32 {
    match DATA_CRC.checksum(data) {
        0 => 1,
        crc if matches!(crc & 0xFF, 0 | 0xFF) => crc ^ 1,
        crc => crc,
    }
}

/// What may be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Expected {
    /// This value, or that there is none.
    Exactly(Option<u8>),
    /// A value is being stored: the old one or the new one.
    Either(Option<u8>, u8),
}

/// What the device is asked to do.
#[derive(Clone, Copy, Debug)]
enum Ask {
    /// Read the value.
    Read,
    /// Read it, and store another.
    Store(u8),
}

impl fmt::Display for Ask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read => f.write_str("read"),
            Self::Store(value) => write!(f, "read and store {value}"),
        }
    }
}

type Cycle = Run<Expected>;

/// State of a page, by its markers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Page {
    Open,
    Partial,
    Closed,
}

/// Why an operation of the map failed: [`Corrupted`](Self::Corrupted) leads to a repair.
#[derive(Debug)]
enum Fault {
    Corrupted,
    Stop(Stop),
}

impl From<Stop> for Fault {
    fn from(stop: Stop) -> Self {
        Self::Stop(stop)
    }
}

/// A page's items, and where the next one may go.
#[derive(Debug, Default)]
struct Items {
    /// Address and data of each valid one.
    valid: Vec<(u32, [u8; DATA])>,
    /// The first erased byte behind them.
    free: u32,
    /// Whether a header was not valid.
    torn: bool,
}

/// The map with one key in two pages.
#[derive(Debug)]
struct Map {
    /// A page with a torn header takes no more items.
    close_torn: bool,
    choices: &'static [Ask],
}

/// A value whose data CRC begins with the last byte of every header, 0xF2.
const PHANTOM: u8 = 141;

const CHOICES: &[Ask] = &[Ask::Read, Ask::Store(0), Ask::Store(PHANTOM)];

/// The crate as it is.
pub(super) const BUG_136: &dyn Explore = &Map { close_torn: false, choices: CHOICES };
/// With the proposed correction.
pub(super) const FIXED: &dyn Explore = &Map { close_torn: true, choices: CHOICES };

impl Map {
    fn state(run: &mut Cycle, page: u32) -> Result<Page, Fault> {
        let mut marked = |at: u32| Ok::<_, Stop>(run.read::<1>(at)?[0].count_zeros() >= 4);
        match (marked(page * SECTOR)?, marked(page * SECTOR + PAGE - 1)?) {
            (true, true) => Ok(Page::Closed),
            (true, false) => Ok(Page::Partial),
            (false, false) => Ok(Page::Open),
            // An erase that began at the front.
            (false, true) => Err(Fault::Corrupted),
        }
    }

    fn find(run: &mut Cycle, state: Page) -> Result<Option<u32>, Fault> {
        for page in 0..PAGES {
            if Self::state(run, page)? == state {
                return Ok(Some(page));
            }
        }
        Ok(None)
    }

    /// Walks over the headers of a page.
    fn items(run: &mut Cycle, page: u32) -> Result<Items, Stop> {
        let end = page * SECTOR + PAGE - 1;
        let mut items = Items { free: page * SECTOR + 1, ..Items::default() };
        while items.free + HEADER <= end {
            let header = run.read::<{ HEADER as usize }>(items.free)?;
            if header == [0xFF; HEADER as usize] {
                break;
            }
            let [c0, c1, c2, c3, l0, l1, k0, k1] = header;
            let next = items.free + HEADER + u32::from(u16::from_le_bytes([l0, l1]));
            if length_crc([l0, l1]) != u16::from_le_bytes([k0, k1]) || next > end {
                items.torn = true;
                items.free += 1;
                continue;
            }
            if next - items.free - HEADER == DATA as u32 {
                let data = run.read::<DATA>(items.free + HEADER)?;
                if data_crc(&data) == u32::from_le_bytes([c0, c1, c2, c3]) {
                    items.valid.push((items.free, data));
                }
            }
            items.free = next;
        }
        Ok(items)
    }

    /// Address and value of the newest item.
    fn fetch(run: &mut Cycle) -> Result<Option<(u32, u8)>, Fault> {
        let mut page = match Self::find(run, Page::Partial)? {
            Some(page) => page,
            None => {
                let open = Self::find(run, Page::Open)?.ok_or(Fault::Corrupted)?;
                let before = (open + PAGES - 1) % PAGES;
                if Self::state(run, before)? != Page::Closed {
                    return Ok(None);
                }
                before
            }
        };
        loop {
            if let Some(&(at, [_, value])) = Self::items(run, page)?.valid.last() {
                return Ok(Some((at, value)));
            }
            page = (page + PAGES - 1) % PAGES;
            if Self::state(run, page)? != Page::Closed {
                return Ok(None);
            }
        }
    }

    fn write(run: &mut Cycle, at: u32, data: [u8; DATA]) -> Result<(), Stop> {
        let length = (DATA as u16).to_le_bytes();
        let mut header = data_crc(&data).to_le_bytes().to_vec();
        header.extend(length);
        header.extend(length_crc(length).to_le_bytes());
        run.program(at, &header)?;
        run.program(at + HEADER, &data)
    }

    /// Moves what is newest from a page to the start of another and erases it.
    fn migrate(run: &mut Cycle, from: u32, to: u32) -> Result<(), Fault> {
        let mut target = to * SECTOR + 1;
        for (at, data) in Self::items(run, from)?.valid {
            if Self::fetch(run)?.is_some_and(|(newest, _)| newest == at) {
                Self::write(run, target, data)?;
                target += HEADER + DATA as u32;
            }
        }
        Ok(run.erase(from * SECTOR)?)
    }

    fn store(&self, run: &mut Cycle, value: u8) -> Result<(), Fault> {
        for _ in 0..PAGES {
            let Some(page) = Self::find(run, Page::Partial)? else {
                let open = Self::find(run, Page::Open)?.ok_or(Fault::Corrupted)?;
                run.program(open * SECTOR, &[0])?;
                continue;
            };
            let next = (page + 1) % PAGES;
            if Self::state(run, next)? != Page::Open {
                return Err(Fault::Corrupted);
            }
            let items = Self::items(run, page)?;
            let end = page * SECTOR + PAGE - 1;
            let fits = items.free + HEADER + DATA as u32 <= end;
            if fits && !(self.close_torn && items.torn) {
                return Ok(Self::write(run, items.free, [KEY, value])?);
            }
            run.program(end, &[0])?;
            run.program(next * SECTOR, &[0])?;
            let behind = (next + 1) % PAGES;
            if Self::state(run, behind)? != Page::Open {
                Self::migrate(run, behind, next)?;
            }
        }
        Err(Stop::broken("storable", format!("no room for value {value}")).into())
    }

    /// Erases again what was half erased, and moves again what was half moved.
    fn repair(run: &mut Cycle) -> Result<(), Fault> {
        run.note("the map is repaired");
        for page in 0..PAGES {
            if matches!(Self::state(run, page), Err(Fault::Corrupted)) {
                run.erase(page * SECTOR)?;
            }
        }
        if let Some(page) = Self::find(run, Page::Partial)? {
            let buffer = (page + 1) % PAGES;
            if Self::state(run, buffer)? != Page::Open {
                run.erase(page * SECTOR)?;
                run.program(page * SECTOR, &[0])?;
                Self::migrate(run, buffer, page)?;
            }
        }
        Ok(())
    }

    /// Repairs and tries once more if the map is found corrupted.
    fn repairing<T>(
        run: &mut Cycle,
        attempt: impl Fn(&mut Cycle) -> Result<T, Fault>,
    ) -> Result<T, Stop> {
        let corrupted = || Stop::broken("repairable", "the map is corrupted after its repair");
        let again = match attempt(run) {
            Err(Fault::Corrupted) => Self::repair(run).and_then(|()| attempt(run)),
            other => other,
        };
        again.map_err(|fault| match fault {
            Fault::Corrupted => corrupted(),
            Fault::Stop(stop) => stop,
        })
    }
}

impl Machine for Map {
    type Ghost = Expected;
    type Choice = Ask;

    fn part(&self) -> Part {
        Part::W25Q16JV
    }

    fn initial(&self) -> (Memory, Expected) {
        (Memory::erased(PAGES * SECTOR), Expected::Exactly(None))
    }

    fn choices(&self) -> &[Ask] {
        self.choices
    }

    fn profile(&self) -> FaultProfile {
        [FaultClass::Between, FaultClass::TornPrefix, FaultClass::Repeated]
            .into_iter()
            .fold(FaultProfile::none(1), FaultProfile::with)
    }

    fn power_cycle(&self, run: &mut Cycle, ask: Ask) -> Result<(), Stop> {
        let value = Self::repairing(run, Self::fetch)?.map(|(_, value)| value);
        let shown = value.map_or("no value".into(), |value| format!("value {value}"));
        run.note(format!("the map has {shown}"));
        match *run.expected() {
            Expected::Exactly(known) if known == value => {}
            Expected::Either(old, new) if value == old || value == Some(new) => {}
            Expected::Exactly(Some(known)) => {
                let what = format!("value {known} was stored with success, the map has {shown}");
                return Err(Stop::broken("durable", what));
            }
            Expected::Exactly(None) | Expected::Either(..) => {
                let what = format!("the map has {shown}, which nobody stored");
                return Err(Stop::broken("atomic", what));
            }
        }
        run.expect(Expected::Exactly(value));
        if let Ask::Store(new) = ask {
            run.expect(Expected::Either(value, new));
            Self::repairing(run, |run| self.store(run, new))?;
            run.note(format!("value {new} is stored"));
            run.expect(Expected::Exactly(Some(new)));
        }
        Ok(())
    }
}
