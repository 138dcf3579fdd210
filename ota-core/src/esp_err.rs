//! The `esp_err_t` values that ESP-IDF reports for the failures of this crate.
//!
//! Values from ESP-IDF `esp_err.h`, `esp_image_format.h`, `esp_ota_ops.h` and
//! `esp_flash_err.h`.

/// `ESP_FAIL`: a failure without a code of its own.
pub const FAIL: i32 = -1;
/// `ESP_ERR_INVALID_ARG`.
pub const INVALID_ARG: i32 = 0x102;
/// `ESP_ERR_INVALID_STATE`.
pub const INVALID_STATE: i32 = 0x103;
/// `ESP_ERR_INVALID_SIZE`.
pub const INVALID_SIZE: i32 = 0x104;
/// `ESP_ERR_NOT_FOUND`.
pub const NOT_FOUND: i32 = 0x105;
/// `ESP_ERR_NOT_ALLOWED`.
pub const NOT_ALLOWED: i32 = 0x10D;
/// `ESP_ERR_OTA_PARTITION_CONFLICT`: the slot holds the running image.
pub const OTA_PARTITION_CONFLICT: i32 = 0x1501;
/// `ESP_ERR_OTA_VALIDATE_FAILED`: the image is not valid.
pub const OTA_VALIDATE_FAILED: i32 = 0x1503;
/// `ESP_ERR_OTA_SMALL_SEC_VER`: the secure version of the image is too low.
pub const OTA_SMALL_SEC_VER: i32 = 0x1504;
/// `ESP_ERR_OTA_ROLLBACK_FAILED`: there is no image to return to.
pub const OTA_ROLLBACK_FAILED: i32 = 0x1505;
/// `ESP_ERR_OTA_ROLLBACK_INVALID_STATE`: the running image is not confirmed.
pub const OTA_ROLLBACK_INVALID_STATE: i32 = 0x1506;
/// `ESP_ERR_IMAGE_INVALID`.
pub const IMAGE_INVALID: i32 = 0x2002;
/// `ESP_ERR_FLASH_OP_FAIL`.
pub const FLASH_OP_FAIL: i32 = 0x6001;
