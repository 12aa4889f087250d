//! The slab of connection records.
//!
//! It knows nothing about what it holds. Its invariant: a pair of index and generation never names two connections.

use crate::app::ConnId;
use slab::Slab;

/// Records by index, each with a generation that grows when its slot is used again.
pub(super) struct Table<T> {
    /// `None` is a slot that is never used again: its generations have run out.
    slots: Slab<Option<T>>,
    /// For each index that was ever used, the generation of its present or next record.
    generations: Vec<u32>,
    worker: u16,
    /// How many slots are never used again.
    retired: usize,
}

impl<T> Table<T> {
    /// Makes an empty table that does not move its first `room` records.
    pub(super) fn new(worker: u16, room: usize) -> Table<T> {
        Table { slots: Slab::with_capacity(room), generations: Vec::with_capacity(room), worker, retired: 0 }
    }

    pub(super) fn worker(&self) -> u16 {
        self.worker
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len() - self.retired
    }

    pub(super) fn insert(&mut self, record: T) -> ConnId {
        let index = self.slots.insert(Some(record));
        if index == self.generations.len() {
            self.generations.push(0);
        }
        self.id(index as u32)
    }

    /// Returns the name that the next record will have.
    pub(super) fn next_id(&self) -> ConnId {
        let index = self.slots.vacant_key();
        let generation = self.generations.get(index).copied().unwrap_or(0);
        ConnId { worker: self.worker, index: index as u32, generation }
    }

    /// Returns the present name of the record at `index`.
    pub(super) fn id(&self, index: u32) -> ConnId {
        ConnId { worker: self.worker, index, generation: self.generations[index as usize] }
    }

    #[inline]
    pub(super) fn find(&mut self, id: ConnId) -> Option<&mut T> {
        let live =
            id.worker == self.worker && self.generations.get(id.index as usize) == Some(&id.generation);
        if !live {
            return None;
        }
        self.slots.get_mut(id.index as usize)?.as_mut()
    }

    pub(super) fn remove(&mut self, id: ConnId) -> Option<T> {
        self.find(id)?;
        let record = self.slots[id.index as usize].take();
        match id.generation.checked_add(1) {
            Some(next) => {
                self.generations[id.index as usize] = next;
                self.slots.remove(id.index as usize);
            }
            None => self.retired += 1,
        }
        record
    }

    /// Returns the names of all records.
    pub(super) fn ids(&self) -> Vec<ConnId> {
        let live = self.slots.iter().filter(|(_, slot)| slot.is_some());
        live.map(|(index, _)| self.id(index as u32)).collect()
    }

    /// Returns all records with their indexes.
    pub(super) fn records(&self) -> impl Iterator<Item = (u32, &T)> {
        self.slots.iter().filter_map(|(index, slot)| Some((index as u32, slot.as_ref()?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stale_name_finds_nothing() {
        let mut table = Table::new(3, 0);
        let next = table.next_id();
        let first = table.insert("first");
        assert_eq!(first, next);
        assert_eq!(table.find(first), Some(&mut "first"));
        assert_eq!(table.remove(first), Some("first"));
        let next = table.next_id();
        let second = table.insert("second");
        assert_eq!(second, next);
        assert_eq!(first.index, second.index);
        assert_ne!(first, second);
        assert_eq!(table.find(first), None);
        assert_eq!(table.remove(first), None);
        assert_eq!(table.find(ConnId { worker: 0, ..second }), None);
        assert_eq!(table.find(ConnId { index: 9, ..second }), None);
        assert_eq!((table.len(), table.ids()), (1, vec![second]));
    }

    #[test]
    fn a_slot_whose_generations_have_run_out_is_retired() {
        let mut table = Table::new(0, 0);
        let id = table.insert(1);
        table.remove(id);
        table.generations[0] = u32::MAX;
        let last = table.insert(2);
        assert_eq!((last.index, last.generation), (0, u32::MAX));
        assert_eq!(table.remove(last), Some(2));
        assert_eq!((table.len(), table.find(last)), (0, None));
        assert_eq!(table.insert(3).index, 1);
        assert_eq!(table.ids().len(), 1);
    }
}
