//! How often a call may erase a sector.

use super::spec::{Broken, Invariant, What};
use super::world::{CallRun, World};
use crate::flash::{OperationKind, Recorded, SECTOR_SIZE};
use ota_core::partition::Region;
use std::collections::BTreeMap;

/// Erases of one otadata sector that one call may cost.
const OTADATA_ERASES: u32 = 3;
/// Erases of one sector of a slot that one call may cost.
const SLOT_ERASES: u32 = 1;

/// The first sector that `call` erased more often than is promised. `recorded` are the operations of
/// the application in this power cycle.
pub(crate) fn check_wear(
    world: &World<'_>,
    call: &CallRun,
    recorded: &[Recorded],
) -> Option<Broken> {
    let mut erases: BTreeMap<u32, u32> = BTreeMap::new();
    for recorded in &recorded[call.operations.clone()] {
        if let OperationKind::Erase(_) = recorded.operation.kind {
            let range = recorded.operation.range(world.part.capacity);
            for sector in range.step_by(SECTOR_SIZE) {
                *erases.entry(sector).or_default() += 1;
            }
        }
    }
    let otadata = world.layout.apps().otadata();
    erases.into_iter().find_map(|(offset, times)| {
        let is_otadata = otadata.overlaps(Region { offset, size: 1 });
        let promised = if is_otadata { OTADATA_ERASES } else { SLOT_ERASES };
        let what = What::Erased { call: call.call, offset, times, promised };
        (times > promised).then_some(Broken { invariant: Invariant::BoundedWear, what })
    })
}
