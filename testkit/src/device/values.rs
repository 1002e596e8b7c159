//! What lockdown says about the phone: `GetValue` by domain and key.
//!
//! Invariant: a host that is not paired sees the public values only. Nothing here can be set. Values are those of the
//! phone's backups, so that Info.plist agrees with Manifest.plist.

use super::{ScriptedPhone, State, tls};
use crate::plists::{BUILD_VERSION, PRODUCT_TYPE, PRODUCT_VERSION};
use plist::{Dictionary, Value};

/// Bytes in use, unless a script says otherwise: few, so that a host with a small drive can take the phone.
const USED_LEN: u64 = 100_000_000;

/// Keys anyone may read.
const PUBLIC: [&str; 12] = [
    "ActivationState",
    "BuildVersion",
    "DeviceClass",
    "DeviceName",
    "DevicePublicKey",
    "HardwareModel",
    "ProductName",
    "ProductType",
    "ProductVersion",
    "UniqueChipID",
    "UniqueDeviceID",
    "WiFiAddress",
];

/// The answer to `GetValue`: the value, or lockdown's word for why not.
pub(crate) fn value(
    phone: &ScriptedPhone,
    state: &State,
    is_paired: bool,
    domain: Option<&str>,
    key: Option<&str>,
) -> Result<Value, &'static str> {
    let mut values = match domain {
        None | Some("") => global(phone),
        Some(name) => {
            if !is_paired {
                return Err("GetProhibited");
            }
            of_domain(phone, state, name)
        }
    };
    match key {
        None => {
            if !is_paired {
                values.retain(|name, _| PUBLIC.contains(&name.as_str()));
            }
            Ok(values.into())
        }
        Some(key) => {
            if !is_paired && !PUBLIC.contains(&key) {
                return Err("GetProhibited");
            }
            values.remove(key).ok_or("MissingValue")
        }
    }
}

fn global(phone: &ScriptedPhone) -> Dictionary {
    let device = &phone.device;
    let mut values = Dictionary::new();
    let mut put = |key: &str, value: Value| {
        values.insert(key.to_owned(), value);
    };
    put("ActivationState", "Activated".into());
    put("BuildVersion", BUILD_VERSION.into());
    put("CPUArchitecture", "arm64e".into());
    put("DeviceClass", "iPhone".into());
    put("DeviceName", device.name.clone().into());
    put("DevicePublicKey", Value::Data(tls::PUBLIC_KEY.to_vec()));
    put("HardwareModel", "D17AP".into());
    put("IntegratedCircuitCardIdentity", "89014104211111111111".into());
    put("InternationalMobileEquipmentIdentity", "356938035643809".into());
    put("MobileEquipmentIdentifier", "35693803564380".into());
    put("PasswordProtected", phone.script.locked.into());
    put("PhoneNumber", "+1 (555) 010-9999".into());
    put("ProductName", "iPhone OS".into());
    put("ProductType", PRODUCT_TYPE.into());
    put("ProductVersion", PRODUCT_VERSION.into());
    put("SerialNumber", device.serial_number().into());
    put("TimeIntervalSince1970", Value::Real(1_767_486_030.0));
    put("UniqueChipID", 0x0011_2233_4455_u64.into());
    put("UniqueDeviceID", device.udid.clone().into());
    put("WiFiAddress", "02:00:00:00:00:01".into());
    values
}

fn of_domain(phone: &ScriptedPhone, state: &State, domain: &str) -> Dictionary {
    let mut values = Dictionary::new();
    let mut put = |key: &str, value: Value| {
        values.insert(key.to_owned(), value);
    };
    match domain {
        "com.apple.mobile.backup" => {
            // Absent until encryption was first switched on.
            if state.password.is_some() || state.was_encrypted {
                put("WillEncrypt", state.password.is_some().into());
            }
            if phone.script.requires_encryption {
                put("RequiresEncryption", true.into());
            }
            put("CloudBackupEnabled", false.into());
        }
        "com.apple.mobile.battery" => {
            put("BatteryCurrentCapacity", 80.into());
            put("BatteryIsCharging", true.into());
        }
        "com.apple.disk_usage" => {
            let used_len = phone.script.used_len.unwrap_or(USED_LEN);
            put("TotalDataCapacity", used_len.saturating_add(64_000_000_000).into());
            put("TotalDataAvailable", 64_000_000_000_u64.into());
            put("TotalDiskCapacity", 128_000_000_000_u64.into());
        }
        "com.apple.fmip" => put("IsAssociated", phone.script.find_my.into()),
        "com.apple.mobile.iTunes" => put("MinITunesVersion", "12.12".into()),
        "com.apple.mobile.wireless_lockdown" => put("EnableWifiConnections", false.into()),
        _ => (),
    }
    values
}
