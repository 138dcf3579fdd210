//! Partitions and partition tables: `ota_core::partition` and `ota_core::table`.

use ota_core::partition::{App, ENTRY_LEN, Partition, Region};
use ota_core::table::BootTable;

/// The addresses of the functions, so that they are linked.
pub(crate) fn exported() -> [*const (); 5] {
    [
        partition_parse as *const (),
        partition_emit as *const (),
        partition_view as *const (),
        regions_overlap as *const (),
        boot_table_view as *const (),
    ]
}

/// What a partition says, in the order of its place on flash, and which application it is: see [`app`].
#[repr(C)]
struct Fields {
    ty: u8,
    subtype: u8,
    app: u16,
    offset: u32,
    size: u32,
    label: [u8; 16],
    flags: u32,
}

/// 0 to 15 for slots, 0x100 for the factory application, 0x200 for the test application, 0xFFFF for none.
pub(crate) fn app(app: Option<App>) -> u16 {
    match app {
        Some(App::Ota(slot)) => slot.index().into(),
        Some(App::Factory) => 0x100,
        Some(App::Test) => 0x200,
        None => 0xFFFF,
    }
}

extern "C" fn partition_parse(bytes: &[u8; ENTRY_LEN], partition: &mut Partition) -> bool {
    match Partition::parse(bytes) {
        Some(parsed) => *partition = parsed,
        None => return false,
    }
    true
}

extern "C" fn partition_emit(partition: &Partition, bytes: &mut [u8; ENTRY_LEN]) {
    *bytes = partition.emit();
}

extern "C" fn partition_view(partition: &Partition, fields: &mut Fields) {
    *fields = Fields {
        ty: partition.ty.0,
        subtype: partition.subtype.0,
        app: app(partition.app()),
        offset: partition.offset,
        size: partition.size,
        label: partition.label.0,
        flags: partition.flags.0,
    };
}

extern "C" fn regions_overlap(a: &[u32; 2], b: &[u32; 2]) -> bool {
    let [a, b] = [a, b].map(|&[offset, size]| Region { offset, size });
    a.overlaps(b)
}

/// otadata, factory, test and slot `k`, then the number of slots.
extern "C" fn boot_table_view(table: &BootTable, k: u32, view: &mut ([Region; 4], u32)) {
    view.0 = [table.otadata, table.factory, table.test, table.slot(k)];
    view.1 = table.app_count();
}
