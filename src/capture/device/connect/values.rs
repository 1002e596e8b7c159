//! What a phone says of itself, as far as a backup wants to know.
//!
//! Invariant: what the phone does not tell, or tells in an odd type, is none. Numbers and names of the owner stand here, so
//! nothing of it is shown by `Debug`.

use super::ConnectError;
use super::lockdown::Lockdown;
use plist::{Dictionary, Value};
use std::fmt;

const BACKUP: &str = "com.apple.mobile.backup";

/// Values of lockdown.
#[derive(Clone, Default)]
pub struct Values {
    /// `UniqueDeviceID`.
    pub udid: Option<String>,
    /// `DeviceName`: as its owner named it.
    pub name: Option<String>,
    /// `ProductType`: `iPhone15,4`.
    pub product_type: Option<String>,
    /// `ProductVersion`: `26.1`.
    pub product_version: Option<String>,
    /// `BuildVersion`.
    pub build_version: Option<String>,
    /// `SerialNumber`.
    pub serial_number: Option<String>,
    /// `PhoneNumber`.
    pub phone_number: Option<String>,
    /// `InternationalMobileEquipmentIdentity`.
    pub imei: Option<String>,
    /// `InternationalMobileEquipmentIdentity2`, of phones with two lines.
    pub imei2: Option<String>,
    /// `MobileEquipmentIdentifier`.
    pub meid: Option<String>,
    /// `IntegratedCircuitCardIdentity`.
    pub iccid: Option<String>,
    /// `PasswordProtected`: locked now.
    pub is_locked: Option<bool>,
    /// `WillEncrypt`: Apple's encryption of backups is on. None: the phone does not tell, which is not "off".
    pub will_encrypt: Option<bool>,
    /// `RequiresEncryption`: an organisation demands it. None as above.
    pub requires_encryption: Option<bool>,
    /// `CloudBackupEnabled`.
    pub is_cloud_backup_on: Option<bool>,
    /// `BatteryCurrentCapacity`, in percent.
    pub battery_percent: Option<u64>,
    /// `BatteryIsCharging`.
    pub is_charging: Option<bool>,
    /// `TotalDiskCapacity`, in bytes.
    pub total_disk_len: Option<u64>,
    /// `TotalDataCapacity`, in bytes: no backup can be longer.
    pub total_data_len: Option<u64>,
    /// `TotalDataAvailable`, in bytes.
    pub free_data_len: Option<u64>,
    /// `IsAssociated` of Find My: restores are refused while it is on.
    pub is_find_my_on: Option<bool>,
    /// `EnableWifiConnections`.
    pub is_wifi_on: Option<bool>,
    /// `MinITunesVersion`.
    pub min_itunes_version: Option<String>,
    /// The whole domain `com.apple.iTunes`.
    pub itunes_settings: Option<Dictionary>,
    /// Everything of the global domain.
    pub global: Dictionary,
}

impl Values {
    /// Asks the phone.
    pub(super) fn ask(lockdown: &mut Lockdown) -> Result<Self, ConnectError> {
        let global = domain(lockdown, None)?.unwrap_or_default();
        let battery = domain(lockdown, Some("com.apple.mobile.battery"))?.unwrap_or_default();
        let disk = domain(lockdown, Some("com.apple.disk_usage"))?.unwrap_or_default();
        let wireless = "com.apple.mobile.wireless_lockdown";
        Ok(Self {
            will_encrypt: lockdown.switch(BACKUP, "WillEncrypt")?,
            requires_encryption: lockdown.switch(BACKUP, "RequiresEncryption")?,
            is_cloud_backup_on: lockdown.switch(BACKUP, "CloudBackupEnabled")?,
            is_find_my_on: lockdown.switch("com.apple.fmip", "IsAssociated")?,
            is_wifi_on: lockdown.switch(wireless, "EnableWifiConnections")?,
            min_itunes_version: lockdown
                .value(Some("com.apple.mobile.iTunes"), Some("MinITunesVersion"))?
                .and_then(Value::into_string),
            itunes_settings: domain(lockdown, Some("com.apple.iTunes"))?,
            battery_percent: number(&battery, "BatteryCurrentCapacity"),
            is_charging: truth(&battery, "BatteryIsCharging"),
            total_disk_len: number(&disk, "TotalDiskCapacity"),
            total_data_len: number(&disk, "TotalDataCapacity"),
            free_data_len: number(&disk, "TotalDataAvailable"),
            ..Self::of_global(global)
        })
    }

    fn of_global(global: Dictionary) -> Self {
        let text = |key: &str| {
            let value = global.get(key).and_then(Value::as_string);
            value.filter(|value| !value.is_empty()).map(str::to_owned)
        };
        Self {
            udid: text("UniqueDeviceID"),
            name: text("DeviceName"),
            product_type: text("ProductType"),
            product_version: text("ProductVersion"),
            build_version: text("BuildVersion"),
            serial_number: text("SerialNumber"),
            phone_number: text("PhoneNumber"),
            imei: text("InternationalMobileEquipmentIdentity"),
            imei2: text("InternationalMobileEquipmentIdentity2"),
            meid: text("MobileEquipmentIdentifier"),
            iccid: text("IntegratedCircuitCardIdentity"),
            is_locked: truth(&global, "PasswordProtected"),
            global,
            ..Self::default()
        }
    }
}

fn domain(lockdown: &mut Lockdown, name: Option<&str>) -> Result<Option<Dictionary>, ConnectError> {
    Ok(lockdown.value(name, None)?.and_then(Value::into_dictionary))
}

fn number(domain: &Dictionary, key: &str) -> Option<u64> {
    domain.get(key).and_then(Value::as_unsigned_integer)
}

fn truth(domain: &Dictionary, key: &str) -> Option<bool> {
    domain.get(key).and_then(Value::as_boolean)
}

impl fmt::Debug for Values {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Values")
            .field("product_type", &self.product_type)
            .field("product_version", &self.product_version)
            .finish_non_exhaustive()
    }
}
