//! Synthetic application images.
