//! Pictures: where they come from, which set they go to, how they become pixels.
//!
//! A [`source::OpenSource`] is a sorted list of named, labelled files. A [`cache::Dataset`] is the same list decoded to one
//! size, in a memory-mapped file that all runs share. [`split`](mod@split) deals it out to training, validation and test
//! sets; [`augment`] varies it.

pub mod archive;
pub mod audit;
pub mod augment;
pub mod batches;
pub mod cache;
pub mod decode;
pub mod describe;
pub mod drawing;
pub mod duplicates;
pub mod emoji;
pub mod error;
pub mod fingerprint;
pub mod folder;
pub mod layout;
pub mod look;
pub mod pixel_file;
pub mod resample;
pub mod sheet;
pub mod source;
pub mod split;
pub mod synthesize;
pub mod tensor;
pub mod unpack;
