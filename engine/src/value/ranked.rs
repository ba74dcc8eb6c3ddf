//! STUB
use super::{Large, Malformed};
use crate::key::Hasher;
#[derive(Clone, Debug, Default)]
pub struct Ranked {
    pub v: Vec<u8>,
}
impl Ranked {
    pub fn is_empty(&self) -> bool {
        self.v.is_empty()
    }
}
impl Large for Ranked {
    fn heap_bytes(&self) -> usize {
        0
    }
    fn elements(&self) -> usize {
        0
    }
    fn write_part(&self, _: usize, _: &mut Vec<u8>) -> Option<usize> {
        None
    }
    fn read_part(&mut self, _: &[u8], _: &Hasher) -> Result<(), Malformed> {
        Ok(())
    }
    fn free_some(&mut self, _: usize) -> bool {
        false
    }
}
