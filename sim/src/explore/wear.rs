//! How often a call may erase a sector.

use super::spec::{Broken, Invariant, What};
use super::world::World;
use crate::flash::{Operation, OperationKind, SECTOR_SIZE};
use crate::subject::Call;
use ota_core::partition::Region;
use std::collections::BTreeMap;

/// Erases of one otadata sector that one call may cost.
const OTADATA_ERASES: u32 = 3;
/// Erases of one sector of a slot that one call may cost.
const SLOT_ERASES: u32 = 1;
/// The same for update code that goes on with an upload and may have to start over, and under anti-rollback,
/// where update code may erase what it finds to be too old.
const SLOT_ERASES_TWICE: u32 = 2;

/// The first sector that the `operations` of `call` erased more often than is promised.
pub(crate) fn check_wear<'r>(
    world: &World<'_>,
    call: Call,
    operations: impl IntoIterator<Item = &'r Operation>,
) -> Option<Broken> {
    let mut erases: BTreeMap<u32, u32> = BTreeMap::new();
    for operation in operations {
        if let OperationKind::Erase(_) = operation.kind {
            for sector in operation.range(world.part.capacity).step_by(SECTOR_SIZE) {
                *erases.entry(sector).or_default() += 1;
            }
        }
    }
    let twice = world.subject.resumes() || world.bootloader.anti_rollback.is_some();
    let slot_erases = if twice { SLOT_ERASES_TWICE } else { SLOT_ERASES };
    let otadata = world.layout.apps().otadata();
    erases.into_iter().find_map(|(offset, times)| {
        let is_otadata = otadata.overlaps(Region { offset, size: 1 });
        let promised = if is_otadata { OTADATA_ERASES } else { slot_erases };
        let what = What::Erased { call, offset, times, promised };
        (times > promised).then_some(Broken { invariant: Invariant::BoundedWear, what })
    })
}
