//! STUB
#[derive(Clone, Debug)]
pub struct IntSet(Vec<u8>);
#[derive(Clone, Copy, Debug)]
pub struct IntSetRef<'a>(pub &'a [u8]);
impl IntSet {
    pub fn new() -> Self {
        IntSet(vec![])
    }
    pub fn from_bytes(b: Vec<u8>) -> Self {
        IntSet(b)
    }
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }
    pub fn view(&self) -> IntSetRef<'_> {
        IntSetRef(&self.0)
    }
}
impl<'a> IntSetRef<'a> {
    pub fn validate(b: &'a [u8]) -> Result<Self, super::Malformed> {
        Ok(IntSetRef(b))
    }
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
    pub fn to_owned(&self) -> IntSet {
        IntSet(self.0.to_vec())
    }
}
