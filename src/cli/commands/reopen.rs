//! `reopen`.

use super::{phone, phone_keys};
use crate::cli::args::Reopen;
use crate::cli::context::Context;
use crate::cli::failure::Failure;
use crate::cli::stop;
use crate::ops::backup::{BackupOptions, finish_waiting};

pub(super) fn reopen(context: &Context, args: &Reopen) -> Result<u8, Failure> {
    let asker = phone_keys::asker(context);
    let keys = phone_keys::keys(context, &args.opening, &asker)?;
    let mut opened = context.write()?;
    let options = BackupOptions::default();
    let waiting = finish_waiting(&mut opened, &options, &keys, &context.progress, &stop::asked)?;
    Ok(phone::tell_waiting(context, waiting)?.0)
}
