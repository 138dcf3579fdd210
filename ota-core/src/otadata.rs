//! otadata.
