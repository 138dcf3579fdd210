//! Model of the second-stage bootloader.
